"""Write one image of a fused well: pixels, labels and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platefuse.fusion.arguments import Storage
from platefuse.fusion.channels import fused_image_label, fused_omero
from platefuse.fusion.fields import Field
from platefuse.fusion.frame import Frame
from platefuse.fusion.layers import FieldImage, Layer
from platefuse.fusion.mosaic import ImageMetadata, Mosaic
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.scatter import Scatter
from platefuse.fusion.stack import image_mosaic, label_mosaic, labels_left_out, labels_of
from platefuse.fusion.tables import write_fused_tables
from platefuse.ngff.create import compressor_like, write_group
from platefuse.ngff.image import Multiscale
from platefuse.ngff.labels import label_groups
from platefuse.ngff.metadata import Format
from platefuse.records import AppliedProfile, FusedField, FusedImage, FusedImageRecord


@dataclass(frozen=True)
class ImageWriter:
    """Writes one fused image with labels and tables, or a part of its pixels.

    Attributes
    ----------
    layers : sequence of Layer
        The acquisitions; several are stacked by channel.
    well : str
        Name of the well: the image is named after it, because viewers show the name only.
    frame : Frame
        The frame of the image.
    options : FusionOptions
        How to fuse.
    scatter : Scatter
        What this job writes. A part writes pixels only.
    threads : int
        Number of threads.
    """

    layers: Sequence[Layer]
    well: str
    frame: Frame
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
        frame = self.frame
        mosaic = image_mosaic(self.layers, frame, self.options)
        stacked = self.options.layout == "stacked"
        omero = fused_omero(self.layers, version, stacked=stacked)
        # No slash in it: napari saves a layer to a file of this name.
        full = f"{self.well.replace('/', '')}_{name}"
        self._write_pixels(mosaic, target, full, self.layers[0].image, {"omero": omero})
        names, renumbered = self._write_labels(target)
        absent = labels_left_out(self.layers) or None
        if self.scatter.number is None:
            if names:
                write_group(target / "labels", {"labels": names}, version)
                for group in label_groups(names):
                    write_group(target / "labels" / group, {}, version)
            left_out = write_fused_tables(
                self.layers,
                target,
                frame,
                tile_table=self.options.tile_table,
                version=version,
                renumbered=renumbered,
                merged=self.options.merge_labels is not None,
            )
            FusedImageRecord(
                sources=tuple(part.name for layer in self.layers for part in layer.images),
                origin_um=frame.corner,
                tables_left_out=left_out,
                labels_left_out=absent,
                fields=placed_fields(self.layers) or None,
                illumination=_applied_profiles(self.layers) or None,
            ).write(target)
        return FusedImage(mosaic.shape, frame.corner, absent)

    def _write_labels(self, target: Path) -> tuple[list[str], list[str]]:
        """Write all labels; returns their names, and the names of those with other ids."""
        names, renumbered = [], []
        for label in labels_of(self.layers):
            name = label.fused_name
            mosaic, changed = label_mosaic(
                label, self.frame, self.options.merge_labels, self.threads
            )
            colors = fused_image_label(label.image, self.options.ngff_version)
            folder = target / "labels" / name
            self._write_pixels(mosaic, folder, name, label.image, {"image-label": colors})
            names.append(name)
            renumbered += [name] if changed else []
        return names, renumbered

    def _write_pixels(
        self,
        mosaic: Mosaic,
        target: Path,
        name: str,
        like: Multiscale,
        attributes: Mapping[str, object],
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
            name, attributes, len(like.paths), like.non_spatial_scale, like.other_units
        )
        pyramid = mosaic.create(target, storage, metadata, durable=True)
        self.scatter.write(mosaic, pyramid, self.threads)


def placed_fields(layers: Sequence[Layer]) -> tuple[FusedField, ...]:
    """Where the fields of images were placed that are not registered in the plate."""
    return tuple(
        FusedField(part.name, field.name, _shift_px(part, field), field.angle_deg)
        for layer in layers
        for part in layer.images
        if part.source.is_raw
        for field in part.fields
    )


def _applied_profiles(layers: Sequence[Layer]) -> dict[str, Mapping[str, AppliedProfile]]:
    """The flat-field correction of each source image that has one."""
    parts = (part for layer in layers for part in layer.images)
    return {part.name: applied for part in parts if (applied := part.applied_profiles)}


def _shift_px(part: FieldImage, field: Field) -> tuple[float, ...]:
    if part.source.places is None:
        return field.shift_px(part.image)
    shift = dict(zip("zyx", part.source.places[field.name].shift_px, strict=True))
    return tuple(shift[axis] for axis in part.image.spatial)
