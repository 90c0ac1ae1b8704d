from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from platefuse.storage import locks
from platefuse.storage.files import make_folder, remove_tree
from platefuse.storage.locks import exclusive_lock, shared_folder, tidy_shared_folder

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
        assert (folder / ".B_03.lock").is_file()
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    with shared_folder(tmp_path / "shared"):
        make_folder(tmp_path / "shared" / "B" / "03")
    assert (tmp_path / "shared" / "B" / "03").is_dir()
    with pytest.raises(OSError, match="No locks"), exclusive_lock(tmp_path / "lock"):
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
from platefuse.storage.files import make_folder, remove_tree
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
