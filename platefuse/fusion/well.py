"""The fused plate: an OME-Zarr plate with one image per well and acquisition, without seams."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from platefuse.errors import PlateError, ViewError
from platefuse.fusion.image import fuse_layers
from platefuse.fusion.layers import Layer
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.scatter import Scatter
from platefuse.ngff.create import write_group
from platefuse.ngff.image import Multiscale
from platefuse.ngff.paths import staging_folder, staging_root
from platefuse.ngff.plate import Plate, Well
from platefuse.records import (
    KEY,
    FusedImage,
    FusedWellRecord,
    FusionReceipt,
    PlateReceipt,
    RegistrationRecord,
    digest_json,
    digest_tree,
)
from platefuse.registration.request import RegistrationRequest
from platefuse.storage.files import put_in_place, remove_empty_folders, remove_tree
from platefuse.tables.table import table_path

logger = logging.getLogger(__name__)

NOT_OURS = (
    "It was not made by platefuse and would be replaced: move it away, or set `fusion.output` to "
    "another path."
)


def fuse_well(
    well: Well,
    fused: Path,
    options: FusionOptions,
    *,
    request: RegistrationRequest | None = None,
    scatter: int = 1,
    threads: int = 1,
) -> FusionReceipt:
    """Fuse every acquisition of a well into the fused plate: staged, then moved into place.

    A well that was fused before from the same images with the same options is left alone.

    Parameters
    ----------
    well : Well
        The well, registered or not.
    fused : Path
        Folder of the fused plate.
    options : FusionOptions
        How to fuse.
    request : RegistrationRequest, optional
        The registration; says whether the registered images stand beside the originals.
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
        If the images or their tables cannot be used. The fused plate is as it was.
    """
    begun = time.perf_counter()
    job = _Job.read(well, fused, options, request)
    done = job.done_before()
    if done is not None:
        job.tidy()
        return done
    for number in range(scatter) if scatter > 1 else ():
        if not Scatter(job.staged, scatter).is_complete(number, job.wanted):
            fuse_well_part(well, fused, options, number, scatter, request=request, threads=threads)
    remove_tree(job.staged)
    images = job.write(Scatter(job.staged, scatter), threads)
    entries = [
        {"path": name} | ({} if (n := layers[0].acquisition) is None else {"acquisition": n})
        for name, layers in job.images
    ]
    section = {"version": options.ngff_version, "images": entries}
    write_group(job.staged, {"well": section}, options.ngff_version)
    FusedWellRecord(fingerprint=job.wanted, images=images).write(job.staged)
    put_in_place(job.staged, job.target)
    job.tidy()
    seconds = round(time.perf_counter() - begun, 3)
    logger.info("%s: fused %s in %.1f s", job.target, ", ".join(images), seconds)
    return replace(job.receipt("fused"), images=images, seconds=seconds)


def fuse_well_part(
    well: Well,
    fused: Path,
    options: FusionOptions,
    number: int,
    of: int,
    *,
    request: RegistrationRequest | None = None,
    threads: int = 1,
) -> FusionReceipt:
    """Fuse one of several disjoint parts of a well; `fuse_well` with ``scatter=of`` finishes.

    Parameters
    ----------
    well, fused, options, request, threads
        As for `fuse_well`.
    number, of : int
        Which part, from 0, and how many there are.

    Returns
    -------
    FusionReceipt
        What was done.

    Raises
    ------
    PlatefuseError
        If the images or their tables cannot be used.
    """
    begun = time.perf_counter()
    job = _Job.read(well, fused, options, request)
    scatter = Scatter(job.staged, of, number)
    if job.done_before() is not None or scatter.is_complete(number, job.wanted):
        return replace(job.receipt("fused before"), part=number, of=of)
    remove_tree(scatter.target)
    job.write(scatter, threads)
    scatter.mark_complete(job.wanted)
    seconds = round(time.perf_counter() - begun, 3)
    return replace(job.receipt("fused"), part=number, of=of, seconds=seconds)


def fused_images(
    layers: Sequence[Layer], options: FusionOptions
) -> list[tuple[str, Sequence[Layer]]]:
    """The images of a fused well: path, and the acquisitions that go into it."""
    if options.layout == "stacked" and layers:
        return [(layers[0].name, layers)]
    return [(layer.name, [layer]) for layer in layers]


def check_fused_well(well: Path) -> None:
    """Check that a folder, if it is there, is a well that was fused: it is to be replaced.

    Raises
    ------
    PlateError
        If it is anything else.
    """
    if os.path.lexists(well) and FusedWellRecord.read(well) is None:
        raise PlateError(f"{well} is there and is not a fused well. {NOT_OURS}")


@dataclass(frozen=True)
class _Job:
    """What is fused, from what, and where it goes.

    Attributes
    ----------
    images : list of (str, sequence of Layer)
        The images of the fused well: see `fused_images`.
    options : FusionOptions
        How to fuse.
    wanted : dict
        What tells this fusion from any other: options, and the state of the sources.
    target, staged : Path
        The fused well, and where it is made.
    """

    images: list[tuple[str, Sequence[Layer]]]
    options: FusionOptions
    wanted: dict[str, Any]
    target: Path
    staged: Path

    @classmethod
    def read(
        cls, well: Well, fused: Path, options: FusionOptions, request: RegistrationRequest | None
    ) -> _Job:
        beside = request is not None and not request.overwrite_input
        layers = [
            Layer.read(
                i.name,
                i.acquisition,
                i.destination(overwrite=not beside),
                options.tile_table,
            )
            for i in well.images
        ]
        states = {layer.name: _fingerprint(layer.image, options) for layer in layers}
        wanted = {"options": asdict(options), "sources": states}
        staged = staging_folder(fused, well.row, well.column)
        target = fused / well.row / well.column
        check_fused_well(target)
        return cls(fused_images(layers, options), options, wanted, target, staged)

    def receipt(self, action: str) -> FusionReceipt:
        well = f"{self.target.parent.name}/{self.target.name}"
        fused = f"{self.target.parent.parent.name}/{well}"
        return FusionReceipt(well=well, fused=fused, action=action)

    def done_before(self) -> FusionReceipt | None:
        """The receipt, if the fused well is there and was made from the same, as asked."""
        record = FusedWellRecord.read(self.target)
        there = all((self.target / name).is_dir() for name, _ in self.images)
        if record is None or record.fingerprint != self.wanted or not there:
            return None
        return replace(self.receipt("fused before"), images=record.images)

    def tidy(self) -> None:
        """Remove what is staged, by this run or one that was killed."""
        remove_tree(self.staged)
        Scatter(self.staged).remove_parts()
        remove_empty_folders(self.staged.parent, staging_root(self.target.parent.parent))

    def write(self, scatter: Scatter, threads: int) -> dict[str, FusedImage]:
        """Write all images, or this job's part of them."""
        return {
            name: fuse_layers(layers, scatter.target / name, self.options, scatter, threads)
            for name, layers in self.images
        }


