"""Files and folders: written whole or not at all, moved without a gap, flushed when it counts."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platefuse.errors import MetadataError, PlatefuseError
from platefuse.storage.flush import Writes, flush_folder, is_flushed_later
from platefuse.storage.once import read_once
from platefuse.storage.removing import remove_tree as remove_tree
from platefuse.storage.removing import temporary_beside

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


@read_once
def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises
    ------
    MetadataError
        If the file does not hold a JSON object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise MetadataError(f"{file}: broken JSON ({error}). Restore the file.") from error
    if not isinstance(content, dict):
        raise MetadataError(f"{file}: expected a JSON object, got {type(content).__name__}.")
    return content


def find_json(file: Path) -> dict[str, Any] | None:
    """As `read_json`, but None if there is no such file."""
    try:
        return read_json(file)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in one step; see `write_text`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: readers see the old or the new content, never a part.

    The mode of the file follows the umask, as that of any new file. It is on the disk before it
    has its name, unless its folder is watched and flushed as a whole (`watched_writes`).

    Parameters
    ----------
    path : Path
        The file; its folder is created if it is missing.
    text : str
        The content.
    """
    make_folder(path.parent)
    with temporary_beside(path) as (temporary, file):
        file.write(text)
        file.flush()
        if not is_flushed_later(path):
            os.fsync(file.fileno())
        temporary.replace(path)  # while it is locked: else another writer might take it for dead


def make_folder(path: Path) -> None:
    """Make a folder and its parents; nothing happens if it exists."""
    path.mkdir(parents=True, exist_ok=True)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a file or a folder byte for byte."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def share_file(source: Path, target: Path) -> None:
    """Give a file a second name; a copy where the filesystem allows a file only one."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step.

    Returns
    -------
    bool
        False where the filesystem cannot do it; then nothing has happened.

    Raises
    ------
    OSError
        If the system refuses for another reason.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    renameat2 = getattr(libc, "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def put_in_place(staged: Path, target: Path, writes: Writes, *, durable: bool = True) -> None:
    """Put a complete new folder where it belongs, in one step; one that is there is replaced.

    Where the filesystem cannot exchange folders, the old one is set aside for an instant. What is
    in `staged` is on disk before it is moved, and the move itself is on disk before the old folder
    is removed, if there is one or `durable` is asked for: nobody's work is to be lost to a power
    cut.

    Parameters
    ----------
    staged, target : Path
        The new folder, and its place.
    writes : Writes
        The watch that began before the new folder was written.
    durable : bool
        Whether a folder that replaces nothing is flushed, too.

    Raises
    ------
    DiskError
        If the new folder could not be written to disk. Nothing has been replaced.
    """
    old = replaced(target)
    make_folder(target.parent)
    durable = durable or target.exists()
    if durable:
        writes.flush(staged)
    exchanged = target.exists() and exchange(staged, target)
    if not exchanged:
        if target.exists():
            remove_tree(old)
            target.rename(old)
        staged.rename(target)
    if durable:
        flush_folder(target.parent)
    if exchanged:
        remove_tree(staged)
    remove_tree(old)


def replaced(target: Path) -> Path:
    """The name of a folder that is replaced, until it is removed."""
    return target.with_name(f".{target.name}.replaced")


@contextmanager
def system_errors(kind: type[PlatefuseError], what: str, remedy: str) -> Iterator[None]:
    """Raise what the file system refuses as an error of ours.

    Parameters
    ----------
    kind : type
        Class of the error.
    what, remedy : str
        What could not be done to what, and what to do about it.
    """
    try:
        yield
    except PlatefuseError:
        raise
    except OSError as error:
        raise kind(f"{what} ({error}). {remedy}") from error
