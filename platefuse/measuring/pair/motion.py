"""Shift and turn of an image, from the shifts of blocks in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Place = tuple[float, float]

_LEAST_BLOCKS = 4
"""With fewer blocks no turn is looked for."""

_LEAST_TURN_PX = 0.5
"""A turn counts if it moves the blocks by more than this (root mean square)."""

_LEAST_GAIN = 2.0
"""A turn counts if without it the shifts deviate by so many times as much."""

_ROUNDS = 20
_SMALL_PX = 0.05


@dataclass(frozen=True)
class Motion:
    """Shift and turn of the moving image.

    Attributes
    ----------
    shift : (float, float)
        Displacement (y, x) at the centre, in pixels.
    angle : float
        Turn from x to y, in radians; small.
    """

    shift: Place
    angle: float = 0.0

    def at(self, place: Place) -> Place:
        """Displacement of what lies at `place` (y, x) from the centre.

        Examples
        --------
        >>> Motion((1.0, 2.0), 0.01).at((100.0, 0.0))
        (1.0, 1.0)
        """
        return self.shift[0] + self.angle * place[1], self.shift[1] - self.angle * place[0]

    def then(self, step: Motion) -> Motion:
        """The motion, and a small further one."""
        shift = (self.shift[0] + step.shift[0], self.shift[1] + step.shift[1])
        return Motion(shift, self.angle + step.angle)


def turned(shifts: Sequence[Place], places: Sequence[Place]) -> Motion | None:
    """The turn that the shifts of blocks show.

    Parameters
    ----------
    shifts : sequence of (float, float)
        Shift (y, x) of each block, in pixels.
    places : sequence of (float, float)
        Centre (y, x) of each block, in pixels from a common centre.

    Returns
    -------
    Motion or None
        By least absolute deviations; None if there is no clear turn.
    """
    if len(shifts) < _LEAST_BLOCKS:
        return None
    values, points = np.array(shifts), np.array(places)
    before = np.abs(values - np.median(values, axis=0)).max(axis=1)
    if before.max() < _LEAST_TURN_PX / 2:
        return None
    motion, rest = _rigid(values, points)
    spread = float(np.sqrt(np.square(points - points.mean(axis=0)).sum(axis=1).mean()))
    after = np.abs(rest).max(axis=1)
    small = abs(motion.angle) * spread < _LEAST_TURN_PX
    if small or _LEAST_GAIN * float(np.median(after)) > float(np.median(before)):
        return None
    return motion


def _rigid(
    values: NDArray[np.float64], points: NDArray[np.float64]
) -> tuple[Motion, NDArray[np.float64]]:
    """Shift and turn by iteratively reweighted least squares, and what they leave."""
    zero, one = np.zeros(len(points)), np.ones(len(points))
    rows = np.concatenate(
        [np.stack([one, zero, points[:, 1]], 1), np.stack([zero, one, -points[:, 0]], 1)]
    )
    target = values.T.ravel()
    weights = np.ones(len(target))
    for _ in range(_ROUNDS):
        scaled = rows * weights[:, None]
        matrix = (scaled[:, :, None] * rows[:, None, :]).sum(axis=0)
        solution = np.linalg.solve(matrix, (scaled * target[:, None]).sum(axis=0))
        rest = (target - (rows * solution).sum(axis=1)).reshape(2, -1)
        weights = np.tile(1 / np.maximum(np.hypot(rest[0], rest[1]), _SMALL_PX), 2)
    y, x, angle = solution.tolist()
    return Motion((y, x), angle), rest.T
