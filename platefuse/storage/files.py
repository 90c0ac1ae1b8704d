"""Files and folders: written whole or not at all, moved without a gap, flushed when it counts."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platefuse.errors import MetadataError, PlatefuseError
from platefuse.storage.once import read_once

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises
    ------
    MetadataError
        If the file does not hold a JSON object.
    OSError
        If it cannot be read.
    """
    return _object(file, read_bytes(os.fspath(file)))


@read_once
def find_json(folder: Path, name: str) -> dict[str, Any] | None:
    """As `read_json`, of a file in a folder, but None if there is no such file."""
    path = f"{folder}/{name}"  # a plan asks for thousands: a path takes as long as the file
    try:
        return _object(path, read_bytes(path))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _object(file: str | Path, data: bytes) -> dict[str, Any]:
    """The JSON object in the content of a file."""
    try:
        content = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise MetadataError(f"{file}: broken JSON ({error}). Restore the file.") from error
    if not isinstance(content, dict):
        raise MetadataError(f"{file}: expected a JSON object, got {type(content).__name__}.")
    return content


@read_once
def read_bytes(file: str) -> bytes:
    """The content of a small file, which several readers of a well's metadata need."""
    with open(file, "rb", buffering=0) as stream:  # noqa: PTH123  (paths take longer)
        return stream.readall()


def entries(folder: Path | str) -> Sequence[os.DirEntry[str]]:
    """What lies in a folder, without a look at each; nothing if there is no such folder."""
    return _entries(os.fspath(folder))


@read_once
def _entries(folder: str) -> Sequence[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return tuple(found)
    except OSError:  # perhaps moved away by a swap in this instant
        return ()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in one step; see `write_text`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: readers see the old or the new content, never a part.

    The mode of the file follows the umask, as that of any new file.

    Parameters
    ----------
    path : Path
        The file; its folder is created if it is missing.
    text : str
        The content.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:  # also an interrupt leaves no temporary file
        temporary.unlink(missing_ok=True)
        raise


def make_folder(path: Path) -> None:
    """Make a folder and its parents; nothing happens if it exists."""
    path.mkdir(parents=True, exist_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a folder in two steps, so that a half-removed one never has its own name."""
    doomed = path.with_name(f".{path.name}.removed")
    _remove(doomed)
    if os.path.lexists(path):
        path.rename(doomed)
        _remove(doomed)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


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


def put_in_place(staged: Path, target: Path, *, durable: bool = True) -> None:
    """Put a complete new folder where it belongs, in one step; one that is there is replaced.

    Where the filesystem cannot exchange folders, the old one is set aside for an instant. What is
    in `staged` is on disk before it is moved, and the move itself is on disk at the end, if it
    replaces something or `durable` is asked for: nobody's work is to be lost to a power cut. The
    whole filesystem is flushed.
    """
    old = target.with_name(f".{target.name}.replaced")
    make_folder(target.parent)
    durable = durable or target.exists()
    if durable:
        flush_filesystem(staged)
    if not target.exists():
        staged.rename(target)
    elif exchange(staged, target):
        remove_tree(staged)
    else:
        remove_tree(old)
        target.rename(old)
        staged.rename(target)
    remove_tree(old)
    if durable:
        flush_folder(target.parent)


def flush_filesystem(path: Path) -> None:
    """Flush the whole filesystem that holds `path` to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None or syncfs(descriptor) != 0:
            os.sync()
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


def flush_folder(path: Path) -> None:
    """Flush the entries of one folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def same_filesystem(one: Path, other: Path) -> bool:
    """Whether two existing paths are on one device."""
    return one.stat().st_dev == other.stat().st_dev


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
