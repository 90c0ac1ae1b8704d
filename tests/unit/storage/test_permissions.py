from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from platefuse.storage.files import put_in_place, write_text
from platefuse.storage.flush import watched_writes
from platefuse.storage.permissions import mirror_access
from tests.access import (
    LIST,
    access_in,
    access_list,
    access_of,
    as_nobody,
    open_to_all,
    set_if_possible,
    share,
)


@pytest.fixture(autouse=True)
def _private() -> Iterator[None]:
    """The umask of a user who shares nothing by default."""
    old = os.umask(0o077)
    yield
    os.umask(old)


def tree(top: Path, *names: str) -> Path:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("new")
    return top


def test_a_new_tree_has_the_access_of_the_old_one(tmp_path: Path) -> None:
    names = ("0/.zarray", "0/0/0", "labels/n/.zattrs", ".zgroup")
    old, new = tree(tmp_path / "old", *names), tree(tmp_path / "new", *names)
    share(old)
    assert access_in(new) != access_in(old)
    mirror_access(old, new)
    assert access_in(new) == access_in(old)


def test_what_is_new_has_the_access_of_what_is_next_to_it(tmp_path: Path) -> None:
    old = tree(tmp_path / "old", "0/.zarray", "0/0/0", ".zgroup")
    new = tree(tmp_path / "new", "0/.zarray", "0/0/1", "0/1/0", "tables/t/.zattrs", ".zgroup")
    share(old)
    mirror_access(old, new)
    found, models = access_in(new), access_in(old)
    for name, model in (
        ("0/0/1", "0/0/0"),
        ("0/1/0", "0/.zarray"),
        ("tables/t/.zattrs", ".zgroup"),
    ):
        assert found[name][:3] == models[model][:3]
        assert found[name][3].get(LIST) == models[model][3].get(LIST)
        assert "user.x" not in found[name][3]
    for name in ("0/1", "tables", "tables/t"):
        assert stat.S_IMODE(found[name][2]) == 0o2775
        assert found[name][1] == models["."][1]


def test_a_list_that_new_files_get_from_their_folder_goes(tmp_path: Path) -> None:
    old, new = tree(tmp_path / "old", "a"), tree(tmp_path / "new", "a")
    set_if_possible(new / "a", LIST, access_list(0o666, 4243))
    (old / "a").chmod(0o640)
    mirror_access(old, new)
    assert access_of(new / "a") == access_of(old / "a")


def test_the_setgid_bit_is_not_given_to_another_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    old, new = tree(tmp_path / "old", "a", "b"), tree(tmp_path / "new", "a", "b")
    old.chmod(0o2770)
    (old / "a").chmod(0o660)
    if os.geteuid() == 0:
        for path in (old, old / "a", old / "b"):
            os.chown(path, -1, 4242)

    def refused(*_: object) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "chown", refused)
    mirror_access(old, new)
    if os.geteuid() == 0:
        assert stat.S_IMODE(new.stat().st_mode) == 0o770
        assert [r.levelname for r in caplog.records] == ["WARNING"]  # once for the tree
        assert "3 files and folders" in caplog.text
    assert stat.S_IMODE((new / "a").stat().st_mode) == 0o660


def test_a_file_that_is_written_again_keeps_its_access(tmp_path: Path) -> None:
    file = tree(tmp_path, "a.json") / "a.json"
    share(tmp_path)
    before = access_of(file)
    write_text(file, "other")
    assert access_of(file) == before
    write_text(tmp_path / "new.json", "new")
    assert stat.S_IMODE((tmp_path / "new.json").stat().st_mode) & 0o777 == 0o600


def test_a_folder_that_replaces_another_keeps_its_access(tmp_path: Path) -> None:
    old, new = tree(tmp_path / "old", "0/.zarray"), tree(tmp_path / "new", "0/.zarray")
    share(old)
    before = access_in(old)
    with watched_writes(tmp_path) as writes:
        put_in_place(new, old, writes)
    assert (old / "0" / ".zarray").read_text() == "new"
    assert access_in(old) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_gives_what_he_may(tmp_path: Path) -> None:
    old, new = tree(tmp_path / "old", "0/a"), tree(tmp_path / "new", "0/a")
    share(old)
    for path in (new, new / "0", new / "0" / "a"):
        os.chown(path, 65534, 65534)
    open_to_all(tmp_path)
    assert as_nobody(lambda: mirror_access(old, new)) == 0
    assert stat.S_IMODE((new / "0" / "a").stat().st_mode) == 0o664
    assert (new / "0" / "a").stat().st_gid == 65534
