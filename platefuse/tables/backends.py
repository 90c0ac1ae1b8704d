"""Backends of tables: AnnData, CSV, JSON and Parquet, read as names and numbers."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from platefuse.errors import TableError
from platefuse.ngff.image import METADATA_FILES
from platefuse.ngff.metadata import all_attributes, read_json
from platefuse.storage.files import copy_tree, make_folder, write_json
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
    zarr_format: Literal[2, 3] = 3 if version == "0.5" else 2
    if (source / "zarr.json").is_file() == (zarr_format == 3):
        copy_tree(source, target)
        return None
    attributes = all_attributes(source)
    if attributes.get("encoding-type") == "anndata":
        _convert_anndata(source, target, attributes, zarr_format)
        return None
    if any(map(_is_array, source.rglob("*"))):
        backend = attributes.get("backend")
        return f"its backend {backend!r} is unknown, and it is of another Zarr format"
    _convert_groups(source, target, zarr_format)
    return None


def _convert_anndata(
    source: Path, target: Path, attributes: Mapping[str, Any], zarr_format: Literal[2, 3]
) -> None:
    import anndata
    import zarr

    try:
        table = anndata.io.read_elem(zarr.open_group(source, mode="r"))
        group = zarr.open_group(target.parent, mode="a", zarr_format=zarr_format)
        write_anndata(group, target.name, table)
    except Exception as error:  # anndata raises what it likes: say which table it was
        raise TableError(
            f"{source}: the table cannot be written as Zarr v{zarr_format} ({error!r}). "
            "Write it again with a current anndata, or remove it."
        ) from error
    own = ("encoding-type", "encoding-version")
    group[target.name].attrs.update({k: v for k, v in attributes.items() if k not in own})


def _convert_groups(source: Path, target: Path, zarr_format: Literal[2, 3]) -> None:
    """Groups with files in them, as the backends that are no arrays have it."""
    make_folder(target)
    attributes = all_attributes(source)
    if zarr_format == 3:
        content = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        write_json(target / "zarr.json", content)
    else:
        write_json(target / ".zgroup", {"zarr_format": 2})
        write_json(target / ".zattrs", attributes)
    for child in sorted(source.iterdir()):
        if child.is_dir():
            _convert_groups(child, target / child.name, zarr_format)
        elif child.name not in (*METADATA_FILES, ".zmetadata"):
            copy_tree(child, target / child.name)


def _is_array(path: Path) -> bool:
    if path.name == ".zarray":
        return True
    return path.name == "zarr.json" and read_json(path).get("node_type") == "array"


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
