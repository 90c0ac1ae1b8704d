from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from platefuse.errors import PlatefuseError, SwapError
from platefuse.ngff.paths import staging_root
from platefuse.ngff.well import Well
from platefuse.records import RegistrationRecord
from platefuse.registration import restore
from platefuse.registration.originals import restored_file, restored_original
from platefuse.registration.restore import restore_well
from platefuse.registration.staged import StagedFrom
from platefuse.registration.swap import discard_backups, restore_backup, swap_image
from platefuse.storage.removing import remove_tree
from tests.dying import die_at_calls
from tests.swap_well import REQUEST, content, make_image, make_well, put, tree

ROOT = Path(__file__).parents[3]
STATES = list(itertools.product(("absent", "old", "new"), repeat=3))


@pytest.fixture(params=["exchange", "renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the exchange, and on a filesystem that has none."""
    if request.param == "renames":
        monkeypatch.setattr(restore, "exchange", lambda one, other: False)
    return str(request.param)


def places(well: Well) -> list[str | None]:
    image = well.image("0")
    return [content(path) for path in (image.live, image.staged, image.backup)]


@pytest.mark.parametrize("state", STATES, ids="-".join)
def test_from_every_state_the_original_is_put_back_or_nothing_is_changed(
    tmp_path: Path, state: tuple[str, str, str], way: str
) -> None:
    well = make_well(tmp_path)
    put(well, *state)
    live, staged, backup = state
    before = places(well)
    done = None
    with contextlib.suppress(PlatefuseError):
        done = restore_well(well)
    is_exchanged = live == "new" and staged == "old" and backup == "absent"
    has_original = backup == "old" or is_exchanged
    if live == "old":
        assert done == []
        assert places(well)[0] == "old"
    elif has_original:
        assert done == ["0"]
        now, in_staging, kept = places(well)
        assert now == "old"
        assert "new" not in (in_staging, kept)
    else:
        assert done is None
        assert places(well) == before
    if "old" in before:  # an original is never lost
        assert "old" in places(well)
    if done is not None:
        assert restore_well(well) == []


def test_a_swap_and_its_way_back_leave_the_well_as_it_was(tmp_path: Path, way: str) -> None:
    well = make_well(tmp_path, ("0", "1"))
    for name in "01":
        make_image(well.path / name, f"old {name}")
    before = tree(well.plate)
    for name in "01":
        make_image(well.staging / name, f"new {name}", REQUEST)
        StagedFrom.of(well.image(name), tables=True).write(well.image(name))
        swap_image(well.image(name), REQUEST)
    discard_backups(well, REQUEST, keep_originals=True)
    assert [content(well.path / name) for name in "01"] == ["new 0", "new 1"]
    record = RegistrationRecord.read(well.path / "1")
    assert restore_well(well) == ["0", "1"]
    for _ in range(2):
        assert [content(well.path / name) for name in "01"] == ["old 0", "old 1"]
        assert restored(well) == {"0", "1"}
        note = restored_original(well.image("1"))
        assert note is not None
        assert (note.well, note.image, note.record) == ("B/03", "1", record)
        assert tree(well.plate) == before
        assert [path.name for path in well.staging.iterdir() if "kept" in path.name] == []
        assert restore_well(well) == []


def restored(well: Well) -> set[str]:
    """The images of which it is written that they were restored; nothing else is in staging."""
    files = {restored_file(image).name: image.name for image in well.images}
    return {files[path.name] for path in well.staging.iterdir()}


def add_label(image: Path) -> None:
    (image / "labels" / "mine" / "0").mkdir(parents=True)
    (image / "labels" / "mine" / "0" / "0.0").write_text("a day's work")


def change_pixels(image: Path) -> None:
    chunk = next(path for path in image.rglob("*") if path.is_file() and path.name == "0")
    chunk.write_text("NEW")


@pytest.mark.parametrize("change", [add_label, change_pixels])
def test_what_was_added_to_a_registered_image_is_not_lost_with_it(
    tmp_path: Path, way: str, change: Callable[[Path], None]
) -> None:
    well = make_well(tmp_path)
    image = well.image("0")
    for number in ("", "2"):
        if not number:
            make_image(image.live, "old")
        make_image(image.staged, "new", REQUEST)
        StagedFrom.of(image, tables=True).write(image)
        swap_image(image, REQUEST, keep_original=True)
        discard_backups(well, REQUEST, keep_originals=True)
        change(image.live)
        discard_backups(well, REQUEST, keep_originals=True)  # another run changes nothing of it
        (image.live / ".DS_Store").write_text("of no interest")
        changed = tree(image.live)
        assert restore_well(well) == ["0"]
        assert content(image.live) == "old"
        assert tree(well.staging / f"0.changed{number}") == changed
    assert restore_well(well) == []
    assert (well.staging / "0.changed").is_dir()


def test_one_missing_original_leaves_the_whole_well(tmp_path: Path, way: str) -> None:
    well = make_well(tmp_path, ("0", "1"))
    for name in "01":
        make_image(well.path / name, f"new {name}", REQUEST)
    make_image(well.image("0").backup, "old 0")
    before = tree(tmp_path)
    with pytest.raises(SwapError, match=r"03/1: the image is registered, .* was not kept"):
        restore_well(well)
    assert tree(tmp_path) == before


def test_an_original_that_cannot_be_read_is_not_put_back(tmp_path: Path, way: str) -> None:
    well = make_well(tmp_path)
    put(well, "new", "absent", "old")
    (well.image("0").backup / ".zattrs").write_text("{")
    with pytest.raises(PlatefuseError, match="broken JSON"):
        restore_well(well)
    assert content(well.path / "0") == "new"


def test_a_well_that_is_not_registered_is_left_alone(tmp_path: Path) -> None:
    well = make_well(tmp_path)
    put(well, "old", "absent", "absent")
    before = tree(tmp_path)
    assert restore_well(well) == []
    assert tree(tmp_path) == before
    assert not staging_root(well.plate).exists()


WORK = """
from platefuse.registration import restore

restore.exchange = restore.exchange if {exchanges} else lambda one, other: False

def work(well):
    restore.restore_well(well)
"""
CALLS = ("renameat2", "rename", "fsync", "unlinkat", "rmdir")


@pytest.mark.strace
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("onward", [False, True], ids=["restored again", "run again"])
@pytest.mark.parametrize("chosen", ["exchange", "renames"])
def test_a_kill_at_any_call_can_be_completed_in_both_directions(
    tmp_path: Path, chosen: str, onward: bool
) -> None:
    names = [f"{call}_{number}" for call in CALLS for number in range(1, 16)]
    for name in names:
        well = make_well(tmp_path / name, ("0", "1"))
        for image in "01":
            make_image(well.path / image, f"new {image}", REQUEST)
            make_image(well.image(image).backup, f"old {image}")
    work = WORK.format(exchanges=chosen == "exchange")
    ended = die_at_calls(work, tmp_path, CALLS)
    assert ended.keys() == set(names)
    assert set(ended.values()) == {0, -signal.SIGKILL}
    killed = {name for name, code in ended.items() if code}
    assert {"rename_1", "rename_2", "rename_3", "rename_4", "fsync_1", "fsync_4"} <= killed
    assert "unlinkat_1" in killed
    assert ({"renameat2_1", "renameat2_2"} <= killed) == (chosen == "exchange")
    seen = set()
    for name in names:
        well = Well.read(tmp_path / name / "p.zarr", "B", "03")
        for image in "01":
            seen.add(now := content(well.path / image))
            kept = [content(p) for p in (well.staging / image, well.image(image).backup)]
            if now is None:  # only in the gap between two renames, and both are still there
                assert chosen == "renames"
                assert kept == [f"new {image}", f"old {image}"]
            assert f"old {image}" in (now, *kept)
        if onward:
            run_on(well)
        else:
            restore_well(well)
            assert [content(well.path / image) for image in "01"] == ["old 0", "old 1"]
            assert restored(well) == {"0", "1"}
    assert (None in seen) == (chosen == "renames")


def run_on(well: Well) -> None:
    """What the workflow does: it makes the images that are not registered anew, and swaps all."""
    for image in "01":
        own = well.image(image)
        restore_backup(own)
        if "old" in (content(own.live) or ""):
            remove_tree(own.staged)
            make_image(own.staged, f"new {image}", REQUEST)
            StagedFrom.of(own, tables=True).write(own)
        swap_image(own, REQUEST)
        assert content(well.path / image) == f"new {image}"
    discard_backups(well, REQUEST, keep_originals=True)
    assert [content(well.image(image).backup) for image in "01"] == ["old 0", "old 1"]
    expected = {".0.kept.json", ".1.kept.json", "0.original", "1.original"}
    assert {path.name for path in well.staging.iterdir()} == expected
