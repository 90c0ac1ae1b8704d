"""Write all levels of an image in one pass.

Each level is divided into *tiles* of whole shards. A tile of level *l* is computed from the tiles
of level *l - 1* that it covers. A finished tile is written and downsampled into its parent; the
last child finishes the parent. Nothing is read back, and with the leaves taken depth first only
a few parents are open at any time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from threading import Lock
from typing import Protocol

import numpy as np
from numcodecs import blosc

from platefuse.engine.downsample import Downsample
from platefuse.geometry import Box, Pixels, grid_box

Index = tuple[int, ...]

_SMALL_LEVEL = 8 * 2**20
"""Pixels of a level of at most so many bytes wait as they are: compressing them takes time."""


class TileTree:
    """The tiles of all levels, and which tiles of the level below each covers. Pure.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Shape of every level, finest first.
    shards : sequence of tuple of int
        Shard of every level.
    factors : sequence of tuple of int
        Group size from each level to the next; one fewer than levels.
    """

    def __init__(
        self, shapes: Sequence[Index], shards: Sequence[Index], factors: Sequence[Index]
    ) -> None:
        self.shapes = [tuple(shape) for shape in shapes]
        self.factors = [tuple(f) for f in factors]
        per_axis = [
            _tile_sizes([s[d] for s in shapes], [s[d] for s in shards], [f[d] for f in factors])
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
        """The tile of the next level that a tile is downsampled into."""
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
        """The tiles of the level below that a tile is the parent of."""
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
        """A leaf and its ancestors, coarsest first; sorts in the order of `leaves`."""
        path = [leaf]
        for level in range(len(self.shapes) - 1):
            path.append(self.parent(level, path[-1]))
        return tuple(reversed(path))

    def leaves(self, level: int | None = None, index: Index | None = None) -> Iterator[Index]:
        """Tiles of the finest level, depth first: those below one tile, or all."""
        return self._tiles_of(0, len(self.shapes) - 1 if level is None else level, index)

    def subtrees(self, at_least: int) -> tuple[int, list[Index]]:
        """The coarsest level with enough tiles to distribute, and its tiles, depth first.

        Parameters
        ----------
        at_least : int
            Least number of tiles; the finest level is taken if no level has as many.
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


