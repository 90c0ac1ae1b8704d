"""ROI tables that are moved with the pixels: boxes of an acquisition, in the new pixel grid.

Each box goes where the field that it lies in went, cut to what remains of the field. Only the
columns of boxes change; a row of which nothing remains is dropped.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platefuse.errors import TableError
from platefuse.ngff.metadata import all_attributes, replace_attributes
from platefuse.storage.files import write_json
from platefuse.tables.anndata_format import write_anndata
from platefuse.tables.backends import backend_of, read_json_file
from platefuse.tables.table import Table, read_table

Numbers = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Piece:
    """A part of the acquisition that was moved as a whole. In micrometres, on `axes`.

    Attributes
    ----------
    start_um, stop_um : tuple of float
        Where it was.
    shift_um : tuple of float
        How far it was moved.
    """

    start_um: tuple[float, ...]
    stop_um: tuple[float, ...]
    shift_um: tuple[float, ...]

    def along(self, axes: Sequence[int]) -> Piece:
        """The piece on some of its axes."""
        parts = (self.start_um, self.stop_um, self.shift_um)
        return Piece(*(tuple(part[k] for k in axes) for part in parts))


def move_boxes(
    start: NDArray[np.float64],
    length: NDArray[np.float64],
    pieces: Sequence[Piece],
    *,
    enclose: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes after their pieces were moved. Pure.

    Parameters
    ----------
    start, length : ndarray of float64, shape (boxes, axes)
        The boxes, in micrometres.
    pieces : sequence of Piece
        What was moved; a box goes with the one that holds most of it.
    enclose : bool
        Whether a box goes with all pieces that hold any of it, and encloses what remains: so
        that an object that two overlapping fields show in part is in its box.

    Returns
    -------
    start, length : ndarray of float64, shape (boxes, axes)
        The boxes where they are now; a length of 0 where nothing remains.
    """
    low = np.array([p.start_um for p in pieces])
    high = np.array([p.stop_um for p in pieces])
    shift = np.array([p.shift_um for p in pieces])
    begin = np.maximum(start[:, None], low[None])
    remaining = np.minimum((start + length)[:, None], high[None]) - begin
    rounding = max(1e-3, 4 * float(np.finfo(np.float32).eps) * float(np.abs(start).max()))
    if enclose:
        inside = (remaining > rounding).all(axis=2)[..., None]
        first = np.where(inside, begin + shift, np.inf).min(axis=1)
        last = np.where(inside, begin + remaining + shift, -np.inf).max(axis=1)
        first, last = (np.where(inside.any(axis=1), edge, start) for edge in (first, last))
        return first, last - first
    chosen = np.clip(remaining, 0, None).prod(axis=2).argmax(axis=1)
    rows = np.arange(len(start))
    kept = np.clip(remaining[rows, chosen], 0, None)
    kept[(kept <= rounding).any(axis=1)] = 0
    return begin[rows, chosen] + shift[chosen], kept


def check_boxes(table: Table, axes: str) -> None:
    """Check that the boxes of a table can be moved.

    Parameters
    ----------
    table : Table
        The table.
    axes : str
        Axes in space of its image.

    Raises
    ------
    TableError
        If the table lacks a column, or has a number that is not finite.
    """
    try:
        _boxes(table, axes)
    except TableError as error:
        kind = all_attributes(table.path).get("type")
        raise TableError(
            f"{error} A table of the type {kind!r} is moved with the pixels: give it the "
            "boxes, or another type if it has none."
        ) from error


def _boxes(table: Table, axes: str) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
    """The axes of a table's boxes (those of a flat label lack z), and starts and lengths."""
    own = "".join(a for a in axes if a != "z" or "z_micrometer" in table.columns)
    if not table.names:
        return own, np.empty((0, len(own))), np.empty((0, len(own)))
    start = np.array([table.column(f"{a}_micrometer") for a in own])
    return own, start.T, np.array([table.column(f"len_{a}_micrometer") for a in own]).T


