"""Folders that one process makes: under a lock, and where there is none under a name of its own."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platefuse.errors import LockError
from platefuse.storage.lock_files import locks_reach_all
from platefuse.storage.locks import claim
from platefuse.storage.removing import remove_tree


@contextmanager
def output_lock(target: Path) -> Iterator[None]:
    """Hold the lock of a folder that is written by itself, in a file next to it.

    Raises
    ------
    LockError
        If another process or thread holds it.
    """
    with claim(target.with_name(f".{target.name}.lock"), str(target)):
        yield


def own_folder(place: Path) -> Path:
    """The folder in which to make a new one so that nobody else writes to it.

    This is `place` if its lock, which must be held, keeps all others away. If it does not, it is a
    folder next to it with a random name. Two processes then make two folders, each complete.

    Parameters
    ----------
    place : Path
        The folder. The one that it is in must exist.
    """
    if locks_reach_all(place.parent):
        return place
    return place.with_name(f".{place.name}.{os.urandom(4).hex()}")


@contextmanager
def made_alone(place: Path) -> Iterator[Path]:
    """The folder in which a new one is made; see `own_folder`.

    What a killed process left there is removed first. After an error the new folder is removed.

    Parameters
    ----------
    place : Path
        The folder.

    Yields
    ------
    Path
        The folder to make.
    """
    folder = own_folder(place)
    remove_tree(folder)
    try:
        yield folder
    except BaseException:  # also an interrupt leaves nothing half written
        remove_tree(folder)
        raise


def move_new(made: Path, place: Path) -> None:
    """Move a complete folder to its place, where nothing may be. It may have been made there.

    Raises
    ------
    LockError
        If there is something, which another process has put there. It is left as it is.
    """
    if made == place:
        return
    try:
        made.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise LockError(
            f"{place}: another process has made this folder meanwhile, so it is not replaced. "
            "Wait until that process ends, then start again."
        ) from error
