"""Which measured pairs are believed: those that score more than pairs that cannot match.

Pairs of fields that cannot show the same tissue (of different wells, or of far ends of a well) are
measured like the others, at the same overlap. Their scores are the null distribution. It is pooled
over a plate: a well has too few pairs for its tail.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from platefuse.measuring.model import PairMeasure

LEAST_Z = 3.09
"""z above which a score is no chance: 0.1 % of a normal distribution."""

LEAST_PAIRS = 20
"""With fewer pairs there is no null distribution."""

FALLBACK_SCORE = 0.3
"""Least score without a null distribution. Scores of pairs that cannot match are lower, even in
narrow overlaps."""

_LEAST_SPREAD = 0.005
"""Least standard deviation of a null distribution: null scores of large overlaps are all alike."""


@dataclass(frozen=True)
class Null:
    """Scores of pairs that cannot match.

    Attributes
    ----------
    middle : float
        Their median.
    spread : float
        Their standard deviation, by 1.4826 times the median absolute deviation.
    pairs : int
        Number of pairs.
    """

    middle: float
    spread: float
    pairs: int

    @classmethod
    def of(cls, scores: Iterable[float]) -> Null:
        """The distribution of scores; those that are not finite are left out.

        Examples
        --------
        >>> null = Null.of([0.05 + 0.001 * k for k in range(21)])
        >>> round(null.middle, 3), round(null.spread, 4), null.pairs
        (0.06, 0.0074, 21)
        """
        values = [float(score) for score in scores if math.isfinite(score)]
        if not values:
            return cls(0.0, 0.0, 0)
        middle = median(values)
        spread = 1.4826 * median(abs(value - middle) for value in values)
        return cls(middle, max(spread, _LEAST_SPREAD), len(values))

    @property
    def is_enough(self) -> bool:
        """Whether there are enough pairs for a distribution."""
        return self.pairs >= LEAST_PAIRS

    def z(self, score: float) -> float:
        """How many standard deviations a score is above the median; NaN with too few pairs."""
        return (score - self.middle) / self.spread if self.is_enough else math.nan

    def exceeded_by(self, score: float) -> bool:
        """Whether a score is more than pairs that cannot match have.

        Without enough pairs the score is compared with a fixed value.
        """
        return self.z(score) > LEAST_Z if self.is_enough else score > FALLBACK_SCORE


def accepts(pair: PairMeasure, null: Null) -> bool:
    """Whether the shift of a pair is believed.

    Parameters
    ----------
    pair : PairMeasure
        The pair. Its own status has to be ``measured``: that is, its peak stands out of its own
        surface, its blocks agree, and coarse and fine structures have the same shift.
    null : Null
        Scores of pairs that cannot match, at the same overlap. One in a thousand of them is
        accepted by this test alone; docs/design/measuring.md has the figures with the status.
    """
    return pair.status == "measured" and null.exceeded_by(pair.score)


def shows_fixed_pattern(nulls: Iterable[PairMeasure]) -> bool:
    """Whether pairs that cannot match correlate where pixels of the camera coincide.

    Parameters
    ----------
    nulls : iterable of PairMeasure
        Pairs that cannot match, of fields whose nominal offset is 0. Among them, as many scores at
        zero should be negative as positive.

    Returns
    -------
    bool
        True if so many are positive that chance is ruled out (sign test, z above `LEAST_Z`).
    """
    values = [pair.score_at_zero for pair in nulls if pair.score_at_zero]
    if len(values) < LEAST_PAIRS:
        return False
    positive = sum(value > 0 for value in values)
    return (positive - len(values) / 2) / math.sqrt(len(values) / 4) > LEAST_Z
