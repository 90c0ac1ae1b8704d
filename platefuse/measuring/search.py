"""Search the shift of a pair at a coarse level, over all shifts that are allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from platefuse.errors import ImageError
from platefuse.geometry import Box
from platefuse.measuring.blocks import overlap_box
from platefuse.measuring.correlate import Lags, Peak, Surface, surface
from platefuse.measuring.levels import Levels
from platefuse.measuring.prepare import Tone, prepare, texture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from platefuse.measuring.pattern import FixedPattern

MOST_PIXELS = 400_000
"""The search is done at the finest level where the pixels to be searched are no more than this."""

BEYOND = 32
"""Shifts that are looked at beyond the allowed ones, in pixels of the coarse level: they tell a
shift that is too large from one that is found, and how high the noise is."""

_LEAST_OVERLAP_PX = 1024
"""Least overlap at level 0, whatever share is asked for."""

_TEXTURE_SIGMA_PX = 8.0


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
        """What each image can share with the other: boxes of its own pixels."""
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
class Coarse:
    """One image at the coarse level.

    Attributes
    ----------
    origin : (int, int)
        First pixel of the region, in pixels of the level.
    prepared : ndarray of float32
        Prepared pixels of the region, without the fixed pattern.
    raw : ndarray of float32
        The same with it.
    tone : Tone
        How values were compressed.
    texture : float
        How much more than noise there is.
    strength : float
        What the pattern was multiplied by.
    pattern_share : float
        Share of the variance before that the pattern had.
    """

    origin: tuple[int, int]
    prepared: NDArray[np.float32]
    raw: NDArray[np.float32]
    tone: Tone
    texture: float
    strength: float
    pattern_share: float


@dataclass(frozen=True)
class Search:
    """What was found at the coarse level.

    Attributes
    ----------
    factor : int
        How much smaller the level is.
    sides : (Coarse, Coarse)
        Reference and moving image.
    surface : Surface
        Correlation at all lags.
    lags : Lags
        Those that are allowed.
    """

    factor: int
    sides: tuple[Coarse, Coarse]
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
        first, second = (side.prepared for side in self.sides)
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
        return float(surface(first.raw, second.raw, near, 1).score[0, 0])

    def texture_map(self, lag: tuple[int, int]) -> NDArray[np.float32]:
        """Local energy that both images have, where they overlap."""
        from scipy.ndimage import gaussian_filter

        energies = [
            gaussian_filter(np.square(plane), _TEXTURE_SIGMA_PX, truncate=2.0)
            for plane in self.overlap(lag)
        ]
        return np.asarray(np.sqrt(np.maximum(energies[0] * energies[1], 0)))


def search_factor(pixels: int) -> int:
    """How much smaller the level is at which so many pixels are searched."""
    factor = 1
    while pixels / factor**2 > MOST_PIXELS:
        factor *= 2
    return factor


def search(
    reference: Levels,
    moving: Levels,
    request: Request,
    patterns: tuple[FixedPattern | None, FixedPattern | None] = (None, None),
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
    """
    regions = request.regions(reference, moving)
    factors = {pattern.factor for pattern in patterns if pattern}
    factor = max(factors or {search_factor(max(box.size for box in regions))})
    both = zip((reference, moving), regions, patterns, strict=True)
    first, second = (_coarse(levels, box, factor, pattern) for levels, box, pattern in both)
    shape = list(zip(request.offset, request.most, first.origin, second.origin, strict=True))
    low = [math.ceil((o - k) / factor) - a + b for o, k, a, b in shape]
    high = [math.floor((o + k) / factor) - a + b for o, k, a, b in shape]
    lags = Lags((low[0], low[1]), (max(low[0], high[0]), max(low[1], high[1])))
    least = int(request.least_overlap_px(reference, moving) / factor**2)
    correlated = surface(first.prepared, second.prepared, lags.grown(BEYOND), least)
    return Search(factor, (first, second), correlated, lags)


def _coarse(levels: Levels, box: Box, factor: int, pattern: FixedPattern | None) -> Coarse:
    origin = (box.start[0] // factor, box.start[1] // factor)
    snapped = Box((origin[0] * factor, origin[1] * factor), box.stop)
    pixels = brightest(levels, snapped, factor)
    tone = Tone.of(pixels, levels.dtype)
    raw = prepare(pixels, tone)
    strength, share, prepared = 0.0, 0.0, raw
    if pattern:
        rows, columns = (slice(a, a + n) for a, n in zip(origin, raw.shape, strict=True))
        own = pattern.coarse[rows, columns] * (raw != 0)
        strength = pattern_strength(raw, own)
        own *= np.float32(strength)
        prepared = raw - own
        share = _energy(own) / max(_energy(raw), 1e-30)
    textured = texture(pixels, tone, prepared)
    return Coarse(origin, prepared, raw, tone, textured, strength, share)


def brightest(levels: Levels, box: Box, factor: int) -> NDArray[np.generic]:
    """Largest value of all planes of a box, each plane smaller by `factor`."""
    pixels = levels.read(box, 0, factor)
    for plane in range(1, levels.planes):
        pixels = np.maximum(pixels, levels.read(box, plane, factor))
    return pixels


def _energy(plane: NDArray[np.float32]) -> float:
    return float(np.square(plane, dtype=np.float64).sum())


def pattern_strength(prepared: NDArray[np.float32], pattern: NDArray[np.float32]) -> float:
    """How strong a pattern is in an image: the factor of least squares, 0 to 2."""
    energy = _energy(pattern)
    product = float((prepared * pattern).sum(dtype=np.float64))
    return min(2.0, max(0.0, product / energy)) if energy > 0 else 0.0
