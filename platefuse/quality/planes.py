"""The planes of a fused well that are looked at: one channel of each acquisition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from platefuse.errors import ImageError
from platefuse.fusion.fields.layers import Layer
from platefuse.fusion.frame import Frame
from platefuse.geometry import Box
from platefuse.measuring.field_pixels import LazyArray, ReadCounter, choose_channel, lazy_levels
from platefuse.ngff.channels import channel_names
from platefuse.ngff.image import Multiscale

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Plane:
    """One channel, time point and plane of an image, with all its levels.

    Attributes
    ----------
    levels : sequence of LazyArray
        The levels, the finest first.
    leading : tuple of int
        Indices on the axes before y and x, at level 0.
    z_axis : int or None
        Which of them is the index of the plane.
    """

    levels: Sequence[LazyArray]
    leading: tuple[int, ...]
    z_axis: int | None

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (y, x) of level 0."""
        height, width = self.levels[0].shape[-2:]
        return int(height), int(width)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels."""
        return self.levels[0].dtype

    def shape_of(self, level: int) -> tuple[int, int]:
        """Pixels (y, x) of a level."""
        height, width = self.levels[level].shape[-2:]
        return int(height), int(width)

    def read(self, box: Box, level: int = 0) -> NDArray[Any]:
        """Pixels of a level, axes yx; the part of the box outside the image is left out."""
        array, leading = self.levels[level], list(self.leading)
        if self.z_axis is not None:
            planes, finest = array.shape[self.z_axis], self.levels[0].shape[self.z_axis]
            leading[self.z_axis] = min(leading[self.z_axis] * planes // finest, planes - 1)
        inside = box & Box.of_shape(self.shape_of(level))
        return array[(*leading, *inside.slices)]

    def level_of(self, most_px: int) -> int:
        """The finest level with at most so many pixels on its longer side, or the coarsest."""
        fitting = (k for k in range(len(self.levels)) if max(self.shape_of(k)) <= most_px)
        return next(fitting, len(self.levels) - 1)


@dataclass(frozen=True)
class Look:
    """An acquisition of a fused well, as it is looked at.

    Attributes
    ----------
    layer : Layer
        The acquisition.
    frame : Frame
        The frame of its fused image.
    plane : Plane
        Its pixels there.
    channel : int
        Index of the channel in the acquisition.
    channel_name : str
        Name of the channel; empty if channels have no names.
    """

    layer: Layer
    frame: Frame
    plane: Plane
    channel: int
    channel_name: str

    @property
    def acquisition(self) -> int:
        """Number of the acquisition."""
        return self.layer.acquisition or 0


def open_looks(
    well: Path,
    images: Sequence[tuple[str, Sequence[Layer]]],
    frames: Sequence[Frame],
    channel: str | None,
    counter: ReadCounter,
) -> tuple[list[Look], dict[str, str]]:
    """The acquisitions of a fused well.

    Parameters
    ----------
    well : Path
        The fused well.
    images : sequence of (str, sequence of Layer)
        Paths of its images, and the acquisitions in each.
    frames : sequence of Frame
        Their frames.
    channel : str or None
        Name of the channel; None: the first that all acquisitions have.
    counter : ReadCounter
        Counts what is decoded.

    Returns
    -------
    looks : list of Look
        The acquisitions.
    without : dict of str to str
        Acquisitions that lack the channel, by number, and why they cannot be compared. What is
        read of them is their first channel.
    """
    layers = [layer for _, stacked in images for layer in stacked]
    chosen, without = _channels(layers, channel)
    looks: list[Look] = []
    for (name, stacked), frame in zip(images, frames, strict=True):
        image = Multiscale.read(well / name)
        arrays = lazy_levels(image, counter)
        first = 0
        for layer in stacked:
            own = chosen[len(looks)]
            names = {index: key for key, index in reversed(channel_names(layer.image).items())}
            plane = Plane(arrays, *_leading(image, arrays, first + own))
            looks.append(Look(layer, frame, plane, own, names.get(own, "")))
            first += layer.channels
    return looks, without


def _channels(layers: Sequence[Layer], channel: str | None) -> tuple[list[int], dict[str, str]]:
    """The index of the channel in each acquisition, and why some lack it."""
    try:
        return choose_channel(layers, channel), {}
    except ImageError:  # what is only looked at never stops a run
        names = [channel_names(layer.image) for layer in layers]
    wanted = channel or next(iter(names[0]), "")
    without = {
        str(layer.acquisition or 0): f"it has no channel {wanted!r}"
        for layer, own in zip(layers, names, strict=True)
        if wanted not in own
    }
    return [own.get(wanted, 0) for own in names], without


def _leading(
    image: Multiscale, arrays: Sequence[LazyArray], channel: int
) -> tuple[tuple[int, ...], int | None]:
    """Indices on the axes before y and x, and which of them is that of the plane."""
    axes = image.axes[:-2]
    index = {"c": channel, "t": 0, "z": 0}
    z_axis = axes.index("z") if "z" in axes else None
    leading = [index[axis] for axis in axes]
    if z_axis is not None:
        leading[z_axis] = _sharpest_plane(arrays, leading, z_axis)
    return tuple(leading), z_axis


def _sharpest_plane(arrays: Sequence[LazyArray], leading: Sequence[int], z_axis: int) -> int:
    """The plane with the largest variance at the coarsest level, as one of level 0."""
    finest, coarse = arrays[0].shape[z_axis], arrays[-1]
    planes = coarse.shape[z_axis]
    if planes == 1:
        return (finest - 1) // 2
    key: list[int | slice] = [*leading, slice(None), slice(None)]
    variances = []
    for plane in range(planes):
        key[z_axis] = plane
        variances.append(float(np.var(coarse[tuple(key)], dtype=np.float64)))
    best = int(np.argmax(variances))
    return min((2 * best + 1) * finest // (2 * planes), finest - 1)


def names_of(looks: Sequence[Look]) -> Mapping[str, str]:
    """The channel of each acquisition, by its number."""
    return {str(look.acquisition): look.channel_name for look in looks if look.channel_name}
