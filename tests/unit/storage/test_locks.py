from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

import pytest

from platefuse.errors import LockError
from platefuse.storage import lock_files, locks
from platefuse.storage.files import make_folder
from platefuse.storage.locks import (
    claim,
    exclusive_lock,
    holder_of,
    shared_folder,
    tidy_shared_folder,
)
from platefuse.storage.removing import remove_tree

ROOT = Path(__file__).parents[3]
USER = """
import sys
from pathlib import Path
from platefuse.storage.locks import shared_folder

with shared_folder(Path(sys.argv[1])):
    print("in use", flush=True)
    sys.stdin.read()
"""


@contextmanager
def used_by_another(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", USER, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in use\n"
        yield other
        other.communicate()


def test_the_last_user_removes_what_is_empty(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "shared"
    with shared_folder(folder):
        make_folder(folder / "B" / "03")
        with exclusive_lock(folder / ".B_03.lock"), shared_folder(folder):
            pass
        assert (folder / "B" / "03").is_dir()
        assert not (folder / ".B_03.lock").exists()
        (folder / ".B_03.lock").touch()  # as a killed holder leaves it
    assert list((tmp_path / "above").iterdir()) == []


def test_nothing_is_removed_while_another_process_uses_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    with used_by_another(folder):
        with shared_folder(folder):
            make_folder(folder / "B" / "03")
        tidy_shared_folder(folder)
        assert (folder / "B" / "03").is_dir()
    assert not folder.exists()  # the other one was the last


def test_a_killed_user_does_not_keep_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    with used_by_another(folder) as other:
        make_folder(folder / "B" / "03")
        other.kill()
        other.wait()
        assert (folder / "B" / "03").is_dir()
        tidy_shared_folder(folder)
        assert not folder.exists()


def test_what_is_not_empty_stays_without_the_locks(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    make_folder(folder / "B" / "03" / "0")  # an image that is just begun: below the two levels
    make_folder(folder / "B" / "04")
    make_folder(folder / "C" / "04")
    make_folder(tmp_path / "elsewhere")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "notes.txt").write_text("kept")
    tidy_shared_folder(folder)
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert left == {"B", "B/03", "B/03/0", "link", "notes.txt"}
    assert (tmp_path / "elsewhere").is_dir()


def test_a_folder_that_does_not_exist_is_not_made_to_be_tidied(tmp_path: Path) -> None:
    tidy_shared_folder(tmp_path / "protected" / "shared")
    assert list(tmp_path.iterdir()) == []


def test_a_protected_folder_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(tmp_path / "shared" / "B")
    monkeypatch.setattr(locks, "_register_user", refuse(errno.EROFS))
    tidy_shared_folder(tmp_path / "shared")
    assert (tmp_path / "shared" / "B").is_dir()


def refuse(number: int) -> Callable[..., None]:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return refused


def test_without_locks_the_folder_is_used_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    monkeypatch.setattr(lock_files, "_reach", {})
    with shared_folder(tmp_path / "shared"):
        make_folder(tmp_path / "shared" / "B" / "03")
    assert (tmp_path / "shared" / "B" / "03").is_dir()
    for _ in range(2):
        with exclusive_lock(tmp_path / "lock"), claim(tmp_path / "claim", "the image 0"):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["shared"]
    assert len(caplog.messages) == 1
    assert f"{tmp_path}: this file system has no locks (No locks available)" in caplog.text
    monkeypatch.setattr(fcntl, "flock", refuse(errno.EIO))
    with pytest.raises(OSError, match="Input/output"), claim(tmp_path / "claim", "the image 0"):
        pass


@pytest.mark.parametrize("what", ["file", "link that leads nowhere"])
def test_what_has_the_name_of_the_folder_is_an_error(tmp_path: Path, what: str) -> None:
    path = tmp_path / "shared"
    if what == "file":
        path.write_text("")
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="shared"), shared_folder(path):
        pass


def test_a_lock_file_that_was_removed_before_it_was_locked_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, lock, calls = tmp_path / "shared", fcntl.flock, 0

    def removed_meanwhile(file: object, operation: int) -> None:
        nonlocal calls
        calls += 1
        if calls <= 2:  # the last user has left
            (folder / ".users.lock").unlink()
        if calls == 2:
            folder.rmdir()
        lock(file, operation)  # type: ignore[arg-type]  # whatever flock takes

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)
    with shared_folder(folder):
        assert calls == 3
        with shared_folder(folder):
            pass
        assert folder.is_dir()  # the lock of the outer user counts: it is that of the new file
    assert not folder.exists()


