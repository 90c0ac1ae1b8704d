"""Regions of fields at the level of the search, prepared once for all pairs that share them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from platefuse.geometry import Box
from platefuse.measuring.pair.correlate import Plane
from platefuse.measuring.pair.levels import Levels
from platefuse.measuring.pair.prepare import Tone, prepare, texture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from platefuse.measuring.pair.pattern import FixedPattern

MOST_PIXELS = 400_000
"""The search is done at the finest level where fields have no more pixels than this."""

KEPT_PIXELS = 2_000_000
"""Pixels of the regions that are kept; each takes about 24 bytes with what is made of it."""


@dataclass(frozen=True)
class Region:
    """A region of one image at the coarse level.

    Attributes
    ----------
    origin : (int, int)
        First pixel of the region, in pixels of the level.
    prepared : Plane
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
    prepared: Plane
    raw: NDArray[np.float32]
    tone: Tone
    texture: float
    strength: float
    pattern_share: float

    @classmethod
    def read(cls, levels: Levels, box: Box, factor: int, pattern: FixedPattern | None) -> Region:
        """Read and prepare a region.

        Parameters
        ----------
        levels : Levels
            The image. Of a stack, the largest value of all planes is taken.
        box : Box
            The region in pixels (y, x) of level 0.
        factor : int
            How much smaller the level is.
        pattern : FixedPattern or None
            What is subtracted.
        """
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
        return cls(origin, Plane(prepared), raw, tone, textured, strength, share)


class Regions:
    """The regions that were used last.

    Pairs share regions: a field of the reference is compared with the same field of every other
    acquisition, and a strip at its side with every field that overlaps it there. What a region is
    does not depend on whether it was kept. It may be used by several threads.

    Parameters
    ----------
    most_pixels : int
        Pixels of all regions that are kept.
    """

    def __init__(self, most_pixels: int = KEPT_PIXELS) -> None:
        self._most, self._pixels, self._lock = most_pixels, 0, Lock()
        self._kept: OrderedDict[object, Region] = OrderedDict()
        self._texture: dict[object, float] = {}

    def of(self, levels: Levels, box: Box, factor: int, pattern: FixedPattern | None) -> Region:
        """A region; see `Region.read`."""
        key = levels, box, factor, pattern
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        region = Region.read(levels, box, factor, pattern)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = region
                self._texture[key] = region.texture
                self._pixels += region.raw.size
            while self._pixels > self._most:
                self._pixels -= self._kept.popitem(last=False)[1].raw.size
        return region

    def texture(self, levels: Levels) -> float:
        """Texture of a whole image at the level where it would be searched."""
        box = Box((0, 0), levels.shape)
        key = levels, box, search_factor(box.size), None
        known = self._texture.get(key)
        return self.of(*key).texture if known is None else known


def search_factor(pixels: int) -> int:
    """How much smaller the level is at which so many pixels are searched."""
    factor = 1
    while pixels / factor**2 > MOST_PIXELS:
        factor *= 2
    return factor


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