def _tile_sizes(shapes: list[int], shards: list[int], factors: list[int]) -> list[int]:
    """Tile size on one axis for every level: whole shards, so that tiles nest.

    A tile must begin and end where the tiles below it do, and on whole groups of the pixels
    above it. One tile that spans the axis always fits.
    """
    sizes: list[int] = []
    for level, (n, shard) in enumerate(zip(shapes, shards, strict=True)):
        size = shard
        if level:
            f = factors[level - 1]
            size = math.lcm(size, sizes[-1] // math.gcd(sizes[-1], f))
        if level < len(factors):
            size = math.lcm(size, factors[level])
        sizes.append(min(size, -(-n // shard) * shard))
    return sizes


class LevelArray(Protocol):
    """An array that one level is written to."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in pixels."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Data type of the pixels."""

    @property
    def shard(self) -> tuple[int, ...]:
        """Shape of a shard, in pixels: what is encoded at once."""

    @property
    def zero_is_fill(self) -> bool:
        """Whether pixels that are not written read as zero."""

    def write(self, box: Box, pixels: Pixels) -> None:
        """Write a box of whole shards."""

    def copy_encoded_from(self, source: object, original: Box, box: Box) -> bool:
        """Copy a stored shard of another array without decoding; False if formats differ."""


@dataclass
class _OpenTile:
    """A tile that waits for some of its children, with the pixels of the others."""

    waiting: int
    packed: bool
    pieces: list[tuple[Box, np.dtype[np.generic], Pixels | bytes]] = field(default_factory=list)

    def add(self, box: Box, pixels: Pixels) -> None:
        """Add the pixels of one child; a view of a larger array is copied, which frees that."""
        kept: Pixels | bytes = pixels
        if self.packed:
            kept = _pack(pixels)
        elif pixels.base is not None:
            kept = pixels.copy()
        self.pieces.append((box, pixels.dtype, kept))

    def assemble(self, region: Box, dtype: np.dtype[np.generic]) -> Pixels | None:
        """The pixels of the whole tile; None if no child had pixels."""
        if not self.pieces:
            return None
        if len(self.pieces) == 1 and not self.packed and self.pieces[0][0] == region:
            return np.asarray(self.pieces[0][2])
        whole = sum(box.size for box, _, _ in self.pieces) == region.size
        tile = np.empty(region.shape, dtype) if whole else np.zeros(region.shape, dtype)
        while self.pieces:
            box, own, piece = self.pieces.pop()
            pixels = _unpack(piece, own, box.shape) if isinstance(piece, bytes) else piece
            tile[box.within(region)] = pixels
        return tile


class PyramidWriter:
    """Writes tiles and computes their parents.

    Parameters
    ----------
    tree : TileTree
        The tiles.
    arrays : sequence of LevelArray
        One array per level, finest first.
    downsample : Downsample
        Computes the pixels of a level from those of the level below.
    top : int, optional
        The last level to write; by default the coarsest.
    """

    def __init__(
        self,
        tree: TileTree,
        arrays: Sequence[LevelArray],
        downsample: Downsample,
        *,
        top: int | None = None,
    ) -> None:
        self._tree = tree
        self._top = len(arrays) - 1 if top is None else top
        self._arrays = arrays
        self._downsample = downsample
        self._open: dict[tuple[int, Index], _OpenTile] = {}
        sizes = [math.prod(array.shape) * array.dtype.itemsize for array in arrays]
        self._packed = [n > 1 and size > _SMALL_LEVEL for n, size in enumerate(sizes)]
        self._lock = Lock()

    def put(
        self, index: Index, pixels: Pixels | None, level: int = 0, *, written: bool = False
    ) -> None:
        """Write a finished tile and the parents that it completes.

        Parameters
        ----------
        index : tuple of int
            The tile.
        pixels : ndarray or None
            Its pixels; None: all zero.
        level : int
            Its level.
        written : bool
            Whether it is on disk already.
        """
        while True:  # no recursion, which would hold the tiles of all levels
            if not written:
                self._write(index, pixels, level)
            if level == self._top:
                return
            parent = self._tree.parent(level, index)
            tile = self._opened(level + 1, parent)
            if pixels is not None:
                self._add_to_parent(level, self._tree.region(level, index), pixels, parent, tile)
                pixels = None
            if not self._is_last(level + 1, parent, tile):
                return
            index, level, written = parent, level + 1, False
            pixels = tile.assemble(self._tree.region(level, index), self._arrays[0].dtype)

    def _write(self, index: Index, pixels: Pixels | None, level: int) -> None:
        region = self._tree.region(level, index)
        array = self._arrays[level]
        if pixels is not None:
            array.write(region, pixels)
        elif not array.zero_is_fill:
            array.write(region, np.zeros(region.shape, array.dtype))

    def _opened(self, level: int, index: Index) -> _OpenTile:
        with self._lock:
            tile = self._open.get((level, index))
            if tile is None:
                children = len(self._tree.children(level, index))
                tile = _OpenTile(children, packed=self._packed[level])
                self._open[level, index] = tile
        return tile

    def _is_last(self, level: int, index: Index, tile: _OpenTile) -> bool:
        """Count a finished child; whether all are finished."""
        with self._lock:
            tile.waiting -= 1
            complete = tile.waiting == 0
            if complete:
                del self._open[level, index]
        return complete

    def _add_to_parent(
        self, level: int, region: Box, pixels: Pixels, parent: Index, tile: _OpenTile
    ) -> None:
        target = self._tree.region(level + 1, parent)
        factors = self._tree.factors[level]
        covered = target & Box(
            tuple(a // f for a, f in zip(region.start, factors, strict=True)),
            tuple(-(-b // f) for b, f in zip(region.stop, factors, strict=True)),
        )
        if covered.empty:
            return
        tile.add(covered, self._downsample(pixels, factors, covered.shape))


def _pack(pixels: Pixels) -> bytes:
    """Compress pixels: those of coarser levels wait longest, and memory must stay flat."""
    packed: bytes = blosc.compress(np.ascontiguousarray(pixels), b"lz4", 1, blosc.BITSHUFFLE)
    return packed


def _unpack(packed: bytes, dtype: np.dtype[np.generic], shape: Index) -> Pixels:
    return np.frombuffer(blosc.decompress(packed), dtype).reshape(shape)