def move_table(
    image: Path, name: str, pieces: Sequence[Piece], axes: str, *, enclose: bool = False
) -> int:
    """Move the boxes of a table that was copied into a new image.

    Parameters
    ----------
    image : Path
        The new image.
    name : str
        The table.
    pieces : sequence of Piece
        What was moved.
    axes : str
        Axes in space of the image; columns of other axes are left alone.
    enclose : bool
        As in `move_boxes`.

    Returns
    -------
    int
        Number of rows dropped.

    Raises
    ------
    TableError
        If the table cannot be read or rewritten.
    """
    table = read_table(image, name)
    if not table.names:
        return 0
    own, start, length = _boxes(table, axes)
    pieces = [piece.along([axes.index(a) for a in own]) for piece in pieces]
    start, length = move_boxes(start, length, pieces, enclose=enclose)
    keep = np.asarray((length > 0).all(axis=1))
    numbers = {f"{a}_micrometer": start[:, k] for k, a in enumerate(own)}
    numbers |= {f"len_{a}_micrometer": length[:, k] for k, a in enumerate(own)}
    writers = {
        "anndata": _write_anndata,
        "csv": _write_csv,
        "json": _write_json,
        "parquet": _write_parquet,
    }
    try:
        writers[backend_of(table.path)](table.path, numbers, keep)
    except Exception as error:  # anndata and parsers raise what they like
        raise TableError(f"{table.path}: the moved boxes cannot be written ({error!r}).") from error
    return int((~keep).sum())


def _write_anndata(path: Path, numbers: Numbers, keep: NDArray[np.bool_]) -> None:
    import anndata
    import zarr

    attributes = zarr.open_group(path, mode="r").attrs.asdict()
    table = anndata.io.read_elem(zarr.open_group(path, mode="r"))
    if table.X.dtype.kind in "iu":  # boxes that were moved need not be whole micrometres
        table.X = table.X.astype(np.float64)
    names = list(table.var_names)
    for column, values in numbers.items():
        table.X[:, names.index(column)] = values
    group = zarr.open_group(path.parent, mode="r+")
    write_anndata(group, path.name, table[keep].copy())
    group[path.name].attrs.update(attributes)


def _write_csv(path: Path, numbers: Numbers, keep: NDArray[np.bool_]) -> None:
    file = path / "table.csv"
    with file.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        columns, rows = list(reader.fieldnames or ()), list(reader)
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows(_changed(rows, numbers, keep))


def _write_json(path: Path, numbers: Numbers, keep: NDArray[np.bool_]) -> None:
    """Columns as the attributes of the group ``table``, as Fractal writes them, or a file."""
    content: Any = all_attributes(path / "table")
    in_group = bool(content)
    if not in_group:
        content = read_json_file(path / "table.json")
    if isinstance(content, list):
        content = _changed(content, numbers, keep)
    else:  # column-wise: {column: {row: value}} or {column: [values]}
        content = {c: _changed_column(v, numbers.get(c), keep) for c, v in content.items()}
    if in_group:
        replace_attributes(path / "table", content)
    else:
        write_json(path / "table.json", content)


def _write_parquet(path: Path, numbers: Numbers, keep: NDArray[np.bool_]) -> None:
    import pyarrow
    import pyarrow.parquet

    file = path / "table.parquet"
    table = pyarrow.parquet.read_table(file)
    for column, values in numbers.items():
        place = table.schema.get_field_index(column)
        kind = table.schema.field(place)
        if not pyarrow.types.is_floating(kind.type):  # as above
            kind = kind.with_type(pyarrow.float64())
        table = table.set_column(place, kind, pyarrow.array(values).cast(kind.type))
    pyarrow.parquet.write_table(table.filter(pyarrow.array(keep)), file)


def _changed(
    rows: Sequence[Mapping[str, Any]], numbers: Numbers, keep: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    return [
        {**row, **{column: float(values[i]) for column, values in numbers.items()}}
        for i, row in enumerate(rows)
        if keep[i]
    ]


def _changed_column(
    column: Any, values: NDArray[np.float64] | None, keep: NDArray[np.bool_]
) -> Any:
    """One column of a column-wise JSON table, whether its rows have names or not."""
    keys = list(column) if isinstance(column, dict) else range(len(column))
    new = {
        key: column[key] if values is None else float(values[i])
        for i, key in enumerate(keys)
        if keep[i]
    }
    return new if isinstance(column, dict) else list(new.values())
