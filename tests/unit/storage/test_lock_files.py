"""Tests of lock files that somebody has put there: nothing is changed, and nothing blocks."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from platefuse.errors import LockError
from platefuse.storage import filesystems, lock_files
from platefuse.storage.lock_files import Holder
from platefuse.storage.locks import claim, exclusive_lock, shared_folder, tidy_shared_folder

TEXT = "somebody's only copy"


def put_link(path: Path) -> None:
    path.symlink_to(victim(path))


def put_link_to_nothing(path: Path) -> None:
    path.symlink_to(path.parent.parent / "new")


def put_second_name(path: Path) -> None:
    os.link(victim(path), path)


def put_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path.relative_to(Path.cwd())))


def put_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root can make a device file")


def victim(path: Path) -> Path:
    file = path.parent.parent / "victim"
    file.write_text(TEXT)
    return file


HOSTILE: dict[str, Callable[[Path], None]] = {
    "a link": put_link,
    "a link to nothing": put_link_to_nothing,
    "a second name": put_second_name,
    "a fifo": os.mkfifo,
    "a folder": Path.mkdir,
    "a socket": put_socket,
    "a device": put_device,
}


def claimed(folder: Path) -> AbstractContextManager[None]:
    return claim(folder / ".0.lock", "image 0")


def waited_for(folder: Path) -> AbstractContextManager[None]:
    return exclusive_lock(folder / ".0.lock")


USES: dict[str, tuple[str, Callable[[Path], AbstractContextManager[None]]]] = {
    "claim": (".0.lock", claimed),
    "lock": (".0.lock", waited_for),
    "users": (".users.lock", shared_folder),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("what", HOSTILE)
def test_what_has_the_name_of_a_lock_file_is_an_error_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, use: str
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    folder = tmp_path / "staging"
    folder.mkdir()
    name, lock = USES[use]
    HOSTILE[what](folder / name)
    before = os.lstat(folder / name)
    with pytest.raises(LockError, match=f"{name} is a.*Nothing was changed. Take it"), lock(folder):
        pass
    after = os.lstat(folder / name)
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (
        before.st_ino, before.st_mode, before.st_mtime_ns,
    )  # fmt: skip
    tidy_shared_folder(folder)
    assert not (tmp_path / "new").exists()
    if (tmp_path / "victim").exists():
        assert (tmp_path / "victim").read_text() == TEXT


@pytest.mark.parametrize("use", USES)
def test_a_folder_that_is_a_link_is_an_error(tmp_path: Path, use: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "staging").symlink_to("elsewhere")
    with pytest.raises(LockError, match="staging is a link"), USES[use][1](tmp_path / "staging"):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_put_there_between_the_look_and_the_opening_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "staging"
    folder.mkdir()
    opened = lock_files._open

    for what in ("a link", "a link to nothing", "a fifo", "a folder"):

        def late(path: Path, descriptor: int, what: str = what) -> int:
            HOSTILE[what](path)
            return opened(path, descriptor)

        monkeypatch.setattr(lock_files, "_open", late)
        with pytest.raises(LockError, match="expected a file for a lock"), claimed(folder):
            pass
        path = folder / ".0.lock"
        path.rmdir() if what == "a folder" else path.unlink()
    assert (tmp_path / "victim").read_text() == TEXT
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"host": "h"}', b"\xff", b'{"host":1,"pid":"x","program":"","since":""}'],
)
def test_a_note_that_cannot_be_read_names_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock").write_bytes(content)
    file = os.open(tmp_path / "lock", os.O_RDONLY)
    assert Holder.read(file) is None
    os.close(file)


def test_a_note_is_one_short_line_whatever_it_holds(tmp_path: Path) -> None:
    """Whoever can write beside the plate can write into the file."""
    file = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    Holder("h\nh", 12, "x" * 1000, "now").write(file)
    assert str(Holder.read(file)) == f"process 12 ({'x' * 100}) on host h h since now"
    os.close(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write to every file")
def test_a_file_that_can_only_be_read_is_locked_all_the_same(tmp_path: Path) -> None:
    (tmp_path / ".0.lock").touch(0o444)
    with claim(tmp_path / ".0.lock", "image 0"):
        assert (tmp_path / ".0.lock").read_text() == ""
    assert list(tmp_path.iterdir()) == []


MOUNTS = """\
21 1 {device} / / rw,relatime shared:1 - ext4 /dev/vda rw
36 35 {other} / /mnt rw,noatime master:1 - nfs server:/x rw,local_lock=all
{line}
"""


@pytest.mark.parametrize(
    ("kind", "options", "is_local"),
    [
        ("nfs", "rw,vers=3,local_lock=none", False),
        ("nfs", "rw,vers=3,nolock,local_lock=all", True),
        ("nfs4", "rw,local_lock=flock", True),
        ("nfs4", "rw,local_lock=posix", False),
        ("lustre", "rw,flock", False),
        ("lustre", "rw,localflock", True),
        ("cifs", "rw,nobrl", True),
        ("ext4", "rw,nolock", False),
    ],
)
def test_locks_that_do_not_reach_other_hosts_are_warned_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    kind: str, options: str, is_local: bool,
) -> None:  # fmt: skip
    number = tmp_path.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    line = f"40 35 {device} / /data rw - {kind} server:/x {options}"
    (tmp_path / "mounts").write_text(MOUNTS.format(device="0:0", other="0:1", line=line))
    monkeypatch.setattr(filesystems, "_MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(lock_files, "_reach", {})
    for _ in range(2):
        with claim(tmp_path / ".0.lock", "image 0"):
            pass
    assert len(caplog.messages) == is_local
    if is_local:
        assert f"the locks of this file system ({kind}, " in caplog.text
        assert "known on this host only" in caplog.text
