"""Flat-field correction of the camera fields of an array: pure functions of pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.blending import float_dtype
from platefuse.geometry import Box, Pixels

Profile = NDArray[np.floating]

_STRIP_PX = 2**18
"""Pixels that are corrected at once: their floats stay in the cache."""


@dataclass(frozen=True, eq=False)
class ChannelProfile:
    """How a camera field of one channel is lit.

    Attributes
    ----------
    flat : ndarray of float, shape (ny, nx)
        Share of the light that each pixel receives; above 0.
    dark : ndarray of float, shape (ny, nx), or float
        What the camera counts without light.
    """

    flat: Profile
    dark: Profile | float


@dataclass(frozen=True, eq=False)
class FlatField:
    """The correction (raw − dark) / flat of an array: pixels of fields, in some channels.

    Results are floats, not rounded and not clipped: the compositor does this once, in the end.
    All other pixels are as they are stored.

    Attributes
    ----------
    fields : sequence of Box
        The camera fields in the array, on its axes y and x, which are the last two. Each has the
        shape of the profiles. Where they overlap, the later one counts.
    profiles : mapping of int to ChannelProfile
        The channels to correct, by their index.
    channel_axis : int or None
        The axis of the channels; None: all pixels are of channel 0.
    """

    fields: Sequence[Box]
    profiles: Mapping[int, ChannelProfile]
    channel_axis: int | None

    def corrects(self, box: Box) -> bool:
        """Whether any pixel of a box is corrected."""
        return any(True for _ in self._parts(box))

    def correct(
        self, pixels: Pixels | None, box: Box, dtype: np.dtype[np.generic]
    ) -> Pixels | None:
        """The corrected pixels of a box.

        Parameters
        ----------
        pixels : ndarray or None
            The pixels as they are stored; None if all are zero.
        box : Box
            Where they are in the array.
        dtype : dtype
            Data type of the array.

        Returns
        -------
        ndarray or None
            Floats if any pixel is corrected, else `pixels`: float32 for images of up to 16 bits,
            which it holds exactly, else float64.
        """
        parts = list(self._parts(box))
        if pixels is None:
            if not any(np.any(profile.dark) for _, _, profile in parts):
                return None
            pixels = np.zeros(box.shape, dtype)
        if not parts:
            return pixels
        if len(parts) == 1 and parts[0][0] == box:
            out = np.empty(pixels.shape, float_dtype(pixels.dtype))
        else:
            out = pixels.astype(float_dtype(pixels.dtype))
        for part, field, profile in parts:
            inside = part.within(box)
            place = Box(part.start[-2:], part.stop[-2:]).within(field)
            _correct(pixels[inside], place, profile, out[inside])
        return out

    def _parts(self, box: Box) -> Iterator[tuple[Box, Box, ChannelProfile]]:
        """The parts of a box that are corrected: pixels, their field, and the profile."""
        axis, plane = self.channel_axis, Box(box.start[-2:], box.stop[-2:])
        near = self._near(plane)
        for channel, profile in self.profiles.items():
            start, stop = list(box.start), list(box.stop)
            if axis is not None:
                if not start[axis] <= channel < stop[axis]:
                    continue
                start[axis], stop[axis] = channel, channel + 1
            for field in near:
                inner = field & plane
                yield (
                    Box((*start[:-2], *inner.start), (*stop[:-2], *inner.stop)),
                    field,
                    profile,
                )

    def _near(self, plane: Box) -> list[Box]:
        """The fields that touch a box in the plane."""
        start, stop = self._edges
        touches = np.all((start < plane.stop) & (stop > plane.start), axis=1)
        return [self.fields[k] for k in np.flatnonzero(touches).tolist()]

    @cached_property
    def _edges(self) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """First pixels of all fields, and the ends after their last."""
        return np.array([f.start for f in self.fields]), np.array([f.stop for f in self.fields])


def _correct(
    raw: Pixels, place: tuple[slice, ...], profile: ChannelProfile, out: NDArray[np.floating]
) -> None:
    """Write (raw − dark) / flat to `out`, a few rows of a plane at a time."""
    flat = profile.flat[place]
    dark = np.broadcast_to(np.asarray(profile.dark, out.dtype), profile.flat.shape)[place]
    is_constant = np.ndim(profile.dark) == 0
    rows = max(1, _STRIP_PX // raw.shape[-1])
    for plane in np.ndindex(raw.shape[:-2]):
        for first in range(0, raw.shape[-2], rows):
            strip = slice(first, first + rows)
            target = out[plane][strip]
            less = dark[0, 0] if is_constant else dark[strip]
            np.subtract(raw[plane][strip], less, out=target)
            np.divide(target, flat[strip], out=target)
