"""Arrays in memory for tests of the engine; they check and record every write."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platefuse.geometry import Box

Array = NDArray[Any]
Index = tuple[int, ...]


@dataclass
class ArrayStore:
    """An array to read from: a `ChunkStore` of the engine; `holes` are its empty chunks."""

    array: Array
    chunk: Index
    holes: frozenset[Index] = frozenset()
    is_free: bool = False

    @property
    def shape(self) -> Index:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def is_empty(self, index: Index) -> bool:
        return index in self.holes

    def decode(self, box: Box) -> Array:
        return self.array[box.slices].copy()


@dataclass
class ArrayLevel:
    """An array to write to: a `platefuse.engine.pyramid.LevelArray`; accepts whole shards only."""

    shape: Index
    shard: Index
    dtype: np.dtype[Any]
    zero_is_fill: bool = True
    written: list[Box] = field(default_factory=list)
    _starts: set[Index] = field(default_factory=set)
    _lock: Any = field(default_factory=Lock)

    def __post_init__(self) -> None:
        # Unwritten pixels read as the fill value: 0, or 99 as an example of any other value.
        self.pixels = np.full(self.shape, 0 if self.zero_is_fill else 99, self.dtype)

    def copy_encoded_from(self, source: object, original: Box, box: Box) -> bool:
        return False

    def write(self, box: Box, pixels: Array) -> None:
        ends = zip(box.start, box.stop, self.shard, self.shape, strict=True)
        for start, stop, unit, length in ends:
            assert start % unit == 0, f"{box} does not begin at a shard of {self.shard}"
            assert stop % unit == 0 or stop == length, f"{box} does not end at a shard"
        assert pixels.dtype == self.dtype
        assert pixels.shape == box.shape
        with self._lock:
            assert box.start not in self._starts, f"{box} written twice"
            self._starts.add(box.start)
            self.written.append(box)
        self.pixels[box.slices] = pixels
