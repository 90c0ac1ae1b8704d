"""Owner, group, mode, access lists and extended attributes: new files get those of old ones.

A plate is often shared: its folders have a group, the setgid bit or an access list, so that all
members of a lab can use it. What replaces a part of it must not be closed to them by the umask of
whoever ran the job.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

logger = logging.getLogger(__name__)

_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_PREFERRED = (".zarray", "zarr.json", ".zgroup", ".zattrs")
"""Files whose mode new chunks of an array get, in this order."""
_NO_ATTRIBUTES = (errno.ENOTSUP, errno.ENOSYS, errno.ENODATA)


@dataclass(frozen=True)
class _Access:
    """Who may do what with a file or a folder.

    Attributes
    ----------
    owner, group : int
        Their numbers.
    mode : int
        Permission bits, with those of setuid, setgid and sticky.
    lists : mapping of str to bytes
        Access lists by the names of the attributes that hold them.
    attributes : mapping of str to bytes
        The user's extended attributes.
    """

    owner: int
    group: int
    mode: int
    lists: Mapping[str, bytes] = field(default_factory=dict)
    attributes: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, path: str) -> _Access:
        found = os.lstat(path)
        values = _attributes(path)
        return cls(
            found.st_uid,
            found.st_gid,
            stat.S_IMODE(found.st_mode),
            {name: value for name, value in values.items() if name in _ACLS},
            {name: value for name, value in values.items() if name not in _ACLS},
        )

    @property
    def shared(self) -> _Access:
        """What also another file next to this one gets."""
        return replace(self, attributes={})


def copy_access(old: Path, new: Path) -> None:
    """Give a file what an old one has that it replaces, as far as the caller may."""
    _give(_Access.of(os.fspath(old)), os.fspath(new))


def mirror_access(model: Path, tree: Path) -> None:
    """Give all files and folders of a new tree the access that those of an old one have.

    A file or folder with the same path is the model; without one, it is the metadata file of the
    same folder for a file, and the folder above it for a folder. What the caller may not set, such
    as a group that he is no member of, is left, with one warning. The owner is kept if the caller
    is root. Attributes of the system (``security.*``, ``trusted.*``) are left alone.

    Parameters
    ----------
    model : Path
        The old folder.
    tree : Path
        The new folder.
    """
    top = _Access.of(os.fspath(model))
    plain = replace(top.shared, mode=top.mode & 0o666, lists=_of_files(top.lists))
    refused = _mirror(os.fspath(model), os.fspath(tree), top.shared, plain)
    if refused:
        logger.warning(
            "%s: %d files and folders could not get the group, mode or attributes that those of %s "
            "have, because this user may not set them; the first is %s",
            tree,
            len(refused),
            model,
            refused[0],
        )


def _of_files(lists: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: value for name, value in lists.items() if name == _ACLS[0]}


def _mirror(old: str | None, new: str, folders: _Access, files: _Access) -> list[str]:
    """Mirror one folder and what it holds; the paths whose access could not be set."""
    entries = {} if old is None else {entry.name: entry for entry in _scan(old)}
    own = folders
    if old is not None:
        own = _Access.of(old)
        folders, files = own.shared, _model_of_files(entries) or files
    refused = []
    for entry in _scan(new):
        same = entries.get(entry.name)
        if entry.is_symlink():
            continue
        if entry.is_dir():
            is_same = same is not None and same.is_dir(follow_symlinks=False)
            refused += _mirror(same.path if same and is_same else None, entry.path, folders, files)
        else:
            is_same = same is not None and same.is_file(follow_symlinks=False)
            if same and is_same and _is_alike(same.path, entry.path):
                continue  # as nearly always
            model = _Access.of(same.path) if same and is_same else files
            refused += [] if _give(model, entry.path) else [entry.path]
    return refused if _give(own, new) else [*refused, new]


def _is_alike(old: str, new: str) -> bool:
    """Whether two files have the same access, and neither has attributes: takes half the time."""
    a, b = os.lstat(old), os.lstat(new)
    if (a.st_mode, a.st_gid, a.st_uid) != (b.st_mode, b.st_gid, b.st_uid):
        return False
    return not _names(old) and not _names(new)


def _scan(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return list(found)


def _model_of_files(entries: Mapping[str, os.DirEntry[str]]) -> _Access | None:
    """What a new file in a folder gets; None if no file is there."""
    for name in (*_PREFERRED, *sorted(entries)):
        if name in entries and entries[name].is_file(follow_symlinks=False):
            return _Access.of(entries[name].path).shared
    return None


def _give(access: _Access, path: str) -> bool:
    """Give a path this access; False if the caller may not set all of it."""
    now, complete, mode = _Access.of(path), True, access.mode
    owner = access.owner if os.geteuid() == 0 else now.owner
    if (owner, access.group) != (now.owner, now.group):
        complete = _may(os.chown, path, owner, access.group)
        if not complete:  # these bits would be for another group
            mode &= ~(stat.S_ISUID | stat.S_ISGID)
        now = _Access.of(path)  # the system may have taken bits away
    for name in now.lists.keys() - access.lists.keys():
        complete &= _may(os.removexattr, path, name)
    for name, value in {**access.attributes, **access.lists}.items():
        if now.lists.get(name, now.attributes.get(name)) != value:
            complete &= _may(os.setxattr, path, name, value)
    if mode != now.mode or now.lists != access.lists:
        complete &= _may(os.chmod, path, mode)
    return complete


def _may(call: Callable[..., object], *arguments: object) -> bool:
    """Whether the system lets the caller do something."""
    try:
        call(*arguments)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, *_NO_ATTRIBUTES):
            raise
        return False
    return True


def _attributes(path: str) -> dict[str, bytes]:
    """Access lists and the user's extended attributes; none where the filesystem has none."""
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in _names(path)}


def _names(path: str) -> list[str]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_ATTRIBUTES:
            raise
        return []
    return [name for name in names if name in _ACLS or name.startswith("user.")]
