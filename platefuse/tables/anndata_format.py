"""The storage format of AnnData tables: read an index in any encoding, write the oldest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from platefuse.errors import TableError

if TYPE_CHECKING:
    import anndata
    import zarr
    from zarr.types import AnyArray


def read_index(frame: zarr.Group, path: Path) -> list[str]:
    """The index of a data frame, in any encoding that AnnData has written.

    These are ``string-array`` (an array), ``categorical`` (codes of categories) and, as anndata
    0.13 writes it, ``nullable-string-array`` (values and a mask).

    Parameters
    ----------
    frame : zarr.Group
        The group ``obs`` or ``var`` of a table.
    path : Path
        Its path, for the error message.

    Raises
    ------
    TableError
        If a name is missing.
    """
    names = _texts(frame[str(frame.attrs.get("_index", "_index"))])
    if None in names:
        entry = "column" if path.name == "var" else "row"
        raise TableError(
            f"{path}: {entry} {names.index(None)} (counted from 0) has no name, its value is "
            f"missing; expected a name for every {entry}. Name it, or remove it from the table."
        )
    return [str(name) for name in names]


def write_anndata(group: zarr.Group, name: str, table: anndata.AnnData) -> None:
    """Write a table into a group, as every version of anndata would.

    Nothing is sharded, and an index is written as ``string-array``: anndata 0.13 with pandas 3
    would write ``nullable-string-array``, which older programs cannot read. Only an index with
    missing names keeps that encoding, as no other can hold it.

    Parameters
    ----------
    group : zarr.Group
        Where the table goes; its Zarr format is the table's.
    name : str
        Name of the table; an old table of that name is replaced.
    table : anndata.AnnData
        The table. Its indices are changed in place.
    """
    import anndata

    for frame in (table.obs, table.var):
        if not frame.index.hasnans:
            frame.index = frame.index.astype(object)
    with anndata.settings.override(auto_shard_zarr_v3=False, allow_write_nullable_strings=True):
        anndata.io.write_elem(group, name, table)


def _texts(node: AnyArray | zarr.Group) -> list[str | None]:
    """The texts of an encoded array; None where one is missing."""
    import numpy as np
    import zarr

    if isinstance(node, zarr.Array):
        return [v.decode() if isinstance(v, bytes) else str(v) for v in np.asarray(node)]
    if "codes" in node:
        categories = _texts(node["categories"])
        return [categories[code] if code >= 0 else None for code in np.asarray(node["codes"])]
    texts, mask = _texts(node["values"]), np.asarray(node["mask"])
    return [None if missing else text for text, missing in zip(texts, mask, strict=True)]
