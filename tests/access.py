"""Who may do what with files: a shared plate, and what its files and folders have."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

GROUP = 4242
"""A group that only root may give a file to."""

LIST = "system.posix_acl_access"


def access_list(mode: int, group: int) -> bytes:
    """An access list as the system stores it: one more group may read, and write folders."""
    none = 0xFFFFFFFF
    owner, own_group, others = mode >> 6 & 7, mode >> 3 & 7, mode & 7
    rows = [(1, owner, none), (4, own_group, none), (8, own_group, group)]
    rows += [(16, own_group, none), (32, others, none)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)


def set_if_possible(path: Path, name: str, value: bytes) -> None:
    """Set an extended attribute where the filesystem has such."""
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EINVAL):
            raise


def share(top: Path) -> None:
    """Share a plate with a group: folders 2775, files 0664, an access list, an attribute."""
    for path in [top, *top.rglob("*")]:
        mode = 0o2775 if path.is_dir() else 0o664
        if os.geteuid() == 0:
            os.chown(path, -1, GROUP)
        set_if_possible(path, LIST, access_list(mode, GROUP + 1))
        path.chmod(mode)
    for path in top.rglob("0"):
        set_if_possible(path, "user.x", path.name.encode())


def access_of(path: Path) -> tuple[int, int, int, dict[str, bytes]]:
    """Owner, group, mode and extended attributes of a file or folder."""
    found = path.lstat()
    names = sorted(n for n in os.listxattr(path) if n == LIST or n.startswith("user."))
    values = {name: os.getxattr(path, name) for name in names}
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), values


def access_in(top: Path) -> dict[str, tuple[int, int, int, dict[str, bytes]]]:
    """The same for a folder and all that it holds."""
    return {p.relative_to(top).as_posix(): access_of(p) for p in [top, *top.rglob("*")]}


def as_nobody(work: Callable[[], object]) -> int:
    """Do something in another process as a user without rights; its exit code.

    The function must not import anything: that user cannot read our files.
    """
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    code = 1
    try:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        work()
        code = 0
    finally:
        os._exit(code)


def open_to_all(folder: Path) -> None:
    """Let every user into a folder of a test."""
    for path in (folder, *folder.parents):
        if path.stat().st_mode & 5 != 5:
            path.chmod(0o755)
