"""Search the shift of a pair at a coarse level, over all shifts that are allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from platefuse.errors import ImageError
from platefuse.geometry import Box
from platefuse.measuring.pair.blocks import overlap_box
from platefuse.measuring.pair.correlate import Lags, Peak, Plane, Surface, surface
from platefuse.measuring.pair.levels import Levels
from platefuse.measuring.pair.regions import Region, Regions, search_factor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from platefuse.measuring.pair.pattern import FixedPattern

BEYOND = 32
"""Shifts that are looked at beyond the allowed ones, in pixels of the coarse level: they tell a
shift that is too large from one that is found, and how high the noise is."""

_LEAST_OVERLAP_PX = 1024
"""Least overlap at level 0, whatever share is asked for."""

CELL_PX = 8
"""Side of the cells for which texture is known, in pixels of the coarse level."""


@dataclass(frozen=True)
class Request:
    """What is searched.

    Attributes
    ----------
    offset : (float, float)
        Nominal position (y, x) of pixel 0 of the moving image in the reference, in pixels.
    most : (float, float)
        Largest shift from there.
    min_overlap : float or None
        Least overlap, as a share of the nominal one.
    """

    offset: tuple[float, float]
    most: tuple[float, float]
    min_overlap: float | None = None

    def least_overlap_px(self, reference: Levels, moving: Levels) -> float:
        """Least overlap in pixels of level 0."""
        whole = [round(v) for v in self.offset]
        nominal = overlap_box(reference.shape, moving.shape, whole).size
        smaller = min(math.prod(reference.shape), math.prod(moving.shape))
        share = self.min_overlap
        if share is None:  # most of the field, or a strip that two neighbours share
            share = 0.25 if nominal > smaller / 2 else 0.5
        return max(share * nominal, min(_LEAST_OVERLAP_PX, smaller / 4))

    def regions(self, reference: Levels, moving: Levels) -> tuple[Box, Box]:
        """What each image can share with the other: boxes of its own pixels, axes yx.

        Raises
        ------
        ImageError
            If they share nothing, whatever the shift.
        """
        boxes = []
        for own, other, sign in ((reference, moving, 1), (moving, reference, -1)):
            axes = list(zip(own.shape, other.shape, self.offset, self.most, strict=True))
            start = [min(n, max(0, math.floor(sign * o - k))) for n, _, o, k in axes]
            stop = [max(0, min(n, math.ceil(sign * o + m + k))) for n, m, o, k in axes]
            boxes.append(Box(tuple(start), tuple(stop)))
        if not all(box.size for box in boxes):
            raise ImageError(
                f"Images of {reference.shape} and {moving.shape} pixels at offset {self.offset} do "
                f"not overlap, whatever the shift up to {self.most} pixels. Check the offset, or "
                "allow a larger shift."
            )
        return boxes[0], boxes[1]


@dataclass(frozen=True)
class Search:
    """What was found at the coarse level.

    Attributes
    ----------
    factor : int
        How much smaller the level is.
    sides : (Region, Region)
        Reference and moving image.
    surface : Surface
        Correlation at all lags.
    lags : Lags
        Those that are allowed.
    """

    factor: int
    sides: tuple[Region, Region]
    surface: Surface
    lags: Lags

    def displacement(self, peak: Peak) -> tuple[float, float]:
        """Position of pixel 0 of the moving image in the reference, in pixels of level 0."""
        a, b = (side.origin for side in self.sides)
        y, x = (
            self.factor * (lag + part + p - q)
            for lag, part, p, q in zip(peak.lag, peak.offset, a, b, strict=True)
        )
        return y, x

    def lag(self, displacement: Sequence[float]) -> tuple[float, float]:
        """The lag of a displacement: the inverse."""
        a, b = (side.origin for side in self.sides)
        y, x = (d / self.factor - p + q for d, p, q in zip(displacement, a, b, strict=True))
        return y, x

    def overlap(self, lag: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The prepared pixels of both images that overlap at a lag."""
        first, second = (side.prepared.pixels for side in self.sides)
        box = overlap_box(first.shape, second.shape, lag)
        (top, left), (bottom, right) = box.start, box.stop
        return first[top:bottom, left:right], second[
            top - lag[0] : bottom - lag[0], left - lag[1] : right - lag[1]
        ]

    def raw_score_at_camera(self) -> float:
        """Correlation before patterns are subtracted, where pixels of the camera coincide."""
        first, second = self.sides
        whole = (second.origin[0] - first.origin[0], second.origin[1] - first.origin[1])
        near = Lags(whole, whole)
        return float(surface(Plane(first.raw), Plane(second.raw), near, 1).score[0, 0])

    def texture_map(self, lag: tuple[int, int]) -> NDArray[np.float32]:
        """Energy that both images have in each cell of `CELL_PX` pixels of their overlap."""
        energies = [_cell_energies(plane) for plane in self.overlap(lag)]
        return np.asarray(np.sqrt(energies[0] * energies[1]))

    def structured_cells(self, lag: tuple[int, int]) -> float:
        """Over how many cells of `CELL_PX` pixels the structure of both images is spread.

        The participation ratio of their energy, ``sum(a) * sum(b) / sum(a * b)``, after that of the
        noise of the camera is subtracted: the number of cells if all have as much, few if all
        structure is in a few, and 0 without any.
        """
        energies = []
        for plane, side in zip(self.overlap(lag), self.sides, strict=True):
            noise = (1 - side.texture) * float(np.square(side.prepared.pixels).mean())
            sizes = _cell_energies(np.ones_like(plane))
            energies.append(np.asarray(_cell_energies(plane) - noise * sizes, np.float64))
        first, second = energies
        common = float((first * second).sum())
        return max(0.0, float(first.sum() * second.sum()) / common) if common > 0 else 0.0


