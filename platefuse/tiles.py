"""Tiles: how the levels of an image are cut, so that those of one nest in the next. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from platefuse.geometry import Box, grid_box

Index = tuple[int, ...]


class TileTree:
    """How the tiles of each level cover those of the level below. Pure.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Shape of every level, finest first.
    units : sequence of tuple of int
        What is written at once on every level (chunks or shards).
    factors : sequence of tuple of int
        Group size from each level to the next; one fewer than levels.
    """

    def __init__(
        self, shapes: Sequence[Index], units: Sequence[Index], factors: Sequence[Index]
    ) -> None:
        self.shapes = [tuple(shape) for shape in shapes]
        self.factors = [tuple(f) for f in factors]
        per_axis = [
            _tile_sizes([s[d] for s in shapes], [u[d] for u in units], [f[d] for f in factors])
            for d in range(len(shapes[0]))
        ]
        self.tiles: list[Index] = [
            tuple(sizes[level] for sizes in per_axis) for level in range(len(shapes))
        ]
        self.counts: list[Index] = [
            tuple(-(-n // t) for n, t in zip(shape, tile, strict=True))
            for shape, tile in zip(self.shapes, self.tiles, strict=True)
        ]

    def region(self, level: int, index: Index) -> Box:
        """The pixels of a tile."""
        return grid_box(index, self.tiles[level], self.shapes[level])

    def parent(self, level: int, index: Index) -> Index:
        """The tile of the next level that a tile is poured into."""
        return tuple(
            min(i * t // (up * f), n - 1)
            for i, t, up, f, n in zip(
                index,
                self.tiles[level],
                self.tiles[level + 1],
                self.factors[level],
                self.counts[level + 1],
                strict=True,
            )
        )

    def children(self, level: int, index: Index) -> list[Index]:
        """The tiles of the level below whose parent a tile is."""
        ranges = []
        for i, up, f, t, n_up, n in zip(
            index,
            self.tiles[level],
            self.factors[level - 1],
            self.tiles[level - 1],
            self.counts[level],
            self.counts[level - 1],
            strict=True,
        ):
            first = -(-i * up * f // t)
            last = n if i == n_up - 1 else -(-(i + 1) * up * f // t)
            ranges.append(range(first, last))
        return list(product(*ranges))

    def path(self, leaf: Index) -> tuple[Index, ...]:
        """The tiles that a leaf belongs to, coarsest first; compares as leaves are taken."""
        path = [leaf]
        for level in range(len(self.shapes) - 1):
            path.append(self.parent(level, path[-1]))
        return tuple(reversed(path))

    def leaves(self, level: int | None = None, index: Index | None = None) -> Iterator[Index]:
        """Tiles of the finest level, depth first, below one tile or in the whole tree."""
        return self._tiles_of(0, len(self.shapes) - 1 if level is None else level, index)

    def subtrees(self, at_least: int) -> tuple[int, list[Index]]:
        """The coarsest level with enough tiles to share out, and its tiles, depth first.

        Parameters
        ----------
        at_least : int
            Number of tiles wanted; the finest level is taken if no level has as many.
        """
        level = len(self.shapes) - 1
        while level and math.prod(self.counts[level]) < at_least:
            level -= 1
        return level, list(self._tiles_of(level, len(self.shapes) - 1, None))

    def _tiles_of(self, level: int, at: int, index: Index | None) -> Iterator[Index]:
        indices = np.ndindex(*self.counts[at]) if index is None else (index,)
        for tile in indices:
            if at == level:
                yield tile
            else:
                for child in self.children(at, tile):
                    yield from self._tiles_of(level, at - 1, child)


def _tile_sizes(shapes: list[int], units: list[int], factors: list[int]) -> list[int]:
    """Tile size on one axis for every level: whole units, so that tiles nest.

    A tile must begin and end where the tiles below it do, and on whole groups of the pixels
    above it. One tile that spans the axis always fits.
    """
    sizes: list[int] = []
    for level, (n, unit) in enumerate(zip(shapes, units, strict=True)):
        size = unit
        if level:
            f = factors[level - 1]
            size = math.lcm(size, sizes[-1] // math.gcd(sizes[-1], f))
        if level < len(factors):
            size = math.lcm(size, factors[level])
        sizes.append(min(size, -(-n // unit) * unit))
    return sizes
