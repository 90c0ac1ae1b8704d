"""Metadata of Zarr groups and arrays as JSON: the only module that distinguishes Zarr v2 and v3.

`Format` is the switch. To support another version of OME-NGFF, add it to `NGFF_FORMATS`; to
support another Zarr format, add a subclass of `Format`.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from platefuse.errors import ImageError, MetadataError
from platefuse.storage.files import find_json, make_folder, read_json, write_json
from platefuse.storage.once import read_once
from platefuse.storage.typed_json import JsonObject, from_json, list_of, object_of

METADATA_FILES = (".zgroup", ".zarray", ".zattrs", "zarr.json")
"""Names of the metadata files of a group or an array, in any format."""

CONSOLIDATED_FILE = ".zmetadata"
"""Copy of all metadata below a group that Zarr v2 may keep."""


class Format(ABC):
    """A Zarr format: its metadata files and their content. `V2` and `V3` are the only instances.

    Attributes
    ----------
    number : int
        As ``zarr_format`` has it.
    group_file, array_file : str
        Names of the metadata files of a group and of an array.
    chunk_keys : dict
        How new arrays name their chunks, for `zarr.create_array`.
    names_axes, has_shards : bool
        Whether arrays can hold the names of their axes, and whether they can have shards.
    """

    number: ClassVar[Literal[2, 3]]
    group_file: ClassVar[str]
    array_file: ClassVar[str]
    chunk_keys: ClassVar[dict[str, str]]
    names_axes: ClassVar[bool]
    has_shards: ClassVar[bool]
    _attributes_file: ClassVar[str]
    _foreign_files: ClassVar[tuple[str, ...]]

    @staticmethod
    @read_once
    def of(folder: Path) -> Format | None:
        """The format of the group or array in a folder; None if there is no metadata file."""
        # A plan asks for thousands: a path takes as long as the file.
        if os.path.isfile(f"{folder}/zarr.json"):  # noqa: PTH113
            return V3
        is_v2 = any(os.path.isfile(f"{folder}/{name}") for name in METADATA_FILES[:3])  # noqa: PTH113
        return V2 if is_v2 else None

    @staticmethod
    def for_ngff(version: str) -> Format:
        """The format of new images in a version of OME-NGFF, for example ``"0.5"``."""
        return NGFF_FORMATS[version]

    def attributes(self, group: Path) -> JsonObject | None:
        """All attributes of a group in this format; None if it has no file for them.

        Raises
        ------
        MetadataError
            If they are not a JSON object.
        """
        content = find_json(group, self._attributes_file)
        return None if content is None else self._attributes_of(group, content)

    def attributes_path(self, group: Path) -> Path:
        """The file that holds the attributes of a group in this format."""
        return group / self._attributes_file

    @abstractmethod
    def replace_attributes(self, group: Path, attributes: Mapping[str, object]) -> None:
        """Replace all attributes of an existing group."""

    def write_group(self, group: Path, attributes: Mapping[str, object]) -> None:
        """Write a group with these attributes. It replaces a group of either format."""
        make_folder(group)
        self._write_group(group, dict(attributes))
        for name in self._foreign_files:  # with files of both formats, readers may use either
            (group / name).unlink(missing_ok=True)

    @abstractmethod
    def ngff_attributes(self, sections: Mapping[str, object], version: str) -> JsonObject:
        """The attributes of a group that hold the given sections of OME-NGFF, such as `plate`."""

    @abstractmethod
    def ngff_section(self, section: Mapping[str, object], version: str) -> JsonObject:
        """One section, with the version where this format keeps it."""

    @abstractmethod
    def chunk(self, array: Mapping[str, object]) -> tuple[int, ...]:
        """Shape of a chunk, which is decoded at once, from the JSON of an array."""

    @abstractmethod
    def shard(self, array: Mapping[str, object]) -> tuple[int, ...]:
        """Shape of a shard, which is one file, from the JSON of an array."""

    @abstractmethod
    def blosc(self, array: Mapping[str, object]) -> JsonObject:
        """Configuration of the Blosc compressor in the JSON of an array; empty if there is none."""

    @abstractmethod
    def itemsize(self, dtype: str) -> int:
        """Bytes of a pixel, from the name of a data type in this format."""

    @abstractmethod
    def _attributes_of(self, group: Path, content: JsonObject) -> JsonObject: ...

    @abstractmethod
    def _write_group(self, group: Path, attributes: JsonObject) -> None: ...


class _V2(Format):
    number = 2
    group_file = ".zgroup"
    array_file = ".zarray"
    chunk_keys: ClassVar = {"name": "v2", "separator": "/"}
    names_axes = has_shards = False
    _attributes_file = ".zattrs"
    _foreign_files = ("zarr.json",)

    def replace_attributes(self, group: Path, attributes: Mapping[str, object]) -> None:
        write_json(group / ".zattrs", dict(attributes))

    def ngff_attributes(self, sections: Mapping[str, object], version: str) -> JsonObject:
        return dict(sections)

    def ngff_section(self, section: Mapping[str, object], version: str) -> JsonObject:
        return {**section, "version": version}

    def chunk(self, array: Mapping[str, object]) -> tuple[int, ...]:
        return from_json(tuple[int, ...], array.get("chunks"), "chunks")

    def shard(self, array: Mapping[str, object]) -> tuple[int, ...]:
        return self.chunk(array)

    def blosc(self, array: Mapping[str, object]) -> JsonObject:
        compressor = object_of(array.get("compressor"))
        return compressor if compressor.get("id") == "blosc" else {}

    def itemsize(self, dtype: str) -> int:
        return int(dtype[2:])  # "<u2"

    def _attributes_of(self, group: Path, content: JsonObject) -> JsonObject:
        return content

    def _write_group(self, group: Path, attributes: JsonObject) -> None:
        write_json(group / ".zattrs", attributes)
        write_json(group / ".zgroup", {"zarr_format": 2})  # last: what has it is complete


class _V3(Format):
    number = 3
    group_file = "zarr.json"
    array_file = "zarr.json"
    chunk_keys: ClassVar = {"name": "default", "separator": "/"}
    names_axes = has_shards = True
    _attributes_file = "zarr.json"
    _foreign_files = (".zgroup", ".zattrs", CONSOLIDATED_FILE)

    def replace_attributes(self, group: Path, attributes: Mapping[str, object]) -> None:
        content = {**read_json(group / "zarr.json"), "attributes": dict(attributes)}
        content.pop("consolidated_metadata", None)  # a copy of the old attributes
        write_json(group / "zarr.json", content)

    def ngff_attributes(self, sections: Mapping[str, object], version: str) -> JsonObject:
        return {"ome": {"version": version, **sections}} if sections else {}

    def ngff_section(self, section: Mapping[str, object], version: str) -> JsonObject:
        return dict(section)

    def chunk(self, array: Mapping[str, object]) -> tuple[int, ...]:
        for name, configuration in self._codecs(array):
            if name == "sharding_indexed":
                return self._chunk_shape(configuration)
        return self.shard(array)

    def shard(self, array: Mapping[str, object]) -> tuple[int, ...]:
        grid = object_of(array.get("chunk_grid"))
        return self._chunk_shape(object_of(grid.get("configuration")))

    def blosc(self, array: Mapping[str, object]) -> JsonObject:
        for name, configuration in self._codecs(array):
            if name == "blosc":
                return configuration
            if name == "sharding_indexed":
                return self.blosc(configuration)
        return {}

    def itemsize(self, dtype: str) -> int:
        return 1 if dtype == "bool" else int(dtype.lstrip("uintfloa")) // 8  # "uint16"

    @staticmethod
    def _codecs(array: Mapping[str, object]) -> Iterator[tuple[object, JsonObject]]:
        """Name and configuration of each codec of an array or a shard."""
        for codec in map(object_of, list_of(array.get("codecs"))):
            yield codec.get("name"), object_of(codec.get("configuration"))

    @staticmethod
    def _chunk_shape(configuration: JsonObject) -> tuple[int, ...]:
        return from_json(tuple[int, ...], configuration.get("chunk_shape"), "chunk_shape")

    def _attributes_of(self, group: Path, content: JsonObject) -> JsonObject:
        attributes = content.get("attributes", {})
        if not isinstance(attributes, dict):
            raise MetadataError(
                f"{group / 'zarr.json'}: `attributes` is {attributes!r}; expected a JSON object."
            )
        return attributes

    def _write_group(self, group: Path, attributes: JsonObject) -> None:
        content = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        write_json(group / "zarr.json", content)


V2: Format = _V2()
V3: Format = _V3()

FORMATS: dict[int, Format] = {2: V2, 3: V3}
"""Zarr formats by their number."""

NGFF_FORMATS: dict[str, Format] = {"0.4": V2, "0.5": V3}
"""Versions of OME-NGFF that can be written, and the Zarr format of each."""

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
