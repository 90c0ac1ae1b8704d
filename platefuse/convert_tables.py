"""Tables copied into another image, in another Zarr format if need be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from platefuse.attributes import all_attributes, read_json
from platefuse.errors import TableError
from platefuse.files import copy_tree, make_folder, write_json
from platefuse.ngff import METADATA_FILES


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
        with anndata.settings.override(auto_shard_zarr_v3=False):
            anndata.io.write_elem(group, target.name, table)
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
