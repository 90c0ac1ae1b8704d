"""The blocks of the overlap by which a shift is refined: where they lie, and their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from platefuse.geometry import Box
from platefuse.measuring.pair.levels import Levels
from platefuse.measuring.pair.prepare import MARGIN_PX, Tone, prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Blocks:
    """How many blocks there are.

    Attributes
    ----------
    most : int
        Largest number.
    side_px : int
        Their side, unless the overlap is narrower.
    """

    most: int
    side_px: int


FEW, MANY = Blocks(4, 192), Blocks(9, 320)
"""The blocks by which nearly all shifts are refined, and those for the others."""

_LEAST_TEXTURE = 0.1
"""Blocks with less than this share of the texture of the best one are left out."""

_CANDIDATES = 9
"""Places on each axis of a part where a block may lie."""


@dataclass(frozen=True)
class Side:
    """One image of a pair, as blocks are read from it.

    Attributes
    ----------
    levels : Levels
        The image.
    tone : Tone
        How its values are compressed.
    pattern : array-like of float32, optional
        Its fixed pattern at level 0, axes yx, in prepared values.
    strength : float
        What the pattern is multiplied by.
    """

    levels: Levels
    tone: Tone
    pattern: NDArray[np.float32] | None = None
    strength: float = 1.0

    def block(
        self, start: tuple[int, int], shape: tuple[int, int], plane: int
    ) -> NDArray[np.float32]:
        """Prepared pixels of a box that lies in the image."""
        first = tuple(max(0, a - MARGIN_PX) for a in start)
        ends = zip(start, shape, self.levels.shape, strict=True)
        wide = Box(first, tuple(min(n, a + length + MARGIN_PX) for a, length, n in ends))
        pattern = None
        if self.pattern is not None:
            rows, columns = (slice(a, b) for a, b in zip(wide.start, wide.stop, strict=True))
            pattern = np.asarray(self.pattern[rows, columns]) * np.float32(self.strength)
        prepared = prepare(self.levels.read(wide, plane), self.tone, pattern)
        (top, left), (height, width) = (a - b for a, b in zip(start, first, strict=True)), shape
        return prepared[top : top + height, left : left + width]

    def subtracted(self, start: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.float32]:
        """The fixed pattern that was subtracted from a block; 0 if none is known."""
        if self.pattern is None:
            return np.zeros(shape, np.float32)
        rows, columns = (slice(a, a + n) for a, n in zip(start, shape, strict=True))
        return np.asarray(self.pattern[rows, columns]) * np.float32(self.strength)


@dataclass(frozen=True)
class Layout:
    """Where the blocks lie.

    Attributes
    ----------
    starts : tuple of (int, int)
        First pixel of each block in the reference.
    shape : (int, int)
        Pixels of each block.
    overlap : Box
        What they were chosen from.
    """

    starts: tuple[tuple[int, int], ...]
    shape: tuple[int, int]
    overlap: Box

    def places(self) -> list[tuple[float, float]]:
        """Centres of the blocks, from the centre of the overlap."""
        (top, left), (bottom, right) = self.overlap.start, self.overlap.stop
        height, width = self.shape
        middle = ((top + bottom - height) / 2, (left + right - width) / 2)
        return [(y - middle[0], x - middle[1]) for y, x in self.starts]


def overlap_box(reference: Sequence[int], moving: Sequence[int], whole: Sequence[int]) -> Box:
    """The overlap, in pixels of the reference, if pixel 0 of the moving image is at `whole`.

    Examples
    --------
    >>> overlap_box((10, 10), (10, 10), (4, -3))
    Box(start=(4, 0), stop=(10, 7))
    """
    start = tuple(min(max(0, d), n) for d, n in zip(whole, reference, strict=True))
    ends = zip(reference, moving, whole, start, strict=True)
    return Box(start, tuple(max(a, min(n, m + d)) for n, m, d, a in ends))


def choose(overlap: Box, texture: NDArray[np.floating], cell: int, blocks: Blocks) -> Layout:
    """Choose blocks: one in each part of a grid, where it has most texture.

    Parameters
    ----------
    overlap : Box
        The pixels to choose from.
    texture : ndarray of float
        Texture of the overlap, in cells of so many pixels as `cell` on each side; not negative.
    cell : int
        See there.
    blocks : Blocks
        How many.
    """
    height, width = (min(blocks.side_px, n) for n in overlap.shape)
    shape = (height, width)
    counts = [max(1, n // b) for n, b in zip(overlap.shape, shape, strict=True)]
    while counts[0] * counts[1] > blocks.most:
        counts[0 if counts[0] > counts[1] else 1] -= 1
    table = np.zeros(tuple(n + 1 for n in texture.shape))
    table[1:, 1:] = texture.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    found = []
    for part in np.ndindex(*counts):
        axes = zip(overlap.shape, shape, part, counts, strict=True)
        found.append(_best(table, [_candidates(*axis) for axis in axes], shape, cell))
    best = max(value for value, _ in found)
    places = [place for value, place in found if value >= _LEAST_TEXTURE * best]
    starts = tuple((overlap.start[0] + y, overlap.start[1] + x) for y, x in places)
    return Layout(starts, shape, overlap)


def _candidates(length: int, block: int, part: int, parts: int) -> NDArray[np.intp]:
    """Starts of a block on one axis that lie in a part."""
    low, high = part * length // parts, (part + 1) * length // parts - block
    return np.unique(np.linspace(low, max(low, high), _CANDIDATES).astype(np.intp))


def _best(
    table: NDArray[np.float64],
    candidates: list[NDArray[np.intp]],
    shape: tuple[int, int],
    cell: int,
) -> tuple[float, tuple[int, int]]:
    """Largest texture of all candidates, and the first that has it."""
    ends = []
    for starts, length, n in zip(candidates, shape, table.shape, strict=True):
        ends.append([np.minimum(v // cell, n - 1) for v in (starts, starts + length)])
    (top, bottom), (left, right) = ends
    sums = table[np.ix_(bottom, right)] - table[np.ix_(top, right)]
    sums += table[np.ix_(top, left)] - table[np.ix_(bottom, left)]
    y, x = np.unravel_index(int(sums.argmax()), sums.shape)
    return float(sums[y, x]), (int(candidates[0][y]), int(candidates[1][x]))
