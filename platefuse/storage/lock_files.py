"""Lock files: opened so that nothing else can be hit, and the note of who holds the lock.

Whoever may write beside a plate can put anything where a lock file is expected. So a lock file is
never opened through a link, never truncated before its lock is held, and must be a regular file
with one name.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import stat
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from platefuse.errors import LockError
from platefuse.storage.filesystems import mount_of

logger = logging.getLogger(__name__)

_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a fifo"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISREG, "a file with several names"),
)
_LOCKS = Path("/proc/locks")
_LOCAL_OPTIONS = {
    "nfs": {"local_lock=flock", "local_lock=all", "nolock"},
    "nfs4": {"local_lock=flock", "local_lock=all"},
    "lustre": {"localflock"},
    "cifs": {"nobrl"},
    "smb3": {"nobrl"},
}
"""Options of a mount with which a lock is known on this host only, by the type of file system.

They are described in nfs(5), mount.lustre(8) and mount.cifs(8).
"""
_reach: dict[int, bool] = {}
"""Whether locks are known to every process that could write, for each device that had one."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock, as it has written itself into the lock file.

    Attributes
    ----------
    host : str
        Name of its host.
    pid : int
        Its process id there.
    program : str
        Name of its program.
    since : str
        When it got the lock, in ISO 8601.
    """

    host: str
    pid: int
    program: str
    since: str

    @classmethod
    def this_process(cls) -> Holder:
        """The process that calls, since now."""
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        return cls(socket.gethostname(), os.getpid(), Path(sys.argv[0]).name or "python", since)

    @classmethod
    def read(cls, file: int) -> Holder | None:
        """The holder that an open lock file names; None if it cannot be found out.

        A process that has got the lock in this instant has not written its name yet. If it runs on
        this host, the system knows its process id.
        """
        try:
            found = json.loads(os.pread(file, 4096, 0))
            host, program, since = (_words(found[key]) for key in ("host", "program", "since"))
            return cls(host, int(found["pid"]), program, since)
        except (ValueError, KeyError, TypeError, RecursionError):
            pid = _pid_of_holder(os.fstat(file).st_ino)
            return None if pid is None else replace(cls.this_process(), pid=pid, program="new")

    def write(self, file: int) -> None:
        """Write the holder into an open lock file whose lock it holds."""
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(asdict(self)).encode(), 0)

    def __str__(self) -> str:
        return f"process {self.pid} ({self.program}) on host {self.host} since {self.since}"


def open_folder(folder: Path) -> int:
    """Open a folder that is none by a link.

    Raises
    ------
    LockError
        If it is a link or no folder.
    FileNotFoundError
        If it does not exist.
    """
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        what = "a link" if folder.is_symlink() else "no folder"
        raise LockError(
            f"{folder} is {what}; expected a folder, in which platefuse writes. Nothing was "
            "changed. Take it away, or give the path of the folder itself."
        ) from error


def open_lock_file(path: Path, folder: int) -> int:
    """Open a lock file, which is created if it is missing; its content is not changed.

    Parameters
    ----------
    path : Path
        The file.
    folder : int
        Descriptor of its folder; see `open_folder`.

    Returns
    -------
    int
        Its descriptor; only for reading where the file belongs to another user.

    Raises
    ------
    LockError
        If there is anything else of this name, which is left as it is.
    """
    with suppress(FileNotFoundError):  # the usual case: it is created now
        _check(path, os.stat(path.name, dir_fd=folder, follow_symlinks=False))
    try:
        file = _open(path, folder)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise _refusal(path, "no regular file") from error  # put there in this instant
    try:
        _check(path, os.fstat(file))
    except LockError:
        os.close(file)
        raise
    return file


def is_named(file: int, name: str, folder: int) -> bool:
    """Whether a name in a folder is still that of an open file."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(file), found)


def can_write(file: int) -> bool:
    """Whether an open file was opened for writing."""
    return fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


def locks_reach_all(folder: Path) -> bool:
    """Whether a lock that was taken in a folder keeps every other process away."""
    return _reach.get(folder.stat().st_dev, True)


def warn_of_no_locks(path: Path, folder: int, error: OSError) -> None:
    """Warn, once for each file system, that it has no locks."""
    _warn_once(folder, f"{path.parent}: this file system has no locks ({error.strerror})")


def warn_of_local_locks(path: Path, folder: int) -> None:
    """Warn, once for each file system, if its locks are known on this host only."""
    number = os.fstat(folder).st_dev
    if number in _reach:
        return
    option = _local_option(number)
    if option is None:
        _reach[number] = True
    else:
        words = f"the locks of this file system ({option}) are known on this host only"
        _warn_once(folder, f"{path.parent}: {words}")


def _warn_once(folder: int, what: str) -> None:
    number = os.fstat(folder).st_dev
    if _reach.get(number, True):
        _reach[number] = False
        logger.warning(
            "%s, so platefuse cannot see every other process that works on the same plate. Make "
            "sure that no second run uses it.",
            what,
        )


def _local_option(device: int) -> str | None:
    """The type and option of a mounted device by which its locks are local; None if there is none.

    Parameters
    ----------
    device : int
        Number of the device.
    """
    mount = mount_of(device)
    if mount is None:
        return None
    local = _LOCAL_OPTIONS.get(mount.type, set()) & mount.options
    return f"{mount.type}, {min(local)}" if local else None


def _pid_of_holder(inode: int) -> int | None:
    """The process on this host that holds the lock of a file, by the list of the system."""
    try:
        locks = _LOCKS.read_text().splitlines()
    except OSError:
        return None  # not Linux, or hidden
    for lock in locks:
        fields = lock.split()
        # 1: FLOCK ADVISORY WRITE 12345 fe:00:67890 0 EOF; waiting ones have an arrow behind "1:"
        if fields[1:2] == ["FLOCK"] and fields[5].rpartition(":")[2] == str(inode):
            return int(fields[4])
    return None


def _words(value: object) -> str:
    """What somebody has written, as a few words on one line."""
    return " ".join(str(value).split())[:100]


def _open(path: Path, folder: int) -> int:
    try:
        return os.open(path.name, os.O_RDWR | os.O_CREAT | _SAFELY, 0o666, dir_fd=folder)
    except PermissionError as refused:
        try:  # another user's file: its lock can be held all the same
            return os.open(path.name, os.O_RDONLY | _SAFELY, dir_fd=folder)
        except FileNotFoundError:
            raise refused from None


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        kinds = (words for is_kind, words in _KINDS if is_kind(status.st_mode))
        raise _refusal(path, next(kinds, "a device"))


def _refusal(path: Path, what: str) -> LockError:
    return LockError(
        f"{path} is {what}; expected a file for a lock, which platefuse makes itself. Nothing was "
        "changed. Take it away, then start again."
    )
