"""Remove folders, and what killed processes have left: set aside first, so no name is half empty.

A folder that is removed is renamed to a name of its own first. What remains of it, because its
process was killed or because a program holds a file of it open, is removed when a folder of the
same name is removed again, and by ``platefuse clean``.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

logger = logging.getLogger(__name__)

_HELD = {errno.EBUSY, errno.ENOTEMPTY, errno.EACCES, errno.EPERM}
"""What a file system answers if somebody holds a file (NFS keeps it as ``.nfs…``), or owns it."""

RANDOM = "[0-9a-f]{16}"
"""What keeps the names of temporary files apart, at their end, as a regular expression."""


def set_aside(path: Path) -> Path:
    """The name that a file or folder has while it is removed."""
    return path.with_name(f".{path.name}.removed")


def remove_tree(path: Path) -> bool:
    """Remove a folder in two steps, so that a half-removed one never has its own name.

    Parameters
    ----------
    path : Path
        The folder, a file or a link; it need not exist.

    Returns
    -------
    bool
        False if something that was set aside could not be removed, because a program holds it open
        or because of its permissions. This is said in the log. `path` itself is free in any case.

    Raises
    ------
    OSError
        If the file system refuses for another reason.
    """
    if os.path.lexists(path):
        path.rename(_free_name(set_aside(path)))
    return remove_aside(path)


def remove_aside(path: Path) -> bool:
    """Remove what was set aside under the name of a path, and not the path; see `remove_tree`."""
    doomed = set_aside(path)
    left = [folder for folder in all_aside(path) if not _remove(folder)]
    if not left:
        return True
    if not os.path.lexists(doomed):  # the name by which all are found
        left[0].rename(doomed)
    logger.warning(
        "%s could not be removed: a program may hold a file in it open, or it belongs to somebody "
        "else. The work is done; the next run, or `platefuse clean`, removes it.",
        doomed,
    )
    return False


def all_aside(path: Path) -> list[Path]:
    """What was set aside under the name of a path; that with the plain name is the last."""
    doomed = set_aside(path)
    if not os.path.lexists(doomed):
        return []
    more = re.compile(rf"{re.escape(doomed.name)}\.{RANDOM}")
    return [*(e for e in doomed.parent.iterdir() if more.fullmatch(e.name)), doomed]


def _free_name(doomed: Path) -> Path:
    is_free = not os.path.lexists(doomed)
    return doomed if is_free else doomed.with_name(f"{doomed.name}.{_random()}")


def _random() -> str:
    return os.urandom(8).hex()


def _remove(path: Path) -> bool:
    """Remove what can be removed; whether that is all."""
    if path.is_dir() and not path.is_symlink():
        if sys.version_info >= (3, 12):
            shutil.rmtree(path, onexc=lambda call, name, error: _pass(error))
        else:
            shutil.rmtree(path, onerror=lambda call, name, info: _pass(info[1]))
    else:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _pass(error)
    return not os.path.lexists(path)


def _pass(error: BaseException) -> None:
    """Go on with what is beside a file that somebody holds; the caller sees that it is there."""
    gone = isinstance(error, FileNotFoundError)
    if not gone and not (isinstance(error, OSError) and error.errno in _HELD):
        raise error


@contextmanager
def temporary_beside(path: Path) -> Iterator[tuple[Path, TextIO]]:
    """A new file beside another one, which it is to replace before the end.

    It is locked until the end: so another process knows that its writer lives. Temporary files of
    writers of the same file that were killed are removed.

    Yields
    ------
    temporary : Path
        Its path. It is removed if an error ends the block.
    file : text file
        The file, open for writing.
    """
    remove_dead(path)
    temporary, file = _create(path)
    try:
        with file:
            yield temporary, file
    except BaseException:  # also an interrupt leaves no temporary file
        temporary.unlink(missing_ok=True)
        raise


def remove_dead(path: Path) -> list[Path]:
    """Remove temporary files that killed writers of a file have left beside it.

    Returns
    -------
    list of Path
        Those that were removed.
    """
    return [file for file in temporaries(path) if remove_if_dead(file)]


def temporaries(path: Path) -> list[Path]:
    """Files beside a file that have the name of its temporary files."""
    own = re.compile(rf"\.{re.escape(path.name)}\.{RANDOM}")
    with suppress(FileNotFoundError), os.scandir(path.parent) as entries:
        return [Path(e.path) for e in entries if own.fullmatch(e.name)]
    return []


def is_dead(temporary: Path) -> bool:
    """Whether no process writes a temporary file any more.

    False where nobody can know: on a file system without locks, or of what is no file.
    """
    with _free_of_writers(temporary) as is_free:
        return is_free


def remove_if_dead(temporary: Path) -> bool:
    """Remove a temporary file if no process writes it any more; whether it was removed."""
    with _free_of_writers(temporary) as is_free:  # locked, so that no writer begins with it now
        if is_free:
            temporary.unlink(missing_ok=True)
        return is_free


@contextmanager
def _free_of_writers(temporary: Path) -> Iterator[bool]:
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # gone, or not ours
        yield False
        return
    try:
        yield stat.S_ISREG(os.fstat(descriptor).st_mode) and _lock_now(descriptor)
    finally:
        os.close(descriptor)


def _lock_now(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # its writer holds the lock, or there are no locks
        return False
    return True


def _create(path: Path) -> tuple[Path, TextIO]:
    while True:
        temporary = path.with_name(f".{path.name}.{_random()}")
        file = temporary.open("x", encoding="utf-8", errors="backslashreplace")
        with suppress(OSError):  # a file system without locks: nobody removes it either
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return temporary, file
        file.close()  # removed in the instant before it was locked
