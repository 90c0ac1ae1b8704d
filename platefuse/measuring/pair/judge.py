"""Judge the best peak of a pair: whether it is the shift of the tissue, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from platefuse.measuring.acceptance import LEAST_Z
from platefuse.measuring.model import WHOLE_SHARE

if TYPE_CHECKING:
    from platefuse.measuring.model import PairStatus
    from platefuse.measuring.pair.correlate import Peak
    from platefuse.measuring.pair.depth import Depth
    from platefuse.measuring.pair.pattern import FixedPattern
    from platefuse.measuring.pair.refine import Refined
    from platefuse.measuring.pair.search import Search

LEAST_HEIGHT = 6.0
"""A peak is significant from so many standard deviations of the noise of its surface."""

LEAST_GAP = 4.0
"""The best peak is clear if it is higher than the second by so many standard deviations."""

LEAST_RUNNER_UP = 0.2
LEAST_AGREEMENT = 0.5
LEAST_TEXTURE = 0.1

MOST_SIGMA_PX = 1 / 3
"""A shift is known if three standard deviations are no more than a pixel."""

CAMERA_PX = 0.5
"""Displacements smaller than this put the same pixels of the camera on each other."""

_RIDGE_PX = 16
"""So far from a peak, in pixels of the coarse level, nothing of it is left, unless it is a ridge:
the peaks of the smoothest tissue that can be measured fall by 40 % or more up to there."""

_MOST_DROP = 0.3
"""The refined shift is wrong if the correlation of the search is lower there by this share."""

_MOST_BANDS_PX, _MOST_BANDS_SIGMA = 0.5, 6.0
"""Coarse and fine structures have the same shift, to half a pixel or so many standard deviations.
They differ where a fixed pattern (fine) is mixed with tissue (coarse)."""

_MOST_PATTERN = 0.1
"""A pattern with more of the variance than this part of the score may be what correlates."""

_LEAST_STRIP_Z = 1.0
"""Least z of few structures where images overlap by less than `WHOLE_SHARE`. A strip is one of
several pairs, which loops and the model of the stage confirm, and often shows few cells: of 335
true strips of sparse tissue 13 have less, and 60 less than `LEAST_Z`. A whole field depends on one
pair.
"""

_MOST_COMMON = 0.999
"""Two structures may not be more alike than this: Fisher's z would be infinite."""


@dataclass(frozen=True)
class Judge:
    """A peak of a search, and what it is compared with.

    Attributes
    ----------
    search : Search
        What was found at the coarse level.
    patterns : pair of FixedPattern or None
        Fixed patterns that were subtracted.
    noise : float
        Noise of the surface.
    peaks : sequence of Peak
        The highest peaks, the highest first.
    best : Peak
        The one that was refined.
    overlap : float
        Share of the smaller image that overlaps the other there.
    """

    search: Search
    patterns: tuple[FixedPattern | None, FixedPattern | None]
    noise: float
    peaks: Sequence[Peak]
    best: Peak
    overlap: float

    @property
    def runner_up(self) -> float:
        """How much higher the best peak is than the second, or than its own ridge."""
        second = max(self._second, self._ridge)
        return max(0.0, (self.best.height - second) / self.best.height)

    def status(self, along: Depth, fine: Refined) -> PairStatus:
        """The status of the pair.

        Parameters
        ----------
        along : Depth
            What was found on z.
        fine : Refined
            What was found at full resolution.
        """
        best, least = self.best, LEAST_HEIGHT * self.noise
        if best.height < least and self.peaks[0].height < least:
            if self._is_patterned():
                return "fixed_pattern"
            texture = min(side.texture for side in self.search.sides)
            return "empty" if texture < LEAST_TEXTURE else "ambiguous"
        if best.lag not in self.search.lags or best != self.peaks[0] or along.at_edge:
            return "too_far"
        lost = self._is_lost(fine)
        if self._is_pattern(fine) or (lost and self._is_camera(best)):
            return "fixed_pattern"
        known = self._is_clear() and self._is_known(fine) and not lost
        return "measured" if known and not self._is_chance() else "ambiguous"

    @cached_property
    def _second(self) -> float:
        """Height of the second best peak; a peak of the camera's own pixels is none."""
        others = [p for p in self.peaks if p != self.best and not self._is_camera(p)]
        return others[0].height if others else 0.0

    @cached_property
    def _ridge(self) -> float:
        """Largest height that is not near the peak, nor near one of the camera's own pixels.

        A ridge has no second peak. It is what straight structures have, a fibre or the wall of a
        well: their shift is known across them alone (the aperture problem; Anandan 1989,
        10.1007/BF00158167).
        """
        near = [self.best.lag, *(p.lag for p in self.peaks if self._is_camera(p))]
        return self.search.surface.highest_beyond(near, _RIDGE_PX)

    def _is_camera(self, peak: Peak) -> bool:
        place = self.search.displacement(peak)
        return max(abs(v) for v in place) <= self.search.factor

    def _is_clear(self) -> bool:
        """Whether no other shift fits nearly as well."""
        return self.runner_up >= max(LEAST_RUNNER_UP, LEAST_GAP * self.noise / self.best.height)

    def _is_known(self, fine: Refined) -> bool:
        """Whether the blocks agree on a shift, and with enough certainty."""
        sigma = max(fine.sigma)
        agreed = fine.agreement >= LEAST_AGREEMENT and sigma <= MOST_SIGMA_PX
        return agreed and fine.bands_differ_px <= max(_MOST_BANDS_PX, _MOST_BANDS_SIGMA * sigma)

    def _is_chance(self) -> bool:
        """Whether the images have so few structures that others might be as alike by chance.

        The noise of the surface does not show this: where little lies on little, nearly all of the
        surface is noise of the camera, and two pieces of debris that lie on each other stand out
        of it. The correlation of the structures alone, without the camera's noise, is compared
        with that of as many independent cells, by Fisher's z. Grain that is as fine as the
        noise shows no structure; if it is alike in both images, it is so in all of their pixels.
        """
        first, second = (side.texture for side in self.search.sides)
        if min(first, second) < LEAST_TEXTURE:
            return False
        common = self.best.score / math.sqrt(max(first * second, 1e-12))
        cells = self.search.structured_cells(self.best.lag)
        z = math.atanh(min(common, _MOST_COMMON)) * math.sqrt(max(0.0, cells - 3))
        return z < (LEAST_Z if self.overlap >= WHOLE_SHARE else _LEAST_STRIP_Z)

    def _is_lost(self, fine: Refined) -> bool:
        """Whether the blocks led away from the peak of the search."""
        drop = 1 - self.search.surface.at(self.search.lag(fine.displacement)) / self.best.score
        return drop > _MOST_DROP and drop * self.best.height > LEAST_GAP * self.noise

    def _is_patterned(self) -> bool:
        """Whether the images correlate before the fixed pattern is subtracted."""
        if self.patterns == (None, None):
            return False
        return self.search.raw_score_at_camera() >= LEAST_HEIGHT * self.noise

    def _is_pattern(self, fine: Refined) -> bool:
        """Whether pixels of the camera coincide, and a pattern of the camera may be the reason."""
        if max(abs(v) for v in fine.displacement) >= CAMERA_PX:
            return False
        if None in self.patterns:
            return True
        share = max(side.pattern_share for side in self.search.sides)
        strong = share > _MOST_PATTERN * self.best.score
        return strong or self._second >= LEAST_HEIGHT * self.noise
