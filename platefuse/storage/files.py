"""Files and folders: written whole or not at all, moved without a gap, flushed when it counts."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platefuse.errors import MetadataError, PlatefuseError
from platefuse.storage.flush import Writes, flush_folder, is_flushed_later
from platefuse.storage.once import read_once
from platefuse.storage.permissions import copy_access, mirror_access
from platefuse.storage.removing import remove_tree, temporary_beside

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_DEEPEST = 64
_LARGEST = 2**30
_NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises
    ------
    MetadataError
        If the file is none (a pipe or a device would block its reader for ever), or does not hold a
        JSON object, or one that is nested deeper than metadata are.
    OSError
        If it cannot be read.
    """
    return _object(file, read_bytes(os.fspath(file)))


@read_once
def find_json(folder: Path, name: str) -> dict[str, Any] | None:
    """As `read_json`, of a file in a folder, but None if there is no such file.

    Raises
    ------
    MetadataError
        As `read_json`, also if the system refuses to read it.
    """
    path = f"{folder}/{name}"  # a plan asks for thousands: a path takes as long as the file
    try:
        return _object(path, read_bytes(path))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise MetadataError(
            f"{path} cannot be read ({error.strerror}). Check its permissions, those of the "
            "folders above it, and its disk."
        ) from error


def _object(file: str | Path, data: bytes) -> dict[str, Any]:
    """The JSON object in the content of a file."""
    if len(data) > _LARGEST:
        raise MetadataError(
            f"{file} has {len(data)} bytes; expected a JSON file of at most {_LARGEST}. "
            "Restore the file."
        )
    try:
        content = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise MetadataError(f"{file}: broken JSON ({error}). Restore the file.") from error
    if not isinstance(content, dict):
        raise MetadataError(f"{file}: expected a JSON object, got {type(content).__name__}.")
    if data.count(b"[") + data.count(b"{") > _DEEPEST and _is_deep(content):
        raise MetadataError(
            f"{file}: objects and lists are nested in each other more than {_DEEPEST} times, which "
            "no metadata are. Restore the file."
        )
    return content


def _is_deep(content: object) -> bool:
    """Whether a JSON value has more than `_DEEPEST` levels. One step for each level."""
    level: list[Any] = [content]
    for _ in range(_DEEPEST):
        level = [
            item
            for each in level
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


@read_once
def read_bytes(file: str) -> bytes:
    """The content of a small file, which several readers of a well's metadata need.

    Raises
    ------
    MetadataError
        If the file is a pipe or a device, which would block its reader for ever.
    OSError
        If it cannot be read.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as stream:  # noqa: PTH123  # takes over what is open
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), file)
        if not stat.S_ISREG(mode):
            raise MetadataError(
                f"{file} is a pipe, a socket or a device; expected a file. Restore the file."
            )
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


def subfolders(folder: Path | str) -> list[str]:
    """Names of the folders in a folder, and of links to folders, sorted; none if it is absent.

    Raises
    ------
    OSError
        If the folder cannot be read.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208  # names are all that is needed
    except (FileNotFoundError, NotADirectoryError):  # perhaps moved away by a swap in this instant
        return []
    return sorted(name for name in names if os.path.isdir(f"{folder}/{name}"))  # noqa: PTH112


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in one step; see `write_text`.

    Half characters (lone surrogates), which JSON can hold and UTF-8 cannot, are escaped.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False)
    if not is_unicode(text):
        text = json.dumps(content, indent=2)
    write_text(path, text + "\n")


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold a text: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: readers see the old or the new content, never a part.

    A file that is replaced keeps its mode, group, access list and attributes, as far as the caller
    may set them; the mode of a new one follows the umask. The file is on the disk before it has its
    name, unless its folder is watched and flushed as a whole (`watched_writes`).

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
        if path.is_file() and not path.is_symlink():
            copy_access(path, temporary)
        if not is_flushed_later(path):
            os.fsync(file.fileno())
        temporary.replace(path)  # while it is locked: else another writer might take it for dead


def make_folder(path: Path) -> None:
    """Make a folder and its parents; nothing happens if it exists."""
    path.mkdir(parents=True, exist_ok=True)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a file or a folder byte for byte.

    The copy has the mode of the source, but its owner may always change it: the source may be
    protected, and the copy is going to be changed and removed.

    Raises
    ------
    OSError
        If it cannot be copied; of a folder, with the first file of which it is true.
    """
    if source.is_dir():
        try:
            shutil.copytree(source, target, dirs_exist_ok=True)
        except shutil.Error as error:  # a list of all that failed: the first says why
            path, _, reason = error.args[0][0]
            more = len(error.args[0]) - 1
            words = f"{reason}" + (f", and {more} more files" if more else "")
            raise OSError(f"{path} cannot be copied to {target}: {words}") from error
        for folder, _, files in os.walk(target):
            for path in (folder, *(f"{folder}/{name}" for name in files)):
                _let_owner_change(path)
    else:
        shutil.copy2(source, target)
        _let_owner_change(target)


def _let_owner_change(path: str | Path) -> None:
    path = Path(path)
    mode = path.stat().st_mode
    wanted = stat.S_IRUSR | stat.S_IWUSR | (stat.S_IXUSR if stat.S_ISDIR(mode) else 0)
    if mode & wanted != wanted:
        path.chmod(stat.S_IMODE(mode) | wanted)


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
    cut. What replaces a folder gets its mode, group, access lists and attributes.

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
    if target.exists():
        mirror_access(target, staged)
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
