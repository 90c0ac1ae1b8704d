"""Arrows for the shifts of wells. The page draws them in the same way, see ``page.js``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from platefuse.quality.report.layout import PITCH, SIZE
from platefuse.quality.report.scales import quantile
from platefuse.quality.report.summary import Shift

LONGEST = 1.1 * PITCH
"""Length at which an arrow is cut off, in units of the map."""


@dataclass(frozen=True)
class Arrow:
    """An arrow in a map: the classes of its path, and the path."""

    kind: str
    path: str


def units_per_pixel(shifts: Iterable[Shift]) -> float:
    """Length in the map of a shift of one pixel.

    98 of 100 arrows are no longer than a well. A shift of one pixel or less is never as long, so
    that noise does not look like a pattern.
    """
    longest = quantile((math.hypot(y, x) for y, x in shifts), 0.98)
    return (SIZE - 2) / max(longest, 1.0)


def arrow(y: float, x: float, shift: Shift, unit: float, kind: str = "") -> Arrow:
    """The arrow of a shift, with its middle at a place.

    An arrow that would be longer than `LONGEST` is cut off and dashed.

    Parameters
    ----------
    y, x : float
        The place of its middle, in units of the map.
    shift : (float, float)
        The shift, in pixels, on the axes y and x.
    unit : float
        Length of one pixel.
    kind : str
        More classes of the path.
    """
    dy, dx = shift[0] * unit, shift[1] * unit
    length = math.hypot(dy, dx)
    shown = min(1.0, LONGEST / length) if length else 1.0
    dy, dx = dy * shown, dx * shown
    end_y, end_x = y + dy / 2, x + dx / 2
    head, angle = min(0.4 * length * shown, 0.22 * LONGEST), math.atan2(dy, dx)

    def wing(turn: float) -> str:
        x, y = end_x - head * math.cos(angle + turn), end_y - head * math.sin(angle + turn)
        return f"{x:.1f} {y:.1f}"

    end = f"{end_x:.1f} {end_y:.1f}"
    path = f"M{x - dx / 2:.1f} {y - dy / 2:.1f}L{end}M{wing(0.5)}L{end}L{wing(-0.5)}"
    classes = ["arrow", *kind.split(), *(["cut-off"] if shown < 1 else [])]
    return Arrow(" ".join(classes), path)
