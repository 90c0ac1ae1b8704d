"""Tables of an image: their names and kinds, and the boxes of ROI tables, read and written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platefuse.errors import TableError, some
from platefuse.ngff.metadata import all_attributes, is_node, replace_attributes
from platefuse.ngff.paths import safe_name
from platefuse.ngff.tables.anndata_format import write_numbers
from platefuse.ngff.tables.backends import BACKENDS, backend_of, find_backend
from platefuse.ngff.zarr_format import FORMATS, V2, Format
from platefuse.storage.files import subfolders
from platefuse.storage.once import read_once
from platefuse.storage.typed_json import list_of

STANDARD_NAMES = ("FOV_ROI_table", "well_ROI_table")
_ROI_TYPES = ("roi_table", "masking_roi_table")
STALE = "listed, but there is no such table"
"""Why a name of a list of tables is left out."""
_NOISE_UM = 1e-4  # what arithmetic in float32 may leave below zero


@dataclass(frozen=True)
class Roi:
    """A box in micrometres, as a ROI table has it.

    Attributes
    ----------
    name : str
        The row's name.
    start_um, length_um : dict of str to float
        Origin and extent for each of the axes ``z``, ``y``, ``x``, in micrometres.
    """

    name: str
    start_um: dict[str, float]
    length_um: dict[str, float]


@dataclass(frozen=True)
class Table:
    """The numbers of a table on disk.

    Attributes
    ----------
    path : Path
        The table's group.
    names : tuple of str
        Row names.
    columns : mapping of str to tuple of float
        Numeric columns by name; each as long as `names`.
    """

    path: Path
    names: tuple[str, ...]
    columns: Mapping[str, tuple[float, ...]]

    @classmethod
    def of_anndata(cls, table: Any, where: str) -> Table:
        """The numbers of an AnnData object; `where` stands in messages for its path.

        Raises
        ------
        TableError
            If it is none.
        """
        if any(not hasattr(table, name) for name in ("X", "var_names", "obs_names")):
            raise TableError(f"{where} is a {type(table).__name__}; expected an AnnData object.")
        values = table.X.toarray() if hasattr(table.X, "toarray") else table.X  # sparse
        columns = {
            str(name): tuple(float(v) for v in values[:, k])
            for k, name in enumerate(table.var_names)
        }
        return cls(Path(where), tuple(map(str, table.obs_names)), columns)

    def column(self, name: str) -> tuple[float, ...]:
        """One column.

        Raises
        ------
        TableError
            If the table has no such column, or a value in it is not finite.
        """
        if name not in self.columns:
            raise TableError(
                f"{self.path}: the table has no column {name!r}; it has {sorted(self.columns)}. "
                "Columns that hold text are not counted."
            )
        values = self.columns[name]
        for row, value in zip(self.names, values, strict=True):
            if not math.isfinite(value):
                raise TableError(
                    f"{self.path}: {name} of row {row!r} is {value}; expected a finite number."
                )
        return values

    def rois(self, axes: str, origin_um: Mapping[str, float] | None = None) -> list[Roi]:
        """The boxes on the given axes in space.

        Parameters
        ----------
        axes : str
            Some of ``"zyx"``.
        origin_um : mapping of str to float, optional
            Position of the array's corner, where it is not 0.

        Raises
        ------
        TableError
            If the table is empty, lacks a column, or a box is negative or not finite.
        """
        if not self.names:
            raise TableError(f"{self.path}: the table is empty; expected a row for every ROI.")
        origin = origin_um or {}
        start = {
            a: tuple(um - origin.get(a, 0.0) for um in self.column(f"{a}_micrometer")) for a in axes
        }
        length = {a: self.column(f"len_{a}_micrometer") for a in axes}
        for axis in axes:
            for row, a, n in zip(self.names, start[axis], length[axis], strict=True):
                if a < -_NOISE_UM or n <= 0:
                    raise TableError(
                        f"{self.path}: ROI {row!r} begins at {a:g} µm in {axis} and is {n:g} µm "
                        "long; expected a start of 0 or more and a length above 0."
                    )
        return [
            Roi(name, {a: max(start[a][i], 0.0) for a in axes}, {a: length[a][i] for a in axes})
            for i, name in enumerate(self.names)
        ]


def table_path(image: Path, name: str) -> Path:
    """The group of a table of an image (whether or not it is there)."""
    return image / "tables" / safe_name(name, f"{image}: a table")


@read_once
def table_names(image: Path) -> list[str]:
    """Names of an image's tables: those listed, then others that are there.

    Names in the list without a table are left out: see `stale_names`.

    Raises
    ------
    TableError
        If the list is none, or a name in it is unsafe as a path.
    """
    folder = image / "tables"
    if not folder.is_dir():
        return []
    names = [name for name in _listed(folder) if (folder / name).is_dir()]
    visible = (n for n in subfolders(folder) if not n.startswith("."))  # others are set aside
    present = [name for name in visible if is_node(folder / name)]
    return list(dict.fromkeys([*names, *present]))


def stale_names(image: Path) -> list[str]:
    """Names in the list of an image's tables without a table."""
    folder = image / "tables"
    return [name for name in _listed(folder) if not (folder / name).is_dir()]


