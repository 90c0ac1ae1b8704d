"""Views: boxes of source pixels, each with its place in the output."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platefuse.blending import REACH, border_weights, resample
from platefuse.geometry import Box
from platefuse.sources import Source

Pixels = NDArray[Any]


@dataclass(frozen=True)
class View:
    """A box of source pixels and where it lies in the output.

    Attributes
    ----------
    source : Source
        The array it is read from.
    box : Box
        The source pixels that hold data, on all axes. Pixels outside are never used.
    placed : Box
        The output pixels that the view covers, on all axes.
    shift_px : tuple of float
        Output position = source position + shift, on all axes.
    order : int
        Interpolation order for shifts that are not whole: 0 nearest, 1 linear, 3 cubic.
    """

    source: Source
    box: Box
    placed: Box
    shift_px: tuple[float, ...]
    order: int = 0

    @classmethod
    def at(
        cls, source: Source, box: Box, shift_px: Sequence[float], *, order: int = 0
    ) -> View:
        """The view of a box that is moved by a shift, rounded to whole pixels if `order` is 0.

        It covers the output pixels whose centres lie in the moved box: as many as it has.
        """
        shift = tuple(_half_down(s) if order == 0 else s for s in shift_px)
        start = tuple(_half_down(a + s) for a, s in zip(box.start, shift, strict=True))
        placed = Box(start, tuple(a + n for a, n in zip(start, box.shape, strict=True)))
        return cls(source, box, placed, tuple(map(float, shift)), order)

    @property
    def is_whole(self) -> bool:
        """Whether its pixels fall on output pixels, so that placing it is copying."""
        return all(float(s).is_integer() for s in self.shift_px)

    def request(self, region: Box) -> Box:
        """The source pixels that a region of the output, inside `placed`, is made of."""
        if self.is_whole:
            return region.shifted([-int(s) for s in self.shift_px])
        reach = REACH[self.order]
        start = [math.floor(a - s) for a, s in zip(region.start, self.shift_px, strict=True)]
        stop = [math.ceil(b - 1 - s) + 1 for b, s in zip(region.stop, self.shift_px, strict=True)]
        wide = [0 if float(s).is_integer() else reach for s in self.shift_px]
        # clamped, not cut: a sample just outside the box takes its border pixels
        lo = [
            min(max(a - w, first), last - 1)
            for a, w, first, last in zip(start, wide, self.box.start, self.box.stop, strict=True)
        ]
        hi = [
            max(min(b + w, last), first + 1)
            for b, w, first, last in zip(stop, wide, self.box.start, self.box.stop, strict=True)
        ]
        return Box(tuple(lo), tuple(hi))

    def footprint(self, box: Box) -> Box:
        """The output pixels that may be made of a box of source pixels (rather too many)."""
        reach = REACH[self.order] + 1
        spread = [0 if float(s).is_integer() else reach for s in self.shift_px]
        return self.placed & Box(
            tuple(
                math.floor(a + s) - w
                for a, s, w in zip(box.start, self.shift_px, spread, strict=True)
            ),
            tuple(
                math.ceil(b + s) + w
                for b, s, w in zip(box.stop, self.shift_px, spread, strict=True)
            ),
        )

    def fetch(self, region: Box, who: Hashable) -> Pixels | None:
        """The view's pixels on a region of the output inside `placed`.

        Returns
        -------
        ndarray or None
            In the source's dtype where placing is copying, else float; None if all are zero.
        """
        request = self.request(region)
        pixels = self.source.read(request, who)
        if pixels is None or self.is_whole:
            return pixels
        whole = [math.floor(-s) for s in self.shift_px]
        fractions = [-s - w for s, w in zip(self.shift_px, whole, strict=True)]
        first = [a + w - r for a, w, r in zip(region.start, whole, request.start, strict=True)]
        return resample(pixels, first, fractions, region.shape, self.order)

    def weights(self, region: Box, widths_px: Sequence[float]) -> NDArray[np.float64]:
        """Blending weights on a region of the output inside `placed`.

        Parameters
        ----------
        region : Box
            Output pixels.
        widths_px : sequence of float
            Blending width on each axis, in pixels; 0 for axes that are not blended.

        Returns
        -------
        ndarray of float64
            Above zero; of length 1 on axes without blending.
        """
        weights = np.ones((1,) * len(widths_px))
        for axis, width in enumerate(widths_px):
            if width <= 0:
                continue
            position = np.arange(region.start[axis], region.stop[axis]) - self.shift_px[axis]
            ramp = border_weights(position, self.box.start[axis], self.box.stop[axis], width)
            weights = weights * ramp.reshape([-1 if a == axis else 1 for a in range(len(widths_px))])
        return weights


def _half_down(value: float) -> int:
    """Nearest whole number; halves go down, so that moved boxes that abut still do."""
    return math.ceil(value - 0.5)
