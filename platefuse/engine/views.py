"""Views: boxes of source pixels with their place in the output; shifted views."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.blending import border_weights
from platefuse.engine.sampling import REACH, resample
from platefuse.engine.sources import Source
from platefuse.geometry import Box, Pixels

if TYPE_CHECKING:
    import xarray

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class View(ABC):
    """A box of source pixels with its place in the output.

    By default a view covers all pixels of `placed`, with equal weights, and is nowhere a plain
    copy of its source.

    Attributes
    ----------
    source : Source
        The array that it is read from.
    box : Box
        The source pixels that hold data, on all axes. Pixels outside are never used.
    placed : Box
        The output pixels that the view covers or, if it is rotated, may cover.
    params : xarray.DataArray or None
        The affine as the caller gave it, for plug-ins.
    """

    source: Source
    box: Box
    placed: Box
    params: xarray.DataArray | None = field(default=None, kw_only=True)

    @abstractmethod
    def request(self, region: Box) -> Box:
        """The source pixels that a region inside `placed` is computed from.

        Empty where the view, rotated, covers no pixel of it.
        """

    @abstractmethod
    def footprint(self, box: Box, tile: Sequence[int]) -> Box:
        """A box that holds all output regions whose `request` meets a box of source pixels.

        It may be larger than needed.

        Parameters
        ----------
        box : Box
            Source pixels.
        tile : sequence of int
            Shape of the largest region that is requested.
        """

    @abstractmethod
    def fetch(self, region: Box, reader: Hashable) -> Pixels | None:
        """The view's pixels on a region inside `placed`.

        In the source's dtype if they are copied or the nearest pixels are taken, else float.
        None if all of them are zero, or the view covers none.

        Parameters
        ----------
        region : Box
            The region.
        reader : hashable
            Name of the reader: see `Source.read`.
        """

    def original(self, region: Box) -> Box | None:
        """The source pixels that a region is a plain copy of; None if it is not a copy."""
        return None

    def covers(self, region: Box) -> Mask | None:
        """Which pixels of a region inside `placed` the view covers; None: all of them."""
        return None

    def weights(self, region: Box) -> NDArray[np.float32]:
        """Blending weights on a region inside `placed`; above zero where the view covers.

        Of length 1 on axes along which they do not vary.
        """
        return np.ones((1,) * len(region.start), np.float32)


@dataclass(frozen=True)
class ShiftedView(View):
    """A view that is shifted, by whole pixels or fractions; attributes of `View`, and these.

    Interpolation also uses pixels of `box` that are not placed.

    Attributes
    ----------
    shift_px : tuple of float
        Output position = source position + shift, on all axes.
    order : int
        Interpolation order for shifts that are not whole: 0 nearest, 1 linear, 3 cubic.
    widths_px : tuple of float
        Blending width on each axis, in pixels; 0 where nothing is blended.
    """

    shift_px: tuple[float, ...]
    order: int = 0
    widths_px: tuple[float, ...] = ()

    @classmethod
    def at(
        cls,
        source: Source,
        box: Box,
        shift_px: Sequence[float],
        *,
        order: int = 0,
        widths_px: Sequence[float] = (),
        params: xarray.DataArray | None = None,
    ) -> ShiftedView:
        """The view of a shifted box; the shift is rounded to whole pixels if `order` is 0.

        It covers the output pixels whose centres lie in the shifted box: as many as the box has.
        """
        shift = tuple(_half_down(s) if order == 0 else s for s in shift_px)
        start = tuple(_half_down(a + s) for a, s in zip(box.start, shift, strict=True))
        placed = Box(start, tuple(a + n for a, n in zip(start, box.shape, strict=True)))
        shift_px = tuple(map(float, shift))
        return cls(source, box, placed, shift_px, order, tuple(widths_px), params=params)

    @property
    def is_whole(self) -> bool:
        """Whether its pixels lie on output pixels, so that placing it copies them."""
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
        axes = list(zip(box.start, box.stop, self.shift_px, spread, strict=True))
        return self.placed & Box(
            tuple(math.floor(a + s) - w for a, _, s, w in axes),
            tuple(math.ceil(b + s) + w for _, b, s, w in axes),
        )

    def original(self, region: Box) -> Box | None:
        """See `View`."""
        if not self.is_whole or not self.placed.contains(region):
            return None
        request = self.request(region)
        return request if self.source.is_as_stored(request) else None

    def fetch(self, region: Box, reader: Hashable) -> Pixels | None:
        """See `View`."""
        request = self.request(region)
        pixels = self.source.read(request, reader)
        if pixels is None or self.is_whole:
            return pixels
        whole = [math.floor(-s) for s in self.shift_px]
        fractions = [-s - w for s, w in zip(self.shift_px, whole, strict=True)]
        first = [a + w - r for a, w, r in zip(region.start, whole, request.start, strict=True)]
        return resample(pixels, first, fractions, region.shape, self.order)

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
                if min(ramp[0], ramp[-1]) < 1:  # a ramp has its lowest weights at its ends
                    along.append(_along(ramp, axis, ndim))
        return reduce(np.multiply, along) if along else np.ones((1,) * ndim, np.float32)


def clamped(start: Sequence[int], stop: Sequence[int], reach: Sequence[int], box: Box) -> Box:
    """A box widened by the reach of a kernel and clamped to `box`: at least one pixel of it.

    A sample just outside `box` takes its border pixels.
    """
    axes = list(zip(start, stop, reach, box.start, box.stop, strict=True))
    return Box(
        tuple(min(max(a - r, first), last - 1) for a, _, r, first, last in axes),
        tuple(max(min(b + r, last), first + 1) for _, b, r, first, last in axes),
    )


@lru_cache(maxsize=256)
def _ramp(position: float, n: int, size: int, width: float) -> NDArray[np.float32]:
    """Blending weights of `n` pixels, the first at a position in a box of `size`, on one axis.

    Cached: they are the same for all fields on whole pixels, and for all tiles.
    """
    ramp = border_weights(position + np.arange(n), 0, size, width)
    ramp.flags.writeable = False
    return ramp


def _along(values: NDArray[np.float32], axis: int, ndim: int) -> NDArray[np.float32]:
    return values.reshape([-1 if a == axis else 1 for a in range(ndim)])


def _half_down(value: float) -> int:
    """Nearest whole number; halves go down, so that adjacent boxes stay adjacent when shifted."""
    return math.ceil(value - 0.5)
