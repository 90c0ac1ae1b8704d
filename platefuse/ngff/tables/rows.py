"""Rows and columns of tables that are files: CSV, JSON, Parquet. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Content = tuple[list[str], dict[str, list[float]]]
"""Names of the rows, and the numeric columns by name."""


def split_rows(rows: Sequence[Mapping[str, Any]], index_key: str | None) -> Content:
    """The names of rows, and their columns of numbers. A column with any other text is left out."""
    if not rows:
        return [], {}
    known = ("FieldIndex", "label", "__index_level_0__", "index", "")
    columns = list(rows[0])
    key = index_key if index_key in columns else next((k for k in known if k in columns), None)
    names = [str(row[key]) if key is not None else str(i) for i, row in enumerate(rows)]
    numbers = {}
    for column in columns:
        try:
            numbers[column] = [_number(row[column]) for row in rows]
        except (TypeError, ValueError):
            continue  # a column of text
    return names, numbers


def _number(cell: Any) -> float:
    """A number; an empty cell is how CSV, JSON and Parquet write what is not a number."""
    return math.nan if cell is None or cell == "" else float(cell)


def changed_rows(
    rows: Sequence[Mapping[str, Any]],
    numbers: Mapping[str, NDArray[np.float64]],
    keep: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    """The rows that are kept, with new numbers in some columns."""
    return [
        {**row, **{column: float(values[i]) for column, values in numbers.items()}}
        for i, row in enumerate(rows)
        if keep[i]
    ]


def changed_column(column: Any, values: NDArray[np.float64] | None, keep: NDArray[np.bool_]) -> Any:
    """One column of a column-wise JSON table, whether its rows have names or not."""
    keys = list(column) if isinstance(column, dict) else range(len(column))
    new = {
        key: column[key] if values is None else float(values[i])
        for i, key in enumerate(keys)
        if keep[i]
    }
    return new if isinstance(column, dict) else list(new.values())
