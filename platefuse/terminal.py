"""What a terminal shows: numbers, and columns of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from platefuse.workflow.status import ShiftRange


def shift_text(shifts: ShiftRange | None, axis: str) -> str:
    """Lowest and highest shift along one axis; only one number if they are the same.

    Examples
    --------
    >>> from platefuse.workflow.status import ShiftRange
    >>> shift_text(ShiftRange("yx", (7.0, -2.5), (7.0, -2.25), rois=4), "x")
    '-2.5 … -2.25'
    """
    ends = None if shifts is None else shifts.of_axis(axis)
    return "–" if ends is None else " … ".join(dict.fromkeys(map(signed, ends)))


def signed(shift_px: float) -> str:
    """A shift to a hundredth of a pixel, with its sign.

    Examples
    --------
    >>> signed(7.0), signed(-2.375), signed(-0.001)
    ('+7', '-2.38', '0')
    """
    rounded = round(shift_px, 2)
    return f"{rounded:+g}" if rounded else "0"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the cells of `rows` under each other; a short row's last cell may overhang.

    Examples
    --------
    >>> aligned([["well", "state"], ["B/03", "raw"]])
    ['well  state', 'B/03  raw']
    """
    full = [row for row in rows if len(row) == max(map(len, rows))]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    lines = []
    for row in rows:
        cells = ["".join(c if c.isprintable() else "?" for c in cell) for cell in row]
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
        lines.append("  ".join(padded).rstrip())
    return lines
