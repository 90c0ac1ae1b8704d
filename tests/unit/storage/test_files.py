from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from platefuse.errors import MetadataError
from platefuse.storage import files
from platefuse.storage.files import (
    copy_tree,
    exchange,
    find_json,
    make_folder,
    put_in_place,
    read_json,
    share_file,
    write_json,
)
from platefuse.storage.flush import Writes, watched_writes
from platefuse.storage.removing import remove_tree


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def folder(path: Path, **files_: str) -> Path:
    path.mkdir(parents=True)
    for name, text in files_.items():
        (path / name).write_text(text)
    return path


def test_json_is_written_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.json"
    write_json(file, {"µm": [1, None]})
    write_json(file, {"µm": 2})
    assert file.read_text(encoding="utf-8") == '{\n  "µm": 2\n}\n'
    assert [p.name for p in file.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o027, 0o640), (0o077, 0o600)])
def test_the_mode_of_a_json_file_follows_the_umask_which_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, mode: int
) -> None:
    set_umask, file = os.umask, tmp_path / "a.json"
    before = set_umask(umask)
    try:
        monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask is the process's own"))
        write_json(file, {})
        write_json(file, {"new": 1})
    finally:
        set_umask(before)
    assert file.stat().st_mode & 0o777 == mode


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"old": 1})
    with pytest.raises(TypeError):
        write_json(file, {"new": object()})
    assert json.loads(file.read_text()) == {"old": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failed_replacement_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_json(tmp_path / "a.json", {"new": 1})
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OSError, match=r"exists|directory"):
        make_folder(tmp_path / "a")
    with pytest.raises(OSError, match="Not a directory"):
        make_folder(tmp_path / "a" / "b")


def test_a_tree_is_removed_and_what_a_kill_left_of_it_too(tmp_path: Path) -> None:
    tree = folder(tmp_path / "image", a="1")
    remove_tree(tree)
    remove_tree(tree)
    assert not list(tmp_path.iterdir())
    folder(tmp_path / ".image.removed", b="2")  # killed between renaming and removing
    remove_tree(tree)
    assert not list(tmp_path.iterdir())
    folder(tmp_path / ".image.removed", b="2")
    folder(tree, a="1")
    remove_tree(tree)
    assert not list(tmp_path.iterdir())


def test_a_tree_has_lost_its_name_before_its_first_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = folder(tmp_path / "image", a="1", b="2")
    seen = []

    def look(path: Any, **how: Any) -> None:
        seen.append((Path(path).name, tree.exists(), content(Path(path))))

    monkeypatch.setattr(shutil, "rmtree", look)
    remove_tree(tree)
    assert seen == [(".image.removed", False, {"a": "1", "b": "2"})]


def test_links_are_not_followed_when_a_tree_is_removed(tmp_path: Path) -> None:
    precious = folder(tmp_path / "precious", a="1")
    tree = folder(tmp_path / "image")
    (tree / "link").symlink_to(precious)
    remove_tree(tree)
    assert content(precious) == {"a": "1"}


