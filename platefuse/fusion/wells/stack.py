"""Acquisitions that are stacked by channel into one fused image: names, axes, frame, mosaics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from platefuse.engine.compose import Paint
from platefuse.engine.downsample import mean, nearest
from platefuse.engine.views import View
from platefuse.errors import ConfigError, ViewError
from platefuse.fusion.fields.layers import FieldImage, Layer, pixel_size
from platefuse.fusion.fields.plausible import check_positions
from platefuse.fusion.frame import Frame
from platefuse.fusion.mosaic import Mosaic
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.labels import check_mergeable, merge_labels
from platefuse.ngff.image import Multiscale
from platefuse.ngff.labels import ABSENT_LABEL

_MOST_PER_PIXEL = 100
"""Most pixels of a fused image on one axis in one pixel of a field."""


@dataclass(frozen=True)
class LayerLabel:
    """A label of a layer.

    Attributes
    ----------
    layer : Layer
        The layer.
    name : str
        Its name in the layer.
    fused_name : str
        Its name in the fused image.
    parts : sequence of (FieldImage, Multiscale)
        The label in each image of the layer that has it.
    """

    layer: Layer
    name: str
    fused_name: str
    parts: Sequence[tuple[FieldImage, Multiscale]]

    @property
    def image(self) -> Multiscale:
        """The first part: its metadata stand for all."""
        return self.parts[0][1]

    def __post_init__(self) -> None:
        first = self.image
        for _, other in self.parts[1:]:
            pair = [(i.axes, _dtype(i), pixel_size(i)) for i in (other, first)]
            if pair[0] != pair[1]:
                raise ViewError(
                    f"{other.path}: axes, data type and pixel size of the label are {pair[0]}, "
                    f"those of {first.path} are {pair[1]}. The labels of the fields of one "
                    "acquisition must agree: write them alike."
                )


def labels_of(layers: Sequence[Layer]) -> list[LayerLabel]:
    """All labels of some layers, with names that are unique."""
    names = [list(layer.labels) for layer in layers]
    return [
        LayerLabel(layer, name, fused, parts)
        for layer, new in zip(layers, unique_names(layers, names), strict=True)
        for (name, parts), fused in zip(layer.labels.items(), new, strict=True)
    ]


def check_labels(layers: Sequence[Layer], merge_threshold: float | None) -> None:
    """Check from metadata that the labels of some layers can be fused.

    Whether the data type can hold the new ids of merged labels is known only when the ids are.

    Raises
    ------
    ViewError
        If a label differs between the fields of an acquisition, or cannot be merged.
    """
    for label in labels_of(layers):
        if merge_threshold is not None:
            check_mergeable(_dtype(label.image), label.fused_name)


def labels_left_out(layers: Sequence[Layer]) -> dict[str, str]:
    """Labels that images of some layers list and do not have, with the reason."""
    images: dict[str, list[str]] = {}
    for layer in layers:
        for part in layer.images:
            for name in part.image.absent_labels:
                images.setdefault(name, []).append(part.name)
    return {name: f"{ABSENT_LABEL} (image {', '.join(found)})" for name, found in images.items()}


@overload
def unique_names(
    layers: Sequence[Layer], names: Sequence[Sequence[str]], *, every: bool = False
) -> list[list[str]]: ...
@overload
def unique_names(
    layers: Sequence[Layer], names: Sequence[Sequence[str | None]], *, every: bool = False
) -> list[list[str | None]]: ...
def unique_names(
    layers: Sequence[Layer], names: Sequence[Sequence[str | None]], *, every: bool = False
) -> Sequence[Sequence[str | None]]:
    """Names from several layers; those that are not unique get the acquisition appended.

    Parameters
    ----------
    layers : sequence of Layer
        The layers.
    names : sequence of sequences of str or None
        The names of each layer. None stays None.
    every : bool
        Whether every name gets its acquisition, also unique ones.

    Returns
    -------
    list of lists of str or None
        The new names: ``name_acq2``, or ``name_<image>`` if that number is not unique.
    """
    count = Counter(name for own in names for name in own)
    numbers = Counter(layer.acquisition for layer in layers)
    taken = {name for name, n in count.items() if n == 1} if not every else set()
    unique: list[list[str | None]] = []
    for layer, own in zip(layers, names, strict=True):
        known = layer.acquisition is not None and numbers[layer.acquisition] == 1
        suffix = f"acq{layer.acquisition}" if known else layer.name
        new: list[str | None] = []
        for name in own:
            if name is None or (count[name] == 1 and not every):
                new.append(name)
                continue
            changed, again = f"{name}_{suffix}", 1
            while changed in taken:
                again += 1
                changed = f"{name}_{suffix}_{again}"
            taken.add(changed)
            new.append(changed)
        unique.append(new)
    return unique


def common_axes(layers: Sequence[Layer]) -> str:
    """Axes of the image that some layers become: with channels if there are several layers."""
    axes = next((x.image.axes for x in layers if "c" in x.image.axes), layers[0].image.axes)
    if len(layers) > 1 and "c" not in axes:
        return axes.replace("t", "tc") if "t" in axes else f"c{axes}"
    return axes


def leading_shape(layers: Sequence[Layer], axes: str) -> list[int]:
    """Shape of that image on the axes not in space: all channels, the longest time series."""
    images = [part.image for layer in layers for part in layer.images]
    lengths = _longest(images) | {"c": sum(layer.channels for layer in layers)}
    return [lengths[a] for a in axes if a not in "zyx"]


def check_stackable(layers: Sequence[Layer]) -> None:
    """Check that layers can become channels of one image.

    Raises
    ------
    ViewError
        If they differ in axes other than channels, in data type or in pixel size.
    """
    for layer in layers[1:]:
        pair = [x.image for x in (layer, layers[0])]
        for what, (got, expected) in (
            ("axes", [i.axes.replace("c", "") for i in pair]),
            ("data type", [_dtype(i) for i in pair]),
            ("pixel size", [pixel_size(i) for i in pair]),
        ):
            if got != expected:
                raise ViewError(
                    f"{layer.image.path}: its {what} is {got}, that of image {layers[0].name} "
                    f"is {expected}; they cannot be stacked. Set fusion.layout: per_acquisition."
                )


def choose_spacing(image: Multiscale, given_um: Mapping[str, float] | None) -> list[float]:
    """Pixel size of a fused image on its axes in space, in micrometres: as given, else the image's.

    Raises
    ------
    ConfigError
        If it is so much finer than the image's that it must be in another unit.
    """
    for axis, size in image.pixel_size_um.items():
        given = (given_um or {}).get(axis, size)
        if given * _MOST_PER_PIXEL < size:
            raise ConfigError(
                f"fusion.output_spacing on {axis} is {given:g}, and the pixels of {image.path} are "
                f"{size:g} µm: {size / given:.3g} times as many pixels. Give it in micrometres, at "
                f"least {size / _MOST_PER_PIXEL:g}."
            )
    return [(given_um or {}).get(a, image.pixel_size_um[a]) for a in image.spatial]


def frames_for(images: Sequence[Sequence[Layer]], options: FusionOptions) -> list[Frame]:
    """The frames of the images of a fused well, in micrometres.

    Images with the same axes in space and the same pixel size have one frame, so that a pixel of
    each shows the same place. It covers the fields of all of them.

    Parameters
    ----------
    images : sequence of sequences of Layer
        For each image, the acquisitions that are stacked in it.
    options : FusionOptions
        How to fuse.

    Raises
    ------
    PlatefuseError
        If acquisitions cannot be stacked, have no pixel in common and should, or the spacing is
        wrong.
    """
    together: dict[tuple[str, tuple[float, ...]], list[Layer]] = {}
    grids = []
    for layers in images:
        check_stackable(layers)
        image = layers[0].image
        spacing = choose_spacing(image, options.output_spacing)
        grids.append((image.spatial, tuple(round(um, 6) for um in spacing)))
        together.setdefault(grids[-1], []).extend(layers)
    mode = options.output_stack_mode
    frames = {
        grid: frame_of(own, choose_spacing(own[0].image, options.output_spacing), mode)
        for grid, own in together.items()
    }
    return [frames[grid] for grid in grids]


def frame_of(layers: Sequence[Layer], spacing_um: Sequence[float], mode: str) -> Frame:
    """The frame that covers all fields of some layers, in micrometres.

    Raises
    ------
    ViewError
        If their positions cannot be true, or they have no pixel in common and should.
    """
    check_positions(layers)
    image = layers[0].image
    spacing = dict(zip(image.spatial, spacing_um, strict=True))
    extents = [extent for layer in layers for extent in layer.extents(spacing)]
    try:
        return Frame.covering(image.spatial, extents, spacing_um, mode=mode)
    except ViewError as error:
        raise ViewError(f"{image.path}: {error}") from error


def image_mosaic(layers: Sequence[Layer], frame: Frame, options: FusionOptions) -> Mosaic:
    """The mosaic of all images: one, or several stacked by channel."""
    axes = common_axes(layers)
    views: list[View] = []
    channels = 0
    for layer in layers:
        for part in layer.images:
            views += part.views(
                part.image,
                frame,
                axes,
                order=options.interpolation_order,
                widths_um=options.blending_widths,
                first_channel=channels,
            )
        channels += layer.channels
    compositor = options.compositor(views, len(frame.shape))
    leading = tuple(leading_shape(layers, axes))
    return Mosaic(views, frame, compositor, axes, leading, _dtype(layers[0].image), mean)


def label_mosaic(
    label: LayerLabel, frame: Frame, merge_threshold: float | None, threads: int
) -> tuple[Mosaic, bool]:
    """The mosaic of a label: nearest pixels of the first field that has an id.

    Parameters
    ----------
    label : LayerLabel
        The label.
    frame : Frame
        The frame of the fused image.
    merge_threshold : float or None
        See `merge_labels`; None: ids are kept.
    threads : int
        Number of threads.

    Returns
    -------
    mosaic : Mosaic
        The mosaic.
    renumbered : bool
        Whether any id is replaced by another.
    """
    image = label.image
    inner = _label_frame(frame, image)
    views = [
        view for part, own in label.parts for view in part.views(own, inner, image.axes, order=0)
    ]
    renumbered = False
    if merge_threshold is not None:
        merged = merge_labels(views, merge_threshold, label=label.fused_name, threads=threads)
        renumbered = any(view.changes for view in merged)
        views = list(merged)
    longest = _longest([own for _, own in label.parts])
    leading = tuple(longest[a] for a in image.axes if a not in "zyx")
    mosaic = Mosaic(views, inner, Paint("label"), image.axes, leading, _dtype(image), nearest)
    return mosaic, renumbered


def _label_frame(frame: Frame, label: Multiscale) -> Frame:
    """The frame of a fused label: that of the image, or one plane if the label has only one."""
    flat = [a for a in label.flat_axes if frame.by_axis(frame.shape).get(a) != 1]
    if not flat:
        return frame.on_axes(label.spatial)
    size, corner = label.pixel_size_um, frame.corner
    rest = frame.on_axes("".join(a for a in label.spatial if a not in flat))
    spacing = rest.by_axis(rest.spacing) | {a: size[a] for a in flat}
    origin = rest.by_axis(rest.origin) | {a: corner.get(a, 0.0) + size[a] / 2 for a in flat}
    shape = rest.by_axis(rest.shape) | dict.fromkeys(flat, 1.0)
    axes = label.spatial
    sizes = tuple(int(shape[a]) for a in axes)
    return Frame(axes, tuple(spacing[a] for a in axes), tuple(origin[a] for a in axes), sizes)


def _longest(images: Sequence[Multiscale]) -> dict[str, int]:
    """The largest length of some images on each of their axes."""
    found: dict[str, int] = {}
    for image in images:
        for axis, length in zip(image.axes, image.shapes[0], strict=True):
            found[axis] = max(found.get(axis, 0), length)
    return found


def _dtype(image: Multiscale) -> np.dtype[np.generic]:
    return np.dtype(image.levels[0].dtype).newbyteorder("=")
