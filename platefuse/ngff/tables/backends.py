"""Backends of tables: one class for each, which reads, rewrites and converts its tables.

To add a backend, write a class and enter it in `BACKENDS`.
"""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from platefuse.errors import TableError
from platefuse.ngff.metadata import all_attributes, replace_attributes
from platefuse.ngff.tables.anndata_format import (
    read_column,
    read_numbers,
    read_texts,
    replace_numbers,
    write_anndata,
)
from platefuse.ngff.tables.rows import Content, changed_column, changed_rows, split_rows
from platefuse.ngff.zarr_format import CONSOLIDATED_FILE, METADATA_FILES, V2, V3, Format
from platefuse.storage.files import copy_tree, read_json, write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Backend(ABC):
    """How the tables of a backend are stored. A table is a Zarr group.

    Attributes
    ----------
    name : str
        As the attributes of a table have it, without a version.
    """

    name: ClassVar[str]

    @abstractmethod
    def read(self, path: Path, index_key: str | None) -> Content:
        """Read the row names and the numbers of a table.

        Parameters
        ----------
        path : Path
            The table's group.
        index_key : str or None
            The column with the row names, where the attributes of the group name one.
        """

    def instances(self, path: Path, key: str) -> list[str] | None:
        """The column or the index of that name, as text; None if there is none.

        Parameters
        ----------
        path : Path
            The table's group.
        key : str
            Its name.
        """
        numbers = self.read(path, None)[1]
        return [f"{n:.17g}" for n in numbers[key]] if key in numbers else None

    def texts(self, path: Path) -> dict[str, list[str]]:
        """The columns that `read` leaves out, as text; empty where a value is missing."""
        return {}

    @abstractmethod
    def rewrite(
        self, path: Path, numbers: Mapping[str, NDArray[np.float64]], keep: NDArray[np.bool_]
    ) -> None:
        """Replace columns of a table, and drop rows. All else is kept.

        Parameters
        ----------
        path : Path
            The table's group.
        numbers : mapping of str to ndarray of float64
            The new columns by name, with a value for every row.
        keep : ndarray of bool
            Which rows are kept.
        """

    @abstractmethod
    def convert(self, source: Path, target: Path, kind: Format) -> str | None:
        """Write a table in another Zarr format.

        Parameters
        ----------
        source, target : Path
            The table's group, and the new group.
        kind : Format
            The format of the new group.

        Returns
        -------
        str or None
            Why it cannot be converted; nothing has been written then.

        Raises
        ------
        TableError
            If the table cannot be read or written.
        """


class _AnnData(Backend):
    """Zarr arrays, as anndata writes them."""

    name = "anndata"

    def read(self, path: Path, index_key: str | None) -> Content:
        rows, columns, values = read_numbers(path)
        return rows, {c: [float(v) for v in values[:, k]] for k, c in enumerate(columns)}

    def instances(self, path: Path, key: str) -> list[str] | None:
        found = read_column(path, key)
        return super().instances(path, key) if found is None else found

    def texts(self, path: Path) -> dict[str, list[str]]:
        return read_texts(path)

    def rewrite(
        self, path: Path, numbers: Mapping[str, NDArray[np.float64]], keep: NDArray[np.bool_]
    ) -> None:
        if replace_numbers(path, numbers, keep):
            return
        import anndata
        import numpy as np
        import zarr

        old = zarr.open_group(path, mode="r")
        attributes, members = old.attrs.asdict(), list(old)
        table = anndata.io.read_elem(old)
        if table.X.dtype.kind in "iu":  # boxes that were moved need not be whole micrometres
            table.X = table.X.astype(np.float64)
        names = list(table.var_names)
        for column, values in numbers.items():
            table.X[:, names.index(column)] = values
        group = zarr.open_group(path.parent, mode="r+")
        write_anndata(group, path.name, table[keep].copy(), members)
        group[path.name].attrs.update(attributes)

    def convert(self, source: Path, target: Path, kind: Format) -> str | None:
        import anndata
        import zarr

        try:
            old = zarr.open_group(source, mode="r")
            table = anndata.io.read_elem(old)
            group = zarr.open_group(target.parent, mode="a", zarr_format=kind.number)
            write_anndata(group, target.name, table, list(old))
        except Exception as error:  # anndata raises what it likes: say which table it was
            raise TableError(
                f"{source}: the table cannot be written as Zarr v{kind.number} ({error!r}). "
                "Write it again with a current anndata, or remove it."
            ) from error
        own = ("encoding-type", "encoding-version")
        attributes: dict[str, Any] = all_attributes(source)
        group[target.name].attrs.update({k: v for k, v in attributes.items() if k not in own})
        return None


class _FileBackend(Backend):
    """A file in the group, and no arrays."""

    @abstractmethod
    def _rows(self, path: Path) -> list[dict[str, Any]]: ...

    def read(self, path: Path, index_key: str | None) -> Content:
        return split_rows(self._rows(path), index_key)

    def texts(self, path: Path) -> dict[str, list[str]]:
        rows = self._rows(path)
        numbers = split_rows(rows, None)[1]
        columns = [c for c in (rows[0] if rows else ()) if c not in numbers]
        return {c: ["" if row[c] is None else str(row[c]) for row in rows] for c in columns}

    def convert(self, source: Path, target: Path, kind: Format) -> str | None:
        return _convert_files(source, target, kind)


