"""One fused image: pixels, labels and tables of one or more acquisitions of a well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from platefuse.blocks import Compositor, Paint
from platefuse.create import compressor_like, create_image, write_group
from platefuse.downsample import Downsample, mean, nearest
from platefuse.engine import Target
from platefuse.errors import ViewError
from platefuse.frame import Frame
from platefuse.fused_tables import write_fused_tables
from platefuse.fusion_options import FusionOptions
from platefuse.geometry import Box
from platefuse.layers import Layer, frame_of, frame_on
from platefuse.ngff import Multiscale, label_names
from platefuse.plate import read_attributes
from platefuse.record import stamp, write_record
from platefuse.scatter import Scatter
from platefuse.store import StoredArray
from platefuse.views import View


def fuse_layers(
    layers: Sequence[Layer],
    target: Path,
    options: FusionOptions,
    scatter: Scatter,
    threads: int = 1,
) -> dict[str, Any]:
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
    dict
        Shape of the fused image, and its origin on the stage in micrometres.

    Raises
    ------
    ViewError
        If the acquisitions do not fit together.
    """
    image = layers[0].image
    asked = options.output_spacing or {}
    spacing = [asked.get(a, image.pixel_size_um[a]) for a in image.spatial]
    frame = frame_of(layers, spacing, options.output_stack_mode)
    writer = _Writer(options, scatter, threads)
    new = _fuse_pixels(layers, target, frame, writer)
    names = _fuse_labels(layers, target, frame, writer)
    corner = {a: o - s / 2 for a, o, s in zip(frame.axes, frame.origin, frame.spacing, strict=True)}
    if scatter.number is None:
        if names:
            write_group(target / "labels", {"labels": names}, options.ngff_version)
        write_fused_tables(layers, target, frame, new)
        record = {"sources": [layer.name for layer in layers], "origin_um": corner}
        write_record(target, {"fusion": {**stamp(), **record}})
    return {"shape": list(new.shapes[0]), "origin_um": corner}


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
        options, size = self.options, frame.as_dict(frame.spacing)
        first = like.path / like.paths[0]
        new = create_image(
            target,
            name=target.name,
            axes=axes,
            pixel_size=[size.get(a, 1.0) for a in axes],
            shape=shape,
            dtype=StoredArray.open(first).dtype,
            chunks=[options.output_chunksize.get(a, 1) for a in axes],
            shards=None if options.shards is None else [options.shards.get(a, 1) for a in axes],
            version=options.ngff_version,
            levels=len(like.paths),
            attributes=attributes,
            creation={"compressors": compressor_like(first, options.ngff_version)},
        )
        arrays = [StoredArray.open(target / p, mode="r+") for p in new.paths]
        levels = Target(arrays, new.factors, downsample)
        self.scatter.write(new, levels, views, how, self.threads)
        return new


def _fuse_pixels(
    layers: Sequence[Layer], target: Path, frame: Frame, writer: _Writer
) -> Multiscale:
    """Fuse the images: one, or several stacked by channel."""
    image, options = layers[0].image, writer.options
    axes = image.axes if len(layers) == 1 or "c" in image.axes else _with_channels(image.axes)
    views: list[View] = []
    channels = 0
    for layer in layers:
        _check_fits(layer, layers[0])
        views += layer.views(
            layer.image,
            frame,
            axes,
            order=options.interpolation_order,
            widths_um=dict(options.blending_widths),
            first_channel=channels,
        )
        channels += layer.channels
    leading = [
        channels if a == "c" else image.shapes[0][image.axes.index(a)]
        for a in axes
        if a not in "zyx"
    ]
    extent = reduce(Box.joined, (view.placed for view in views))
    return writer.write(
        views,
        options.compositor(extent, len(frame.shape)),
        target,
        image,
        axes=axes,
        shape=[*leading, *frame.shape],
        frame=frame,
        downsample=mean,
        attributes={"omero": _omero(layers)},
    )


def _fuse_labels(layers: Sequence[Layer], target: Path, frame: Frame, writer: _Writer) -> list[str]:
    """Fuse every label beside the image: nearest, and the first field that has an id wins."""
    found = [(layer, name) for layer in layers for name in label_names(layer.image.path)]
    names = [name for _, name in found]
    listed = []
    for layer, name in found:
        new = name if names.count(name) == 1 else f"{name}_acq{layer.acquisition}"
        label = Multiscale.read(layer.image.path / "labels" / name)
        inner = frame_on(frame, label.spatial)
        leading = [n for n, a in zip(label.shapes[0], label.axes, strict=True) if a not in "zyx"]
        writer.write(
            layer.views(label, inner, label.axes, order=0),
            Paint("label"),
            target / "labels" / new,
            label,
            axes=label.axes,
            shape=[*leading, *inner.shape],
            frame=inner,
            downsample=nearest,
            attributes={"image-label": _image_label(label)},
        )
        listed.append(new)
    return listed


def _with_channels(axes: str) -> str:
    return axes.replace("t", "tc") if "t" in axes else f"c{axes}"


def _check_fits(layer: Layer, first: Layer) -> None:
    for what, got, expected in (
        ("axes", layer.image.axes, first.image.axes),
        (
            "data type",
            *(StoredArray.open(x.image.path / x.image.paths[0]).dtype for x in (layer, first)),
        ),
        (
            "pixel size",
            *(np.round(list(x.image.pixel_size_um.values()), 6).tolist() for x in (layer, first)),
        ),
    ):
        if got != expected:
            raise ViewError(
                f"{layer.image.path}: its {what} is {got}, that of image {first.name} "
                f"is {expected}; they cannot be stacked. Set fusion.layout: per_acquisition."
            )


def _omero(layers: Sequence[Layer]) -> dict[str, Any] | None:
    """Channel metadata: as they are for one acquisition; names made unique for several."""
    found = [read_attributes(layer.image.path).get("omero") for layer in layers]
    if len(layers) == 1 or not any(found):
        return found[0]
    channels = []
    for layer, omero in zip(layers, found, strict=True):
        named = (omero or {}).get("channels") or [
            {"label": f"channel_{k}", "color": "FFFFFF"} for k in range(layer.channels)
        ]
        for channel in named:
            unique = {
                key: f"{channel[key]}_acq{layer.acquisition}"
                for key in ("label", "wavelength_id")
                if key in channel
            }
            channels.append({**channel, **unique})
    return {**(found[0] or {}), "channels": channels}


def _image_label(label: Multiscale) -> dict[str, Any]:
    found = read_attributes(label.path).get("image-label")
    return {**(found if isinstance(found, dict) else {}), "source": {"image": "../../"}}
