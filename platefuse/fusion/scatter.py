"""Scattering: the chunks of one fused well written by several jobs, each in a folder of its own.

Every part makes the same arrays and writes only its own subtrees, so parts never meet. The job
that finishes gathers their chunks into one tree and adds the levels above.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platefuse.engine.compose import Compositor
from platefuse.engine.views import View
from platefuse.engine.write import Part, Target, finish_levels, write_views
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import METADATA_FILES, read_json
from platefuse.storage.arrays import StoredArray
from platefuse.storage.files import make_folder, remove_tree, share_file, write_json

_MARK = "part.json"


@dataclass(frozen=True)
class Scatter:
    """How one job takes part in writing a well.

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
        """The folder of a part, or of the staged well."""
        if number is None:
            return self.staged
        return self.staged.with_name(f"{self.staged.name}.part{number}")

    @property
    def target(self) -> Path:
        """Where this job writes."""
        return self.folder(self.number)

    def write(
        self, image: Multiscale, target: Target, views: list[View], how: Compositor, threads: int
    ) -> None:
        """Write what this job has to write of an image whose arrays are there."""
        if self.parts == 1:
            write_views(views, target, how, threads=threads)
        elif self.number is not None:
            part = Part(self.number, self.parts)
            write_views(views, target, how, threads=threads, part=part)
        else:
            for number in range(self.parts):
                _gather(self.folder(number) / image.path.relative_to(self.staged), image)
            written = [StoredArray.open(path) for path in image.level_paths]
            finish_levels(written, target, self.parts, threads=threads)

    def remove_parts(self) -> None:
        """Remove the parts, also those of another number of jobs."""
        for folder in self.staged.parent.glob(f"{self.staged.name}.part*"):
            remove_tree(folder)

    def mark_complete(self, wanted: dict[str, Any]) -> None:
        """Say that a part is complete, and for what it was asked."""
        write_json(self.target / _MARK, {"wanted": wanted, "parts": self.parts})

    def is_complete(self, number: int, wanted: dict[str, Any]) -> bool:
        """Whether a part is there, complete and for the same request."""
        mark = self.folder(number) / _MARK
        return mark.is_file() and read_json(mark) == {"wanted": wanted, "parts": self.parts}


def _gather(part: Path, image: Multiscale) -> None:
    """Give the image the chunks that a part has written; the part stays whole, for another try."""
    for path in image.paths:
        for chunk in sorted(p for p in (part / path).rglob("*") if p.is_file()):
            if chunk.name not in METADATA_FILES:
                target = image.path / path / chunk.relative_to(part / path)
                make_folder(target.parent)
                share_file(chunk, target)
