"""The storage format of AnnData tables: read an index in any encoding, write the oldest."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platefuse.errors import TableError

if TYPE_CHECKING:
    import anndata
    import numpy as np
    import zarr
    from numpy.typing import NDArray
    from zarr import AsyncGroup

_MAPPINGS = ("layers", "obsm", "obsp", "uns", "varm", "varp")
"""The members of a table that hold others by name."""


async def read_numbers(path: Path) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """The names of rows and columns and the numbers of a table.

    All files are read in one go, without the second that anndata takes to import.

    Parameters
    ----------
    path : Path
        The table's group.

    Raises
    ------
    TableError
        If a name is missing.
    """
    import numpy as np
    from zarr.api.asynchronous import open_group

    group = await open_group(store=path, mode="r")
    rows, columns = [await _read_index(group, path, axis) for axis in ("obs", "var")]
    return rows, columns, np.asarray(await _values(group, "X"))


async def read_column(path: Path, name: str) -> list[str] | None:
    """A column of ``obs``, or its index, as text; None if there is none of that name.

    Parameters
    ----------
    path : Path
        The table's group.
    name : str
        Name of the column.
    """
    from zarr.api.asynchronous import open_group

    frame: Any = await (await open_group(store=path, mode="r")).getitem("obs")
    if not await frame.contains(name):
        return None
    return [str(text) for text in await _texts(frame, name)]


async def read_texts(path: Path) -> dict[str, list[str]]:
    """The columns of ``obs`` as text; empty where a value is missing.

    Parameters
    ----------
    path : Path
        The table's group.
    """
    from zarr.api.asynchronous import open_group

    frame: Any = await (await open_group(store=path, mode="r")).getitem("obs")
    columns = map(str, frame.attrs.get("column-order", []))
    return {c: [text or "" for text in await _texts(frame, c)] for c in columns}


async def _read_index(table: AsyncGroup, path: Path, axis: str) -> list[str]:
    """The index of a data frame, in any encoding that AnnData has written.

    These are ``string-array`` (an array), ``categorical`` (codes of categories) and, as anndata
    0.13 writes it, ``nullable-string-array`` (values and a mask).
    """
    frame: Any = await table.getitem(axis)
    names = await _texts(frame, str(frame.attrs.get("_index", "_index")))
    if None in names:
        entry = "column" if axis == "var" else "row"
        raise TableError(
            f"{path / axis}: {entry} {names.index(None)} (counted from 0) has no name, its value "
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
            else member in _MAPPINGS and not len(written[member])
        )
        if is_empty and member not in (members or _MAPPINGS):
            del written[member]


def write_numbers(
    group: zarr.Group,
    name: str,
    numbers: NDArray[np.floating],
    rows: Sequence[str],
    columns: Sequence[str],
) -> None:
    """Write a table of numbers into a group, with the files that `write_anndata` writes.

    Anndata is not imported, which takes longer than a small well takes to fuse.

    Parameters
    ----------
    group : zarr.Group
        Where the table goes; its Zarr format is the table's.
    name : str
        Name of the table; an old table of that name is replaced.
    numbers : ndarray of float, shape (rows, columns)
        The numbers.
    rows, columns : sequence of str
        Names of the rows (index ``FieldIndex``) and of the columns.
    """
    if name in group:
        del group[name]
    table = group.create_group(name, attributes=_encoding("anndata", "0.1.0"))
    table.create_array("X", data=numbers).attrs.update(_encoding("array", "0.2.0"))
    _write_index(table, "obs", "FieldIndex", rows)
    _write_index(table, "var", "_index", columns)
    for member in _MAPPINGS:
        table.create_group(member, attributes=_encoding("dict", "0.1.0"))


def _write_index(table: zarr.Group, name: str, index: str, texts: Sequence[str]) -> None:
    """Write a data frame that has an index and no columns."""
    import numpy as np
    from zarr.dtype import VariableLengthUTF8

    attributes = {"column-order": [], "_index": index, **_encoding("dataframe", "0.2.0")}
    frame = table.create_group(name, attributes=attributes)
    length = len(texts)
    dtype: Any = VariableLengthUTF8()
    array = frame.create_array(index, shape=(length,), chunks=(max(1, length),), dtype=dtype)
    array[...] = np.array(list(texts), dtype=object)
    array.attrs.update(_encoding("string-array", "0.2.0"))


def _encoding(kind: str, version: str) -> dict[str, Any]:
    return {"encoding-type": kind, "encoding-version": version}


async def _texts(group: AsyncGroup, name: str) -> list[str | None]:
    """The texts of an encoded array; None where one is missing."""
    node: Any = await group.getitem(name)
    if hasattr(node, "shape"):
        return [v.decode() if isinstance(v, bytes) else str(v) for v in await node.getitem(...)]
    if await node.contains("codes"):
        categories = await _texts(node, "categories")
        codes = await _values(node, "codes")
        return [categories[code] if code >= 0 else None for code in codes]
    texts, mask = await _texts(node, "values"), await _values(node, "mask")
    return [None if missing else text for text, missing in zip(texts, mask, strict=True)]


async def _values(group: AsyncGroup, name: str) -> Any:
    array: Any = await group.getitem(name)
    return await array.getitem(...)
