from __future__ import annotations

from pathlib import Path

from platefuse.storage.filesystems import filesystem_type, same_filesystem


def test_filesystems_are_told_apart_by_their_device(tmp_path: Path) -> None:
    assert same_filesystem(tmp_path, tmp_path.parent)
    assert not same_filesystem(tmp_path, Path("/proc"))


def test_a_file_system_has_the_name_that_mount_gives_it() -> None:
    assert filesystem_type(Path("/proc/self")) == "proc"
    assert filesystem_type(Path("/sys")) == "sysfs"