def test_the_lock_file_of_the_users_goes_last_and_is_closed_before_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new user may come as soon as it is gone. NFS keeps the file while it is open."""
    folder, order, opened = tmp_path / "shared", [], []
    unlink, rmdir, register = Path.unlink, Path.rmdir, locks._register_user

    def spy_register(path: Path) -> IO[str]:
        opened.append(register(path))
        return opened[0]

    def spy_unlink(path: Path, missing_ok: bool = False) -> None:
        order.append(path.name)
        unlink(path, missing_ok=missing_ok)

    def spy_rmdir(path: Path) -> None:
        order.append(path.name)
        assert opened[0].closed == (path == folder)
        rmdir(path)

    monkeypatch.setattr(locks, "_register_user", spy_register)
    monkeypatch.setattr(Path, "unlink", spy_unlink)
    monkeypatch.setattr(Path, "rmdir", spy_rmdir)
    with shared_folder(folder):
        make_folder(folder / "B" / "03")
        for name in (".A_1.lock", ".z_1.lock"):
            (folder / name).touch()
    assert [*order[:2], *sorted(order[2:4]), *order[4:]] == [
        "03", "B", ".A_1.lock", ".z_1.lock", ".users.lock", "shared",
    ]  # fmt: skip


SCRIPT = """
import sys
from pathlib import Path
from platefuse.storage.files import make_folder
from platefuse.storage.removing import remove_tree
from platefuse.storage.locks import exclusive_lock, shared_folder

folder, counter, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
for number in range(150):
    with shared_folder(folder):
        make_folder(folder / "B" / name)
        with exclusive_lock(folder / ".B_03.lock"):
            counter.write_text(str(int(counter.read_text()) + 1))
        (folder / "B" / name / "image").mkdir()
        remove_tree(folder / "B" / name / "image")
"""


def test_processes_that_come_and_go_keep_each_others_folders_and_locks(tmp_path: Path) -> None:
    folder, counter = tmp_path / "shared", tmp_path / "counter"
    counter.write_text("0")
    users = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder), str(counter), str(number)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    assert [user.communicate()[1] for user in users] == [""] * 4
    assert counter.read_text() == "600"
    assert not folder.exists()


def test_threads_are_users_as_processes_are(tmp_path: Path) -> None:
    folder, errors = tmp_path / "shared", []

    def work(name: str) -> None:
        try:
            for _ in range(100):
                with shared_folder(folder):
                    make_folder(folder / "B" / name / "image")
                    remove_tree(folder / "B" / name / "image")
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert not folder.exists()


HOLDER = """
import sys
from pathlib import Path
from platefuse.storage.locks import claim

with claim(Path(sys.argv[1]), "it", shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another(path: Path, how: str = "alone") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(path), how]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other
        if other.poll() is None:
            other.communicate()


def test_who_comes_second_is_told_who_was_first(tmp_path: Path) -> None:
    path = tmp_path / ".0.lock"
    with held_by_another(path) as other:
        begun = datetime.now().astimezone()
        with pytest.raises(LockError) as raised, claim(path, "image 0"):
            pass
        assert f"in use by {holder_of(path)}. " in str(raised.value)
    assert holder_of(path) is None
    words = re.fullmatch(
        r"image 0: in use by process (\d+) \((.+)\) on host (\S+) since (.+)\. Nothing was "
        r"changed\. Wait until that ends, or end it, then start again\.",
        str(raised.value),
    )
    assert words is not None
    assert words.groups()[:3] == (str(other.pid), "-c", socket.gethostname())
    assert abs((begun - datetime.fromisoformat(words[4])).total_seconds()) < 60
    with claim(path, "image 0"):
        assert path.is_file()
    assert list(tmp_path.iterdir()) == []