def finish_fused_plate(plate: Plate, fused: Path, options: FusionOptions) -> PlateReceipt:
    """Write the metadata of the fused plate; all its wells must be there.

    Raises
    ------
    ViewError
        If a well has not been fused.
    """
    missing = [
        w.name for w in plate.wells if FusedWellRecord.read(fused / w.row / w.column) is None
    ]
    if missing:
        raise ViewError(f"{fused}: not fused yet: {', '.join(missing)}. Run `fuse_well` for them.")
    section = {
        **plate.metadata,
        "version": options.ngff_version,
        "name": fused.name.removesuffix(".zarr"),
        "field_count": 1,
    }
    for row in {well.row for well in plate.wells}:
        write_group(fused / row, {}, options.ngff_version)
    write_group(fused, {"plate": section}, options.ngff_version)
    return PlateReceipt(fused=fused.name, wells=tuple(well.name for well in plate.wells))


def _fingerprint(image: Multiscale, options: FusionOptions) -> dict[str, Any]:
    """What tells one state of an image from another, without reading its pixels."""
    files, size, newest = 0, 0, 0
    levels = [image.path / part for part in (image.paths[0], "labels", "tables")]
    for folder, _, names in (entry for level in levels for entry in os.walk(level)):
        for name in names:
            stat = (Path(folder) / name).stat()
            files, size, newest = files + 1, size + stat.st_size, max(newest, stat.st_mtime_ns)
    attributes = {k: v for k, v in image.attributes.items() if k != KEY}
    record = RegistrationRecord.read(image.path)
    return {
        "attributes": digest_json(attributes),
        "tile_table": digest_tree(table_path(image.path, options.tile_table)),
        "registration": None if record is None else asdict(record.request),
        "files": files,
        "bytes": size,
        "newest_ns": newest,
    }
