"""The two Zarr formats, v2 and v3: how each writes the metadata of groups and arrays as JSON.

`Format` is the switch. To support another version of OME-NGFF, add it to `NGFF_FORMATS`; to
support another Zarr format, add a subclass of `Format`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from platefuse.errors import MetadataError
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