def test_who_has_got_the_lock_in_this_instant_is_known_to_the_system(tmp_path: Path) -> None:
    """It has not written its name yet."""
    path = tmp_path / ".0.lock"
    with held_by_another(path) as other:
        path.write_text("")
        said = (
            rf"image 0: in use by process {other.pid} \(new\) on host {socket.gethostname()} since"
        )
        with pytest.raises(LockError, match=said), claim(path, "image 0"):
            pass


def test_the_lock_of_a_killed_process_is_free_and_its_file_goes(tmp_path: Path) -> None:
    path = tmp_path / ".0.lock"
    with held_by_another(path) as other:
        other.kill()
        other.wait()
        assert str(other.pid) in path.read_text()
        with claim(path, "image 0"):
            assert json.loads(path.read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_shared_by_some_it_is_nobodys_alone(tmp_path: Path) -> None:
    path = tmp_path / ".0.lock"
    with held_by_another(path, "shared") as other:
        with claim(path, "well", shared=True):
            pass
        assert path.exists()
        with pytest.raises(LockError, match="well: in use by process"), claim(path, "well"):
            pass
        other.communicate()
        with claim(path, "well"), pytest.raises(LockError, match=str(os.getpid())):
            in_thread(lambda: claim(path, "well", shared=True))
    assert list(tmp_path.iterdir()) == []


def in_thread(lock: Callable[[], AbstractContextManager[None]]) -> None:
    def work() -> None:
        with lock():
            pass

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def test_a_thread_may_take_its_lock_again_another_may_not(tmp_path: Path) -> None:
    path = tmp_path / ".0.lock"
    with claim(path, "image 0"):
        with claim(path, "image 0"), exclusive_lock(path):
            assert path.exists()
        assert path.exists()
        with pytest.raises(LockError, match=str(os.getpid())):
            in_thread(lambda: claim(path, "image 0"))
    in_thread(lambda: claim(path, "image 0"))
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_that_of_the_file_by_whatever_name_its_folder_is_reached(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "link").symlink_to("a")
    with (
        held_by_another(tmp_path / "a" / "b" / ".0.lock"),
        pytest.raises(LockError, match="in use"),
        claim(tmp_path / "link" / "b" / ".0.lock", "image 0"),
    ):
        pass


def test_a_file_that_was_removed_by_hand_is_not_that_of_the_next_holder(tmp_path: Path) -> None:
    path = tmp_path / ".0.lock"
    with ExitStack() as first:
        first.enter_context(claim(path, "image 0"))
        path.unlink()
        with held_by_another(path) as other:
            first.close()
            assert str(other.pid) in path.read_text()
            with pytest.raises(LockError, match=str(other.pid)), claim(path, "image 0"):
                pass
    assert list(tmp_path.iterdir()) == []


def test_processes_take_one_lock_one_after_the_other(tmp_path: Path) -> None:
    """Each removes the file at the end, while others wait for the lock on it."""
    script = """
import sys
from pathlib import Path
from platefuse.storage.locks import exclusive_lock

path, counter = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(100):
    with exclusive_lock(path):
        counter.write_text(str(int(counter.read_text()) + 1))
"""
    make_folder(tmp_path / "locks")
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", script, str(tmp_path / "locks" / ".lock"), str(counter)]
    users = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(4)]
    assert [user.communicate()[1] for user in users] == [b""] * 4
    assert counter.read_text() == "400"
    assert list((tmp_path / "locks").iterdir()) == []
