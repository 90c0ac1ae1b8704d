"""Priority, threads, memory, disk and time of jobs, from the size of their images.

Read while the jobs are planned, so from JSON only; an image that cannot be read counts as empty,
because the preflight or the job itself reports what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from pathlib import Path
from typing import Protocol

from platefuse.errors import PlatefuseError
from platefuse.ngff.image import read_finest_level
from platefuse.ngff.paths import inside
from platefuse.ngff.plate import Well
from platefuse.workflow.config import Config
from platefuse.workflow.receipts import WellKey, WellWildcards, key_of

GIB = 2**30
MIB = 2**20

# Later steps of a well come before earlier ones: see `JobResources.priority`.
STEPS = (
    "measure_well",
    "register_image",
    "copy_tables",
    "swap_image",
    "fuse_part",
    "fuse_well",
    "check_well",
    "publish_registered",
    "discard_backups",
    "process_well",
)

PLATE_STEPS = ("solve_plate", "finish_fused_plate", "report_plate", "accept_plate")
"""Steps of a whole plate: these come first, for others wait for them."""


def step_of(rulename: str) -> str:
    """The step of a rule: its name, which another workflow may have given a prefix.

    Examples
    --------
    >>> step_of("fuse_well"), step_of("platefuse_fuse_well")
    ('fuse_well', 'fuse_well')
    """
    known = [step for step in (*STEPS, *PLATE_STEPS) if rulename.endswith(step)]
    return max(known, key=len)


class JobWildcards(WellWildcards, Protocol):
    """The wildcards of a job for one well or one of its images."""

    def get(self, name: str) -> str | None:
        """The wildcard of this name; None if the job has none."""


@dataclass(frozen=True)
class Size:
    """Size of full-resolution data before compression, in bytes.

    Attributes
    ----------
    total : float
        Of all pixels.
    chunk, pixel : float
        Of the largest chunk and of the largest pixel.
    """

    total: float = 0
    chunk: float = 0
    pixel: float = 0


@cache
def image_size(folder: Path) -> Size:
    """Size of the full-resolution level of an image; nothing if it cannot be read."""
    try:
        array = read_finest_level(folder)
        pixel = array.itemsize
        return Size(prod(array.shape) * pixel, prod(array.shard) * pixel, pixel)
    except (PlatefuseError, OSError, LookupError, TypeError, ValueError):
        return Size()


@dataclass(frozen=True)
class JobResources:
    """What the jobs of a run need. Its methods are resource functions of the rules.

    Attributes
    ----------
    config : Config
        The config.
    wells : mapping of WellKey to Well
        The wells of all plates.
    """

    config: Config
    wells: Mapping[WellKey, Well]

    def priority(self, wildcards: WellWildcards, rulename: str) -> int:
        """One well after the other, in the config's order; within a well the later step first.

        So the staging folder holds as many wells as there are cores to work on them, never the
        whole plate.
        """
        step = step_of(rulename)
        if step in PLATE_STEPS:
            return len(self.wells) * len(STEPS)
        return self._ranks[key_of(wildcards)] * len(STEPS) + STEPS.index(step)

    @cached_property
    def threads(self) -> int:
        """One thread for each GiB of an image, 1 to 8: small images gain more from more jobs.

        One number for all jobs, from the first image of each plate: the scheduler uses a free core
        at once, so a job that needs several would wait for the smaller ones of later wells.
        """
        return _threads(self.image_bytes)

    @cached_property
    def well_threads(self) -> int:
        """As `threads`, for jobs that do all steps of a well: its images share the threads."""
        return _threads(max((_work_size(well, None).total for well in self._firsts), default=0))

    @cached_property
    def image_bytes(self) -> float:
        """Size of the largest of the first images of all plates."""
        return max((_size_of(well, well.images[0].name).total for well in self._firsts), default=0)

    @cached_property
    def _firsts(self) -> list[Well]:
        """The first well of each plate."""
        firsts = {key[0]: key for key in reversed(list(self.wells))}
        return [well for key in firsts.values() if (well := self.wells[key]).images]

    def memory_mb(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """Memory depends on the chunks in work, not on the size of the image."""
        return _memory_mb(24 * self._size(wildcards).chunk, threads, attempt)

    def fusion_memory_mb(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """As `memory_mb`, or from the tiles of the fused image where these need more.

        Content-based weights filter the tiles as floats.
        """
        options = self.config.by_plate[wildcards.plate].fusion.options
        size = self._size(wildcards)
        tile = prod({**options.output_chunksize, **(options.shards or {})}.values()) * size.pixel
        per_tile = 100 if options.weights == "content_based" else 24
        return _memory_mb(max(24 * size.chunk, per_tile * tile), threads, attempt)

    def measuring_memory_mb(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """Blocks of a pair and their spectra, and the chunks that they are cut from."""
        return _memory_mb(300 * MIB + 24 * self._size(wildcards).chunk, threads, attempt)

    def disk_mb(self, wildcards: JobWildcards) -> int:
        """The staged copy, as large as if it could not be compressed at all."""
        return round(1.4 * self._size(wildcards).total / MIB) + 1

    def runtime_min(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """Minutes: ten times what a thread needs for its GiB on a slow shared filesystem."""
        return round(attempt * (10 + 10 * self._size(wildcards).total / GIB / threads))

    def well_runtime_min(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """Minutes for all steps of a well: its pixels are written twice."""
        return 2 * self.runtime_min(wildcards, threads, attempt)

    @cached_property
    def _ranks(self) -> dict[WellKey, int]:
        return {key: rank for rank, key in enumerate(reversed(list(self.wells)))}

    def _size(self, wildcards: JobWildcards) -> Size:
        """Size of the job's image, or of all images of its well together."""
        return _work_size(self.wells[key_of(wildcards)], wildcards.get("image"))


@cache
def _work_size(well: Well, image: str | None) -> Size:
    images = [image] if image else [listed.name for listed in well.images]
    sizes = [_size_of(well, image) for image in images]
    return Size(
        sum(size.total for size in sizes),
        max(size.chunk for size in sizes),
        max(size.pixel for size in sizes),
    )


def _size_of(well: Well, image: str) -> Size:
    try:
        found = well.image(image)
        return image_size(inside(found.live, well.plate))
    except (PlatefuseError, OSError):  # a link that leads out of the plate
        return Size()


def _threads(nbytes: float) -> int:
    return max(1, min(8, round(nbytes / GIB)))


def _memory_mb(per_thread: float, threads: int, attempt: int) -> int:
    return round(attempt * (800 + threads * per_thread / MIB))
