"""What lies in a fused image or well: what platefuse wrote, and what others added or changed.

People segment a fused image and keep labels, tables and notes in it. So before it is replaced, it
is compared with its record (`Written`). Metadata and tables are compared by digests. Pixels are
compared by the number and bytes of their files, and by times: if some files are as old as the
record and others are newer, the newer ones were changed. If all are newer, the folder was copied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from platefuse.errors import PlatefuseError
from platefuse.ngff.chunk_files import is_chunk_name
from platefuse.ngff.metadata import ArrayMetadata, all_attributes, is_node
from platefuse.ngff.zarr_format import CONSOLIDATED_FILE, METADATA_FILES, V3
from platefuse.records import KEY, Written, WrittenArray, digest_json
from platefuse.storage.files import entries, read_json
from platefuse.storage.stray import is_stray
from platefuse.storage.trees import in_order, walk_files

_IGNORED = {*METADATA_FILES, CONSOLIDATED_FILE}
_LISTS = ("labels", "tables")


@dataclass
class Contents:
    """All that lies in a folder, by paths in it.

    Attributes
    ----------
    root : Path
        The folder of the image or the well.
    known : Written, optional
        What it should hold: an array that lost its metadata is still known by its path.
    groups, tables : dict
        As in `Written`.
    metadata : dict of str to str
        For each array, the digest of its metadata; empty if they cannot be read.
    others : list of str
        Files and folders that are no part of a Zarr group or array and, if it is known what should
        be there, all that should not. Stray files do not count.
    """

    root: Path
    known: Written | None = None
    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, root: Path, known: Written | None = None) -> Contents:
        """Read metadata and tables below a folder. Chunks are looked at when they are asked for."""
        contents = cls(root, known)
        contents._add(root, ".")
        return contents

    def written(self) -> Written:
        """What is there, for the record of a new image or well."""
        arrays = {
            name: WrittenArray(digest, len(self.chunks[name]), _nbytes(self.chunks[name]))
            for name, digest in self.metadata.items()
        }
        times = [ns for sizes in self.chunks.values() for _, ns in sizes]
        return Written(self.groups, arrays, self.tables, max(times, default=0))

    @cached_property
    def chunks(self) -> dict[str, list[tuple[int, int]]]:
        """Bytes and time of the last modification of each chunk file, for each array."""
        return {name: list(map(_size_and_time, self._files[name][0])) for name in self.metadata}

    @cached_property
    def among_chunks(self) -> list[str]:
        """Files in the folders of arrays that are, by their names, no chunks."""
        return [file for name in self.metadata for file in self._files[name][1]]

    @cached_property
    def _files(self) -> dict[str, tuple[list[Path], list[str]]]:
        return {name: self._files_of(name) for name in self.metadata}

    def _files_of(self, name: str) -> tuple[list[Path], list[str]]:
        array = self.root / name
        chunks, others = [], []
        for key, entry in walk_files(array):
            if is_chunk_name(key):
                chunks.append(Path(entry.path))
            elif key not in _IGNORED:
                others.append(Path(entry.path).relative_to(self.root).as_posix())
        return chunks, sorted(others)

    def _add(self, folder: Path, name: str) -> None:
        """Add a group or an array with all that lies in it."""
        digest = _array_digest(folder)
        is_array = digest is not None if self.known is None else name in self.known.arrays
        if is_array:
            self.metadata[name] = digest or ""
            return
        self.groups[name] = _attribute_digests(folder)
        for entry in sorted(entries(folder), key=lambda each: each.name):
            below = entry.name if name == "." else f"{name}/{entry.name}"
            path = Path(entry.path)
            if entry.name in _IGNORED or is_stray(entry.name):
                continue
            if not (path.is_dir() and self._is_expected(path, below)):
                self.others.append(below)
            elif folder.name == "tables":
                self.tables[below] = _table_digest(path)
            else:
                self._add(path, below)

    def _is_expected(self, folder: Path, name: str) -> bool:
        return is_node(folder) if self.known is None else name in _nodes(self.known)


def users_work(root: Path, written: Written, *, pixels: bool = True) -> list[str]:
    """What others have added to an image or a well, or changed in it, in words.

    What is missing or cannot be read is damage and not counted.

    Parameters
    ----------
    root : Path
        Folder of the image or the well.
    written : Written
        What platefuse wrote.
    pixels : bool
        Whether the files of the chunks are looked at.
    """
    found = Contents.read(root, written)
    work = list(found.others)
    for name, digests in found.groups.items():
        work += _changed_attributes(name, digests, written.groups[name])
    work += [
        f"{name} (changed)" for name, own in found.tables.items() if own != written.tables[name]
    ]
    work += [
        f"{name} (its metadata are changed)"
        for name, own in found.metadata.items()
        if own and own != written.arrays[name].metadata
    ]
    if pixels:
        work += found.among_chunks
        work += [f"{name} (its pixels are changed)" for name in changed_pixels(found, written)]
    return sorted(work)


def changed_pixels(found: Contents, written: Written) -> list[str]:
    """The arrays whose chunks were changed or added; see the head of the module."""
    times = [ns for name in written.arrays for _, ns in found.chunks.get(name, ())]
    was_copied = all(ns > written.newest_ns for ns in times)
    changed = []
    for name, array in written.arrays.items():
        chunks = found.chunks.get(name, [])
        is_newer = not was_copied and any(ns > written.newest_ns for _, ns in chunks)
        has_more = len(chunks) > array.files
        is_other = len(chunks) == array.files and _nbytes(chunks) != array.nbytes
        if is_newer or has_more or is_other:
            changed.append(name)
    return changed


def _changed_attributes(group: str, found: Mapping[str, str], own: Mapping[str, str]) -> list[str]:
    where = "" if group == "." else f" of {group}"
    lists = group.rpartition("/")[2]  # `labels` and `tables` list what is named by itself
    return [
        f"the attribute `{key}`{where} ({'changed' if key in own else 'added'})"
        for key, digest in found.items()
        if own.get(key) != digest and not (key == lists and key in _LISTS)
    ]


def _nodes(written: Written) -> set[str]:
    return {*written.groups, *written.arrays, *written.tables}


def _attribute_digests(group: Path) -> dict[str, str]:
    """Digests of the attributes of a group, those of OME-NGFF 0.5 by their own names."""
    try:
        attributes = all_attributes(group)
    except PlatefuseError:  # damaged
        return {}
    ome = attributes.get("ome")
    if isinstance(ome, dict):
        attributes = {**attributes, **ome}
        del attributes["ome"]
    return {key: digest_json(value) for key, value in attributes.items() if key != KEY}


def _array_digest(folder: Path) -> str | None:
    """Digest of the metadata of an array; None if there is none that can be read."""
    try:
        content = ArrayMetadata.read(folder).content
        attributes = {key: v for key, v in all_attributes(folder).items() if key != KEY}
    except PlatefuseError:
        return None
    rest = {key: value for key, value in content.items() if key != "attributes"}
    return digest_json({"array": rest, "attributes": attributes})


def _table_digest(table: Path) -> str:
    """Digest of all files of a table, without consolidated metadata, which readers may add."""
    total = hashlib.sha256()
    for name, entry in sorted(walk_files(table), key=in_order):
        if entry.name == CONSOLIDATED_FILE or not entry.is_file():
            continue
        file = Path(entry.path)
        content = file.read_bytes()
        if file.name == V3.group_file:
            with suppress(PlatefuseError):  # damaged: its bytes
                own = read_json(file)
                content = digest_json({**own, "consolidated_metadata": None}).encode()
        total.update(name.encode(errors="surrogateescape") + b"\0")
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()


def _size_and_time(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


def _nbytes(chunks: Collection[tuple[int, int]]) -> int:
    return sum(size for size, _ in chunks)