def _listed(folder: Path) -> list[str]:
    listed = all_attributes(folder).get("tables", [])
    if not isinstance(listed, list):
        raise TableError(f"{folder}: the list `tables` is {listed!r}; expected a list of names.")
    return list(dict.fromkeys(safe_name(name, f"{folder}: a table") for name in listed))


@read_once
def read_table(image: Path, name: str) -> Table:
    """Read a table of an image, whatever its backend.

    Parameters
    ----------
    image : Path
        The image's folder.
    name : str
        The table's name.

    Raises
    ------
    TableError
        If there is no such table, or it cannot be read.
    """
    path = table_path(image, name)
    if not path.is_dir():
        have = (
            sorted(c.name for c in path.parent.iterdir() if c.is_dir())
            if path.parent.is_dir()
            else []
        )
        raise TableError(
            f"{image}: no table {name!r}; the image has {some(have)}. Give the name of one of "
            "these; in a config, fusion.tile_table names the one that says where the fields are."
        )
    backend, index_key = find_backend(path), all_attributes(path).get("index_key")
    try:
        names, columns = backend.read(path, index_key if isinstance(index_key, str) else None)
    except TableError:
        raise
    except Exception as error:  # codecs and parsers raise what they like: say which table it was
        raise TableError(
            f"{path}: the {backend.name} table cannot be read ({error!r}). Write it again."
        ) from error
    return Table(path, tuple(names), {k: tuple(v) for k, v in columns.items()})


def has_boxes(image: Path, name: str) -> bool:
    """Whether a table is one of ROIs: by its type or, if it has none, by its columns."""
    kind = table_type(image, name)
    if kind is not None:
        return kind in _ROI_TYPES
    try:
        columns = read_table(image, name).columns
    except TableError:  # of a backend that we do not know: it is copied as it is
        return False
    return "x_micrometer" in columns and "len_x_micrometer" in columns


def why_not_moved(image: Path, name: str) -> str | None:
    """Why the boxes of a table cannot be moved: its backend is unknown. None if it is known."""
    backend = backend_of(table_path(image, name))
    return (
        None
        if backend in BACKENDS
        else f"its backend {backend!r} is unknown, so that its boxes cannot be moved"
    )


def is_standard_name(name: str) -> bool:
    """Whether a ROI table says, by its name, where the fields or the well are."""
    return any(standard in name for standard in STANDARD_NAMES)


def table_type(image: Path, name: str) -> object:
    """The type that a table's attributes have; None if they have none."""
    return all_attributes(table_path(image, name)).get("type")


def write_roi_table(image: Path, name: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Write a ROI table as AnnData, as Fractal does, and enter it in the list of tables.

    Parameters
    ----------
    image : Path
        The image's folder; its Zarr format decides the table's.
    name : str
        Name of the table.
    rows : mapping of str to mapping
        For each ROI its columns, all of the same names.
    """
    import numpy as np

    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    numbers = np.array([[row[c] for c in columns] for row in rows.values()], np.float32)
    folder = image / "tables"
    kind = Format.of(image) or V2
    if not is_node(folder):
        kind.write_group(folder, {})
    attributes = {"type": "roi_table", "fractal_table_version": "1", "backend": "anndata"}
    write_numbers(folder / name, kind, numbers, list(rows), columns, attributes)
    listed = map(str, list_of(all_attributes(folder).get("tables")))
    write_table_list(folder, [*(other for other in listed if other != name), name])


def write_table_list(folder: Path, names: Sequence[str]) -> None:
    """Write the list of tables into the attributes of a ``tables`` group; others are kept.

    The group is created, of Zarr format 2, if `folder` is none.
    """
    attributes = {**all_attributes(folder), "tables": list(names)}
    if any((folder / kind.group_file).is_file() for kind in FORMATS.values()):
        replace_attributes(folder, attributes)
    else:
        V2.write_group(folder, attributes)