class _Csv(_FileBackend):
    name = "csv"

    def _rows(self, path: Path) -> list[dict[str, Any]]:
        with (path / "table.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def rewrite(
        self, path: Path, numbers: Mapping[str, NDArray[np.float64]], keep: NDArray[np.bool_]
    ) -> None:
        file = path / "table.csv"
        with file.open(newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            columns, rows = list(reader.fieldnames or ()), list(reader)
        with file.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, columns)
            writer.writeheader()
            writer.writerows(changed_rows(rows, numbers, keep))


class _Json(_FileBackend):
    """Columns as the attributes of the group ``table``, as Fractal writes them, or a file."""

    name = "json"

    def _rows(self, path: Path) -> list[dict[str, Any]]:
        content: Any = self._content(path)
        if isinstance(content, dict):  # column-wise: {column: {row: value}} or {column: [values]}
            first: Any = next(iter(content.values()), [])
            keys = list(first) if isinstance(first, dict) else list(range(len(first)))
            content = [
                {"": str(k), **{c: column[k] for c, column in content.items()}} for k in keys
            ]
        return list(content)

    def rewrite(
        self, path: Path, numbers: Mapping[str, NDArray[np.float64]], keep: NDArray[np.bool_]
    ) -> None:
        in_group = bool(all_attributes(path / "table"))
        content = self._content(path)
        if isinstance(content, list):
            content = changed_rows(content, numbers, keep)
        else:  # column-wise, as above
            content = {c: changed_column(v, numbers.get(c), keep) for c, v in content.items()}
        if in_group:
            replace_attributes(path / "table", content)
        else:
            write_json(path / "table.json", content)

    def _content(self, path: Path) -> Any:
        attributes, file = all_attributes(path / "table"), path / "table.json"
        if attributes or ((path / "table").is_dir() and not file.exists()):
            return attributes  # none: a table without columns
        return json.loads(file.read_text(encoding="utf-8"))


class _Parquet(_FileBackend):
    name = "parquet"

    def _rows(self, path: Path) -> list[dict[str, Any]]:
        import pyarrow.parquet

        rows: list[dict[str, Any]]
        rows = pyarrow.parquet.read_table(path / "table.parquet").to_pylist()
        return rows

    def rewrite(
        self, path: Path, numbers: Mapping[str, NDArray[np.float64]], keep: NDArray[np.bool_]
    ) -> None:
        import pyarrow
        import pyarrow.parquet

        file = path / "table.parquet"
        table = pyarrow.parquet.read_table(file)
        for column, values in numbers.items():
            place = table.schema.get_field_index(column)
            kind = table.schema.field(place)
            if not pyarrow.types.is_floating(kind.type):  # as in AnnData
                kind = kind.with_type(pyarrow.float64())
            table = table.set_column(place, kind, pyarrow.array(values).cast(kind.type))
        pyarrow.parquet.write_table(table.filter(pyarrow.array(keep)), file)


BACKENDS: dict[str, Backend] = {b.name: b for b in (_AnnData(), _Csv(), _Json(), _Parquet())}
"""All backends by name."""


def backend_of(group: Path) -> str:
    """Name of a table's backend, without its version; AnnData if the attributes name none."""
    return _backend_name(all_attributes(group)) or _AnnData.name


def find_backend(group: Path) -> Backend:
    """The backend of a table.

    Raises
    ------
    TableError
        If it is unknown.
    """
    name = backend_of(group)
    if name not in BACKENDS:
        raise TableError(
            f"{group}: the table's backend {name!r} is unknown; a ROI table must be one of "
            f"{sorted(BACKENDS)}."
        )
    return BACKENDS[name]


def _backend_name(attributes: Mapping[str, Any]) -> str:
    return str(attributes.get("backend") or "").partition("_v")[0]


def copy_table(source: Path, target: Path, version: str) -> str | None:
    """Copy a table: byte for byte, or in the Zarr format of another NGFF version.

    Parameters
    ----------
    source, target : Path
        The table's group, and where it goes.
    version : str
        NGFF version of the image that it goes to.

    Returns
    -------
    str or None
        Why it cannot be copied: arrays of a backend that is unknown, in another format.

    Raises
    ------
    TableError
        If an AnnData table cannot be read or written.
    """
    kind = Format.for_ngff(version)
    if (Format.of(source) is V3) == (kind is V3):
        copy_tree(source, target)
        return None
    attributes = all_attributes(source)
    name = _backend_name(attributes)
    if attributes.get("encoding-type") == _AnnData.name:  # not all of them name their backend
        name = _AnnData.name
    elif name == _AnnData.name:  # anndata cannot read it
        name = ""
    convert = BACKENDS[name].convert if name in BACKENDS else _convert_files
    return convert(source, target, kind)


def _convert_files(source: Path, target: Path, kind: Format) -> str | None:
    """As `Backend.convert`, for a table that has files and no arrays, whatever its backend."""
    if any(map(_is_array_file, source.rglob("*"))):
        backend = all_attributes(source).get("backend")
        return f"its backend {backend!r} is unknown, and it is of another Zarr format"
    _convert_groups(source, target, kind)
    return None


def _convert_groups(source: Path, target: Path, kind: Format) -> None:
    """Write the groups of a table in another Zarr version, and copy the other files in them."""
    kind.write_group(target, all_attributes(source))
    for child in sorted(source.iterdir()):
        if child.is_dir():
            _convert_groups(child, target / child.name, kind)
        elif child.name not in (*METADATA_FILES, CONSOLIDATED_FILE):
            copy_tree(child, target / child.name)


def _is_array_file(file: Path) -> bool:
    """Whether a file is the metadata of a Zarr array."""
    if file.name == V2.array_file:
        return True
    return file.name == V3.array_file and read_json(file).get("node_type") == "array"
