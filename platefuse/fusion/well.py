"""Fuse wells into the fused plate: an OME-Zarr plate with one image per well and acquisition."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from platefuse.errors import PlateError, ViewError
from platefuse.fusion.arguments import Storage
from platefuse.fusion.channels import fused_image_label, fused_omero
from platefuse.fusion.fields import Layer
from platefuse.fusion.fingerprint import SourceFiles, identity, same_sources
from platefuse.fusion.frame import Frame
from platefuse.fusion.mosaic import ImageMetadata, Mosaic
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.scatter import Scatter
from platefuse.fusion.stack import frame_for, image_mosaic, label_mosaic, labels_of
from platefuse.fusion.tables import write_fused_tables
from platefuse.ngff.create import compressor_like, write_group
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import Format
from platefuse.ngff.paths import staging_folder, staging_root
from platefuse.ngff.plate import Plate, Well
from platefuse.records import (
    FusedImage,
    FusedImageRecord,
    FusedWellRecord,
    FusionReceipt,
    PlateReceipt,
)
from platefuse.storage.files import put_in_place, remove_tree
from platefuse.storage.locks import shared_folder, tidy_shared_folder
from platefuse.storage.typed_json import JsonObject

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
    registered_copies: bool = False,
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
    options : FusionOptions
        How to fuse.
    registered_copies : bool
        Whether the images to fuse are the registered copies next to the images of the well,
        ``<image>_registered``.
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
        If the images or their tables cannot be used. The fused plate is not changed.
    """
    begun = time.perf_counter()
    job = _Job.read(well, fused, options, registered_copies)
    done = job.done_before(threads)
    if done is not None:
        job.remove_staged()
        tidy_shared_folder(staging_root(fused))
        return done
    sources = job.sources(threads)  # before the parts are checked: see `docs/design`
    with shared_folder(staging_root(fused)):
        for number in range(scatter) if scatter > 1 else ():
            job.fuse_part(Scatter(job.staged, scatter, number), threads)
        images = job.fuse(Scatter(job.staged, scatter), sources, threads)
        put_in_place(job.staged, job.target)
        job.remove_staged()
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
    registered_copies: bool = False,
    threads: int = 1,
) -> FusionReceipt:
    """Fuse one of several disjoint parts of a well; `fuse_well` with ``scatter=of`` finishes.

    Parameters
    ----------
    well, fused, options, registered_copies, threads
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
        If the images or their tables cannot be used.
    """
    begun = time.perf_counter()
    job = _Job.read(well, fused, options, registered_copies)
    before = replace(job.receipt("fused before"), part=number, of=of)
    if job.done_before(threads) is not None:
        return before
    with shared_folder(staging_root(fused)):
        if not job.fuse_part(Scatter(job.staged, of, number), threads):
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


def check_fused_well(well: Path) -> None:
    """Check that a folder, if it exists, is a fused well, which may be replaced.

    Raises
    ------
    PlateError
        If it is anything else.
    """
    if os.path.lexists(well) and FusedWellRecord.read(well) is None:
        raise PlateError(f"{well} exists and is not a fused well. {NOT_OURS}")


