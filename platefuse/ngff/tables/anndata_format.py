"""The storage format of AnnData tables: any encoding of an index is read, the oldest written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from platefuse.errors import TableError
from platefuse.ngff.metadata import all_attributes, is_node
from platefuse.ngff.zarr_format import Format
from platefuse.storage.removing import remove_tree
from platefuse.storage.small_arrays import is_array, read_array
from platefuse.storage.typed_json import list_of

if TYPE_CHECKING:
    import anndata
    import numpy as np
    import zarr
    from numpy.typing import NDArray

MAPPINGS = ("layers", "obsm", "obsp", "uns", "varm", "varp")
"""The members of a table that hold others by name."""


def read_numbers(path: Path) -> tuple[list[str], list[str], NDArray[Any]]:
    """The numbers of a table, with the names of its rows and columns.

    Metadata are read as JSON and arrays by `platefuse.storage.small_arrays`: a plate has thousands
    of tables, and anndata takes a second to import.

    Parameters
    ----------
    path : Path
        The table's group.

    Returns
    -------
    rows, columns : list of str
        The names.
    numbers : ndarray, shape (rows, columns)
        Of the data type that is stored.

    Raises
    ------
    TableError
        If a name is missing.
    """
    rows, columns = [_read_index(path / axis) for axis in ("obs", "var")]
    return rows, columns, read_array(path / "X")


def read_column(path: Path, name: str) -> list[str] | None:
    """A column of ``obs``, or its index, as text; None if there is none of that name.

    Parameters
    ----------
    path : Path
        The table's group.
    name : str
        Name of the column.
    """
    column = path / "obs" / name
    return [str(text) for text in _texts(column)] if is_node(column) else None


def read_texts(path: Path) -> dict[str, list[str]]:
    """The columns of ``obs`` as text; empty where a value is missing.

    Parameters
    ----------
    path : Path
        The table's group.
    """
    frame = path / "obs"
    columns = map(str, list_of(all_attributes(frame).get("column-order", [])))
    return {c: [text or "" for text in _texts(frame / c)] for c in columns}


def _read_index(frame: Path) -> list[str]:
    """The index of a data frame, in any encoding that AnnData has written.

    These are ``string-array`` (an array), ``categorical`` (codes of categories) and, as anndata
    0.13 writes it, ``nullable-string-array`` (values and a mask).
    """
    names = _texts(frame / str(all_attributes(frame).get("_index", "_index")))
    if None in names:
        entry = "column" if frame.name == "var" else "row"
        raise TableError(
            f"{frame}: {entry} {names.index(None)} (counted from 0) has no name, its value "
            f"is missing; expected a name for every {entry}. Name it, or remove it from the table."
        )
    return [str(name) for name in names]


def write_anndata(
    group: zarr.Group, name: str, table: anndata.AnnData, members: Collection[str] = ()
) -> None:
    """Write a table into a group, as every version of anndata would.

    Nothing is sharded. An index or a column of text is written as ``string-array``: anndata with
    pandas 3 would write ``nullable-string-array``, which older programs cannot read. Only where a
    text is missing that encoding is kept, as no other can hold it. Anndata 0.12 writes that there
    are no raw values as an array of the encoding ``null``; older versions cannot read it, and
    read a table without it as the same.

    Parameters
    ----------
    group : zarr.Group
        Where the table goes; its Zarr format is the table's.
    name : str
        Name of the table; an old table of that name is replaced.
    table : anndata.AnnData
        The table. Its texts are changed in place.
    members : collection of str
        Names of the arrays and groups that the table was read from. Empty ones that it did not
        have are not written. By default all but ``raw`` are.
    """
    import anndata

    for frame in (table.obs, table.var):
        if not frame.index.hasnans:
            frame.index = frame.index.astype(object)
        for column in frame.columns:
            if frame[column].dtype == "string" and not frame[column].hasnans:
                frame[column] = frame[column].astype(object)
    with anndata.settings.override(auto_shard_zarr_v3=False, allow_write_nullable_strings=True):
        anndata.io.write_elem(group, name, table)
    written: Any = group[name]
    for member in set(written):
        is_empty = (
            table.raw is None
            if member == "raw"
            else member in MAPPINGS and not len(written[member])
        )
        if is_empty and member not in (members or MAPPINGS):
            del written[member]


def replace_numbers(
    path: Path, numbers: Mapping[str, NDArray[np.float64]], keep: NDArray[np.bool_]
) -> bool:
    """Write other numbers into a table and drop rows, if all else of the table can stay as it is.

    Anndata is not imported, which takes longer than a small well takes to register.

    Parameters
    ----------
    path : Path
        The table's group.
    numbers : mapping of str to ndarray of float64, shape (rows,)
        The new numbers by column, for all rows.
    keep : ndarray of bool, shape (rows,)
        The rows that are kept.

    Returns
    -------
    bool
        Whether it was done. Nothing was written to a table that has to be written anew, by anndata:
        if its numbers are integers or sparse, if it has texts that old programs cannot read, or if
        rows are dropped that have more than numbers and columns of plain numbers and texts.
    """
    import zarr

    columns = _columns_of_rows(path)
    if columns is None or not (keep.all() or _has_nothing_else(path)):
        return False
    array = zarr.open_array(path / "X", mode="r+")
    if array.dtype.kind != "f":
        return False
    values: Any = array[...]
    names = _read_index(path / "var")
    for column, own in numbers.items():
        values[:, names.index(column)] = own
    _write_whole(array, values[keep])
    for place in () if keep.all() else columns:
        column_of_rows = zarr.open_array(place, mode="r+")
        rows: Any = column_of_rows[...]
        _write_whole(column_of_rows, rows[keep])
    return True


def _columns_of_rows(path: Path) -> list[Path] | None:
    """The arrays of ``obs``; None if a table is not of arrays that old programs can read."""
    if not is_array(path / "X"):
        return None
    encodings = {
        node: all_attributes(node).get("encoding-type")
        for frame in (path / "obs", path / "var")
        for node in frame.iterdir()
        if node.is_dir()
    }
    if "nullable-string-array" in encodings.values():
        return None
    return [node for node in encodings if node.parent.name == "obs"]


def _has_nothing_else(path: Path) -> bool:
    """Whether the rows of a table have only numbers, and columns that are plain arrays."""
    held = [node for name in ("layers", "obsm", "obsp", "raw") for node in (path / name).glob("*/")]
    return not held and all(is_array(node) for node in (path / "obs").iterdir() if node.is_dir())


def _write_whole(array: zarr.Array[Any], values: Any) -> None:
    if array.shape != values.shape:
        array.resize(values.shape)
    array[...] = values


def write_numbers(
    path: Path,
    kind: Format,
    numbers: NDArray[np.floating],
    rows: Sequence[str],
    columns: Sequence[str],
    attributes: Mapping[str, str] | None = None,
    texts: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write a table of numbers, with the files that `write_anndata` writes.

    Anndata is not imported, which takes longer than a small well takes to fuse. Tables of a well
    are often equal, and those of a plate differ in their numbers only, so the last files are kept
    in memory.

    Parameters
    ----------
    path : Path
        The table's group; an old table there is replaced.
    kind : Format
        The Zarr format.
    numbers : ndarray of float32 or float64, shape (rows, columns)
        The numbers.
    rows, columns : sequence of str
        Names of the rows (index ``FieldIndex``) and of the columns.
    attributes : mapping of str to str, optional
        Attributes of the table, beside those that anndata needs.
    texts : mapping of str to sequence of str, optional
        Columns of text in ``obs``, one text for each row.
    """
    more = tuple((attributes or {}).items())
    in_obs = tuple((name, tuple(own)) for name, own in (texts or {}).items())
    files = {
        **_frame_files(kind.number, tuple(rows), in_obs, tuple(columns), more),
        **_number_files(kind.number, numbers.tobytes(), numbers.dtype.str, numbers.shape),
    }
    remove_tree(path)
    for name, content in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


