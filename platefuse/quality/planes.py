"""The planes of a fused well that are looked at: one channel of each acquisition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from platefuse.errors import ImageError
from platefuse.fusion.fields.layers import Layer
from platefuse.fusion.frame import Frame
from platefuse.geometry import Box
from platefuse.measuring.decoded_chunks import DecodedChunks
from platefuse.measuring.field_pixels import LazyArray, choose_channel, lazy_levels
from platefuse.ngff.channels import channel_names
from platefuse.ngff.image import Multiscale

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COVERED = 0.9
"""Planes that show at least this share of what the fullest plane shows may be looked at."""


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

    def at(self, z: int) -> Plane:
        """The same at another plane of level 0; an image without planes is the same."""
        at = (z if axis == self.z_axis else index for axis, index in enumerate(self.leading))
        return replace(self, leading=tuple(at))

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

    def along_z(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Share of the pixels that hold data, and their variance, in each plane of level 0.

        They are those of the coarsest level; zeros and what is not finite are no data.
        """
        coarse, key, z_axis = self.levels[-1], list[int | slice](self.leading), self.z_axis or 0
        shares, variances = [], []
        for plane in range(coarse.shape[z_axis]):
            key[z_axis] = plane
            pixels = coarse[(*key, slice(None), slice(None))]
            data = pixels[(pixels != 0) & np.isfinite(pixels)]
            shares.append(data.size / max(1, pixels.size))
            variances.append(float(np.var(data, dtype=np.float64)) if data.size else 0.0)
        finest = self.levels[0].shape[z_axis]
        there = np.arange(finest) * len(shares) // finest
        return np.array(shares)[there], np.array(variances)[there]

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
    chunks: DecodedChunks,
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
    chunks : DecodedChunks
        Keeps the decoded chunks.

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
        arrays = lazy_levels(image, chunks)
        first = 0
        for layer in stacked:
            own = chosen[len(looks)]
            names = {index: key for key, index in reversed(channel_names(layer.described).items())}
            plane = Plane(arrays, *_leading(image, first + own))
            looks.append(Look(layer, frame, plane, own, names.get(own, "")))
            first += layer.channels
    return _in_one_plane(looks), without


def _channels(layers: Sequence[Layer], channel: str | None) -> tuple[list[int], dict[str, str]]:
    """The index of the channel in each acquisition, and why some lack it."""
    try:
        return choose_channel(layers, channel), {}
    except ImageError:  # what is only looked at never stops a run
        names = [channel_names(layer.described) for layer in layers]
    wanted = channel or next(iter(names[0]), "")
    without = {
        str(layer.acquisition or 0): f"it has no channel {wanted!r}"
        for layer, own in zip(layers, names, strict=True)
        if wanted not in own
    }
    return [own.get(wanted, 0) for own in names], without


def _leading(image: Multiscale, channel: int) -> tuple[tuple[int, ...], int | None]:
    """Indices on the axes before y and x, and which of them is that of the plane."""
    axes = image.axes[:-2]
    index = {"c": channel, "t": 0, "z": 0}
    return tuple(index[axis] for axis in axes), axes.index("z") if "z" in axes else None


def _in_one_plane(looks: Sequence[Look]) -> list[Look]:
    """The acquisitions, all of one frame in the same plane: only there they show the same."""
    frames: list[Frame] = []
    for look in looks:
        if look.frame not in frames:
            frames.append(look.frame)
    best = [best_plane([look.plane for look in looks if look.frame == frame]) for frame in frames]
    return [replace(look, plane=look.plane.at(best[frames.index(look.frame)])) for look in looks]


def best_plane(planes: Sequence[Plane]) -> int:
    """The plane with most contrast, of those that acquisitions cover as far as any.

    Where fields begin at different heights, or an acquisition has fewer planes, planes show only
    a part of the fields.
    """
    found = [plane.along_z() for plane in planes if plane.z_axis is not None]
    found = [(shares, variances) for shares, variances in found if variances.max() > 0]
    if not found:
        return 0
    covered = np.min([shares for shares, _ in found], axis=0)
    total = np.sum([variances / variances.max() for _, variances in found], axis=0)
    total[covered < _COVERED * covered.max()] = -1
    best = np.flatnonzero(total == total.max())
    return int(best[(len(best) - 1) // 2])


def names_of(looks: Sequence[Look]) -> Mapping[str, str]:
    """The channel of each acquisition, by its number."""
    return {str(look.acquisition): look.channel_name for look in looks if look.channel_name}
