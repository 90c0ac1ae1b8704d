"""How the figures of a well are named, written and coloured.

A value is coloured by its step: 0 is the best of `STEPS` steps, whether small or large values are
good. Steps are bounded by fixed edges, so that colours mean the same on every plate, or by edges
between the values of one plate, so that a trend inside a narrow range is seen too.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

STEPS = 9
"""Number of colours of a scale."""

UNKNOWN = "–"
"""How a value is written that is not known."""

Kind = Literal["pixels", "share", "number", "ratio", "count"]
"""``pixels``: a length. ``share``: part of a whole, written in percent. ``number``: a correlation.
``ratio``: a positive number, 1 is usual. ``count``: a whole number."""

_DECIMALS: Mapping[Kind, int] = {"pixels": 2, "number": 3, "ratio": 2, "count": 0}

_LENGTHS = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
_SHIFTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
_SHARES = (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_CORRELATIONS = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_RATIOS = (0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_SMALL_SHARES = (0.0, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
_UNEVEN = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8)
_COUNTS = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)


@dataclass(frozen=True)
class Scale:
    """How one figure is named, written and coloured.

    Attributes
    ----------
    title : str
        Its name, as short as the head of a column.
    kind : Kind
        How its values are written.
    worse : {"high", "low"}
        Which values are worse.
    edges : tuple of float
        The bounds between the `STEPS` steps, rising.
    """

    title: str
    kind: Kind
    worse: Literal["high", "low"]
    edges: tuple[float, ...]

    def step(self, value: float) -> int:
        """The step of a value: 0 is the best, ``STEPS - 1`` the worst.

        Examples
        --------
        >>> SCALES["residual_px"].step(0.05), SCALES["residual_px"].step(30.0)
        (0, 8)
        >>> SCALES["after"].step(0.99), SCALES["after"].step(-0.2)
        (0, 8)
        """
        if self.worse == "high":
            return bisect_left(self.edges, value)
        return STEPS - 1 - bisect_right(self.edges, value)

    def write(self, value: float | None) -> str:
        """A value as text, without its unit but with the percent sign."""
        return write_value(value, self.kind)


SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "residual_px": Scale("Residual", "pixels", "high", _LENGTHS),
        "p95_px": Scale("Residual p95", "pixels", "high", _LENGTHS),
        "within_1px": Scale("Within 1 px", "share", "low", _SHARES),
        "matched": Scale("Matched", "share", "low", _SHARES),
        "before": Scale("Correlation before", "number", "low", _CORRELATIONS),
        "after": Scale("Correlation after", "number", "low", _CORRELATIONS),
        "shift_px": Scale("Shift", "pixels", "high", _SHIFTS),
        "kept": Scale("Kept", "share", "low", _SHARES),
        "focus": Scale("Focus", "ratio", "low", _RATIOS),
        "saturated": Scale("Saturated", "share", "high", _SMALL_SHARES),
        "gradient": Scale("Gradient", "share", "high", _UNEVEN),
        "seam": Scale("Seam", "share", "high", _UNEVEN),
        "flagged_fields": Scale("Flagged fields", "count", "high", _COUNTS),
    }
)
"""The scales of all figures in `platefuse.quality.model.WELL_FIGURES`, by their names."""


def known(value: float | None) -> float | None:
    """A value, or None if it is not a finite number."""
    return None if value is None or not math.isfinite(value) else value


def write_value(value: float | None, kind: Kind) -> str:
    """A value as text. The page writes values in the same way, see ``write`` in ``page.js``.

    Examples
    --------
    >>> write_value(0.2149, "pixels"), write_value(0.98333, "share"), write_value(None, "count")
    ('0.21', '98.3 %', '–')
    >>> write_value(0.00042, "share"), write_value(0.9, "number"), write_value(3.0, "count")
    ('0.04 %', '0.900', '3')
    """
    number = significant(value)
    if number is None:
        return UNKNOWN
    if kind == "share":
        return f"{_fixed(100 * number, 2 if abs(100 * number) < 1 else 1)} %"
    return _fixed(number, _DECIMALS[kind])


def _fixed(value: float, decimals: int) -> str:
    """As JavaScript's ``toFixed``, which rounds halves away from zero; no sign before 0."""
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return str(abs(rounded) if rounded == 0 else rounded)


def significant(value: float | None, digits: int = 4) -> float | int | None:
    """A value with few digits, so that JSON is short; None if it is not a finite number.

    Examples
    --------
    >>> significant(0.1234567), significant(12.0), significant(float("nan"))
    (0.1235, 12, None)
    """
    number = known(value)
    if number is None:
        return None
    rounded = float(f"{number:.{digits}g}")
    return int(rounded) if rounded.is_integer() else rounded


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which a share of the values lies, interpolated linearly; 0 of none.

    Examples
    --------
    >>> quantile([3, 1, 2], 0.5), quantile([], 0.5)
    (2.0, 0.0)
    """
    ordered = sorted(values)
    if not ordered:
        return 0.0
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))


def plate_edges(scale: Scale, values: Iterable[float | None]) -> tuple[float, ...]:
    """Edges between the values of one plate: evenly spaced from their 2nd to 98th percentile.

    Returns
    -------
    tuple of float
        The fixed edges of the scale if there are no values, or if they do not differ by enough
        for edges between them.
    """
    numbers = [number for v in values if (number := known(v)) is not None]
    low, high = quantile(numbers, 0.02), quantile(numbers, 0.98)
    if not high > low:
        return scale.edges
    decimals = max(0, 2 - math.floor(math.log10(high - low)))
    edges = [round(low + (high - low) * i / (STEPS - 2), decimals) for i in range(STEPS - 1)]
    return tuple(edges) if all(a < b for a, b in pairwise(edges)) else scale.edges
