"""One fused image: pixels, labels and tables of one or more acquisitions of a well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from platefuse.engine.compose import Compositor, Paint
from platefuse.engine.downsample import Downsample, mean, nearest
from platefuse.engine.views import View
from platefuse.engine.write import Target
from platefuse.fusion.channels import fused_image_label, fused_omero
from platefuse.fusion.frame import Frame
from platefuse.fusion.labels import merge_labels
from platefuse.fusion.layers import (
    Layer,
    choose_spacing,
    common_axes,
    frame_of,
    frame_on,
    labels_of,
    leading_shape,
)
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.scatter import Scatter
from platefuse.fusion.tables import write_fused_tables
from platefuse.geometry import Box
from platefuse.ngff.create import compressor_like, create_image, write_group
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import Format
from platefuse.records import FusedImage, FusedImageRecord
from platefuse.storage.arrays import StoredArray


def fuse_layers(
    layers: Sequence[Layer],
    target: Path,
    options: FusionOptions,
    scatter: Scatter,
    threads: int = 1,
) -> FusedImage:
    """Fuse the fields of one or more acquisitions into a new image with labels and tables.

    Parameters
    ----------
    layers : sequence of Layer
        The acquisitions; several are stacked by channel.
    target : Path
        Folder of the new image.
    options : FusionOptions
        How to fuse.
    scatter : Scatter
        What of it this job writes. A part writes pixels alone.
    threads : int
        Number of threads.

    Returns
    -------
    FusedImage
        Shape of the fused image, and its origin on the stage in micrometres.

    Raises
    ------
    ViewError
        If the acquisitions do not fit together.
    """
    frame = frame_for(layers, options)
    writer = _Writer(options, scatter, threads)
    new = _fuse_pixels(layers, target, frame, writer)
    names, renumbered = _fuse_labels(layers, target, frame, writer)
    corner = {a: o - s / 2 for a, o, s in zip(frame.axes, frame.origin, frame.spacing, strict=True)}
    if scatter.number is None:
        if names:
            write_group(target / "labels", {"labels": names}, options.ngff_version)
        left_out = write_fused_tables(
            layers,
            target,
            frame,
            tile_table=options.tile_table,
            version=options.ngff_version,
            renumbered=renumbered,
        )
        FusedImageRecord(
            sources=tuple(layer.name for layer in layers),
            origin_um=corner,
            tables_left_out=left_out,
        ).write(target)
    return FusedImage(new.shapes[0], corner)


def frame_for(layers: Sequence[Layer], options: FusionOptions) -> Frame:
    """The frame of the image that some layers become.

    Raises
    ------
    PlatefuseError
        If they do not fit together, share nothing that was asked for, or the spacing is wrong.
    """
    spacing = choose_spacing(layers[0].image, options.output_spacing)
    return frame_of(layers, spacing, options.output_stack_mode)


@dataclass(frozen=True)
class _Writer:
    """Creates fused images and labels, and writes their levels."""

    options: FusionOptions
    scatter: Scatter
    threads: int

    def write(
        self,
        views: list[View],
        how: Compositor,
        target: Path,
        like: Multiscale,
        *,
        axes: str,
        shape: Sequence[int],
        frame: Frame,
        downsample: Downsample,
        attributes: dict[str, Any],
    ) -> Multiscale:
        """Create an image like another and write what this job has to write of it."""
        options, size = self.options, {**like.non_spatial_scale, **frame.by_axis(frame.spacing)}
        kind, first = Format.for_ngff(options.ngff_version), like.levels[0]
        new = create_image(
            target,
            name=target.name,
            axes=axes,
            pixel_size=[size.get(a, 1.0) for a in axes],
            shape=shape,
            dtype=StoredArray.open(like.level_paths[0]).dtype,
            chunks=[options.output_chunksize.get(a, 1) for a in axes],
            shards=None if options.shards is None else [options.shards.get(a, 1) for a in axes],
            version=options.ngff_version,
            levels=len(like.paths),
            attributes=attributes,
            creation={"compressors": compressor_like(first, kind)},
            units=like.other_units,
        )
        arrays = [StoredArray.open(p, mode="r+", durable=True) for p in new.level_paths]
        levels = Target(arrays, new.factors, downsample)
        self.scatter.write(new, levels, views, how, self.threads)
        return new


def _fuse_pixels(
    layers: Sequence[Layer], target: Path, frame: Frame, writer: _Writer
) -> Multiscale:
    """Fuse the images: one, or several stacked by channel."""
    options, axes = writer.options, common_axes(layers)
    omero = fused_omero(layers, options.ngff_version, stacked=options.layout == "stacked")
    views: list[View] = []
    channels = 0
    for layer in layers:
        views += layer.views(
            layer.image,
            frame,
            axes,
            order=options.interpolation_order,
            widths_um=dict(options.blending_widths),
            first_channel=channels,
        )
        channels += layer.channels
    extent = reduce(Box.joined, (view.placed for view in views))
    return writer.write(
        views,
        options.compositor(extent, len(frame.shape)),
        target,
        layers[0].image,
        axes=axes,
        shape=[*leading_shape(layers, axes), *frame.shape],
        frame=frame,
        downsample=mean,
        attributes={"omero": omero},
    )


def _fuse_labels(
    layers: Sequence[Layer], target: Path, frame: Frame, writer: _Writer
) -> tuple[list[str], list[str]]:
    """Fuse every label beside the image: nearest, and the first field that has an id wins.

    Returns the labels' names, and which of them have other ids than before.
    """
    options, names, renumbered = writer.options, [], []
    for found in labels_of(layers):
        label, name = found.image, found.fused_name
        inner = frame_on(frame, label.spatial)
        views = found.layer.views(label, inner, label.axes, order=0)
        if options.merge_labels is not None:
            merged = merge_labels(views, options.merge_labels, label=name, threads=writer.threads)
            renumbered += [name] if any(view.changes for view in merged) else []
            views = list(merged)
        leading = [n for n, a in zip(label.shapes[0], label.axes, strict=True) if a not in "zyx"]
        writer.write(
            views,
            Paint("label"),
            target / "labels" / name,
            label,
            axes=label.axes,
            shape=[*leading, *inner.shape],
            frame=inner,
            downsample=nearest,
            attributes={"image-label": fused_image_label(label, options.ngff_version)},
        )
        names.append(name)
    return names, renumbered
