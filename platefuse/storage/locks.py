"""Locks between processes, and folders that several processes share until the last one leaves.

A lock is a ``flock`` on a file, which the system releases when its process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_USERS = ".users.lock"
_LOCK_FILES = ".*.lock"


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold the exclusive lock on a file, which is created if it is missing and never removed."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
    """
    with _register_user(folder) as users:
        try:
            yield
        finally:
            last = _is_last(users)
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
    path = folder / _USERS
    while True:
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
        try:
            users = path.open("a")
        except FileNotFoundError:
            if folder.is_symlink():  # a link that leads nowhere
                raise
            continue
        with suppress(OSError):  # a file system without locks
            fcntl.flock(users, fcntl.LOCK_SH)
        if _is_same_file(users, path):
            return users
        users.close()


def _is_last(users: IO[str]) -> bool:
    """Whether no other process has the folder in use; if so, none can until the file is closed."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # there are others, or there are no locks
        return False
    return True


def _remove_content(folder: Path) -> None:
    """Remove empty folders and lock files; that of the users last, as a new user may come then."""
    for below in (*folder.glob("*/*/"), *folder.glob("*/")):
        with suppress(OSError):  # not empty, or a link
            below.rmdir()
    for file in folder.glob(_LOCK_FILES):
        if file.name != _USERS:
            file.unlink()
    (folder / _USERS).unlink()


def _is_same_file(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
