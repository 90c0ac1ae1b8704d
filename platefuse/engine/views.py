"""Views: boxes of source pixels, each with its place in the output."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.blending import border_weights
from platefuse.engine.sampling import REACH, resample
from platefuse.engine.sources import Source
from platefuse.geometry import Box

Pixels = NDArray[Any]
Mask = NDArray[np.bool_]


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
        """The source pixels that a region of the output, inside `placed`, is made of.

        Empty where the view, turned, covers none of it.
        """

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
        Its pixels in the source, and what it covers of the output. Interpolation also uses pixels
        of `box` that are not placed.
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
        return clamped(start, stop, reach, self.box)

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
        along = []
        for axis, width in enumerate(self.widths_px):
            if width > 0:
                first, start = self.placed.start[axis], self.box.start[axis]
                n, size = self.placed.stop[axis] - first, self.box.stop[axis] - start
                ramp = _ramp(first - self.shift_px[axis] - start, n, size, width)
                ramp = ramp[region.start[axis] - first : region.stop[axis] - first]
                if min(ramp[0], ramp[-1]) < 1:  # it rises and falls: nothing between is lower
                    along.append(_along(ramp, axis, ndim))
        return reduce(np.multiply, along) if along else np.ones((1,) * ndim, np.float32)


def clamped(start: Sequence[int], stop: Sequence[int], reach: Sequence[int], box: Box) -> Box:
    """A box widened by the reach of a kernel and kept inside `box`, at least one pixel of it.

    Clamped, not cut: a sample just outside the box takes its border pixels.
    """
    axes = list(zip(start, stop, reach, box.start, box.stop, strict=True))
    return Box(
        tuple(min(max(a - r, first), last - 1) for a, _, r, first, last in axes),
        tuple(max(min(b + r, last), first + 1) for _, b, r, first, last in axes),
    )


@lru_cache(maxsize=256)
def _ramp(position: float, n: int, size: int, width: float) -> NDArray[np.float32]:
    """Blending weights of `n` pixels, the first at a position in a box of `size`, on one axis.

    Fields on whole pixels have theirs in common, tile by tile; what is kept is bounded.
    """
    ramp = border_weights(position + np.arange(n), 0, size, width)
    ramp.flags.writeable = False
    return ramp


def _along(values: NDArray[np.float32], axis: int, ndim: int) -> NDArray[np.float32]:
    return values.reshape([-1 if a == axis else 1 for a in range(ndim)])


def _half_down(value: float) -> int:
    """Nearest whole number; halves go down, so that moved boxes that abut still do."""
    return math.ceil(value - 0.5)
