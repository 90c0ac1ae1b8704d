"""The shift of stacks on z: which planes of both images show the same.

Planes may be much alike, where steps are thin. Then all displacements have nearly the same score,
and noise alone makes one the best. So another displacement than the nominal one is taken only if
the tiles of the window agree that it is better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from platefuse.geometry import Box
from platefuse.measuring.pair.blocks import overlap_box
from platefuse.measuring.pair.correlate import parabola
from platefuse.measuring.pair.levels import Levels
from platefuse.measuring.pair.prepare import prepare
from platefuse.measuring.pair.search import CELL_PX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from platefuse.measuring.pair.search import Search

    Planes = NDArray[np.intp]

_WINDOW_PX = 256
"""Side of the part of the overlap that is correlated plane by plane, in coarse pixels."""

_MOST_PLANES = 3
"""Pairs of planes whose blocks are used to refine the shift on y and x."""

_TILE_PX = 8
"""Side of a tile, in coarse pixels: more than the width of the filters, so that tiles differ."""

_SURE = 2.0
"""A difference of scores is more than noise from so many standard deviations on. In simulated
stacks of equal planes the best displacement has 1 at most, with planes that differ 2.4 to 16."""


@dataclass(frozen=True)
class Depth:
    """Where the moving stack is on z.

    Attributes
    ----------
    displacement : float
        Position of plane 0 of the moving stack in the reference, in planes.
    sigma : float
        Its uncertainty.
    at_edge : bool
        Whether it is the largest shift that is allowed, and better than a smaller one.
    planes : tuple of (int, int)
        Planes of both stacks that show the same, those with most texture first.
    """

    displacement: float
    sigma: float
    at_edge: bool
    planes: tuple[tuple[int, int], ...]


FLAT = Depth(0.0, 0.0, False, ((0, 0),))
"""Of images with one plane."""


def depth(
    levels: tuple[Levels, Levels],
    search: Search,
    lag: tuple[int, int],
    offset: float,
    most: float,
    noise: float,
) -> Depth:
    """Find the shift on z of two stacks whose shift on y and x is known.

    Parameters
    ----------
    levels : (Levels, Levels)
        Reference and moving stack.
    search : Search
        What the search on y and x found.
    lag : (int, int)
        Shift (y, x) of the prepared regions.
    offset, most : float
        Nominal position of plane 0 of the moving stack, and largest shift from there, in planes.
    noise : float
        Standard deviation of a correlation of the whole overlap.
    """
    stacks = _Stacks.of(*_windows(levels, search, lag))
    count = len(stacks.first), len(stacks.second)
    reach = range(-count[1] + 1, count[0])
    allowed = [d for d in reach if abs(d - offset) <= most] or [
        min(reach, key=lambda d: abs(d - offset))
    ]
    scores = {d: stacks.score(*stacks.overlap(d)) for d in reach}
    shared = max(1, _shared(*count, round(offset)))
    usable = [d for d in allowed if 2 * _shared(*count, d) >= shared] or allowed
    nominal = min(usable, key=lambda d: abs(d - offset))
    best = max(usable, key=lambda d: (scores[d], -abs(d - offset)))
    if not stacks.is_higher(best, nominal):
        best = nominal
    around = stacks.around(best)
    part, sigma = 0.0, 0.5
    if around is not None and _is_sure(bend := 2 * around[1] - around[0] - around[2]):
        part, sigma = parabola(around.sum(axis=1)), min(0.5, noise / float(bend.sum()))
    elif best == nominal:
        part = max(-0.5, min(0.5, offset - best))
    pairs = [(i, i - best) for i in range(count[0]) if 0 <= i - best < count[1]]
    strength = np.outer(*stacks.energies)
    pairs.sort(key=lambda pair: (-strength[pair], pair))
    at_edge = any(
        abs(d - offset) > most and scores[d] > scores[best] and stacks.is_higher(d, best)
        for d in (best - 1, best + 1)
        if d in scores
    )
    return Depth(best + part, sigma, at_edge, tuple(pairs[:_MOST_PLANES]))


def _shared(reference: int, moving: int, displacement: int) -> int:
    """Number of planes that overlap."""
    return min(reference, moving + displacement) - max(0, displacement)


def _windows(
    levels: tuple[Levels, Levels], search: Search, lag: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Prepared planes of both stacks, of the part of the overlap with most texture."""
    energy = search.texture_map(lag)
    cell = np.unravel_index(int(energy.argmax()), energy.shape)
    y, x = (CELL_PX * int(v) + CELL_PX // 2 for v in cell)
    regions = [side.prepared.shape for side in search.sides]
    overlap = overlap_box(regions[0], regions[1], lag)
    start = [
        a + max(0, min(place - _WINDOW_PX // 2, n - _WINDOW_PX))
        for a, place, n in zip(overlap.start, (y, x), overlap.shape, strict=True)
    ]
    shape = [min(_WINDOW_PX, n) for n in overlap.shape]
    stacks = []
    for side, stack, moved in zip(search.sides, levels, ((0, 0), lag), strict=True):
        corner = [o + s - m for o, s, m in zip(side.origin, start, moved, strict=True)]
        stop = [c + n for c, n in zip(corner, shape, strict=True)]
        f = search.factor
        box = Box((corner[0] * f, corner[1] * f), (stop[0] * f, stop[1] * f))
        planes = (stack.read(box, plane, f) for plane in range(stack.planes))
        stacks.append(np.stack([prepare(plane, side.tone) for plane in planes]))
    return stacks[0], stacks[1]


@dataclass(frozen=True)
class _Stacks:
    """The windows of two stacks, and what their planes have in common.

    Attributes
    ----------
    first, second : ndarray of float32, shape (planes, y, x)
        Prepared planes of the reference and of the moving stack.
    products : ndarray of float64, shape (planes, planes)
        Sum of products of every plane with every plane.
    energies : tuple of two ndarrays of float64, shape (planes,)
        Sums of the squares of each plane.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    products: NDArray[np.float64]
    energies: tuple[NDArray[np.float64], NDArray[np.float64]]

    @classmethod
    def of(cls, first: NDArray[np.float32], second: NDArray[np.float32]) -> _Stacks:
        # Not a matrix product: the sums of BLAS depend on the number of its threads.
        rows = [[float((a * b).sum(dtype=np.float64)) for b in second] for a in first]
        one, other = (np.square(s, dtype=np.float64).sum(axis=(1, 2)) for s in (first, second))
        return cls(first, second, np.array(rows), (one, other))

    def overlap(self, displacement: int) -> tuple[Planes, Planes]:
        """The planes of both stacks that overlap at a displacement."""
        count = len(self.first), len(self.second)
        first = np.arange(max(0, displacement), min(count[0], count[1] + displacement))
        return first, first - displacement

    def score(self, first: Planes, second: Planes) -> float:
        """Correlation of planes of the reference with planes of the moving stack."""
        energy = self._energy(first, second)
        return float(self.products[first, second].sum()) / energy if energy > 0 else 0.0

    def tiles(self, first: Planes, second: Planes) -> NDArray[np.float64]:
        """What each tile of the window adds to the score of these planes, shape (tiles,)."""
        height, width = self.first.shape[1:]
        total = np.zeros((-(-height // _TILE_PX), -(-width // _TILE_PX)))
        for i, j in zip(first, second, strict=True):
            rows = np.add.reduceat(
                self.first[i] * self.second[j], range(0, height, _TILE_PX), 0, np.float64
            )
            total += np.add.reduceat(rows, range(0, width, _TILE_PX), 1)
        energy = self._energy(first, second)
        return total.ravel() / energy if energy > 0 else total.ravel()

    def is_higher(self, one: int, other: int) -> bool:
        """Whether the score at one displacement is higher than at another for more than noise."""
        return _is_sure(self.tiles(*self.overlap(one)) - self.tiles(*self.overlap(other)))

    def around(self, best: int) -> NDArray[np.float64] | None:
        """What each tile adds to the score at a displacement, one plane before it and one after.

        Planes differ in structure and focus, so displacements are compared by the same planes:
        those of the reference that have a partner at all three, and then those of the moving
        stack. The mean of both does not depend on which stack is the reference.

        Returns
        -------
        ndarray of float64, shape (3, tiles), or None
            None if there are no such planes.
        """
        count = len(self.first), len(self.second)
        first = np.arange(max(0, best + 1), min(count[0], count[1] + best - 1))
        second = np.arange(max(0, 1 - best), min(count[1], count[0] - best - 1))
        if not len(first) or not len(second):
            return None
        found = [
            self.tiles(first, first - d) + self.tiles(second + d, second)
            for d in (best - 1, best, best + 1)
        ]
        return np.stack(found) / 2

    def _energy(self, first: Planes, second: Planes) -> float:
        return math.sqrt(self.energies[0][first].sum() * self.energies[1][second].sum())


def _is_sure(tiles: NDArray[np.float64]) -> bool:
    """Whether a sum is above 0 for more than noise: tiles with noise alone have either sign.

    If they are independent of each other and 0 on average, the square root of the sum of their
    squares is the standard deviation of their sum.
    """
    return bool(tiles.sum() > _SURE * np.square(tiles).sum() ** 0.5)
