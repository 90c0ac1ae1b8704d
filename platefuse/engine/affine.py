"""Views that are rotated, scaled or sheared."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import product

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.blending import falling, float_dtype
from platefuse.engine.sampling import REACH, is_whole, sample
from platefuse.engine.views import Mask, View, clamped
from platefuse.geometry import Box, Pixels

_GRAIN = 2.0**-34
"""Coefficients of affines are whole multiples of this, so that float64 adds them exactly and no
pixel depends on the region it was computed in; over 100,000 pixels they are 3e-6 pixels off."""


@dataclass(frozen=True)
class AffineView(View):
    """A view that is rotated, scaled or sheared in space; attributes of `View`, and these.

    Attributes
    ----------
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
    inverse : ndarray of float64, shape (n, n)
        Linear part of the map from output pixels to source pixels.
    origin : ndarray of float64, shape (n,)
        Source position of output position 0.
    """

    placed: Box = field(init=False)
    matrix: NDArray[np.float64]
    offset: tuple[float, ...]
    leading: Box
    order: int = 1
    widths_px: tuple[float, ...] = ()
    inverse: NDArray[np.float64] = field(init=False)
    origin: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        inverse = np.round(np.linalg.inv(self.matrix) / _GRAIN) * _GRAIN
        origin = np.round(-inverse @ np.asarray(self.offset) / _GRAIN) * _GRAIN
        object.__setattr__(self, "inverse", inverse)
        object.__setattr__(self, "origin", origin)
        space = self._forward(self._source_box, margin=0.5)
        placed = Box(
            (*self.leading.start, *(math.ceil(a) for a in space[0])),
            (*self.leading.stop, *(math.floor(b) + 1 for b in space[1])),
        )
        object.__setattr__(self, "placed", placed)

    def request(self, region: Box) -> Box:
        """See `View`."""
        space = _in_space(region, len(self.offset))
        found = self._corners(space)
        if self._misses(found):
            return Box(self.box.start, self.box.start)
        start = [math.floor(a) for a in found.min(axis=0)]
        stop = [math.ceil(b) + 1 for b in found.max(axis=0)]
        lead = len(self.leading.start)
        back = [b - a for a, b in zip(self.leading.start, self.box.start[:lead], strict=True)]
        first = Box(region.start[:lead], region.stop[:lead]).shifted(back)
        axes = zip(self.inverse, self.origin, strict=True)
        reach = [0 if is_whole(row, origin) else REACH[self.order] for row, origin in axes]
        inner = clamped(start, stop, reach, self._source_box)
        return Box((*first.start, *inner.start), (*first.stop, *inner.stop))

    def footprint(self, box: Box, tile: Sequence[int]) -> Box:
        """See `View`."""
        n = len(self.offset)
        low, high = self._forward(_in_space(box, n), margin=REACH[self.order] + 1)
        # a rotated region requests its bounding box in the source: more pixels than it needs
        spread = np.abs(self.matrix) @ np.abs(self.inverse) - np.eye(n)
        slack = spread @ np.array(tile[-n:]) / 2
        low, high = low - slack, high + slack
        lead = len(self.leading.start)
        shift = [a - b for a, b in zip(self.leading.start, self.box.start[:lead], strict=True)]
        first = Box(box.start[:lead], box.stop[:lead]).shifted(shift)
        return self.placed & Box(
            (*first.start, *(math.floor(a) for a in low)),
            (*first.stop, *(math.ceil(b) + 1 for b in high)),
        )

    def fetch(self, region: Box, reader: Hashable) -> Pixels | None:
        """See `View`."""
        n = len(self.offset)
        request = self.request(region)
        pixels = None if request.empty else self.source.read(request, reader)
        if pixels is None:
            return None
        start = np.array(_in_space(region, n).start)
        offset = self.inverse @ start + self.origin - np.array(_in_space(request, n).start)
        # nearest pixels keep their dtype: floats do not hold large ids exactly
        dtype = float_dtype(pixels.dtype) if self.order else pixels.dtype
        out = np.empty(region.shape, dtype)
        for index in np.ndindex(region.shape[:-n]):
            sample(pixels[index], self.inverse, offset, self.order, out[index])
        return out

    def covers(self, region: Box) -> Mask | None:
        """See `View`."""
        space, box = _in_space(region, len(self.offset)), self._source_box
        corners = self._corners(space)
        if all(
            (start - 0.5 <= at).all() and (at < stop - 0.5).all()
            for at, start, stop in zip(corners.T, box.start, box.stop, strict=True)
        ):  # boxes are convex: if the view holds all corners, it holds the whole region
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
        space, box = _in_space(region, len(self.offset)), self._source_box
        corners = self._corners(space)
        weights = np.ones((1,) * len(region.start), np.float32)
        for width, terms, at, start, stop in zip(
            self.widths_px, self._terms(space), corners.T, box.start, box.stop, strict=False
        ):
            if width <= 0:
                continue
            distances = []
            if at.min() - (start - 0.5) < width:
                distances.append(_distance(terms, start - 0.5, 1.0))
            if (stop - 0.5) - at.max() < width:
                distances.append(_distance(terms, stop - 0.5, -1.0))
            if distances:
                weights = weights * falling(reduce(np.minimum, distances), width)
        return weights

    @property
    def _source_box(self) -> Box:
        return _in_space(self.box, len(self.offset))

    def _terms(self, space: Box) -> Iterator[list[NDArray[np.float64]]]:
        """For each source axis, terms whose sum is the position of a region's pixels on it."""
        grid = np.ogrid[space.slices]
        for row, origin in zip(self.inverse, self.origin, strict=True):
            first, *others = (c * g for c, g in zip(row, grid, strict=True))
            yield [first + origin, *others]

    def _misses(self, corners: NDArray[np.float64]) -> bool:
        """Whether a box with these corners in the source has no pixel of the view.

        This happens, for example, at the corners of `placed`.
        """
        box = self._source_box
        edges = zip(corners.min(axis=0), corners.max(axis=0), box.start, box.stop, strict=True)
        return any(b < start - 0.5 or a >= stop - 0.5 for a, b, start, stop in edges)

    def _corners(self, space: Box) -> NDArray[np.float64]:
        """Source positions of the corner pixels of a box."""
        ends = zip(space.start, [b - 1 for b in space.stop], strict=True)
        return np.asarray(np.array(list(product(*ends))) @ self.inverse.T + self.origin)

    def _forward(self, box: Box, *, margin: float) -> NDArray[np.float64]:
        """Lowest and highest output position of a box of source pixels, widened by a margin."""
        edges = zip(box.start, box.stop, strict=True)
        corners = np.array(list(product(*((a - margin, b - 1 + margin) for a, b in edges))))
        mapped = corners @ self.matrix.T + np.asarray(self.offset)
        return np.array([mapped.min(axis=0), mapped.max(axis=0)])


def _distance(
    terms: Sequence[NDArray[np.float64]], edge: float, sign: float
) -> NDArray[np.float32]:
    """Distance of pixels from an edge on one axis: behind it, or before it if `sign` is -1."""
    *others, last = terms  # all sums are exact; only the last one has the size of the region
    ahead = sign * (sum(others) - edge)
    shape = np.broadcast_shapes(np.shape(ahead), last.shape)
    return np.add(ahead, sign * last, out=np.empty(shape, np.float32), casting="same_kind")


def _in_space(box: Box, n: int) -> Box:
    return Box(box.start[-n:], box.stop[-n:])
