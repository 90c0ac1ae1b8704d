"""Which file system holds a folder, and how it is mounted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

LAYERED = frozenset({"overlay", "aufs", "fuse.fuse-overlayfs", "fuse.unionfs"})
"""File systems of layers, as containers have: what lies in a lower one cannot be moved."""

_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Mount:
    """A mounted file system.

    Attributes
    ----------
    type : str
        Its type as ``mount`` names it, for example ``"ext4"``.
    options : frozenset of str
        Its own options, for example ``"local_lock=all"``.
    """

    type: str
    options: frozenset[str]


def mount_of(device: int) -> Mount | None:
    """The mounted file system of a device, by the number that `os.stat` gives.

    None where nothing is known: not Linux, a hidden list of mounts, or a subvolume of btrfs.
    """
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for mount in mounts:
        fields, _, rest = mount.partition(" - ")
        if fields.split()[2:3] == [number]:
            kind, *_, options = rest.split()
            return Mount(kind, frozenset(options.split(",")))
    return None


def filesystem_type(path: Path) -> str | None:
    """Type of the file system of an existing path; None if it is not known."""
    mount = mount_of(path.stat().st_dev)
    return None if mount is None else mount.type


def same_filesystem(one: Path, other: Path) -> bool:
    """Whether two existing paths are on one device."""
    return one.stat().st_dev == other.stat().st_dev
