"""Priority, threads, memory, disk and time of jobs, from what is stored in their wells.

Read while the jobs are planned, so from JSON only (`platefuse.workflow.resources.stored`). How
memory follows from sizes is in `platefuse.workflow.resources.memory`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from math import ceil, prod
from typing import Protocol

from platefuse.ngff.well import Well
from platefuse.workflow.config.model import Config
from platefuse.workflow.receipts import PlateWildcards, WellKey, WellWildcards, key_of
from platefuse.workflow.resources import memory
from platefuse.workflow.resources.memory import MB, Checked, Fused
from platefuse.workflow.resources.stored import (
    Size,
    acquisitions_of,
    fields_of,
    has_own_tables,
    labels_of,
    work_size,
)
from platefuse.workflow.well_steps import steps_of

GIB = 2**30
MIB = 2**20

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
"""Rules in the order of the work. Later ones come first: see `JobResources.priority`."""

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
class JobResources:
    """What the jobs of a run need. Its methods are resource functions of the rules.

    Attributes
    ----------
    config : Config
        The config.
    wells : mapping of WellKey to Well
        The wells of all plates.
    beside_mb : float
        What each job needs beside its own process: on a cluster, Snakemake is started with it.
    """

    config: Config
    wells: Mapping[WellKey, Well]
    beside_mb: float = 0

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
        return _threads(max((work_size(well).total for well in self._firsts), default=0))

    @cached_property
    def image_bytes(self) -> float:
        """Size of the largest of the first images of all plates."""
        return max((work_size(well, well.images[0].name).total for well in self._firsts), default=0)

    @cached_property
    def _firsts(self) -> list[Well]:
        """The first well of each plate."""
        firsts = {key[0]: key for key in reversed(list(self.wells))}
        return [well for key in firsts.values() if (well := self.wells[key]).images]

    def metadata_mb(self, wildcards: object, attempt: int) -> int:
        """Memory of a job that reads and writes metadata only."""
        return self._asked(memory.METADATA_MB * MB, attempt)

    def tables_mb(self, wildcards: JobWildcards, attempt: int) -> int:
        """Memory of a job that copies tables."""
        return self._asked(memory.TABLES_MB * MB + self._table_modules(wildcards), attempt)

    def finishing_mb(self, wildcards: object, attempt: int) -> int:
        """Memory of the job that writes the metadata of a fused plate."""
        return self._asked(memory.FINISHED_PLATE_MB * MB, attempt)

    def registering_mb(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """Memory of a job that registers an image, or all images of a well in turn."""
        return self._asked(memory.SPARE * self._registering(wildcards, threads), attempt)

    def verifying_mb(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """Memory of a job that compares the registered images of a well with their originals."""
        return self._asked(memory.SPARE * self._verifying(wildcards, threads), attempt)

    def fusing_mb(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """Memory of a job that fuses a part of a well, without tables."""
        return self._asked(memory.SPARE * self._fusing(wildcards, threads), attempt)

    def finishing_well_mb(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """Memory of the job that fuses a well, or gathers the parts over which it is scattered."""
        fused, scatter = self._fused(wildcards), self._config(wildcards).fusion.scatter
        pixels = fused.memory(threads) if scatter == 1 else fused.gathering(threads)
        return self._asked(memory.SPARE * pixels + self._table_modules(wildcards), attempt)

    def measuring_mb(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """Memory of a job that measures a well."""
        return self._asked(memory.SPARE * self._measuring(wildcards, threads), attempt)

    def checking_mb(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """Memory of a job that checks a fused well."""
        return self._asked(memory.SPARE * self._checking(wildcards, threads), attempt)

    def processing_mb(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """Memory of a job that does all steps of a well: that of the largest of them."""
        of_steps = {
            "register_image": self._registering,
            "discard_backups": self._verifying,
            "fuse_well": self._fusing,
            "check_well": self._checking,
        }
        steps = [of_steps[step] for step in steps_of(self._config(wildcards)) if step in of_steps]
        most = max((step(wildcards, threads) for step in steps), default=0.0)
        once = memory.AFTER_OTHERS + self._table_modules(wildcards)
        return self._asked(memory.SPARE * most + once, attempt)

    def solving_mb(self, wildcards: PlateWildcards, attempt: int) -> int:
        """Memory of a job that solves the places of the fields of a plate."""
        writes_tables = self._config(wildcards).registration.store
        return self._asked(memory.solving(self._plate_fields(wildcards), writes_tables), attempt)

    def reporting_mb(self, wildcards: PlateWildcards, attempt: int) -> int:
        """Memory of a job that reports a plate."""
        fields, acquisitions = self._plate_fields(wildcards), self._plate_acquisitions(wildcards)
        return self._asked(memory.reporting(fields, acquisitions), attempt)

    def _registering(self, wildcards: JobWildcards, threads: int) -> float:
        both = Size.joined([self._size(wildcards), self._labels(wildcards)])
        return memory.registering(threads, both.chunk, both.plane)

    def _verifying(self, wildcards: JobWildcards, threads: int) -> float:
        chunk = max(self._size(wildcards).chunk, self._labels(wildcards).chunk)
        return memory.verifying(threads, chunk, self._config(wildcards).registration.verify)

    def _fusing(self, wildcards: JobWildcards, threads: int) -> float:
        return self._fused(wildcards).memory(threads)

    def _fused(self, wildcards: JobWildcards) -> Fused:
        images, labels = self._size(wildcards), self._labels(wildcards)
        pixel, chunk = max(images.pixel, labels.pixel), max(images.chunk, labels.chunk)
        wider = pixel / (images.pixel or 1)
        acquisitions = acquisitions_of(self._well(wildcards)) or ((),)
        plane = wider * max(sum(size.plane for size in own) for own in acquisitions)
        tile = self._tile(wildcards, pixel, wider * max(self._areas(wildcards)))
        is_filtered = self._config(wildcards).fusion.options.weights == "content_based"
        fields = self._fields(wildcards, self._well(wildcards))
        return Fused(tile, chunk, plane, fields, tile / (pixel or 1) * is_filtered)

    def _measuring(self, wildcards: JobWildcards, threads: int) -> float:
        images = list(chain(*acquisitions_of(self._well(wildcards))))
        pixels = max((size.area / (size.pixel or 1) for size in images), default=0.0)
        stacks, chunk = sum(size.stack for size in images), self._size(wildcards).chunk
        fields = self._well_fields(wildcards, self._well(wildcards))
        return memory.measuring(threads, stacks, chunk, pixels, fields)

    def _checking(self, wildcards: JobWildcards, threads: int) -> float:
        images, areas = self._size(wildcards), self._areas(wildcards)
        return Checked(
            areas=areas,
            tile=self._tile(wildcards, images.pixel, max(areas)),
            coarse=sum(size.coarse for size in chain(*acquisitions_of(self._well(wildcards)))),
            pixel=images.pixel,
            fields=self._fields(wildcards, self._well(wildcards)),
        ).memory

    def _table_modules(self, wildcards: JobWildcards) -> float:
        """Memory of the modules that move tables, if the well has any that may have to be moved."""
        config = self._config(wildcards)
        known = (config.fusion.options.tile_table, config.registration.request.roi_table)
        return memory.TABLE_MODULES if has_own_tables(self._well(wildcards), known) else 0

    def _asked(self, nbytes: float, attempt: int) -> int:
        return attempt * ceil(nbytes / MB + self.beside_mb)

    def _tile(self, wildcards: PlateWildcards, pixel: float, area: float) -> float:
        """Bytes of a tile of the fused image; it is no larger than the image."""
        options = self._config(wildcards).fusion.options
        tile = {**options.output_chunksize, **(options.shards or {})}
        depth = tile.get("z", 1)
        return min(prod(tile.values()) * pixel, memory.FRAME * area * depth)

    def _areas(self, wildcards: JobWildcards) -> list[float]:
        """Bytes of one plane of all fields, for each acquisition."""
        acquisitions = acquisitions_of(self._well(wildcards))
        return [sum(size.area for size in own) for own in acquisitions] or [0.0]

    def _fields(self, wildcards: PlateWildcards, well: Well) -> int:
        return fields_of(well, self._config(wildcards).fusion.options.tile_table)

    def _well_fields(self, wildcards: PlateWildcards, well: Well) -> int:
        """Number of fields of all acquisitions of a well."""
        return self._fields(wildcards, well) * len(acquisitions_of(well))

    def _plate_fields(self, wildcards: PlateWildcards) -> int:
        """Number of fields of all acquisitions of a plate, as in its first well."""
        wells = self._plate_wells(wildcards)
        return len(wells) * sum(self._well_fields(wildcards, well) for well in wells[:1])

    def _plate_acquisitions(self, wildcards: PlateWildcards) -> int:
        """Number of acquisitions of all wells of a plate, as in its first well."""
        wells = self._plate_wells(wildcards)
        return len(wells) * sum(len(acquisitions_of(well)) for well in wells[:1])

    def _plate_wells(self, wildcards: PlateWildcards) -> list[Well]:
        return [well for key, well in self.wells.items() if key[0] == wildcards.plate]

    def disk_mb(self, wildcards: JobWildcards) -> int:
        """The staged copy with its labels, as large as if it could not be compressed at all."""
        total = self._size(wildcards).total + self._labels(wildcards).total
        return round(1.4 * total / MIB) + 1

    def runtime_min(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """Minutes: ten times what a thread needs for its GiB on a slow shared filesystem.

        A limit, not an estimate: a job that exceeds it is killed, and its work is lost.
        """
        total = self._size(wildcards).total + self._labels(wildcards).total
        return round(attempt * (10 + 10 * total / GIB / threads))

    def plate_runtime_min(self, wildcards: PlateWildcards, attempt: int) -> int:
        """Minutes of a job for a whole plate: a minute for each 1000 fields, which take 3 s."""
        return attempt * (10 + ceil(self._plate_fields(wildcards) / 1000))

    def well_runtime_min(self, wildcards: JobWildcards, threads: int, attempt: int) -> int:
        """Minutes for all steps of a well: its pixels are written twice."""
        return 2 * self.runtime_min(wildcards, threads, attempt)

    @cached_property
    def _ranks(self) -> dict[WellKey, int]:
        return {key: rank for rank, key in enumerate(reversed(list(self.wells)))}

    def _config(self, wildcards: PlateWildcards) -> Config:
        """The config of the job's plate."""
        return self.config.by_plate[wildcards.plate]

    def _well(self, wildcards: JobWildcards) -> Well:
        return self.wells[key_of(wildcards)]

    def _size(self, wildcards: JobWildcards) -> Size:
        """Size of the job's image, or of all images of its well together."""
        return work_size(self._well(wildcards), wildcards.get("image"))

    def _labels(self, wildcards: JobWildcards) -> Size:
        """Size of the labels of the job's image, or of all images of its well."""
        return labels_of(self._well(wildcards), wildcards.get("image"))


def _threads(nbytes: float) -> int:
    return max(1, min(8, round(nbytes / GIB)))
