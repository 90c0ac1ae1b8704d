"""Metadata of the groups and arrays of an OME-Zarr, in whichever Zarr format they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platefuse.errors import ImageError, MetadataError
from platefuse.ngff.zarr_format import V2, V3, Format
from platefuse.storage.files import find_json, write_json
from platefuse.storage.once import read_once
from platefuse.storage.typed_json import JsonObject

_PIXELS = re.compile(r"[<>|][biuf]\d+|bool|u?int\d+|float\d+")  # as Zarr v2 and v3 name them


@dataclass(frozen=True)
class ArrayMetadata:
    """Metadata of a Zarr array. Its pixels are not read.

    Attributes
    ----------
    format : Format
        Its Zarr format.
    shape : tuple of int
        Shape in pixels.
    content : dict
        The JSON object, unchanged.
    """

    format: Format
    shape: tuple[int, ...]
    content: JsonObject

    @classmethod
    def read(cls, array: Path) -> ArrayMetadata:
        """Read the metadata of the array in a folder.

        Raises
        ------
        ImageError
            If there is no array, or its metadata is broken.
        """
        for kind in (V3, V2):
            content = find_json(array, kind.array_file)
            shape = None if content is None else content.get("shape")
            if content is not None and isinstance(shape, list):
                return cls(kind, tuple(shape), content)
        raise ImageError(
            f"{array}: no Zarr array here, but the image's metadata names it as a level."
        )

    def check_pixels(self, array: Path, axes: str) -> None:
        """Check that an array holds pixels with the given axes.

        Parameters
        ----------
        array : Path
            Its folder; begins the error message.
        axes : str
            The axes of the image.

        Raises
        ------
        ImageError
            If its data type is not a number, or its shape has other axes.
        """
        if not _PIXELS.fullmatch(self.dtype):
            raise ImageError(
                f"{array}: the array has the data type {self.dtype!r}; expected integers, floats "
                "or booleans for pixels."
            )
        whole = all(type(n) is int and n > 0 for n in self.shape)  # True is not a length
        if not whole or len(self.shape) != len(axes):
            raise ImageError(
                f"{array}: the array has the shape {list(self.shape)}; expected {len(axes)} "
                f"lengths above 0, one for each of the image's axes {axes!r}."
            )

    @property
    def dtype(self) -> str:
        """Data type as its format names it, for example ``"<u2"`` or ``"uint16"``."""
        return str(self.content.get("dtype", self.content.get("data_type")))

    @property
    def itemsize(self) -> int:
        """Bytes of a pixel."""
        return self.format.itemsize(self.dtype)

    @property
    def chunk(self) -> tuple[int, ...]:
        """Shape of a chunk, which is decoded at once."""
        return self.format.chunk(self.content)

    @property
    def shard(self) -> tuple[int, ...]:
        """Shape of a shard, which is one file; that of a chunk if there are no shards."""
        return self.format.shard(self.content)

    @property
    def blosc(self) -> JsonObject:
        """Configuration of its Blosc compressor; empty if it has another one or none."""
        return self.format.blosc(self.content)

    def write_resized(self, array: Path, shape: Sequence[int]) -> None:
        """Write the metadata of an array that differs in shape alone."""
        write_json(array / self.format.array_file, {**self.content, "shape": list(shape)})


def is_consolidated(group: Path) -> bool:
    """Whether a group of Zarr v3 holds a copy of all metadata below it."""
    content = find_json(group, V3.group_file)
    return content is not None and "consolidated_metadata" in content


@read_once
def all_attributes(group: Path) -> JsonObject:
    """All attributes of a Zarr group; empty if it has no file for them.

    Raises
    ------
    MetadataError
        If they are not a JSON object.
    """
    attributes = V3.attributes(group)
    return (V2.attributes(group) or {}) if attributes is None else attributes


def replace_attributes(group: Path, attributes: Mapping[str, object]) -> None:
    """Replace all attributes of a Zarr group."""
    (Format.of(group) or V2).replace_attributes(group, attributes)


@read_once
def find_attributes(group: Path) -> JsonObject | None:
    """As `read_attributes`, but None if the group has no file for attributes."""
    attributes = V3.attributes(group)
    if attributes is None:
        return V2.attributes(group)
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) else attributes


def read_attributes(group: Path) -> JsonObject:
    """The OME-NGFF attributes of a Zarr group: those under `ome` for 0.5, all for 0.4.

    Raises
    ------
    MetadataError
        If the group has no file for attributes, or it does not hold a JSON object.
    """
    attributes = find_attributes(group)
    if attributes is not None:
        return attributes
    if not group.exists():
        raise MetadataError(
            f"{group}: no such folder. If the metadata of the plate or the well above it list it, "
            "restore it or take it off their list."
        )
    raise MetadataError(
        f"{group}: not an OME-Zarr group (neither `.zattrs` nor `zarr.json` is present)."
    )


def update_attributes(group: Path, attributes: Mapping[str, object]) -> None:
    """Change OME-NGFF attributes of a Zarr group (under `ome` for 0.5); keep all others."""
    old = all_attributes(group)
    ome = old.get("ome")
    if isinstance(ome, dict) and Format.of(group) is V3:
        attributes = {"ome": {**ome, **attributes}}
    replace_attributes(group, {**old, **attributes})


def is_node(folder: Path) -> bool:
    """Whether a folder has a metadata file of a Zarr group or array."""
    return Format.of(folder) is not None
