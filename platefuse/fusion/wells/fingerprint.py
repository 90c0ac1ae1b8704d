"""Fingerprint of the sources of a fused well, to find out whether they have changed.

It has two parts. The *identity* of an image is cheap: digests of its metadata and of its tile
table, and its registration. The *state* of its files needs a look at each of them: number, bytes,
time of the last change, and a digest of their content, which is read only if the others differ. A
plate that was copied or touched has other times and the same content. Stray files of the system,
such as ``.DS_Store``, are not looked at.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from platefuse.fusion.fields.layers import FieldImage
from platefuse.fusion.wells.stack import choose_spacing
from platefuse.ngff.tables.table import table_path
from platefuse.records import KEY, digest_json, digest_tree
from platefuse.storage.trees import walk_files
from platefuse.storage.typed_json import JsonObject, to_json

_BLOCK_BYTES = 2**22


def identity(part: FieldImage, tile_table: str) -> JsonObject:
    """What tells an image from another, without a look at its pixels: JSON values."""
    attributes = {k: v for k, v in part.image.attributes.items() if k != KEY}
    source, record = part.source, part.source.record
    place: JsonObject
    if part.has_table:
        place = {"tile_table": digest_tree(table_path(source.tile_tables, tile_table))}
    else:
        place = {"position_um": dict(part.fields[0].stage_um)}
    if source.places is not None:
        place["places"] = to_json(dict(sorted(source.places.items())))
    if source.is_raw and record is not None:
        place["roi_tables"] = asdict(record.digests)
    return {
        "attributes": digest_json(attributes),
        **place,
        "registration": None if record is None else asdict(record.request),
        "illumination": to_json(part.applied_profiles),
    }


@dataclass(frozen=True)
class SourceFiles:
    """The files of an image that fusing reads: one or two levels, labels and tables.

    Attributes
    ----------
    image : Path
        Folder of the image.
    levels : tuple of str
        Paths in it of level 0 and, if another level is read for the output's spacing, of that.
    """

    image: Path
    levels: tuple[str, ...]

    @classmethod
    def of(cls, part: FieldImage, given_um: Mapping[str, float] | None) -> SourceFiles:
        """The files of an image that is fused with the spacing that is given, or its own."""
        image = part.image
        spacing = dict(zip(image.spatial, choose_spacing(image, given_um), strict=True))
        read = part.at_spacing(image, spacing)
        return cls(image.path, tuple(dict.fromkeys((image.paths[0], read.paths[0]))))

    @cached_property
    def stats(self) -> dict[Path, os.stat_result]:
        """Status of each file, in an order that depends on names alone; read once."""
        return dict(sorted(self._walk()))

    @property
    def changed_ns(self) -> int:
        """Time of the last change of any file or its metadata (ctime), in nanoseconds."""
        return max((stat.st_ctime_ns for stat in self.stats.values()), default=0)

    def state(self, threads: int) -> JsonObject:
        """Number, bytes, time of the last change and digest of the files: JSON values."""
        return {**self._size(), "changed_ns": self.changed_ns, "content": self.content(threads)}

    def matches(self, state: Mapping[str, object], threads: int) -> bool:
        """Whether the files have the content that `state` recorded.

        Records of platefuse 0.1.0 have no digest: of theirs, the time of the last modification
        must agree.
        """
        if any(state.get(key) != value for key, value in self._size().items()):
            return False
        if "content" not in state:
            modified = max((stat.st_mtime_ns for stat in self.stats.values()), default=0)
            return state.get("newest_ns") == modified
        if state.get("changed_ns") == self.changed_ns:
            return True
        return bool(state["content"] == self.content(threads))

    def content(self, threads: int) -> str:
        """SHA-256 of the names, sizes and CRC-32 checksums of all files.

        The checksum notices a change, not an attack. A SHA-256 of all bytes takes longer.
        """
        total = hashlib.sha256()
        with ThreadPoolExecutor(max(1, threads)) as pool:
            for file, checksum in zip(self.stats, pool.map(_checksum, self.stats), strict=True):
                name = file.relative_to(self.image).as_posix()
                total.update(f"{name}\0{self.stats[file].st_size}\0{checksum}\n".encode())
        return total.hexdigest()

    def _size(self) -> dict[str, int]:
        nbytes = sum(stat.st_size for stat in self.stats.values())
        return {"files": len(self.stats), "bytes": nbytes}

    def _walk(self) -> Iterator[tuple[Path, os.stat_result]]:
        for part in (*self.levels, "labels", "tables"):
            for _, entry in walk_files(self.image / part):
                if entry.is_file():
                    yield Path(entry.path), entry.stat()


def same_identities(
    recorded: Mapping[str, Mapping[str, object]], identities: Mapping[str, Mapping[str, object]]
) -> bool:
    """Whether images are those that a fused well was made from, without a look at their content.

    Parameters
    ----------
    recorded : mapping of str to mapping
        What the record of the well has for each image: its `identity` and `SourceFiles.state`.
    identities : mapping of str to mapping
        The `identity` of each image now.
    """
    return recorded.keys() == identities.keys() and all(
        recorded[name].get(key) == value
        for name, own in identities.items()
        for key, value in own.items()
    )


def same_content(
    recorded: Mapping[str, Mapping[str, object]], files: Mapping[str, SourceFiles], threads: int
) -> bool:
    """Whether the files of images are those that a fused well was made from.

    Parameters
    ----------
    recorded : mapping of str to mapping
        As for `same_identities`.
    files : mapping of str to SourceFiles
        The files of each image now.
    threads : int
        Number of threads for reading files, if that is needed.
    """
    return all(own.matches(recorded[name], threads) for name, own in files.items())


def _checksum(file: Path) -> int:
    checksum = 0
    with file.open("rb", buffering=0) as opened:
        while block := opened.read(_BLOCK_BYTES):
            checksum = zlib.crc32(block, checksum)
    return checksum
