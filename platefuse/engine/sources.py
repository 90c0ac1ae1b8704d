"""Where pixels come from: arrays that are read by boxes, each stored chunk decoded once.

The chunks of a source and the blocks of an output rarely coincide: after a shift by three
pixels a block needs one chunk and slivers of its neighbours. When a chunk is decoded, the
slivers that other blocks will ask for are cut out and kept, and the chunk itself is let go.
What is kept is bounded: beyond that, what is needed last is let go and decoded again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from platefuse.geometry import Box, grid_box, grid_indices

Pixels = NDArray[Any]
Consumers = Callable[[Box], Iterable[tuple[Any, Hashable, Box]]]

KEPT_BYTES = 32 * 2**20
"""Slivers kept for later blocks, of all sources of one image together."""


class Slivers:
    """Pixels that are kept for later readers: at most `KEPT_BYTES`, those that are needed first."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Hashable, Box], tuple[Any, Pixels]] = {}
        self.nbytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._kept)

    def keep(self, who: Hashable, box: Box, rank: Any, pixels: Pixels) -> None:
        """Keep a copy for a reader; readers read in the order of their ranks, more or less."""
        with self._lock:
            if (who, box) in self._kept or not self._make_room(pixels.nbytes, rank):
                return
            self.nbytes += pixels.nbytes
        kept = pixels.copy()
        with self._lock:
            self._kept[who, box] = rank, kept

    def _make_room(self, nbytes: int, rank: Any) -> bool:
        """Let go what is needed after `rank`, last first, if so many bytes fit then."""
        missing = self.nbytes + nbytes - KEPT_BYTES
        if missing <= 0:
            return True
        let_go = []
        by_rank = sorted(self._kept.items(), key=lambda item: item[1][0], reverse=True)
        for key, (other, pixels) in by_rank:
            if missing <= 0 or other <= rank:
                break
            missing -= pixels.nbytes
            let_go.append(key)
        if missing > 0:
            return False
        for key in let_go:
            self.nbytes -= self._kept.pop(key)[1].nbytes
        return True

    def take(self, who: Hashable, box: Box) -> Pixels | None:
        """What was kept for a reader, which reads it once; None if it was let go."""
        with self._lock:
            _, pixels = self._kept.pop((who, box), (None, None))
            if pixels is not None:
                self.nbytes -= pixels.nbytes
        return pixels


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
        self.store = store
        self._consumers: Consumers | None = None
        self.slivers = Slivers()
        self._decoding: dict[tuple[int, ...], Lock] = {}
        self._waiting: dict[tuple[int, ...], set[Hashable]] = {}
        self._lock = Lock()
        self.decoded = 0

    def __reduce__(self) -> tuple[type[Source], tuple[ChunkStore]]:
        """What goes to another process: the array, without locks and slivers."""
        return Source, (self.store,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in pixels, in array axis order."""
        return self.store.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels."""
        return self.store.dtype

    @property
    def chunk(self) -> tuple[int, ...]:
        """Shape of what is decoded at once, in pixels."""
        return self.store.chunk

    def expect(self, consumers: Consumers, slivers: Slivers) -> None:
        """Tell who will read.

        Parameters
        ----------
        consumers : callable
            Called with the box of a chunk, gives (rank, who, box) for each reader of some of it:
            when it reads, compared with others; its name; and all that it reads at once.
        slivers : Slivers
            What is kept for them.
        """
        self._consumers, self.slivers = consumers, slivers

    def read(self, box: Box, who: Hashable) -> Pixels | None:
        """Pixels of a box; None if all of them are zero and none is stored.

        Parameters
        ----------
        box : Box
            Part of the array, not empty.
        who : hashable
            The reader, as its `consumers` name it. Each reader reads each box once.
        """
        if self._consumers is None or self.store.is_free:  # nobody to keep anything for
            return self.store.decode(box)
        out: Pixels | None = None
        empty = []
        for index in grid_indices(box, self.chunk):
            chunk = grid_box(index, self.chunk, self.shape)
            part = box & chunk
            pixels = self._part(index, chunk, part, who)
            if pixels is None:
                empty.append(part)
                continue
            if part == box:
                return pixels
            if out is None:
                out = np.empty(box.shape, self.dtype)
            out[part.within(box)] = pixels
        if out is not None:
            for part in empty:
                out[part.within(box)] = 0
        return out

    def _part(self, index: tuple[int, ...], chunk: Box, part: Box, who: Hashable) -> Pixels | None:
        if self.store.is_empty(index):
            return None
        with self._lock:
            decoding = self._decoding.setdefault(index, Lock())
        with decoding:
            pixels = self.slivers.take(who, part)
            if pixels is None:
                pixels = self._decode(index, chunk, part, who)
            waiting = self._waiting.get(index, set())
            waiting.discard(who)
            if not waiting:  # nobody will come again: nothing of the chunk is remembered
                self._waiting.pop(index, None)
                with self._lock:
                    self._decoding.pop(index, None)
        return pixels

    def _decode(self, index: tuple[int, ...], chunk: Box, part: Box, who: Hashable) -> Pixels:
        """The pixels of a part, after slivers were kept for all others that wait for theirs."""
        pixels = self.store.decode(chunk)
        with self._lock:
            self.decoded += 1
        others = [
            (rank, other, box & chunk)
            for rank, other, box in (self._consumers(chunk) if self._consumers else ())
            if other != who and not (box & chunk).empty
        ]
        waiting = self._waiting.setdefault(index, {other for _, other, _ in others})
        for rank, other, wanted in others:
            if other in waiting:
                self.slivers.keep(other, wanted, rank, pixels[wanted.within(chunk)])
        if part == chunk:
            return pixels
        asked = pixels[part.within(chunk)]
        return asked.copy() if 2 * asked.size < pixels.size else asked  # lets the chunk go
