from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from platefuse.storage.trees import in_order, walk_files


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(folder: Path, without: str | None = None) -> list[str]:
    return [name for name, _ in sorted(walk_files(folder, without=without), key=in_order)]


def test_files_of_all_depths_but_those_of_systems(tmp_path: Path) -> None:
    files = ["a", "a-b/c", "ab/0/1/2", "ab/0/10"]
    make(tmp_path, *files, ".DS_Store", "ab/._0", "ab/0/Thumbs.db")
    assert names(tmp_path) == ["a", "a-b/c", "ab/0/1/2", "ab/0/10"]


def test_the_order_is_that_of_the_parts(tmp_path: Path) -> None:
    make(tmp_path, "a/b", "a-b", "a.b/c")
    assert names(tmp_path) == ["a/b", "a-b", "a.b/c"]


def test_an_entry_is_left_out_at_the_top_only(tmp_path: Path) -> None:
    make(tmp_path, "tables/x", "0/tables/y", "z")
    assert names(tmp_path, without="tables") == ["0/tables/y", "z"]


def test_links_are_listed_and_not_followed(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside", "file")
    folder = make(tmp_path / "folder", "own")
    (folder / "to_folder").symlink_to(outside)
    (folder / "to_nothing").symlink_to(tmp_path / "none")
    assert names(folder) == ["own", "to_folder", "to_nothing"]


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    make(tmp_path, "file")
    assert names(tmp_path / "none") == []
    assert names(tmp_path / "file") == []


def test_a_folder_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "closed/file")

    def scandir(path: str) -> Iterator[os.DirEntry[str]]:
        if path.endswith("closed"):  # root may read every folder, so no mode can say it
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path)

    real = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError):
        names(tmp_path)
