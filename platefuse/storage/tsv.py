"""Tab-separated tables with a header: written whole, read strictly."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from platefuse.errors import MEASURE_AGAIN, TableError
from platefuse.storage.files import write_text

REMEDY = f"{MEASURE_AGAIN} Or restore the file."
"""What to do about a file that cannot be used."""


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table in one step.

    Parameters
    ----------
    path : Path
        The file; its folder is created if it is missing.
    columns : sequence of str
        The header.
    rows : iterable of mapping of str to object
        A cell for each column: text, a number with all its digits, or None for an empty cell.

    Raises
    ------
    TableError
        If a number is not finite. Nothing has been written then.
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    for number, row in enumerate(rows, 2):
        cells = []
        for column in columns:
            cell = row[column]
            if isinstance(cell, float) and not math.isfinite(cell):
                raise TableError(
                    f"{path}, line {number}: {column} would be {cell}; expected a finite number."
                )
            cells.append("" if cell is None else _text(cell))
        writer.writerow(cells)
    write_text(path, file.getvalue())


def read_rows(
    path: Path, columns: Sequence[str], *, cell: str | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """Read a table.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str
        The columns that it must have, in any order, and no others.
    cell : str, optional
        Rows without a cell that is this text may be left out, without a look at what is in them.

    Yields
    ------
    where : str
        File and line, for error messages.
    row : dict of str to str
        The cells by column.

    Raises
    ------
    TableError
        If the file cannot be read, or the header or the length of a row is another.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(_numbered_cells(file.read(), cell))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path} cannot be read ({error}). {REMEDY}") from error
    header = lines[0][1] if lines else []
    if sorted(header) != sorted(columns):
        missing = [name for name in columns if name not in header]
        unknown = [name for name in header if name not in columns]
        raise TableError(
            f"{path}: the columns are {header}: missing {missing}, unknown {unknown}. Expected "
            f"{', '.join(columns)}, each once. {REMEDY}"
        )
    for number, cells in lines[1:]:
        where = f"{path}, line {number}"
        if len(cells) != len(header):
            raise TableError(
                f"{where}: {len(cells)} cells; expected {len(header)}, as in the header. {REMEDY}"
            )
        yield where, dict(zip(header, cells, strict=True))


def _numbered_cells(text: str, cell: str | None) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row, with its number from 1; of all rows, or of those with one cell."""
    if cell is None or '"' in text:  # with quotes, a row may go over several lines
        rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
        yield from enumerate(rows, 1)
        return
    # 35,000 rows: 25 ms; 1.8 s if all are taken apart.
    for number, line in enumerate(text.split("\n"), 1):
        if number == 1 or cell in line:
            yield from ((number, row) for row in csv.reader([line], delimiter="\t", strict=True))


def read_finite(row: Mapping[str, str], column: str, where: str) -> float:
    """The number in a cell.

    Raises
    ------
    TableError
        If it is none, or not finite.
    """
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise TableError(
            f"{where}: {column} is {row[column]!r}; expected a finite number. {REMEDY}"
        )
    return value


def _text(cell: object) -> str:
    # float() takes the type of NumPy's numbers away, whose repr is another
    return repr(float(cell)) if isinstance(cell, float) else str(cell)
