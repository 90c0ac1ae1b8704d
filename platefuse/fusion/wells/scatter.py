"""Scattering: several jobs write the chunks of one fused well, each to a folder of its own.

Every part creates the same arrays and writes only its own subtrees. The job that finishes gathers
their chunks in one folder and adds the levels above.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from platefuse.engine.write import Part, finish_tasks
from platefuse.fusion.mosaic import Mosaic, StoredPyramid
from platefuse.ngff.zarr_format import METADATA_FILES
from platefuse.storage.files import make_folder, read_json, share_file, write_json
from platefuse.storage.removing import remove_tree
from platefuse.storage.threads import Task
from platefuse.storage.trees import walk_files

_BEGUN = "begun"
_MARK = "part.json"


@dataclass(frozen=True)
class Scatter:
    """The share of one job in writing a well.

    Attributes
    ----------
    staged : Path
        Folder of the staged well.
    parts : int
        Number of parts; 1: everything in one job.
    number : int or None
        The part that this job writes; None: the job that finishes.
    """

    staged: Path
    parts: int = 1
    number: int | None = None

    def folder(self, number: int | None = None) -> Path:
        """Folder of a part, or of the staged well."""
        if number is None:
            return self.staged
        return self.staged.with_name(f"{self.staged.name}.part{number}")

    @property
    def target(self) -> Path:
        """The folder that this job writes to."""
        return self.folder(self.number)

    def tasks(self, mosaic: Mosaic, target: StoredPyramid) -> Iterator[Task]:
        """Tasks that write what this job writes of a mosaic whose arrays were created."""
        if self.parts == 1:
            return mosaic.tasks(target)
        if self.number is not None:
            return mosaic.tasks(target, Part(self.number, self.parts))
        for level, number in product(target.levels, range(self.parts)):
            _gather(self.folder(number) / level.path.relative_to(self.staged), level.path)
        return finish_tasks(target.levels, target, self.parts)

    def remove_parts(self) -> None:
        """Remove all parts, also those of another number of jobs, and what a kill left of them."""
        for folder in self.part_folders():
            remove_tree(folder)

    def part_folders(self) -> list[Path]:
        """The folders of all parts that there are, or of which something was set aside.

        A part has a file that no well has; without it, it is empty: it has just been begun.
        """
        own = re.compile(rf"\.?({re.escape(self.staged.name)}\.part[0-9]+)(\.removed)?")
        named = [own.fullmatch(name) for name in sorted(_names(self.staged.parent))]
        folders = dict.fromkeys(self.staged.with_name(match[1]) for match in named if match)
        return [folder for folder in folders if _is_part(folder)]

    def begin(self) -> None:
        """Begin this job's part: an empty folder with a file that has the time of now."""
        remove_tree(self.target)
        make_folder(self.target)
        (self.target / _BEGUN).touch()

    def mark_complete(self, identity: Mapping[str, object]) -> None:
        """Mark this job's part as complete: what it was made from, its files, when it was begun."""
        begun_ns = (self.target / _BEGUN).stat().st_mtime_ns
        mark = {"identity": dict(identity), "parts": self.parts, **_files_of(self.target)}
        write_json(self.target / _MARK, {**mark, "begun_ns": begun_ns})

    def is_complete(
        self, number: int, identity: Mapping[str, object], changed_ns: Callable[[], int]
    ) -> bool:
        """Whether a part is complete, and made from the sources as they are now.

        A part of which a file was lost or cut since it was marked is not complete.

        Parameters
        ----------
        number : int
            Index of the part.
        identity : mapping
            What parts are made from, but for the content of files. JSON values.
        changed_ns : callable
            Returns the time of the last change of any source file, in nanoseconds. Called only if
            the part is complete in all other respects: it looks at every file.
        """
        mark = self.folder(number) / _MARK
        if not mark.is_file():
            return False
        content = read_json(mark)
        expected = {"identity": identity, "parts": self.parts, **_files_of(mark.parent)}
        if {key: content.get(key) for key in expected} != expected:
            return False
        begun_ns = content.get("begun_ns")
        return isinstance(begun_ns, int) and changed_ns() < begun_ns


def _files_of(part: Path) -> dict[str, int]:
    """Number of the files of a part but its mark, and their bytes."""
    sizes = [entry.stat().st_size for _, entry in walk_files(part, without=_MARK)]
    return {"files": len(sizes), "nbytes": sum(sizes)}


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _is_part(folder: Path) -> bool:
    if not folder.is_dir():
        return not os.path.lexists(folder)  # it was set aside
    names = _names(folder)
    return _BEGUN in names or not names


def _gather(part: Path, array: Path) -> None:
    """Give an array the chunks that a part has written; the part stays whole, for a retry."""
    for chunk in sorted(p for p in part.rglob("*") if p.is_file()):
        if chunk.name not in METADATA_FILES:
            target = array / chunk.relative_to(part)
            make_folder(target.parent)
            share_file(chunk, target)