def _cell_energies(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum of the squares in each cell; cells at the far borders may be smaller."""
    rows, columns = (np.arange(0, n, CELL_PX) for n in plane.shape)
    return np.add.reduceat(np.add.reduceat(np.square(plane), rows, axis=0), columns, axis=1)


def level_of_search(reference: Levels, moving: Levels) -> int:
    """How much smaller the level is at which two images are searched.

    Also strips are searched at the level of their fields: there is where patterns are known.
    """
    return search_factor(max(math.prod(levels.shape) for levels in (reference, moving)))


def search(
    reference: Levels,
    moving: Levels,
    request: Request,
    patterns: tuple[FixedPattern | None, FixedPattern | None],
    regions: Regions,
) -> Search:
    """Correlate what two images can share, at a coarse level.

    Parameters
    ----------
    reference, moving : Levels
        The images. Of a stack, the largest value of all planes is taken.
    request : Request
        Which shifts.
    patterns : pair of FixedPattern or None
        What is subtracted from each image.
    regions : Regions
        Prepares the regions, and has those that other pairs share.
    """
    boxes = request.regions(reference, moving)
    factor = level_of_search(reference, moving)
    both = zip((reference, moving), boxes, patterns, strict=True)
    first, second = (regions.of(levels, box, factor, pattern) for levels, box, pattern in both)
    shape = list(zip(request.offset, request.most, first.origin, second.origin, strict=True))
    low = [math.ceil((o - k) / factor) - a + b for o, k, a, b in shape]
    high = [math.floor((o + k) / factor) - a + b for o, k, a, b in shape]
    # not further than the images overlap: any number of pixels may be allowed
    low = [max(n, -m) for n, m in zip(low, second.prepared.shape, strict=True)]
    high = [min(n, m) for n, m in zip(high, first.prepared.shape, strict=True)]
    lags = Lags((low[0], low[1]), (max(low[0], high[0]), max(low[1], high[1])))
    least = int(request.least_overlap_px(reference, moving) / factor**2)
    correlated = surface(first.prepared, second.prepared, lags.grown(BEYOND), least)
    return Search(factor, (first, second), correlated, lags)
