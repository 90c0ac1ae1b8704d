"""All levels of an image, written in one pass.

Each level is cut into *tiles*: the units in which it is written, whole chunks or shards. A tile
of level *l* is made of the tiles of level *l - 1* that it covers. Finished tiles are written
and poured into their parent; the last child to arrive finishes the parent. Nothing is read
back, and with the leaves taken depth first only a few parents are ever open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from platefuse.downsample import Downsample
from platefuse.geometry import Box
from platefuse.tiles import Index, TileTree

Pixels = NDArray[Any]


class LevelArray(Protocol):
    """An array on disk that takes one level."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in pixels."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels."""

    @property
    def shard(self) -> tuple[int, ...]:
        """Shape of what is encoded at once, in pixels: a shard, or a chunk without shards."""

    @property
    def zero_is_fill(self) -> bool:
        """Whether pixels that are not written read as zero."""

    def write(self, box: Box, pixels: Pixels) -> None:
        """Write whole units."""

    def take_encoded(self, source: Any, original: Box, box: Box) -> bool:
        """Copy a stored unit of another array as it is; False if the two are not alike."""


@dataclass
class _OpenTile:
    """A tile of which some children are still to come; those that came wait here."""

    waiting: int
    packed: bool
    pieces: list[tuple[Box, np.dtype[Any], Pixels | bytes]] = field(default_factory=list)

    def add(self, box: Box, pixels: Pixels) -> None:
        """Take in the pixels of one child; a part of a larger array is copied and lets it go."""
        kept: Pixels | bytes = pixels
        if self.packed:
            kept = _pack(pixels)
        elif pixels.base is not None:
            kept = pixels.copy()
        self.pieces.append((box, pixels.dtype, kept))

    def joined(self, region: Box, dtype: np.dtype[Any]) -> Pixels | None:
        """The pixels of the whole tile; None if no child had any."""
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
    """Writes tiles and makes their parents.

    Parameters
    ----------
    tree : TileTree
        The tiles.
    arrays : sequence of LevelArray
        One array per level, finest first.
    downsample : Downsample
        Makes the pixels of a level from those of the level below.
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
        self._lock = Lock()

    def put(
        self, index: Index, pixels: Pixels | None, level: int = 0, *, written: bool = False
    ) -> None:
        """Write a finished tile (None: all zero), and the parents that it completes.

        Parameters
        ----------
        index : tuple of int
            The tile.
        pixels : ndarray or None
            Its pixels.
        level : int
            Its level.
        written : bool
            Whether it is on disk already.
        """
        while True:  # not by recursion, which would hold the tiles of all levels
            if not written:
                self._write(index, pixels, level)
            if level == self._top:
                return
            parent = self._tree.parent(level, index)
            tile = self._opened(level + 1, parent)
            if pixels is not None:
                self._pour(level, self._tree.region(level, index), pixels, parent, tile)
                pixels = None
            if not self._is_last(level + 1, parent, tile):
                return
            index, level, written = parent, level + 1, False
            pixels = tile.joined(self._tree.region(level, index), self._arrays[0].dtype)

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
                tile = _OpenTile(children, packed=level > 1)
                self._open[level, index] = tile
        return tile

    def _is_last(self, level: int, index: Index, tile: _OpenTile) -> bool:
        """Count a child that has come; whether all have."""
        with self._lock:
            tile.waiting -= 1
            complete = tile.waiting == 0
            if complete:
                del self._open[level, index]
        return complete

    def _pour(
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
    """Pixels of the coarser levels wait longest: compressed, so that memory stays flat."""
    packed: bytes = blosc.compress(np.ascontiguousarray(pixels), b"lz4", 1, blosc.BITSHUFFLE)
    return packed


def _unpack(packed: bytes, dtype: np.dtype[Any], shape: Index) -> Pixels:
    return np.frombuffer(blosc.decompress(packed), dtype).reshape(shape)