def finish_fused_plate(plate: Plate, fused: Path, options: FusionOptions) -> PlateReceipt:
    """Write the metadata of the fused plate, all wells of which exist.

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
    """

    layers: list[Layer]
    options: FusionOptions
    target: Path
    staged: Path

    @classmethod
    def read(cls, well: Well, fused: Path, options: FusionOptions, registered_copies: bool) -> _Job:
        layers = [
            Layer.read(
                image.name,
                image.acquisition,
                image.destination(overwrite=not registered_copies),
                options.tile_table,
            )
            for image in well.images
        ]
        target = fused / well.row / well.column
        check_fused_well(target)
        return cls(layers, options, target, staging_folder(fused, well.row, well.column))

    @cached_property
    def images(self) -> list[tuple[str, Sequence[Layer]]]:
        """See `fused_images`."""
        return fused_images(self.layers, self.options)

    @cached_property
    def identities(self) -> dict[str, JsonObject]:
        """The identity of each source image."""
        return {x.name: identity(x, self.options.tile_table) for x in self.layers}

    @cached_property
    def files(self) -> dict[str, SourceFiles]:
        """The files of each source image."""
        return {layer.name: SourceFiles.of(layer) for layer in self.layers}

    def sources(self, threads: int) -> dict[str, JsonObject]:
        """What the record keeps of each source image. Reads all files."""
        return {
            name: {**own, **self.files[name].state(threads)}
            for name, own in self.identities.items()
        }

    def receipt(self, action: str) -> FusionReceipt:
        well = f"{self.target.parent.name}/{self.target.name}"
        fused = f"{self.target.parent.parent.name}/{well}"
        return FusionReceipt(well=well, fused=fused, action=action)

    def done_before(self, threads: int) -> FusionReceipt | None:
        """The receipt, if the fused well is complete and made from the same sources and options."""
        record = FusedWellRecord.read(self.target)
        if record is None or not all((self.target / name).is_dir() for name, _ in self.images):
            return None
        recorded = record.fingerprint.get("sources")
        if record.fingerprint.get("options") != asdict(self.options):
            return None
        if not isinstance(recorded, Mapping):
            return None
        if not same_sources(recorded, self.identities, self.files, threads):
            return None
        return replace(self.receipt("fused before"), images=record.images)

    def fuse_part(self, part: Scatter, threads: int) -> bool:
        """Write a part, unless it is complete; whether it was written."""
        assert part.number is not None
        made_from = {"options": asdict(self.options), "sources": self.identities}
        if part.is_complete(part.number, made_from, self._changed_ns):
            return False
        part.begin()
        self._write(part, threads)
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
        FusedWellRecord(fingerprint=fingerprint, images=images).write(self.staged)
        return images

    def remove_staged(self) -> None:
        """Remove all staged folders of the well, of this run or of one that was killed."""
        remove_tree(self.staged)
        Scatter(self.staged).remove_parts()

    def _changed_ns(self) -> int:
        return max((files.changed_ns for files in self.files.values()), default=0)

    def _write(self, scatter: Scatter, threads: int) -> dict[str, FusedImage]:
        """Write all images, or the part of them that the job writes."""
        return {
            name: _ImageWriter(layers, self.options, scatter, threads).write(name)
            for name, layers in self.images
        }


@dataclass(frozen=True)
class _ImageWriter:
    """Writes one fused image with labels and tables, or a part of its pixels.

    Attributes
    ----------
    layers : sequence of Layer
        The acquisitions; several are stacked by channel.
    options : FusionOptions
        How to fuse.
    scatter : Scatter
        What this job writes. A part writes pixels only.
    threads : int
        Number of threads.
    """

    layers: Sequence[Layer]
    options: FusionOptions
    scatter: Scatter
    threads: int

    def write(self, name: str) -> FusedImage:
        """Write the image with this path in the well.

        Raises
        ------
        ViewError
            If the acquisitions do not fit together.
        """
        target, version = self.scatter.target / name, self.options.ngff_version
        frame = frame_for(self.layers, self.options)
        mosaic = image_mosaic(self.layers, frame, self.options)
        stacked = self.options.layout == "stacked"
        omero = fused_omero(self.layers, version, stacked=stacked)
        self._write_pixels(mosaic, target, self.layers[0].image, {"omero": omero})
        names, renumbered = self._write_labels(target, frame)
        if self.scatter.number is None:
            if names:
                write_group(target / "labels", {"labels": names}, version)
            left_out = write_fused_tables(
                self.layers,
                target,
                frame,
                tile_table=self.options.tile_table,
                version=version,
                renumbered=renumbered,
            )
            FusedImageRecord(
                sources=tuple(layer.name for layer in self.layers),
                origin_um=frame.corner,
                tables_left_out=left_out,
            ).write(target)
        return FusedImage(mosaic.shape, frame.corner)

    def _write_labels(self, target: Path, frame: Frame) -> tuple[list[str], list[str]]:
        """Write all labels; returns their names, and the names of those with other ids."""
        names, renumbered = [], []
        for label in labels_of(self.layers):
            name = label.fused_name
            mosaic, changed = label_mosaic(label, frame, self.options.merge_labels, self.threads)
            colors = fused_image_label(label.image, self.options.ngff_version)
            folder = target / "labels" / name
            self._write_pixels(mosaic, folder, label.image, {"image-label": colors})
            names.append(name)
            renumbered += [name] if changed else []
        return names, renumbered

    def _write_pixels(
        self, mosaic: Mosaic, target: Path, like: Multiscale, attributes: Mapping[str, object]
    ) -> None:
        """Create an image with levels and compressor like another, and write this job's share."""
        options, axes = self.options, mosaic.axes
        shards = options.shards
        kind = Format.for_ngff(options.ngff_version)
        storage = Storage(
            options.ngff_version,
            kind.number,
            tuple(options.output_chunksize.get(a, 1) for a in axes),
            None if shards is None else tuple(shards.get(a, 1) for a in axes),
            {"compressors": compressor_like(like.levels[0], kind)},
        )
        metadata = ImageMetadata(
            target.name, attributes, len(like.paths), like.non_spatial_scale, like.other_units
        )
        pyramid = mosaic.create(target, storage, metadata, durable=True)
        self.scatter.write(mosaic, pyramid, self.threads)
