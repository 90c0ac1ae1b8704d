"""The shift of stacks on z: which planes of both images show the same."""

from __future__ import annotations

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

_WINDOW_PX = 256
"""Side of the part of the overlap that is correlated plane by plane, in coarse pixels."""

_MOST_PLANES = 3
"""Pairs of planes whose blocks are used to refine the shift on y and x."""


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
    first, second = _windows(levels, search, lag)
    products = _products(first, second)
    energies = [np.square(stack, dtype=np.float64).sum(axis=(1, 2)) for stack in (first, second)]
    reach = range(-len(second) + 1, len(first))
    allowed = [d for d in reach if abs(d - offset) <= most] or [
        min(reach, key=lambda d: abs(d - offset))
    ]
    scores = {d: _score_at(products, energies, d) for d in reach}
    nominal = max(1, _shared(len(first), len(second), round(offset)))
    usable = [d for d in allowed if 2 * _shared(len(first), len(second), d) >= nominal] or allowed
    best = max(usable, key=lambda d: (scores[d], -abs(d - offset)))
    around = _around(products, energies, best)
    part = 0.0 if around is None else parabola(around)
    pairs = [(i, i - best) for i in range(len(first)) if 0 <= i - best < len(second)]
    pairs.sort(key=lambda pair: (-energies[0][pair[0]] * energies[1][pair[1]], pair))
    at_edge = any(
        abs(d - offset) > most and scores[d] > scores[best]
        for d in (best - 1, best + 1)
        if d in scores
    )
    return Depth(best + part, _sigma(around, noise), at_edge, tuple(pairs[:_MOST_PLANES]))


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


def _products(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum of products of every plane with every plane.

    Not a matrix product: the sums of BLAS depend on the number of its threads.
    """
    rows = [[float((a * b).sum(dtype=np.float64)) for b in second] for a in first]
    return np.array(rows)


def _score_at(
    products: NDArray[np.float64], energies: list[NDArray[np.float64]], displacement: int
) -> float:
    """Correlation of all planes that overlap at a displacement."""
    count = len(energies[0]), len(energies[1])
    first = np.arange(max(0, displacement), min(count[0], count[1] + displacement))
    return _score(products, energies, first, first - displacement)


def _around(
    products: NDArray[np.float64], energies: list[NDArray[np.float64]], best: int
) -> NDArray[np.float64] | None:
    """Correlation at a displacement, and one plane before and after it.

    Planes differ in structure and focus, so displacements are compared by the same planes: those of
    the reference that have a partner at all three, and then those of the moving stack. The mean of
    both does not depend on which stack is the reference. None if there are no such planes.
    """
    count = len(energies[0]), len(energies[1])
    first = np.arange(max(0, best + 1), min(count[0], count[1] + best - 1))
    second = np.arange(max(0, 1 - best), min(count[1], count[0] - best - 1))
    if not len(first) or not len(second):
        return None
    scores = [
        (
            _score(products, energies, first, first - d),
            _score(products, energies, second + d, second),
        )
        for d in (best - 1, best, best + 1)
    ]
    return np.asarray(np.mean(scores, axis=1))


def _score(
    products: NDArray[np.float64],
    energies: list[NDArray[np.float64]],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
) -> float:
    """Correlation of planes of the reference with planes of the moving stack."""
    energy = float(energies[0][first].sum() * energies[1][second].sum())
    return float(products[first, second].sum()) / energy**0.5 if energy > 0 else 0.0


def _sigma(around: NDArray[np.float64] | None, noise: float) -> float:
    """Uncertainty of the vertex of a parabola, from the noise of its three values."""
    if around is None:
        return 0.5
    bend = float(2 * around[1] - around[0] - around[2])
    return min(0.5, noise / bend) if bend > 0 else 0.5
