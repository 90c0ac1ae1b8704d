from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from platefuse.errors import DiskError
from platefuse.storage import flush
from platefuse.storage.files import write_json
from platefuse.storage.flush import flush_tree, is_flushed_later, watched_writes


def path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Library:
    """A C library with a `syncfs` that fails with an error, or with none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int | None) -> None:
        self.asked: list[int] = []
        if number is not None:
            self.syncfs = self._syncfs
        self.number = number
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: self)
        monkeypatch.setattr(ctypes, "get_errno", lambda: number)

    def _syncfs(self, descriptor: int) -> int:
        self.asked.append(descriptor)
        return -1 if self.number else 0


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files and folders that are flushed one by one."""
    found: list[Path] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: found.append(Path(f"/proc/self/fd/{fd}").readlink())
    )
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "staged" / "0").mkdir(parents=True)
    for name in ("staged/.zattrs", "staged/0/0.0"):
        (tmp_path / name).write_text("content")
    (tmp_path / "staged" / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "staged" / "pipe")
    return tmp_path / "staged"


def all_of(tree: Path) -> set[Path]:
    return {tree, tree / "0", tree / ".zattrs", tree / "0" / "0.0"}


def test_flushing_changes_nothing_and_leaves_no_file_open(tree: Path) -> None:
    before = open_files()
    names = sorted(tree.rglob("*"))
    with watched_writes(tree.parent) as writes:
        writes.flush(tree)
    flush_tree(tree)
    assert sorted(tree.rglob("*")) == names
    assert (tree / "0" / "0.0").read_text() == "content"
    assert open_files() == before


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EBADF])
def test_an_error_of_the_file_system_is_an_error(
    tree: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(flush, "_reports_errors", lambda _: True)
    Library(monkeypatch, number)
    with watched_writes(tree.parent) as writes, pytest.raises(DiskError) as caught:
        writes.flush(tree)
    assert str(tree) in str(caught.value)
    assert os.strerror(number) in str(caught.value)


def test_the_watch_begins_before_anything_is_written(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush, "_reports_errors", lambda _: True)
    library = Library(monkeypatch, 0)
    with watched_writes(tree.parent) as writes:
        writes.flush(tree)
        assert library.asked == [writes.descriptor]  # and no folder that was opened afterwards


@pytest.mark.parametrize("number", [None, errno.ENOSYS])
def test_without_the_call_every_file_and_folder_is_flushed(
    tree: Path, monkeypatch: pytest.MonkeyPatch, flushed: list[Path], number: int | None
) -> None:
    monkeypatch.setattr(flush, "_reports_errors", lambda _: True)
    Library(monkeypatch, number)
    with watched_writes(tree.parent) as writes:
        writes.flush(tree)
    assert set(flushed) == all_of(tree)
    assert flushed[-1] == tree


@pytest.mark.parametrize(
    ("kernel", "kind"), [((5, 7), "ext4"), ((4, 19), "xfs"), ((6, 1), "nfs4"), ((6, 1), None)]
)
def test_where_the_call_does_not_report_errors_files_are_flushed(
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    flushed: list[Path],
    kernel: tuple[int, int],
    kind: str | None,
) -> None:
    monkeypatch.setattr(flush, "_kernel", lambda: kernel)
    monkeypatch.setattr(flush, "filesystem_type", lambda _: kind)
    library = Library(monkeypatch, 0)
    with watched_writes(tree.parent) as writes:
        writes.flush(tree)
    assert library.asked == []
    assert set(flushed) == all_of(tree)


def test_an_error_of_one_file_is_an_error(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(descriptor: int) -> None:
        if path_of(descriptor).name == "0.0":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(flush, "_reports_errors", lambda _: False)
    monkeypatch.setattr(os, "fsync", failing)
    with watched_writes(tree.parent) as writes, pytest.raises(DiskError, match="Input/output"):
        writes.flush(tree)


def test_files_of_a_watched_folder_are_flushed_with_it(tree: Path, flushed: list[Path]) -> None:
    outside = tree.parent / "outside.json"
    with watched_writes(tree) as writes:
        write_json(tree / "0" / "new.json", {})
        assert flushed == []
        write_json(outside, {})
        assert len(flushed) == 1
        writes.flush(tree)
        flushed.clear()
        write_json(tree / "record.json", {})  # vouches for what was flushed, so it counts itself
        assert len(flushed) == 1
    flushed.clear()
    write_json(tree / "later.json", {})
    assert len(flushed) == 1


def test_a_flush_that_failed_does_not_count(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flush, "_reports_errors", lambda _: True)
    Library(monkeypatch, errno.EIO)
    with watched_writes(tree) as writes:
        with pytest.raises(DiskError):
            writes.flush(tree)
        assert is_flushed_later(tree / "0" / "0.0")


def test_the_version_of_this_kernel_is_read() -> None:
    assert flush._kernel() >= (3, 0)
