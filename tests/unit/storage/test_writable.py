from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from platefuse.errors import ImageError, PlateError, PlatefuseError
from platefuse.storage.writable import check_new, check_removable
from tests.access import as_nobody, open_to_all


def test_what_can_be_made_or_written_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "new", tmp_path / "a" / "b" / "c", tmp_path / "file"):
        check_new(path, "it")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x" * 250, "has 250 bytes"),
        ("ä" * 120, "has 240 bytes"),
        ("x" * 999, "has 999 bytes"),
        ("/".join(["x" * 100] * 40), "more than the system takes"),
        ("pipe", "pipe is no folder"),
        ("pipe/below", "pipe is no folder"),
        ("file/below", "file is no folder"),
    ],
)
def test_what_cannot_be_made_is_said(tmp_path: Path, name: str, said: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError) as caught:
        check_new(tmp_path / name, "the output", ImageError)
    assert said in str(caught.value)
    assert str(caught.value).startswith("the output: ")
    assert "\n" not in str(caught.value)


def refused(check: Callable[[], None]) -> Callable[[], None]:
    """Check that something raises our error, in a process that cannot use pytest."""

    def work() -> None:
        try:
            check()
        except PlatefuseError:
            return
        raise AssertionError("nothing was raised")

    return work


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_folders_that_a_user_may_not_write_or_remove(tmp_path: Path) -> None:
    open_to_all(tmp_path)
    folder = tmp_path / "image"
    (folder / "0" / "0").mkdir(parents=True)
    (folder / "link").symlink_to("/")
    for path in (folder, folder / "0", folder / "0" / "0"):
        os.chown(path, 65534, 65534)
    assert as_nobody(lambda: check_removable(folder, "it")) == 0
    assert as_nobody(lambda: check_new(folder / "new", "it")) == 0
    assert as_nobody(refused(lambda: check_new(tmp_path / "new", "it"))) == 0
    (folder / "0" / "0").chmod(0o555)
    assert as_nobody(refused(lambda: check_removable(folder, "it"))) == 0
    assert stat.S_IMODE((folder / "0" / "0").stat().st_mode) == 0o555


def test_a_filesystem_for_reading_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # as the system answers even to root
    with pytest.raises(PlateError, match="mount its disk for writing"):
        check_new(tmp_path / "new", "it")
