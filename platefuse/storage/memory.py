"""Settings of a process for its memory: the allocator, and the collector of garbage."""

from __future__ import annotations

import ctypes
import gc
from threading import Lock

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST = 32 * 2**20  # glibc takes no more
_KEPT = 512 * 2**20  # all of it: `MemoryTrimmer` returns what is free
_TURNOVER = 512 * 2**20
_NEW_OBJECTS = 50_000  # the default is 700, and 2,000 from Python 3.13 on


def collect_rarely() -> None:
    """Let Python look for garbage much less often than by default.

    Imports and plans make many objects that stay, and the collector looks at all of them again and
    again. What no other object refers to is freed at once, as ever.
    """
    gc.set_threshold(_NEW_OBJECTS, 20, 100)


def reuse_blocks() -> None:
    """Make the allocator of this process use freed blocks again: one arena, little returned.

    For processes of our own, and before they start a thread: it holds for all of the process.
    Where the C library is not glibc, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


class MemoryTrimmer:
    """Counts processed bytes, and returns free memory to the system after every 512 MB."""

    def __init__(self) -> None:
        self._lock, self._nbytes = Lock(), 0

    def add(self, nbytes: int) -> None:
        """Count bytes that have been processed."""
        with self._lock:
            self._nbytes += nbytes
            if self._nbytes < _TURNOVER:
                return
            self._nbytes = 0
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
