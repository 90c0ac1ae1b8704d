"""How a process that moves pixels uses its memory.

glibc gives every thread an arena of its own and returns large blocks to the system at once.
Threads that pass blocks of many megabytes to each other so hold several times what they use,
and have every block cleared again before they fill it.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST = 32 * 2**20  # glibc takes no more
_KEPT = 64 * 2**20


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
