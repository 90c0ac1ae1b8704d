"""Which file system holds a folder."""

from __future__ import annotations

import os
from pathlib import Path

LAYERED = frozenset({"overlay", "aufs", "fuse.fuse-overlayfs", "fuse.unionfs"})
"""File systems of layers, as containers have: what lies in a lower one cannot be moved."""


def filesystem_type(path: Path) -> str | None:
    """Type of the file system of an existing path, as ``mount`` names it, for example ``"ext4"``.

    None if the list of mounts does not have it (a subvolume of btrfs).
    """
    return _type_of_device(path.stat().st_dev)


def same_filesystem(one: Path, other: Path) -> bool:
    """Whether two existing paths are on one device."""
    return one.stat().st_dev == other.stat().st_dev


def _type_of_device(device: int) -> str | None:
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        if left.split()[2] == number:
            return right.split()[0]
    return None
