"""Fuse wells into the fused plate: an OME-Zarr plate with one image per well and acquisition."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from platefuse.fusion.contents import Contents
from platefuse.fusion.fields.layers import FieldImage, Layer
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.complete import is_whole
from platefuse.fusion.wells.fingerprint import SourceFiles, identity, same_content, same_identities
from platefuse.fusion.wells.image import ImageWriter
from platefuse.fusion.wells.locks import fused_well_lock
from platefuse.fusion.wells.replace import (
    check_fused_well,
    check_replaceable,
    check_same_plate,
    work_in,
)
from platefuse.fusion.wells.scatter import Scatter
from platefuse.fusion.wells.stack import frames_for, labels_of
from platefuse.ngff.consolidated import drop_consolidated
from platefuse.ngff.create import write_group
from platefuse.ngff.paths import check_outside_groups, check_own_folders, staging_folder
from platefuse.ngff.well import Well
from platefuse.records import (
    FusedImage,
    FusedWellRecord,
    FusionReceipt,
)
from platefuse.storage.files import make_folder, put_in_place, replaced
from platefuse.storage.flush import Writes, watched_writes
from platefuse.storage.made import own_folder
from platefuse.storage.removing import all_aside, remove_tree
from platefuse.storage.threads import run_tasks
from platefuse.storage.typed_json import JsonObject
from platefuse.storage.writable import check_new, check_removable

logger = logging.getLogger(__name__)


def fuse_well(
    well: Well,
    fused: Path,
    reader: LayerReader,
    *,
    scatter: int = 1,
    threads: int = 1,
) -> FusionReceipt:
    """Fuse every acquisition of a well into the fused plate: staged, then moved into place.

    A well that was fused before from the same images with the same options is kept.

    Parameters
    ----------
    well : Well
        The well, registered or not.
    fused : Path
        Folder of the fused plate.
    reader : LayerReader
        How to read its images, and how to fuse them.
    scatter : int
        Number of parts that `fuse_well_part` has fused; those that are missing are fused now.
    threads : int
        Number of threads.

    Returns
    -------
    FusionReceipt
        What was done.

    Raises
    ------
    PlatefuseError
        If the images or their tables cannot be used, or another process fuses the well. The fused
        plate is not changed.
    """
    begun = time.perf_counter()
    job = _Job.read(well, fused, reader)
    done = job.done_before(threads)
    if done is not None and not job.has_leftovers:
        return done  # nothing to do, also on a protected disk
    with fused_well_lock(job.target):
        done = done or job.done_before(threads)
        if done is not None:
            job.remove_staged()
            return done
        return _fuse_well(job, scatter, threads, begun)


def _fuse_well(job: _Job, scatter: int, threads: int, begun: float) -> FusionReceipt:
    job.check_replaceable()
    job.check_measured()
    job.check_places()
    sources = job.sources(threads)  # before the parts are checked: see `docs/design`
    make_folder(job.staged.parent)
    if scatter == 1:  # parts have fixed names: the jobs that make them and gather them differ
        job = replace(job, staged=own_folder(job.staged))
    with watched_writes(job.staged.parents[1]) as writes:
        for number in range(scatter) if scatter > 1 else ():
            job.fuse_part(Scatter(job.staged, scatter, number), writes, threads)
        images = job.fuse(Scatter(job.staged, scatter), sources, threads)
        job.check_replaceable()  # again: fusing took a while
        drop_consolidated(job.target)
        put_in_place(job.staged, job.target, writes)
        job.remove_staged()
    seconds = round(time.perf_counter() - begun, 3)
    logger.info("%s: fused %s in %.1f s", job.target, ", ".join(images), seconds)
    return replace(job.receipt("fused"), images=images, seconds=seconds)


def fuse_well_part(
    well: Well,
    fused: Path,
    reader: LayerReader,
    number: int,
    of: int,
    *,
    threads: int = 1,
) -> FusionReceipt:
    """Fuse one of several disjoint parts of a well; `fuse_well` with ``scatter=of`` finishes.

    Parameters
    ----------
    well, fused, reader, threads
        See `fuse_well`.
    number, of : int
        Index of the part, from 0, and number of parts.

    Returns
    -------
    FusionReceipt
        What was done.

    Raises
    ------
    PlatefuseError
        If the images or their tables cannot be used, or another process fuses the part, or the
        well.
    """
    begun = time.perf_counter()
    job = _Job.read(well, fused, reader)
    before = replace(job.receipt("fused before"), part=number, of=of)
    if job.done_before(threads) is not None:
        return before
    job.check_replaceable()
    job.check_measured()
    root = job.staged.parents[1]
    with fused_well_lock(job.target, number), watched_writes(root) as writes:
        if not job.fuse_part(Scatter(job.staged, of, number), writes, threads):
            return before
    seconds = round(time.perf_counter() - begun, 3)
    return replace(job.receipt("fused"), part=number, of=of, seconds=seconds)


def fused_images(
    layers: Sequence[Layer], options: FusionOptions
) -> list[tuple[str, Sequence[Layer]]]:
    """The images of a fused well: their paths, and the acquisitions that each is made from."""
    if options.layout == "stacked" and layers:
        return [(layers[0].name, layers)]
    return [(layer.name, [layer]) for layer in layers]


def check_kept(well: Well, fused: Path, reader: LayerReader, *, may_change: bool) -> None:
    """Check before the first job that fusing a well again would lose nobody's work.

    Parameters
    ----------
    well, fused, reader
        See `fuse_well`.
    may_change : bool
        Whether other jobs will change the images before they are fused. Then only what they do not
        change tells whether the well is fused again, and the job that fuses it checks the rest.

    Raises
    ------
    PlatefuseError
        If the well would be fused again and holds what platefuse did not write.
    """
    job = _Job.read(well, fused, reader)
    record = FusedWellRecord.read(job.target)
    if record is None:
        return
    if may_change:
        is_other = record.fingerprint.get("options") != asdict(job.options)
    else:
        is_other = not job.is_same(record)
    if not is_other:
        if may_change or not work_in(job.target, *job.origin, pixels=False):
            return
        is_other = job.done_before(1) is None
    if is_other:
        job.check_replaceable()


@dataclass(frozen=True)
class _Job:
    """One well to fuse.

    Attributes
    ----------
    layers : list of Layer
        Its acquisitions.
    options : FusionOptions
        How to fuse.
    target, staged : Path
        The fused well, and the folder where it is written first.
    listed : tuple of str
        The images of the well, by their paths.
    plate : str
        Name of the plate's folder.
    """

    layers: list[Layer]
    options: FusionOptions
    target: Path
    staged: Path
    listed: tuple[str, ...]
    plate: str

    @classmethod
    def read(cls, well: Well, fused: Path, reader: LayerReader) -> _Job:
        layers = reader.read(well)
        target = fused / well.row / well.column
        check_own_folders(fused, fused / well.row, target)
        check_outside_groups(fused)
        check_fused_well(target)
        staged = staging_folder(fused, well.row, well.column)
        images = tuple(image.name for image in well.images)
        return cls(layers, reader.options, target, staged, images, well.plate.name)

    @cached_property
    def images(self) -> list[tuple[str, Sequence[Layer]]]:
        """See `fused_images`."""
        return fused_images(self.layers, self.options)

    @cached_property
    def identities(self) -> dict[str, JsonObject]:
        """The identity of each source image."""
        return {x.name: identity(x, self.options.tile_table) for x in self._parts}

    @cached_property
    def files(self) -> dict[str, SourceFiles]:
        """The files of each source image."""
        spacing = self.options.output_spacing
        return {part.name: SourceFiles.of(part, spacing) for part in self._parts}

    @property
    def _parts(self) -> list[FieldImage]:
        return [part for layer in self.layers for part in layer.images]

    def sources(self, threads: int) -> dict[str, JsonObject]:
        """What the record keeps of each source image. Reads all files."""
        return {
            name: {**own, **self.files[name].state(threads)}
            for name, own in self.identities.items()
        }

    def check_measured(self) -> None:
        """Check that measured places are those of the pixels that would be read."""
        for part in self._parts:
            if part.source.measured is not None:
                part.source.measured.check(part.image)

    @property
    def well(self) -> str:
        """Name of the well."""
        return f"{self.target.parent.name}/{self.target.name}"

    def check_replaceable(self) -> None:
        """Check that nobody's work is in the well's place, nor a well of another plate."""
        check_same_plate(self.target, self.plate)
        check_replaceable(self.target, *self.origin)

    def check_places(self) -> None:
        """Check that the well can be written, and an old one of that name removed."""
        what = f"{self.target} cannot be fused"
        check_new(self.staged, what)
        check_new(self.target, what)
        if self.target.is_dir():
            check_removable(self.target, what)

    def receipt(self, action: str) -> FusionReceipt:
        fused = f"{self.target.parent.parent.name}/{self.well}"
        return FusionReceipt(well=self.well, fused=fused, action=action, sources=self.listed)

    @property
    def origin(self) -> tuple[list[Layer], str]:
        """What tells, with the fused well, what an earlier version wrote into it."""
        return self.layers, self.options.tile_table

    def done_before(self, threads: int) -> FusionReceipt | None:
        """The receipt, if the fused well is complete and made from the same sources and options."""
        record = FusedWellRecord.read(self.target)
        if record is None or not self.is_same(record):
            return None
        recorded: Any = record.fingerprint["sources"]
        if not same_content(recorded, self.files, threads):
            return None
        return replace(self.receipt("fused before"), images=record.images)

    def is_same(self, record: FusedWellRecord) -> bool:
        """Whether the fused well is complete, and options and sources seem to be the same.

        The content of the sources is not looked at.
        """
        recorded = record.fingerprint.get("sources")
        return (
            all(self._is_whole(name, record) for name, _ in self.images)
            and record.fingerprint.get("options") == asdict(self.options)
            and isinstance(recorded, Mapping)
            and same_identities(recorded, self.identities)
        )

    def _is_whole(self, name: str, record: FusedWellRecord) -> bool:
        labels = [label.fused_name for label in labels_of(dict(self.images)[name])]
        return is_whole(self.target / name, record.images.get(name), labels, record.written)

    def fuse_part(self, part: Scatter, writes: Writes, threads: int) -> bool:
        """Write a part, unless it is complete; whether it was written."""
        assert part.number is not None
        made_from = {"options": asdict(self.options), "sources": self.identities}
        if part.is_complete(part.number, made_from, self._changed_ns):
            return False
        part.begin()
        self._write(part, threads)
        writes.flush(part.target)  # on the disk before the mark vouches for it
        part.mark_complete(made_from)
        return True

    def fuse(
        self, scatter: Scatter, sources: Mapping[str, Mapping[str, object]], threads: int
    ) -> dict[str, FusedImage]:
        """Write the staged well, complete with its record."""
        remove_tree(self.staged)
        images = self._write(scatter, threads)
        entries = [
            {"path": name} | ({} if (n := layers[0].acquisition) is None else {"acquisition": n})
            for name, layers in self.images
        ]
        version = self.options.ngff_version
        section = {"version": version, "images": entries}
        write_group(self.staged, {"well": section}, version)
        fingerprint = {"options": asdict(self.options), "sources": sources}
        written = Contents.read(self.staged).written()
        record = FusedWellRecord(
            fingerprint=fingerprint, images=images, written=written, plate=self.plate
        )
        record.write(self.staged)
        return images

    @property
    def has_leftovers(self) -> bool:
        """Whether a run before may have left something beside the fused well."""
        old = replaced(self.target)
        return self.staged.parents[1].is_dir() or old.is_dir() or bool(all_aside(old))

    def remove_staged(self) -> None:
        """Remove all staged folders of the well, of this run or of one that was killed."""
        remove_tree(self.staged)
        remove_tree(replaced(self.target))  # the well that is in its place is complete
        Scatter(self.staged).remove_parts()

    def _changed_ns(self) -> int:
        return max((files.changed_ns for files in self.files.values()), default=0)

    def _write(self, scatter: Scatter, threads: int) -> dict[str, FusedImage]:
        """Write all images, or the part of them that the job writes."""
        frames = frames_for([layers for _, layers in self.images], self.options)
        writers = [
            ImageWriter(name, layers, self.well, frame, self.options, scatter)
            for (name, layers), frame in zip(self.images, frames, strict=True)
        ]
        run_tasks(chain.from_iterable(writer.tasks(threads) for writer in writers), threads)
        return {writer.name: writer.finish() for writer in writers}
