"""Backends of tables: AnnData, CSV, JSON and Parquet, read as names and numbers."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from platefuse.errors import TableError
from platefuse.ngff.metadata import (
    CONSOLIDATED_FILE,
    METADATA_FILES,
    V3,
    Format,
    all_attributes,
    is_array_file,
)
from platefuse.storage.files import copy_tree
from platefuse.tables.anndata_format import read_index, write_anndata


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
    if attributes.get("encoding-type") == "anndata":
        _convert_anndata(source, target, attributes, kind)
        return None
    if any(map(is_array_file, source.rglob("*"))):
        backend = attributes.get("backend")
        return f"its backend {backend!r} is unknown, and it is of another Zarr format"
    _convert_groups(source, target, kind)
    return None


def _convert_anndata(
    source: Path, target: Path, attributes: Mapping[str, Any], kind: Format
) -> None:
    import anndata
    import zarr

    try:
        table = anndata.io.read_elem(zarr.open_group(source, mode="r"))
        group = zarr.open_group(target.parent, mode="a", zarr_format=kind.number)
        write_anndata(group, target.name, table)
    except Exception as error:  # anndata raises what it likes: say which table it was
        raise TableError(
            f"{source}: the table cannot be written as Zarr v{kind.number} ({error!r}). "
            "Write it again with a current anndata, or remove it."
        ) from error
    own = ("encoding-type", "encoding-version")
    group[target.name].attrs.update({k: v for k, v in attributes.items() if k not in own})


def _convert_groups(source: Path, target: Path, kind: Format) -> None:
    """Groups with files in them, as the backends that are no arrays have it."""
    kind.write_group(target, all_attributes(source))
    for child in sorted(source.iterdir()):
        if child.is_dir():
            _convert_groups(child, target / child.name, kind)
        elif child.name not in (*METADATA_FILES, CONSOLIDATED_FILE):
            copy_tree(child, target / child.name)


Content = tuple[list[str], dict[str, list[float]]]


def backend_of(group: Path) -> str:
    """Name of a table's backend, without its version."""
    return str(all_attributes(group).get("backend") or "anndata").partition("_v")[0]


def read_json_file(file: Path) -> Any:
    """The content of a JSON file, an object or a list."""
    return json.loads(file.read_text(encoding="utf-8"))


def _read_anndata(path: Path, index_key: str | None) -> Content:
    """Names and numbers of an AnnData group, without the second that anndata takes to import."""
    import zarr

    group: Any = zarr.open_group(path, mode="r")
    values = group["X"][:]
    rows, columns = (read_index(group[axis], path / axis) for axis in ("obs", "var"))
    numbers = {c: [float(v) for v in values[:, k]] for k, c in enumerate(columns)}
    return rows, numbers


def _read_csv(path: Path, index_key: str | None) -> Content:
    with (path / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return _split(rows, index_key)


def _read_json(path: Path, index_key: str | None) -> Content:
    """Columns as the attributes of the group ``table``, as Fractal writes them, or a file."""
    content: Any = all_attributes(path / "table")
    if not content:
        content = read_json_file(path / "table.json")
    if isinstance(content, dict):  # column-wise: {column: {row: value}} or {column: [values]}
        first: Any = next(iter(content.values()), [])
        keys = list(first) if isinstance(first, dict) else list(range(len(first)))
        content = [{"": str(k), **{c: column[k] for c, column in content.items()}} for k in keys]
    return _split(content, index_key)


def _read_parquet(path: Path, index_key: str | None) -> Content:
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(path / "table.parquet").to_pylist()
    return _split(rows, index_key if index_key else None)


def _split(rows: Sequence[Mapping[str, Any]], index_key: str | None) -> Content:
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


READERS: dict[str, Callable[[Path, str | None], Content]] = {
    "anndata": _read_anndata,
    "csv": _read_csv,
    "json": _read_json,
    "parquet": _read_parquet,
}