@lru_cache(maxsize=16)
def _frame_files(
    zarr_format: Literal[2, 3],
    rows: tuple[str, ...],
    texts: tuple[tuple[str, tuple[str, ...]], ...],
    columns: tuple[str, ...],
    attributes: tuple[tuple[str, str], ...],
) -> Mapping[str, bytes]:
    """The files of a table by their paths, but for its numbers."""
    import zarr
    from zarr.core.buffer import Buffer
    from zarr.storage import MemoryStore

    files: dict[str, Buffer] = {}
    encoding = {**_encoding("anndata", "0.1.0"), **dict(attributes)}
    table = zarr.create_group(MemoryStore(files), zarr_format=zarr_format, attributes=encoding)
    _write_frame(table, "obs", "FieldIndex", rows, dict(texts))
    _write_frame(table, "var", "_index", columns, {})
    for member in MAPPINGS:
        table.create_group(member, attributes=_encoding("dict", "0.1.0"))
    return {name: buffer.to_bytes() for name, buffer in files.items()}


@lru_cache(maxsize=16)
def _number_files(
    zarr_format: Literal[2, 3], numbers: bytes, dtype: str, shape: tuple[int, ...]
) -> Mapping[str, bytes]:
    """The files of the numbers of a table by their paths in it."""
    import numpy as np
    import zarr
    from zarr.core.buffer import Buffer
    from zarr.storage import MemoryStore

    files: dict[str, Buffer] = {}
    values = np.frombuffer(numbers, dtype).reshape(shape)
    group = zarr.create_group(MemoryStore(files), zarr_format=zarr_format)
    group.create_array("X", data=values).attrs.update(_encoding("array", "0.2.0"))
    return {name: buffer.to_bytes() for name, buffer in files.items() if name.startswith("X/")}


def _write_frame(
    table: zarr.Group,
    name: str,
    index: str,
    rows: Sequence[str],
    columns: Mapping[str, Sequence[str]],
) -> None:
    """Write a data frame whose index and columns are texts."""
    import numpy as np
    from zarr.dtype import VariableLengthUTF8

    encoding = _encoding("dataframe", "0.2.0")
    order = {"column-order": list(columns), "_index": index}
    frame = table.create_group(name, attributes={**order, **encoding})
    for column, texts in {index: rows, **columns}.items():
        length = len(texts)
        dtype: Any = VariableLengthUTF8()
        array = frame.create_array(column, shape=(length,), chunks=(max(1, length),), dtype=dtype)
        array[...] = np.array(list(texts), dtype=object)
        array.attrs.update(_encoding("string-array", "0.2.0"))


def _encoding(kind: str, version: str) -> dict[str, Any]:
    return {"encoding-type": kind, "encoding-version": version}


def _texts(node: Path) -> list[str | None]:
    """The texts of an encoded array; None where one is missing."""
    if is_array(node):
        return [v.decode() if isinstance(v, bytes) else str(v) for v in read_array(node)]
    if is_node(node / "codes"):
        categories = _texts(node / "categories")
        codes = read_array(node / "codes")
        return [categories[code] if code >= 0 else None for code in codes]
    texts, mask = _texts(node / "values"), read_array(node / "mask")
    return [None if missing else text for text, missing in zip(texts, mask, strict=True)]
