"""Locks between processes, and folders that several processes share until the last one leaves.

A lock is a ``flock`` on a file, which the system releases when its process ends, however it ends.
Whoever holds it removes the file at the end, so lock files do not pile up; what a killed
process leaves is used and removed by the next one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from platefuse.errors import LockError
from platefuse.storage.lock_files import (
    Holder,
    can_write,
    is_named,
    open_folder,
    open_lock_file,
    warn_of_local_locks,
    warn_of_no_locks,
)

_USERS = ".users.lock"
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF}
_held: set[tuple[object, ...]] = set()
"""The locks that each thread of this process holds."""


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Wait for the lock on a file, and hold it: for what takes an instant.

    A thread that holds a lock may take it again. On a file system without locks there is a warning,
    and nobody waits.

    Parameters
    ----------
    path : Path
        The file. It is created, and removed at the end.

    Raises
    ------
    LockError
        If there is anything but a regular file of this name. It is left as it is.
    """
    with _hold(path, fcntl.LOCK_EX, ""):
        yield


@contextmanager
def claim(path: Path, what: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock on a file, or stop at once: for what one process at a time may do.

    See `exclusive_lock`.

    Parameters
    ----------
    path : Path
        The file. It is created, and removed at the end.
    what : str
        What nobody else may use meanwhile; begins the error message.
    shared : bool
        Whether others may hold it, too, if they share it.

    Raises
    ------
    LockError
        If another process or thread holds the lock: with its host, its process, and since when.
    """
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with _hold(path, operation | fcntl.LOCK_NB, what):
        yield


def holder_of(path: Path) -> str | None:
    """Who holds the lock on a file, in words; None if nobody does, or it cannot be told.

    Parameters
    ----------
    path : Path
        The file. It is only read, and need not exist.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return str(Holder.read(file) or "another process")
    except OSError:  # a filesystem without locks
        return None
    finally:
        os.close(file)
    return None


@contextmanager
def _hold(path: Path, operation: int, what: str) -> Iterator[None]:
    folder = open_folder(path.parent)
    try:
        status = os.fstat(folder)
        own = os.getpid(), threading.get_ident()  # a fork has the set, and not the locks
        key = (status.st_dev, status.st_ino, path.name, *own)
        if key in _held:
            yield
            return
        file = _acquire(path, folder, operation, what)
        _held.add(key)
        try:
            yield
        finally:
            _held.discard(key)
            _release(file, path.name, folder, shared=bool(operation & fcntl.LOCK_SH))
    finally:
        os.close(folder)


def _acquire(path: Path, folder: int, operation: int, what: str) -> int:
    """Open a lock file and lock it; again, if its last holder has removed it meanwhile."""
    while True:
        file = open_lock_file(path, folder)
        try:
            _lock(file, path, folder, operation, what)
            if is_named(file, path.name, folder):
                if can_write(file):
                    Holder.this_process().write(file)
                return file
        except BaseException:  # also an interrupt leaves no file open
            os.close(file)
            raise
        os.close(file)


def _lock(file: int, path: Path, folder: int, operation: int, what: str) -> None:
    try:
        fcntl.flock(file, operation)
    except BlockingIOError as error:
        holder = Holder.read(file) or "another process"
        raise LockError(
            f"{what}: in use by {holder}. Nothing was changed. Wait until that ends, or end it, "
            "then start again."
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        warn_of_no_locks(path, folder, error)
    else:
        warn_of_local_locks(path, folder)


def _release(file: int, name: str, folder: int, *, shared: bool) -> None:
    """Remove a lock file, unless others share it, and release its lock."""
    try:
        if (not shared or _is_last(file)) and is_named(file, name, folder):
            with suppress(PermissionError):  # another user's, in a folder with the sticky bit
                os.unlink(name, dir_fd=folder)
    finally:
        os.close(file)


@contextmanager
def shared_folder(folder: Path) -> Iterator[None]:
    """Use a folder that other processes use, too; the last one to leave removes what is empty.

    The folder is created if it is missing. Until the end, no other process removes the folder,
    the folders on the two levels below, or a lock file in it. The last user removes the lock files
    in it, the folders on these levels that are empty and, if nothing is left, the folder itself.

    On a file system without locks nobody knows who is the last: nothing is removed.

    Parameters
    ----------
    folder : Path
        The folder.

    Raises
    ------
    LockError
        If it is a link, or no folder.
    """
    with _register_user(folder) as users:
        try:
            yield
        finally:
            last = _is_last(users.fileno())
            if last:
                _remove_content(folder)
            users.close()  # before the folder goes: NFS keeps a file that is open
            if last:
                with suppress(OSError):  # not empty
                    folder.rmdir()


def tidy_shared_folder(folder: Path) -> None:
    """Remove what is empty in a shared folder, unless it is in use: then its last user does it."""
    if not folder.is_dir():
        return
    with suppress(OSError), shared_folder(folder):  # perhaps protected: then it stays as it is
        pass


def _register_user(folder: Path) -> IO[str]:
    """Open the file that every user of a folder holds a shared lock on.

    It is opened again if its last user has removed it before the lock was held.
    """
    while True:
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
        with suppress(FileNotFoundError):  # removed by its last user in this instant
            descriptor = open_folder(folder)
            try:
                users = os.fdopen(open_lock_file(folder / _USERS, descriptor))
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(users, fcntl.LOCK_SH)
                if is_named(users.fileno(), _USERS, descriptor):
                    return users
                users.close()
            finally:
                os.close(descriptor)


def _is_last(file: int) -> bool:
    """Whether no other process has locked a file; if so, none can until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # there are others, or there are no locks
        return False
    return True


def _remove_content(folder: Path) -> None:
    """Remove empty folders and lock files; that of the users last, as a new user may come then."""
    for below in (*folder.glob("*/*/"), *folder.glob("*/")):
        with suppress(OSError):  # not empty, or a link
            below.rmdir()
    with os.scandir(folder) as found:
        files = [entry.name for entry in found if entry.is_file(follow_symlinks=False)]
    for name in files:
        if name.startswith(".") and name.endswith(".lock") and name != _USERS:
            (folder / name).unlink()
    (folder / _USERS).unlink()
