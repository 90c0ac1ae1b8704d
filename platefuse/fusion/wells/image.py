"""Write one image of a fused well: pixels, labels and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platefuse.fusion.arguments import Storage
from platefuse.fusion.fields.field import Field
from platefuse.fusion.fields.layers import FieldImage, Layer
from platefuse.fusion.frame import Frame
from platefuse.fusion.mosaic import ImageMetadata, Mosaic
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.channels import fused_image_label, fused_omero
from platefuse.fusion.wells.scatter import Scatter
from platefuse.fusion.wells.stack import image_mosaic, label_mosaic, labels_left_out, labels_of
from platefuse.fusion.wells.tables import write_fused_tables
from platefuse.ngff.create import compressor_like, write_group
from platefuse.ngff.image import Multiscale
from platefuse.ngff.labels import label_groups
from platefuse.ngff.zarr_format import Format
from platefuse.records import AppliedProfile, FusedField, FusedImage, FusedImageRecord
from platefuse.storage.threads import Task


@dataclass
class ImageWriter:
    """Writes one fused image with labels and tables, or a part of its pixels.

    The tasks of `tasks` write the pixels. When all are done, `finish` writes the rest.

    Attributes
    ----------
    name : str
        Path of the image in the well.
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
    """

    name: str
    layers: Sequence[Layer]
    well: str
    frame: Frame
    options: FusionOptions
    scatter: Scatter

    def __post_init__(self) -> None:
        self._shape: tuple[int, ...] = ()
        self._has_new_ids: dict[str, bool] = {}  # of each fused label

    @property
    def _target(self) -> Path:
        return self.scatter.target / self.name

    def tasks(self, threads: int) -> Iterator[Task]:
        """Tasks that write the pixels of the image and of its labels.

        Arrays are created when the first task that writes to them is asked for, so that other
        threads may still write the image before.

        Parameters
        ----------
        threads : int
            Number of threads for what is read before the first task of a label.

        Raises
        ------
        ViewError
            If the acquisitions do not fit together.
        """
        layers, version = self.layers, self.options.ngff_version
        mosaic = image_mosaic(layers, self.frame, self.options)
        self._shape = mosaic.shape
        omero = fused_omero(layers, version, stacked=self.options.layout == "stacked")
        # No slash in it: napari saves a layer to a file of this name.
        name = f"{self.well.replace('/', '')}_{self.name}"
        yield from self._pixels(mosaic, self._target, name, layers[0].image, {"omero": omero})
        for label in labels_of(layers):
            name = label.fused_name
            mosaic, self._has_new_ids[name] = label_mosaic(
                label, self.frame, self.options.merge_labels, threads
            )
            colors = {"image-label": fused_image_label(label.image, version)}
            yield from self._pixels(
                mosaic, self._target / "labels" / name, name, label.image, colors
            )

    def _pixels(
        self,
        mosaic: Mosaic,
        target: Path,
        name: str,
        like: Multiscale,
        attributes: Mapping[str, object],
    ) -> Iterator[Task]:
        """Create an image with levels and compressor like another: tasks for this job's share."""
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
        return self.scatter.tasks(mosaic, mosaic.create(target, storage, metadata, durable=True))

    def finish(self) -> FusedImage:
        """Write what is not pixels: the groups of labels, tables, and the record."""
        absent = labels_left_out(self.layers) or None
        if self.scatter.number is None:
            self._write_label_groups()
            left_out = write_fused_tables(
                self.layers,
                self._target,
                self.frame,
                tile_table=self.options.tile_table,
                version=self.options.ngff_version,
                renumbered=[name for name, changed in self._has_new_ids.items() if changed],
                merged=self.options.merge_labels is not None,
            )
            FusedImageRecord(
                sources=tuple(part.name for layer in self.layers for part in layer.images),
                origin_um=self.frame.corner,
                tables_left_out=left_out,
                labels_left_out=absent,
                fields=placed_fields(self.layers) or None,
                illumination=_applied_profiles(self.layers) or None,
            ).write(self._target)
        return FusedImage(self._shape, self.frame.corner, absent)

    def _write_label_groups(self) -> None:
        names, version = list(self._has_new_ids), self.options.ngff_version
        if names:
            write_group(self._target / "labels", {"labels": names}, version)
            for group in label_groups(names):
                write_group(self._target / "labels" / group, {}, version)


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
