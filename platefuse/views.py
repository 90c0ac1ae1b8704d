"""Views: boxes of source pixels, each with its place in the output."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from platefuse.blending import REACH, border_weights, float_dtype, resample
from platefuse.geometry import Box
from platefuse.sources import Source

Pixels = NDArray[Any]
Mask = NDArray[np.bool_]

_GRAIN = 2.0**-34
"""Coefficients of affines are whole multiples of this, so that float64 adds them exactly and no
pixel depends on the block it was computed in; over 100,000 pixels they are 3e-6 pixels off."""


class View(Protocol):
    """What the engine needs to know of a view."""

    @property
    def source(self) -> Source:
        """The array it is read from."""

    @property
    def box(self) -> Box:
        """The source pixels that hold data, on all axes. Pixels outside are never used."""

    @property
    def placed(self) -> Box:
        """The output pixels that the view covers or, if it is turned, may cover."""

    @property
    def params(self) -> Any:
        """The affine as the caller gave it, for plug-ins that want it."""

    def request(self, region: Box) -> Box:
        """The source pixels that a region of the output, inside `placed`, is made of."""

    def footprint(self, box: Box, tile: Sequence[int]) -> Box:
        """Where output regions that request some of a box of source pixels lie (rather too much).

        Parameters
        ----------
        box : Box
            Source pixels.
        tile : sequence of int
            Shape of the largest region that is requested.
        """

    def original(self, region: Box) -> Box | None:
        """The source pixels that a region of the output is a copy of; None if it is none."""

    def fetch(self, region: Box, who: Hashable) -> Pixels | None:
        """The view's pixels on a region of the output inside `placed`.

        In the source's dtype where placing is copying, else float. None if all are zero, or
        none is covered.
        """

    def covers(self, region: Box) -> Mask | None:
        """Which pixels of a region inside `placed` the view covers; None: all of them."""

    def weights(self, region: Box) -> NDArray[np.float32]:
        """Blending weights on a region inside `placed`, above zero where it covers.

        Of length 1 on axes along which they do not vary.
        """


@dataclass(frozen=True)
class ShiftedView:
    """A view that is moved, by whole pixels or not.

    Attributes
    ----------
    source : Source
        The array it is read from.
    box, placed : Box
        Its pixels in the source, and where they lie in the output; of one shape.
    shift_px : tuple of float
        Output position = source position + shift, on all axes.
    order : int
        Interpolation order for shifts that are not whole: 0 nearest, 1 linear, 3 cubic.
    widths_px : tuple of float
        Blending width on each axis, in pixels; 0 where nothing is blended.
    params : object
        The affine as the caller gave it, for plug-ins that want it.
    """

    source: Source
    box: Box
    placed: Box
    shift_px: tuple[float, ...]
    order: int = 0
    widths_px: tuple[float, ...] = ()
    params: Any = None

    @classmethod
    def at(
        cls,
        source: Source,
        box: Box,
        shift_px: Sequence[float],
        *,
        order: int = 0,
        widths_px: Sequence[float] = (),
        params: Any = None,
    ) -> ShiftedView:
        """The view of a box that is moved by a shift, rounded to whole pixels if `order` is 0.

        It covers the output pixels whose centres lie in the moved box: as many as it has.
        """
        shift = tuple(_half_down(s) if order == 0 else s for s in shift_px)
        start = tuple(_half_down(a + s) for a, s in zip(box.start, shift, strict=True))
        placed = Box(start, tuple(a + n for a, n in zip(start, box.shape, strict=True)))
        return cls(source, box, placed, tuple(map(float, shift)), order, tuple(widths_px), params)

    @property
    def is_whole(self) -> bool:
        """Whether its pixels fall on output pixels, so that placing it is copying."""
        return all(float(s).is_integer() for s in self.shift_px)

    def request(self, region: Box) -> Box:
        """See `View`."""
        if self.is_whole:
            return region.shifted([-int(s) for s in self.shift_px])
        reach = [0 if float(s).is_integer() else REACH[self.order] for s in self.shift_px]
        start = [math.floor(a - s) for a, s in zip(region.start, self.shift_px, strict=True)]
        stop = [math.ceil(b - s) for b, s in zip(region.stop, self.shift_px, strict=True)]
        return _clamped(start, stop, reach, self.box)

    def footprint(self, box: Box, tile: Sequence[int]) -> Box:
        """See `View`."""
        spread = [0 if float(s).is_integer() else REACH[self.order] + 1 for s in self.shift_px]
        moved = list(zip(box.start, box.stop, self.shift_px, spread, strict=True))
        return self.placed & Box(
            tuple(math.floor(a + s) - w for a, _, s, w in moved),
            tuple(math.ceil(b + s) + w for _, b, s, w in moved),
        )

    def original(self, region: Box) -> Box | None:
        """See `View`."""
        return self.request(region) if self.is_whole and self.placed.contains(region) else None

    def fetch(self, region: Box, who: Hashable) -> Pixels | None:
        """See `View`."""
        request = self.request(region)
        pixels = self.source.read(request, who)
        if pixels is None or self.is_whole:
            return pixels
        whole = [math.floor(-s) for s in self.shift_px]
        fractions = [-s - w for s, w in zip(self.shift_px, whole, strict=True)]
        first = [a + w - r for a, w, r in zip(region.start, whole, request.start, strict=True)]
        return resample(pixels, first, fractions, region.shape, self.order)

    def covers(self, region: Box) -> Mask | None:
        """All pixels of `placed`."""
        return None

    def weights(self, region: Box) -> NDArray[np.float32]:
        """See `View`."""
        ndim = len(region.start)
        weights = np.ones((1,) * ndim, np.float32)
        for axis, width in enumerate(self.widths_px):
            if width > 0:
                position = np.arange(region.start[axis], region.stop[axis]) - self.shift_px[axis]
                ramp = border_weights(position, self.box.start[axis], self.box.stop[axis], width)
                if ramp.min() < 1:
                    weights = weights * _along(ramp, axis, ndim)
        return weights


@dataclass(frozen=True)
class AffineView:
    """A view that is turned, scaled or sheared in space.

    Attributes
    ----------
    source : Source
        The array it is read from.
    box : Box
        Its pixels in the source.
    matrix : ndarray of float64, shape (n, n)
        Linear part: output pixels from source pixels, on the last n axes, which are in space.
    offset : tuple of float
        Output position of source position 0, on the last n axes.
    leading : Box
        Its box in the output on the leading axes, where nothing is interpolated.
    order : int
        Interpolation order: 0, 1 or 3.
    widths_px : tuple of float
        Blending width on each of the last n axes of the source, in its pixels.
    params : object
        The affine as the caller gave it, for plug-ins that want it.
    """

    source: Source
    box: Box
    matrix: NDArray[np.float64]
    offset: tuple[float, ...]
    leading: Box
    order: int = 1
    widths_px: tuple[float, ...] = ()
    params: Any = None
    placed: Box = field(init=False)
    inverse: NDArray[np.float64] = field(init=False)
    origin: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        inverse = np.round(np.linalg.inv(self.matrix) / _GRAIN) * _GRAIN
        origin = np.round(-inverse @ np.asarray(self.offset) / _GRAIN) * _GRAIN
        object.__setattr__(self, "inverse", inverse)
        object.__setattr__(self, "origin", origin)
        space = self._forward(self._box_in_space, margin=0.5)
        placed = Box(
            (*self.leading.start, *(math.ceil(a) for a in space[0])),
            (*self.leading.stop, *(math.floor(b) + 1 for b in space[1])),
        )
        object.__setattr__(self, "placed", placed)

    def request(self, region: Box) -> Box:
        """See `View`."""
        found = self._corners(_last(region, len(self.offset)))
        start = [math.floor(a) for a in found.min(axis=0)]
        stop = [math.ceil(b) + 1 for b in found.max(axis=0)]
        lead = len(self.leading.start)
        moved = [b - a for a, b in zip(self.leading.start, self.box.start[:lead], strict=True)]
        first = Box(region.start[:lead], region.stop[:lead]).shifted(moved)
        reach = [REACH[self.order]] * len(start)
        inner = _clamped(start, stop, reach, self._box_in_space)
        return Box((*first.start, *inner.start), (*first.stop, *inner.stop))

    def footprint(self, box: Box, tile: Sequence[int]) -> Box:
        """See `View`."""
        n = len(self.offset)
        low, high = self._forward(_last(box, n), margin=REACH[self.order] + 1)
        # a turned region requests the upright box around itself: more than it is made of
        spread = np.abs(self.matrix) @ np.abs(self.inverse) - np.eye(n)
        slack = spread @ np.array(tile[-n:]) / 2
        low, high = low - slack, high + slack
        lead = len(self.leading.start)
        moved = [a - b for a, b in zip(self.leading.start, self.box.start[:lead], strict=True)]
        first = Box(box.start[:lead], box.stop[:lead]).shifted(moved)
        return self.placed & Box(
            (*first.start, *(math.floor(a) for a in low)),
            (*first.stop, *(math.ceil(b) + 1 for b in high)),
        )

    def original(self, region: Box) -> Box | None:
        """Nothing is a copy."""
        return None

    def fetch(self, region: Box, who: Hashable) -> Pixels | None:
        """See `View`."""
        from platefuse.affine import sample

        n = len(self.offset)
        if self._misses(_last(region, n)):
            return None
        request = self.request(region)
        pixels = self.source.read(request, who)
        if pixels is None:
            return None
        start = np.array(_last(region, n).start)
        offset = self.inverse @ start + self.origin - np.array(_last(request, n).start)
        # nearest pixels keep their dtype: a float would round large ids
        dtype = float_dtype(pixels.dtype) if self.order else pixels.dtype
        out = np.empty(region.shape, dtype)
        for index in np.ndindex(region.shape[:-n]):
            sample(pixels[index], self.inverse, offset, self.order, out[index])
        return out

    def covers(self, region: Box) -> Mask | None:
        """See `View`."""
        space, box = _last(region, len(self.offset)), self._box_in_space
        corners = self._corners(space)
        if all(
            (start - 0.5 <= at).all() and (at < stop - 0.5).all()
            for at, start, stop in zip(corners.T, box.start, box.stop, strict=True)
        ):  # a box has no dents: what holds its corners holds all of it
            return None
        inside = np.ones(space.shape, bool)
        edges = zip(self._terms(space), corners.T, box.start, box.stop, strict=True)
        for terms, at, start, stop in edges:
            ahead, last = reduce(np.add, terms[:-1]), terms[-1]  # all sums are exact
            if (at < start - 0.5).any():
                inside &= last >= start - 0.5 - ahead
            if (at >= stop - 0.5).any():
                inside &= last < stop - 0.5 - ahead
        return np.broadcast_to(inside, region.shape)

    def weights(self, region: Box) -> NDArray[np.float32]:
        """See `View`."""
        space, box = _last(region, len(self.offset)), self._box_in_space
        corners = self._corners(space)
        weights = np.ones((1,) * len(region.start), np.float32)
        for axis, terms in enumerate(self._terms(space)):
            width = self.widths_px[axis] if self.widths_px else 0
            start, stop = box.start[axis], box.stop[axis]
            ends = corners[:, axis].min(), corners[:, axis].max()
            if (border_weights(np.array(ends), start, stop, width) < 1).any():
                weights = weights * border_weights(reduce(np.add, terms), start, stop, width)
        return weights

    @property
    def _box_in_space(self) -> Box:
        return _last(self.box, len(self.offset))

    def _terms(self, space: Box) -> Iterator[list[NDArray[np.float64]]]:
        """For each axis of the source: what, added up, is the position of a box's pixels there."""
        grid = np.ogrid[space.slices]
        for row, origin in zip(self.inverse, self.origin, strict=True):
            first, *others = (c * g for c, g in zip(row, grid, strict=True))
            yield [first + origin, *others]

    def _misses(self, space: Box) -> bool:
        """Whether a box, for instance at a corner of `placed`, has no pixel of the view."""
        found, box = self._corners(space), self._box_in_space
        low, high = found.min(axis=0), found.max(axis=0)
        edges = zip(low, high, box.start, box.stop, strict=True)
        return any(b < start - 0.5 or a >= stop - 0.5 for a, b, start, stop in edges)

    def _corners(self, space: Box) -> NDArray[np.float64]:
        """Source positions of the corner pixels of a box."""
        ends = zip(space.start, [b - 1 for b in space.stop], strict=True)
        return np.asarray(np.array(list(product(*ends))) @ self.inverse.T + self.origin)

    def _forward(self, box: Box, *, margin: float) -> NDArray[np.float64]:
        """Lowest and highest output position of a box of source pixels, widened by a margin."""
        edges = zip(box.start, box.stop, strict=True)
        corners = np.array(list(product(*((a - margin, b - 1 + margin) for a, b in edges))))
        moved = corners @ self.matrix.T + np.asarray(self.offset)
        return np.array([moved.min(axis=0), moved.max(axis=0)])


def _clamped(start: Sequence[int], stop: Sequence[int], reach: Sequence[int], box: Box) -> Box:
    """A box widened by the reach of a kernel and kept inside `box`, at least one pixel of it.

    Clamped, not cut: a sample just outside the box takes its border pixels.
    """
    axes = list(zip(start, stop, reach, box.start, box.stop, strict=True))
    return Box(
        tuple(min(max(a - r, first), last - 1) for a, _, r, first, last in axes),
        tuple(max(min(b + r, last), first + 1) for _, b, r, first, last in axes),
    )


def _last(box: Box, n: int) -> Box:
    return Box(box.start[-n:], box.stop[-n:])


def _along(values: NDArray[np.float32], axis: int, ndim: int) -> NDArray[np.float32]:
    return values.reshape([-1 if a == axis else 1 for a in range(ndim)])


def _half_down(value: float) -> int:
    """Nearest whole number; halves go down, so that moved boxes that abut still do."""
    return math.ceil(value - 0.5)
