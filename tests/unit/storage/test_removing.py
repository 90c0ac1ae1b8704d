"""What is removed, what killed writers left, and what somebody holds."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from platefuse.storage.files import put_in_place, replaced, write_text
from platefuse.storage.flush import watched_writes
from platefuse.storage.removing import (
    all_aside,
    is_dead,
    remove_dead,
    remove_if_dead,
    remove_tree,
    temporaries,
)

DEAD = ".a.json.0123456789abcdef"


def folder(path: Path) -> Path:
    (path / "0").mkdir(parents=True)
    (path / "0" / "open").write_text("held by a viewer")
    (path / "0" / "other").write_text("nobody reads it")
    return path


@pytest.fixture(params=[errno.EBUSY, errno.ENOTEMPTY, errno.EACCES], ids=errno.errorcode.get)
def hold(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """As NFS does it: what a viewer holds open cannot be removed. Calling it ends that."""
    unlink = os.unlink

    def refuse(name: str, *args: Any, **more: Any) -> None:
        if Path(name).name == "open":
            raise OSError(request.param, os.strerror(request.param), name)
        unlink(name, *args, **more)

    monkeypatch.setattr(os, "unlink", refuse)
    return lambda: monkeypatch.setattr(os, "unlink", unlink)


def test_what_a_viewer_holds_open_is_set_aside_and_removed_the_next_time(
    tmp_path: Path, hold: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert not remove_tree(folder(tmp_path / "image"))
    assert "a program may hold a file in it open" in caplog.text
    (aside,) = tmp_path.iterdir()
    assert aside.name == ".image.removed"
    assert [p.name for p in aside.rglob("*") if p.is_file()] == ["open"]
    for _ in range(2):  # the name is free in between, whatever is held
        assert not remove_tree(folder(tmp_path / "image"))
        assert not (tmp_path / "image").exists()
    assert len(all_aside(tmp_path / "image")) == 3
    hold()
    assert remove_tree(tmp_path / "image")
    assert list(tmp_path.iterdir()) == []


def test_the_plain_name_is_there_as_long_as_anything_is(
    tmp_path: Path, hold: Callable[[], None]
) -> None:
    remove_tree(folder(tmp_path / "image"))
    remove_tree(folder(tmp_path / "image"))
    plain = tmp_path / ".image.removed"
    (plain / "0" / "open").rename(plain / "0" / "closed")
    assert not remove_tree(tmp_path / "image")
    assert [p.name for p in tmp_path.iterdir()] == [".image.removed"]
    hold()
    assert remove_tree(tmp_path / "image")
    assert list(tmp_path.iterdir()) == []


def test_other_errors_are_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **more: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "unlink", fail)
    with pytest.raises(OSError, match="Input/output error"):
        remove_tree(folder(tmp_path / "image"))
    assert not (tmp_path / "image").exists()


def test_a_replaced_folder_that_is_held_does_not_fail_the_replacement(
    tmp_path: Path, hold: Callable[[], None]
) -> None:
    new, live = folder(tmp_path / "staging" / "well"), folder(tmp_path / "well")
    (new / "0" / "other").write_text("new")
    with watched_writes(tmp_path) as writes:
        put_in_place(new, live, writes)
    assert (live / "0" / "other").read_text() == "new"
    assert not replaced(live).exists()
    assert not new.exists()


def test_a_writer_removes_what_killed_writers_of_the_same_file_left(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from platefuse.storage import files\n"
        "os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_text(Path(sys.argv[1]), 'new')\n"
    )
    file = tmp_path / "a.json"
    file.write_text("old")
    others = [tmp_path / name for name in (".b.json.0123456789abcdef", ".a.json.mine", DEAD + "0")]
    for other in others:
        other.touch()
    command = [sys.executable, "-c", script, str(file)]
    assert subprocess.run(command, check=False).returncode == -9
    assert file.read_text() == "old"
    assert len(temporaries(file)) == 1
    write_text(file, "newer")
    assert file.read_text() == "newer"
    assert sorted(tmp_path.iterdir()) == sorted([file, *others])


def test_the_file_of_a_writer_at_work_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with (tmp_path / DEAD).open("x") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert not is_dead(tmp_path / DEAD)
        assert remove_dead(file) == []
        write_text(file, "new")
        assert (tmp_path / DEAD).exists()
    assert is_dead(tmp_path / DEAD)
    assert remove_dead(file) == [tmp_path / DEAD]


def test_without_locks_nobody_knows_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / DEAD).touch()
    write_text(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "new"
    assert (tmp_path / DEAD).exists()


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "far").write_text("of the user")
    (tmp_path / DEAD).symlink_to(tmp_path / "far")
    (tmp_path / f"{DEAD[:-1]}0").mkdir()
    os.mkfifo(tmp_path / f"{DEAD[:-1]}1")
    assert remove_dead(tmp_path / "a.json") == []
    assert not remove_if_dead(tmp_path / "gone")
    assert len(temporaries(tmp_path / "a.json")) == 3


def test_a_file_that_was_removed_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    seen: list[Path] = []

    def slow(file: object, how: int) -> None:
        if not seen:
            seen.extend(temporaries(tmp_path / "a.json"))
            seen[0].unlink()
        flock(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", slow)
    write_text(tmp_path / "a.json", "new")
    assert seen
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
