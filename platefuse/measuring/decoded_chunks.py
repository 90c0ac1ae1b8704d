"""Decoded chunks of the arrays that are read together: the last are kept, within one limit."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future
from threading import Lock

from platefuse.engine.sources import ChunkStore
from platefuse.geometry import Box, Pixels

KEPT_BYTES = 64 * 2**20
"""Most bytes that are kept of all arrays: pairs that are measured one after the other share
fields, and their blocks lie next to each other."""

_Key = tuple[ChunkStore, tuple[int, ...]]


class DecodedChunks:
    """The chunks that were used last, of any number of arrays.

    It may be used by several threads. A chunk that two of them need at the same time is decoded
    once; a chunk that is larger than the limit is kept until the next one is decoded.

    Parameters
    ----------
    most_bytes : int
        Most bytes that are kept.

    Attributes
    ----------
    nbytes : int
        Bytes that were decoded so far.
    kept_bytes : int
        Bytes that are kept now.
    """

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self.nbytes = self.kept_bytes = 0
        self._most, self._lock = most_bytes, Lock()
        self._kept: OrderedDict[_Key, Pixels] = OrderedDict()
        self._decoding: dict[_Key, Future[Pixels]] = {}

    def of(self, array: ChunkStore, box: Box) -> Pixels:
        """The pixels of one chunk of an array.

        Parameters
        ----------
        array : ChunkStore
            The array.
        box : Box
            The pixels of the chunk.
        """
        key = array, box.start
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            other = self._decoding.get(key)
            own = self._decoding.setdefault(key, Future())
        if other is not None:
            return other.result()
        try:
            pixels = array.decode(box)
        except BaseException as error:
            own.set_exception(error)
            raise
        else:
            self._keep(key, pixels)
            own.set_result(pixels)
        finally:
            with self._lock:
                del self._decoding[key]
        return pixels

    def _keep(self, key: _Key, pixels: Pixels) -> None:
        with self._lock:
            self.nbytes += pixels.nbytes
            self._kept[key] = pixels
            self.kept_bytes += pixels.nbytes
            while len(self._kept) > 1 and self.kept_bytes > self._most:
                _, oldest = self._kept.popitem(last=False)
                self.kept_bytes -= oldest.nbytes
