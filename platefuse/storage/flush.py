"""Have what was written on the disk before anything depends on it, and notice what is not."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from platefuse.errors import DiskError
from platefuse.storage.filesystems import filesystem_type

_REPORTING = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs"})
"""File systems whose `syncfs` reports every error of writing, from Linux 5.8 on."""


_watched: ContextVar[Writes | None] = ContextVar("_watched", default=None)


@dataclass
class Writes:
    """What is written to a file system from now on; see `watched_writes`.

    Attributes
    ----------
    folder : Path
        A folder of the file system.
    descriptor : int
        The folder, opened before the first byte was written.
    flushed : bool
        Whether all was flushed once: what is written afterwards is flushed file by file.
    """

    folder: Path
    descriptor: int
    flushed: bool = False

    def flush(self, tree: Path) -> None:
        """Have all that was written below a folder on the disk.

        Parameters
        ----------
        tree : Path
            The folder, on the watched file system.

        Raises
        ------
        DiskError
            If the file system could not write something since the watch began.
        """
        try:
            if not (_reports_errors(self.folder) and _sync_filesystem(self.descriptor)):
                flush_tree(tree)
        except OSError as error:
            raise DiskError(
                f"{tree}: the file system reports that it could not write everything to the disk "
                f"({error.strerror}). Nothing has been replaced. Check the disk and its free "
                "space, then start again: all of it is written anew."
            ) from error
        self.flushed = True


@contextmanager
def watched_writes(folder: Path) -> Iterator[Writes]:
    """Watch the file system of a folder: errors of writing from now on are those of the caller.

    The system tells an error of writing once, to those who had opened the file system when it
    happened. So the watch begins before the first byte is written, and every job has its own.
    Until the caller flushes, files that are written below the folder need no flush of their own.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    writes = Writes(folder, descriptor)
    token = _watched.set(writes)
    try:
        yield writes
    finally:
        _watched.reset(token)
        os.close(descriptor)


def is_flushed_later(path: Path) -> bool:
    """Whether a file lies in a folder whose writes are watched, and flushed in the end."""
    writes = _watched.get()
    return writes is not None and not writes.flushed and path.is_relative_to(writes.folder)


def flush_tree(top: Path) -> None:
    """Flush every file and folder below a folder, and the folder itself, one by one.

    Raises
    ------
    OSError
        If one cannot be written.
    """
    for folder, _, names in os.walk(top, topdown=False, onerror=_raise):
        for name in names:
            _flush_file(os.path.join(folder, name))  # noqa: PTH118  (there may be 100,000)
        flush_folder(Path(folder))


def flush_folder(path: Path) -> None:
    """Flush the entries of one folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def begin_flush(path: Path) -> None:
    """Have a file that is complete written to disk in the background; it need not be there.

    Without it the system waits until much is to be written, and so does the flush at the end.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        # the advice that starts writing at once; pages still to be written stay in memory
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _flush_file(path: str) -> None:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return  # a link has no content of its own, and opening a pipe would block
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_filesystem(descriptor: int) -> bool:
    """Flush a whole file system; False where the system has no such call."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        return False
    if syncfs(descriptor) == 0:
        return True
    number = ctypes.get_errno()
    if number == errno.ENOSYS:
        return False
    raise OSError(number, os.strerror(number))


def _reports_errors(folder: Path) -> bool:
    """Whether `syncfs` of this kernel and file system tells what could not be written."""
    return _kernel() >= (5, 8) and filesystem_type(folder) in _REPORTING


@cache
def _kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)


def _raise(error: OSError) -> None:
    raise error