def test_a_file_that_the_system_does_not_give_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if it is an error of the system: a well with such a file stopped the whole plate."""
    folder(tmp_path / "image", **{".zattrs": "{}"})

    def refuse(path: str, *_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(MetadataError, match=r"image/\.zattrs cannot be read \(Permission denied\)"):
        find_json(tmp_path / "image", ".zattrs")


def test_a_copy_of_a_protected_tree_may_be_changed(tmp_path: Path) -> None:
    """Copies of tables of a protected plate could be neither rewritten nor removed."""
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "a").mkdir(parents=True)
    (old / "a" / "file").write_text("x")
    modes = {old / "a" / "file": 0o440, old / "a": 0o550, old: 0o555}
    for path, mode in modes.items():
        path.chmod(mode)
    copy_tree(old, new)
    copy_tree(old / "a" / "file", tmp_path / "file")
    copies = [new / "a" / "file", new / "a", new, tmp_path / "file"]
    assert [stat.S_IMODE(p.stat().st_mode) for p in copies] == [0o640, 0o750, 0o755, 0o640]
    assert {path: stat.S_IMODE(path.stat().st_mode) for path in modes} == modes


def test_trees_and_files_are_copied_byte_for_byte(tmp_path: Path) -> None:
    tree = folder(tmp_path / "image", a="1")
    folder(tree / "deep", b="2")
    (tree / ".hidden").write_bytes(b"\0\xff")
    copy_tree(tree, tmp_path / "copy")
    copy_tree(tree / "a", tmp_path / "copy" / "file")
    assert (tmp_path / "copy" / ".hidden").read_bytes() == b"\0\xff"
    assert (tmp_path / "copy" / "deep" / "b").read_text() == "2"
    assert (tmp_path / "copy" / "file").read_text() == "1"


def test_two_folders_are_exchanged_in_one_step(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one", a="1"), folder(tmp_path / "other", b="2")
    if not exchange(one, other):
        pytest.skip("this filesystem cannot exchange folders")
    assert (content(one), content(other)) == ({"b": "2"}, {"a": "1"})


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_filesystem_that_cannot_exchange_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    one, other = folder(tmp_path / "one", a="1"), folder(tmp_path / "other", b="2")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Refusing())
    monkeypatch.setattr(ctypes, "get_errno", lambda: number)
    assert exchange(one, other) is False
    assert (content(one), content(other)) == ({"a": "1"}, {"b": "2"})


class Refusing:
    """A C library whose renameat2 always fails."""

    def renameat2(self, *_: object) -> int:
        return -1


def test_an_old_system_without_the_call_cannot_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    assert exchange(tmp_path, tmp_path) is False


def test_other_refusals_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        exchange(folder(tmp_path / "one"), tmp_path / "missing")


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("replaces", [False, True])
def test_what_replaces_something_is_on_disk_before_it_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, durable: bool, replaces: bool
) -> None:
    staged, target = folder(tmp_path / "staged", a="new"), tmp_path / "x" / "target"
    if replaces:
        folder(target, a="old")
    flushed = []
    monkeypatch.setattr(Writes, "flush", lambda _, path: flushed.append(content(path)))
    monkeypatch.setattr(files, "flush_folder", lambda path: flushed.append(content(path)))
    with watched_writes(tmp_path) as writes:
        put_in_place(staged, target, writes, durable=durable)
    moved = {"target/a": "new"}
    if replaces:  # the old one is still there, wherever it was moved to
        (at_the_end,) = flushed[1:]
        assert flushed[0] == {"a": "new"}
        assert at_the_end.items() >= moved.items()
    else:
        assert flushed == ([{"a": "new"}, moved] if durable else [])
    assert content(target) == {"a": "new"}
    assert not staged.exists()


def test_a_folder_that_can_never_be_made_is_an_error() -> None:
    with pytest.raises(OSError, match="nowhere"):
        make_folder(Path("/proc/nowhere/folder"))


def test_a_file_gets_a_second_name_or_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chunk").write_text("pixels")
    share_file(tmp_path / "chunk", tmp_path / "second")
    assert (tmp_path / "second").samefile(tmp_path / "chunk")

    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    share_file(tmp_path / "chunk", tmp_path / "third")
    assert (tmp_path / "third").read_text() == "pixels"
    assert not (tmp_path / "third").samefile(tmp_path / "chunk")


def test_without_exchange_the_old_folder_is_set_aside_until_the_new_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("staged", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    monkeypatch.setattr(files, "exchange", lambda one, other: False)
    with watched_writes(tmp_path) as writes:
        put_in_place(tmp_path / "staged", tmp_path / "target", writes)
    assert (tmp_path / "target" / "file").read_text() == "staged"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path, make: Any) -> None:
    make(tmp_path / ".zattrs")
    with pytest.raises(MetadataError, match="a pipe, a socket or a device"):
        read_json(tmp_path / ".zattrs")


@pytest.mark.parametrize("depth", [100, 900, 100_000])
def test_json_that_is_nested_without_end_is_refused(tmp_path: Path, depth: int) -> None:
    (tmp_path / "a.json").write_text('{"a": ' + "[" * depth + "]" * depth + "}")
    with pytest.raises(MetadataError):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps({"a": [[[]]] * 1000}))
    assert len(read_json(tmp_path / "a.json")["a"]) == 1000


def test_json_of_any_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LARGEST", 100)
    write_json(tmp_path / "a.json", {"a": "x" * 100})
    with pytest.raises(MetadataError, match="expected a JSON file of at most 100"):
        read_json(tmp_path / "a.json")


def test_half_characters_are_written_and_read_again(tmp_path: Path) -> None:
    content = {"name \ud800": ["µm", "\udcff"]}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    write_json(tmp_path / "a.json", {"name": "µm"})
    assert "µm" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_a_tree_that_cannot_be_copied_says_the_first_reason(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "old" / name).mkdir(parents=True)
        os.mkfifo(tmp_path / "old" / name / "pipe")
    with pytest.raises(OSError, match="and 1 more files") as caught:
        copy_tree(tmp_path / "old", tmp_path / "new")
    assert "\n" not in str(caught.value)
    assert "[(" not in str(caught.value)
