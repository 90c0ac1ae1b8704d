"""Sources: read boxes of chunked arrays, decoding each stored chunk once.

The chunks of a source and the tiles of an output rarely coincide: after a shift by three pixels
a tile needs one chunk and slivers of its neighbours. When a chunk is decoded, the slivers that
other tiles will read are copied and kept, and the chunk itself is freed. The memory for slivers
is bounded: beyond it, those that are needed last are freed, and their chunks decoded again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from threading import Lock
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from platefuse.engine.flat_field import FlatField
from platefuse.geometry import Box, Pixels, grid_box, grid_indices

if TYPE_CHECKING:
    from _typeshed import SupportsAllComparisons

Rank: TypeAlias = "SupportsAllComparisons"
"""When a reader reads, compared with others."""
Consumers = Callable[[Box], Iterable[tuple[Rank, Hashable, Box]]]
"""Returns (rank, reader, box) for each reader of a chunk: see `Source.expect`."""

KEPT_BYTES = 32 * 2**20
"""Most bytes of slivers that all sources of one image keep together."""


class Slivers:
    """Pixels kept for later readers: at most `KEPT_BYTES`; those that are needed first stay."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Hashable, Box], tuple[Rank, Pixels]] = {}
        self.nbytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        """Number of slivers."""
        return len(self._kept)

    def keep(self, reader: Hashable, box: Box, rank: Rank, pixels: Pixels) -> None:
        """Keep a copy for a reader; readers read roughly in the order of their ranks."""
        with self._lock:
            if (reader, box) in self._kept or not self._make_room(pixels.nbytes, rank):
                return
            self.nbytes += pixels.nbytes
        kept = pixels.copy()
        with self._lock:
            self._kept[reader, box] = rank, kept

    def _make_room(self, nbytes: int, rank: Rank) -> bool:
        """Free slivers needed after `rank`, last first, if `nbytes` fit then; whether they do."""
        missing = self.nbytes + nbytes - KEPT_BYTES
        if missing <= 0:
            return True
        freed = []
        by_rank = sorted(self._kept.items(), key=lambda item: item[1][0], reverse=True)
        for key, (other, pixels) in by_rank:
            if missing <= 0 or other <= rank:
                break
            missing -= pixels.nbytes
            freed.append(key)
        if missing > 0:
            return False
        for key in freed:
            self.nbytes -= self._kept.pop(key)[1].nbytes
        return True

    def take(self, reader: Hashable, box: Box) -> Pixels | None:
        """The pixels kept for a reader, which reads them once; None if they were freed."""
        with self._lock:
            _, pixels = self._kept.pop((reader, box), (None, None))
            if pixels is not None:
                self.nbytes -= pixels.nbytes
        return pixels


class ChunkStore(Protocol):
    """A chunked array that a `Source` reads from."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in pixels."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Data type of the pixels."""

    @property
    def chunk(self) -> tuple[int, ...]:
        """Shape of a chunk, in pixels: what is decoded at once."""

    @property
    def is_free(self) -> bool:
        """Whether reading a box costs no more than its own pixels, as from memory."""

    def is_empty(self, index: tuple[int, ...]) -> bool:
        """Whether a chunk is known to be all zeros without decoding it."""

    def decode(self, box: Box) -> Pixels:
        """The pixels of one chunk."""


class Source:
    """Reads boxes of a chunked array; decodes a chunk once for all its readers.

    Parameters
    ----------
    store : ChunkStore
        The array.
    flat_field : FlatField, optional
        How its pixels are corrected when they are read.
    """

    def __init__(self, store: ChunkStore, flat_field: FlatField | None = None) -> None:
        self.store, self.flat_field = store, flat_field
        self._consumers: Consumers | None = None
        self.slivers = Slivers()
        self._decoding: dict[tuple[int, ...], Lock] = {}
        self._waiting: dict[tuple[int, ...], set[Hashable]] = {}
        self._lock = Lock()
        self.decoded = 0

    def __reduce__(self) -> tuple[type[Source], tuple[ChunkStore, FlatField | None]]:
        """Pickled without locks and slivers."""
        return Source, (self.store, self.flat_field)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in pixels, in array axis order."""
        return self.store.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Data type of the pixels as they are stored."""
        return self.store.dtype

    @property
    def chunk(self) -> tuple[int, ...]:
        """Shape of a chunk, in pixels: what is decoded at once."""
        return self.store.chunk

    def is_as_stored(self, box: Box) -> bool:
        """Whether the pixels of a box are read as they are stored, without a correction."""
        return self.flat_field is None or not self.flat_field.corrects(box)

    def expect(self, consumers: Consumers, slivers: Slivers) -> None:
        """Announce the readers.

        Parameters
        ----------
        consumers : callable
            Called with the box of a chunk, returns (rank, reader, box) for each reader of some of
            it: when it reads, compared with others; its name; and all that it reads at once.
        slivers : Slivers
            Where pixels are kept for them.
        """
        self._consumers, self.slivers = consumers, slivers

    def read(self, box: Box, reader: Hashable) -> Pixels | None:
        """Pixels of a box; None if all of them are zero and none is stored.

        Parameters
        ----------
        box : Box
            Part of the array, not empty.
        reader : hashable
            The reader, as `consumers` names it. Each reader reads each box once.

        Returns
        -------
        ndarray or None
            Of the array's data type; floats, not rounded, if a pixel of the box is corrected.
        """
        pixels = self._stored(box, reader)
        if self.flat_field is None:
            return pixels
        return self.flat_field.correct(pixels, box, self.dtype)

    def _stored(self, box: Box, reader: Hashable) -> Pixels | None:
        """The pixels of a box as they are stored."""
        if self._consumers is None or self.store.is_free:  # no reason to keep pixels
            return self.store.decode(box)
        out: Pixels | None = None
        empty = []
        for index in grid_indices(box, self.chunk):
            chunk = grid_box(index, self.chunk, self.shape)
            part = box & chunk
            pixels = self._part(index, chunk, part, reader)
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

    def _part(
        self, index: tuple[int, ...], chunk: Box, part: Box, reader: Hashable
    ) -> Pixels | None:
        if self.store.is_empty(index):
            return None
        with self._lock:
            decoding = self._decoding.setdefault(index, Lock())
        with decoding:
            pixels = self.slivers.take(reader, part)
            if pixels is None:
                pixels = self._decode(index, chunk, part, reader)
            waiting = self._waiting.get(index, set())
            waiting.discard(reader)
            if not waiting:  # no reader is left: forget the chunk
                self._waiting.pop(index, None)
                with self._lock:
                    self._decoding.pop(index, None)
        return pixels

    def _decode(self, index: tuple[int, ...], chunk: Box, part: Box, reader: Hashable) -> Pixels:
        """The pixels of a part of a chunk; slivers are kept for all readers still to come."""
        pixels = self.store.decode(chunk)
        with self._lock:
            self.decoded += 1
        others = [
            (rank, other, box & chunk)
            for rank, other, box in (self._consumers(chunk) if self._consumers else ())
            if other != reader and not (box & chunk).empty
        ]
        waiting = self._waiting.setdefault(index, {other for _, other, _ in others})
        for rank, other, needed in others:
            if other in waiting:
                self.slivers.keep(other, needed, rank, pixels[needed.within(chunk)])
        if part == chunk:
            return pixels
        own = pixels[part.within(chunk)]
        return own.copy() if 2 * own.size < pixels.size else own  # a copy frees the chunk
