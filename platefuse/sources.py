"""Where pixels come from: arrays that are read by boxes, each stored chunk decoded once.

The chunks of a source and the blocks of an output rarely coincide: after a shift by three
pixels a block needs one chunk and slivers of its neighbours. When a chunk is decoded, the
slivers that other blocks will ask for are cut out and kept, and the chunk itself is let go.
What is kept is as thin as the shift, so memory does not grow with the image.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from platefuse.geometry import Box, grid_box, grid_indices

Pixels = NDArray[Any]
Consumers = Callable[[Box], Iterable[tuple[Hashable, Box]]]

KEPT_BYTES = 128 * 2**20
"""Slivers kept for later blocks; beyond this they are not kept, and decoded again."""


class ChunkStore(Protocol):
    """An array in chunks: what a `Source` needs to know of it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in pixels."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels."""

    @property
    def chunk(self) -> tuple[int, ...]:
        """Shape of what is decoded at once, in pixels."""

    @property
    def is_free(self) -> bool:
        """Whether reading a part costs no more than its own pixels, as from memory."""

    def is_empty(self, index: tuple[int, ...]) -> bool:
        """Whether a chunk holds nothing but zeros, known without decoding it."""

    def decode(self, box: Box) -> Pixels:
        """The pixels of one chunk."""


class Source:
    """Reads boxes of a chunked array; decodes a chunk once for all who want parts of it.

    Parameters
    ----------
    store : ChunkStore
        The array.
    """

    def __init__(self, store: ChunkStore) -> None:
        self._store = store
        self._consumers: Consumers | None = None
        self._kept: dict[tuple[Hashable, Box], Pixels] = {}
        self._kept_bytes = 0
        self._decoding: dict[tuple[int, ...], Lock] = {}
        self._seen: set[tuple[int, ...]] = set()
        self._lock = Lock()
        self.decoded = 0

    def __reduce__(self) -> tuple[type[Source], tuple[ChunkStore]]:
        """What goes to another process: the array, without locks and slivers."""
        return Source, (self._store,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in pixels, in array axis order."""
        return self._store.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels."""
        return self._store.dtype

    @property
    def chunk(self) -> tuple[int, ...]:
        """Shape of what is decoded at once, in pixels."""
        return self._store.chunk

    def expect(self, consumers: Consumers) -> None:
        """Tell who will read: `consumers` of a chunk's box gives (who, what) for each reader."""
        self._consumers = consumers

    def read(self, box: Box, who: Hashable) -> Pixels | None:
        """Pixels of a box; None if all of them are zero and none is stored.

        Parameters
        ----------
        box : Box
            Part of the array, not empty.
        who : hashable
            The reader, as its `consumers` name it. Each reader reads each box once.
        """
        if self._consumers is None or self._store.is_free:  # nobody to keep anything for
            return self._store.decode(box)
        out: Pixels | None = None
        for index in grid_indices(box, self.chunk):
            chunk = grid_box(index, self.chunk, self.shape)
            part = box & chunk
            pixels = self._part(index, chunk, part, who)
            if pixels is None:
                continue
            if part == box:
                return pixels
            if out is None:
                out = np.zeros(box.shape, self.dtype)
            out[part.within(box)] = pixels
        return out

    def _part(self, index: tuple[int, ...], chunk: Box, part: Box, who: Hashable) -> Pixels | None:
        if self._store.is_empty(index):
            return None
        with self._lock:
            decoding = self._decoding.setdefault(index, Lock())
        with decoding:
            again = index in self._seen  # not who asked first: who holds the lock first decodes
            if again and (kept := self._take(who, part)) is not None:
                return kept
            pixels = self._store.decode(chunk)
            with self._lock:
                self.decoded += 1
            if not again:
                self._keep(chunk, pixels, who)
                self._seen.add(index)
        return pixels if part == chunk else pixels[part.within(chunk)]

    def _take(self, who: Hashable, part: Box) -> Pixels | None:
        with self._lock:
            kept = self._kept.pop((who, part), None)
            if kept is not None:
                self._kept_bytes -= kept.nbytes
        return kept

    def _keep(self, chunk: Box, pixels: Pixels, who: Hashable) -> None:
        for other, box in self._consumers(chunk) if self._consumers else ():
            part = box & chunk
            if other == who or part.empty:
                continue
            sliver = pixels[part.within(chunk)].copy()
            with self._lock:
                if self._kept_bytes + sliver.nbytes <= KEPT_BYTES:
                    self._kept[other, part] = sliver
                    self._kept_bytes += sliver.nbytes
