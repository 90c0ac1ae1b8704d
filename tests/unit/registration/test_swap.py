from __future__ import annotations

import contextlib
import errno
import itertools
import json
import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from platefuse.errors import PlatefuseError, RecordError, SwapError
from platefuse.ngff.paths import staging_root
from platefuse.ngff.well import Well
from platefuse.records import RegistrationRecord, forget_record
from platefuse.registration import originals, places, swap
from platefuse.registration.locks import well_lock
from platefuse.registration.originals import kept_file, mark_original
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.swap import (
    check_registered,
    discard_backup,
    discard_backups,
    publish_image,
    publish_registered,
    swap_image,
)
from platefuse.storage.flush import flush_folder
from platefuse.storage.locks import tidy_shared_folder
from tests.dying import die_at_calls
from tests.records import registration_record
from tests.swap_well import REQUEST, content, make_image, make_well, put, stage, tree

BESIDE = RegistrationRequest("registered_FOV_ROI_table", overwrite_input=False)
OTHER = RegistrationRequest("registered_well_ROI_table")
ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["exchange", "two renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the exchange, and on a filesystem that has none."""
    if request.param == "two renames":
        monkeypatch.setattr(swap, "exchange", lambda one, other: False)
    return str(request.param)


STATES = list(itertools.product(("absent", "old", "new"), repeat=3))


@pytest.mark.parametrize("state", STATES, ids="-".join)
def test_from_every_state_the_live_image_is_old_or_new_and_calling_again_completes(
    tmp_path: Path, state: tuple[str, str, str], way: str
) -> None:
    well = make_well(tmp_path)
    put(well, *state)
    live, staged, backup = state
    for _ in range(3):
        receipt = None
        with contextlib.suppress(PlatefuseError):
            receipt = swap_image(well.image("0"), REQUEST)
        if {"new", "old"} & {live, backup} or staged == "new":
            assert content(well.path / "0") in ("old", "new")
    now = content(well.path / "0")
    put_back_by_hand = live == "old" and backup != "absent"
    if "new" in (live, staged) and not put_back_by_hand:
        assert now == "new"
        assert receipt is not None
        assert receipt.action == "swapped before"
    elif live == "old":
        assert now == "old"
    # Whatever was old is still there until the backup is discarded. (A backup is never new.)
    if "old" in state and backup != "new":
        everywhere = [well.path / "0", well.staging / "0", well.image("0").backup]
        assert "old" in [content(path) for path in everywhere]


def after_swap(live: str, staged: str, backup: str) -> tuple[str, str, str]:
    """What a swap makes of the three folders."""
    if live == "new":  # swapped before
        is_backup = staged == "old" and backup == "absent"
        return live, "absent", staged if is_backup else backup
    if staged == "new":
        if live == "absent":
            return "new", "absent", backup
        return ("new", "absent", "old") if backup == "absent" else (live, staged, backup)
    if live == "absent" and backup != "absent":  # nothing to swap, but only the backup is left
        return backup, staged, "absent"
    return live, staged, backup


@pytest.mark.parametrize("state", STATES, ids="-".join)
def test_swap_leaves_each_folder_as_the_table_of_states_has_it(
    tmp_path: Path, state: tuple[str, str, str], way: str
) -> None:
    well = make_well(tmp_path)
    put(well, *state)
    live, staged, backup = after_swap(*state)
    swapped = live == "new" and (state[0] == "new" or state[1] == "new")
    with contextlib.nullcontext() if swapped else pytest.raises(PlatefuseError):
        swap_image(well.image("0"), REQUEST)
    image = well.image("0")
    found = [content(path) or "absent" for path in (image.live, image.staged, image.backup)]
    assert found == [live, staged, backup]


def test_an_original_that_cannot_be_read_is_kept(tmp_path: Path) -> None:
    well = make_well(tmp_path)
    put(well, "new", "old", "absent")
    image = well.image("0")
    (image.staged / ".zattrs").write_text("{")
    assert swap_image(image, REQUEST).action == "swapped before"
    assert not image.staged.exists()
    assert (image.backup / ".zattrs").read_text() == "{"


@pytest.mark.parametrize(("live", "backup"), list(itertools.product([True, False], repeat=2)))
def test_backup_is_restored_only_where_the_live_image_is_missing(
    tmp_path: Path, live: bool, backup: bool
) -> None:
    image = make_well(tmp_path).image("0")
    for exists, folder in ((live, image.live), (backup, image.backup)):
        if exists:
            folder.mkdir(parents=True)
    assert swap.only_backup_left(image) == (backup and not live)
    swap.restore_backup(image)
    assert image.live.exists() == (live or backup)
    assert image.backup.exists() == (backup and live)


def test_a_backup_beside_an_image_that_is_not_registered_is_never_lost(
    tmp_path: Path, way: str
) -> None:
    # Its originals were kept, and somebody copied one of them back.
    well = make_well(tmp_path)
    put(well, "old", "new", "old")
    before = tree(tmp_path)
    for _ in range(2):
        said = r"there is a backup of .* already.* move the one .* do not delete it before"
        with pytest.raises(SwapError, match=said):
            swap_image(well.image("0"), REQUEST)
        assert tree(tmp_path) == before
    shutil.rmtree(well.image("0").backup)
    assert swap_image(well.image("0"), REQUEST).action == "swapped"


def test_one_swap_makes_new_live_and_old_the_backup(tmp_path: Path, way: str) -> None:
    well = make_well(tmp_path)
    put(well, "old", "new", "absent")
    receipt = swap_image(well.image("0"), REQUEST)
    assert (receipt.well, receipt.image, receipt.action) == ("B/03", "0", "swapped")
    assert receipt.record is not None
    assert receipt.record.request == REQUEST.identity
    assert content(well.path / "0") == "new"
    assert content(well.image("0").backup) == "old"
    assert not (well.staging / "0").exists()
    before = tree(tmp_path)
    assert swap_image(well.image("0"), REQUEST).action == "swapped before"
    assert tree(tmp_path) == before


def test_a_filesystem_without_exchange_is_named_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(swap, "exchange", lambda one, other: False)
    well = make_well(tmp_path)
    put(well, "old", "new", "absent")
    with caplog.at_level(logging.WARNING):
        swap_image(well.image("0"), REQUEST)
    assert "cannot exchange two folders in one step" in caplog.text


def test_the_live_path_is_never_empty_during_an_exchange(tmp_path: Path) -> None:
    wells = [make_well(tmp_path / str(n)) for n in range(20)]
    for well in wells:
        put(well, "old", "new", "absent")
    stop, looks, missing = threading.Event(), [0], []

    def watch() -> None:
        while not stop.is_set():
            for well in wells:
                looks[0] += 1
                if not (well.path / "0" / ".zattrs").is_file():
                    missing.append(well.plate)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for well in wells:
        swap_image(well.image("0"), REQUEST)
    stop.set()
    watcher.join()
    assert looks[0] > 0
    assert not missing


@pytest.mark.parametrize("place", ["live", "staged"])
def test_an_image_that_another_request_made_is_never_touched(
    tmp_path: Path, place: str, way: str
) -> None:
    well = make_well(tmp_path)
    make_image(well.path / "0", "live", OTHER if place == "live" else None)
    make_image(well.staging / "0", "staged", OTHER if place == "staged" else REQUEST)
    before = tree(tmp_path)
    said = "registered already, with roi_table='registered_well"
    if place == "staged":
        said = "no complete staged image"
    for request in (REQUEST, RegistrationRequest(REQUEST.roi_table, 1)):
        with pytest.raises(RecordError, match=said):
            swap_image(well.image("0"), request)
    assert tree(tmp_path) == before
    assert content(well.path / "0") == "live"


def test_a_staged_image_without_its_tables_is_not_complete(tmp_path: Path, way: str) -> None:
    well = make_well(tmp_path)
    put(well, "old", "old", "absent")
    registration_record(identity=REQUEST.identity).write(well.staging / "0")
    with pytest.raises(RecordError, match="no complete staged image"):
        swap_image(well.image("0"), REQUEST)
    assert content(well.path / "0") == "old"


def test_a_failed_exchange_is_an_error_and_the_image_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(one: Path, other: Path) -> bool:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(one))

    monkeypatch.setattr(swap, "exchange", refuse)
    well = make_well(tmp_path)
    put(well, "old", "new", "absent")
    with pytest.raises(OSError, match="Permission denied"):
        swap_image(well.image("0"), REQUEST)
    assert (content(well.path / "0"), content(well.staging / "0")) == ("old", "new")


def test_two_filesystems_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "same_filesystem", lambda one, other: False)
    well = make_well(tmp_path)
    put(well, "old", "new", "absent")
    with pytest.raises(SwapError, match="different filesystems"):
        swap_image(well.image("0"), REQUEST)
    assert content(well.path / "0") == "old"
    staged_beside = make_well(tmp_path / "second")
    stage(staged_beside.image("0"), BESIDE)
    with pytest.raises(SwapError, match="different filesystems"):
        publish_image(staged_beside.image("0"), BESIDE)


def spoil_level(image: Path) -> None:
    (image / "0" / ".zarray").unlink()


def spoil_table(image: Path) -> None:
    shutil.rmtree(image / "tables" / "t")


def spoil_record(image: Path) -> None:
    forget_record(image)


def spoil_metadata(image: Path) -> None:
    (image / ".zattrs").write_text(
        json.dumps({"platefuse": json.loads((image / ".zattrs").read_text())["platefuse"]})
    )


def spoil_label(image: Path) -> None:
    (image / "labels").mkdir()
    (image / "labels" / ".zattrs").write_text('{"labels": ["nuclei"]}')


@pytest.mark.parametrize(
    "spoil", [spoil_level, spoil_table, spoil_record, spoil_metadata, spoil_label]
)
def test_backups_stay_if_a_live_image_is_not_as_its_record_says(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    well = make_well(tmp_path, ("0", "1"))
    for image in ("0", "1"):
        stage(well.image(image))
        swap_image(well.image(image), REQUEST)
    spoil(well.path / "1")
    with pytest.raises(PlatefuseError, match="B/03/1"):
        discard_backups(well, REQUEST)
    for image in ("0", "1"):
        assert content(well.image(image).backup) == "old"
    with pytest.raises(PlatefuseError):
        check_registered(well.image("1"), REQUEST)
    with pytest.raises(PlatefuseError):
        discard_backup(well.image("1"), REQUEST)
    assert content(well.image("1").backup) == "old"


@pytest.mark.parametrize("keep", [True, False])
def test_backups_go_when_all_images_are_checked_unless_they_are_kept(
    tmp_path: Path, keep: bool
) -> None:
    well = make_well(tmp_path, ("0", "1"))
    for image in ("0", "1"):
        stage(well.image(image))
        swap_image(well.image(image), REQUEST)
    for _ in range(2):
        receipt = discard_backups(well, REQUEST, keep_originals=keep)
        assert len(receipt.backups_kept or ()) == (2 if keep else 0)
        assert receipt.images == ("0", "1")
    assert (tmp_path / "p.zarr.staging").exists() == keep
    for image in ("0", "1"):
        assert content(well.path / image) == "new"
        assert content(well.image(image).backup) == ("old" if keep else None)


def test_published_images_stand_beside_the_originals_and_in_the_well(tmp_path: Path) -> None:
    well = make_well(tmp_path, ("0", "1"))
    for image in ("0", "1"):
        stage(well.image(image), BESIDE)
    for _ in range(2):
        receipt = publish_registered(well.read_again(), BESIDE)
        assert receipt.images == ("0_registered", "1_registered")
    for image in ("0", "1"):
        assert content(well.path / image) == "old"
        assert content(well.path / f"{image}_registered") == "new"
    listed = well.read_again().listed_images
    assert [(i.name, i.acquisition) for i in listed] == [
        ("0", 0),
        ("1", 1),
        ("0_registered", 0),
        ("1_registered", 1),
    ]
    assert not (tmp_path / "p.zarr.staging").exists()


def test_publishing_never_replaces_what_somebody_else_put_there(tmp_path: Path) -> None:
    well = make_well(tmp_path)
    make_image(well.path / "0", "old")
    make_image(well.path / "0_registered", "theirs")
    make_image(well.staging / "0", "new", BESIDE)
    with pytest.raises(SwapError, match="was not written by platefuse"):
        publish_image(well.image("0"), BESIDE)
    assert content(well.path / "0_registered") == "theirs"
    with pytest.raises(RecordError, match="no complete staged image"):
        publish_image(make_well(tmp_path / "second").image("0"), BESIDE)


def test_a_published_image_that_a_kill_left_unlisted_is_listed(tmp_path: Path) -> None:
    well = make_well(tmp_path)
    make_image(well.path / "0", "old")
    make_image(well.path / "0_registered", "new", BESIDE)
    publish_image(well.image("0"), BESIDE)
    assert [i.name for i in well.read_again().listed_images] == ["0", "0_registered"]


def test_the_lock_of_a_well_is_held_by_one_at_a_time_and_leaves_nothing(tmp_path: Path) -> None:
    well = make_well(tmp_path)
    inside, most, done = [0], [0], [0]

    def work() -> None:
        for _ in range(20):
            with well_lock(well):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                done[0] += 1
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done) == ([1], [80])
    assert not (tmp_path / "p.zarr.staging").exists()
    with pytest.raises(ZeroDivisionError), well_lock(well):
        _ = 1 / 0
    assert not (tmp_path / "p.zarr.staging").exists()


def test_a_swap_is_a_user_of_the_staging_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the second of two renames the well's folder may be empty, and is still flushed."""
    well = make_well(tmp_path)
    put(well, "absent", "new", "absent")

    def tidied_before(path: Path) -> None:
        tidy_shared_folder(staging_root(well.plate))
        flush_folder(path)

    monkeypatch.setattr(swap, "flush_folder", tidied_before)
    assert swap_image(well.image("0"), REQUEST).action == "swapped"
    assert not staging_root(well.plate).exists()


WORK = """
from platefuse.registration import places, swap
from platefuse.registration.originals import kept_file, mark_original
from platefuse.registration.request import RegistrationRequest

request = RegistrationRequest("registered_FOV_ROI_table")
swap.exchange = swap.exchange if {exchanges} else lambda one, other: False

def work(well):
    swap.swap_image(well.image("0"), request)
    swap.discard_backups(well, request)
"""
CALLS = ("renameat2", "rename", "fsync", "unlinkat", "rmdir")


@pytest.mark.strace
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("chosen", ["exchange", "two renames"])
def test_a_kill_at_any_call_leaves_old_or_new_and_a_second_run_completes(
    tmp_path: Path, chosen: str
) -> None:
    names = [f"{call}_{number}" for call in CALLS for number in range(1, 10)]
    for name in names:
        put(make_well(tmp_path / "plates" / name), "old", "new", "absent")
    work = WORK.format(exchanges=chosen == "exchange")
    ended = die_at_calls(work, tmp_path / "plates", CALLS)
    assert ended.keys() == set(names)
    killed = [name for name, code in ended.items() if code == -signal.SIGKILL]
    assert set(ended.values()) == {0, -signal.SIGKILL}
    expected = {
        "rename_1",
        "rename_2",
        "fsync_1",
        "fsync_2",
        "fsync_3",
        "unlinkat_1",
        "unlinkat_5",
    }
    assert expected <= set(killed)
    assert ("renameat2_1" in killed) == (chosen == "exchange")
    seen = set()
    for name in names:
        well = Well.read(tmp_path / "plates" / name / "p.zarr", "B", "03")
        live, staged, backup = (
            content(path) for path in (well.path / "0", well.staging / "0", well.image("0").backup)
        )
        seen.add(live)
        if live is None:  # only in the gap between two renames, and both are still there
            assert chosen == "two renames"
            assert (staged, backup) == ("new", "old")
        if live == "old":
            assert staged == "new"
        assert swap_image(well.image("0"), REQUEST).action in ("swapped", "swapped before")
        discard_backups(well, REQUEST)
        assert content(well.path / "0") == "new"
        assert not well.plate.with_name("p.zarr.staging").exists()
    assert seen == ({"old", "new"} if chosen == "exchange" else {"old", "new", None})


def test_a_record_says_what_was_swapped(tmp_path: Path) -> None:
    well = make_well(tmp_path)
    put(well, "old", "new", "absent")
    swap_image(well.image("0"), REQUEST)
    record = RegistrationRecord.read(well.path / "0")
    assert record is not None
    assert record.request == REQUEST.identity


def swapped(well: Well, *, keep: bool) -> None:
    for image in well.images:
        stage(image)
        swap_image(image, REQUEST, keep_original=keep)


@pytest.mark.parametrize("told_at", ["swap", "end"])
def test_what_a_run_was_told_to_keep_no_other_run_removes(
    tmp_path: Path, told_at: str, caplog: pytest.LogCaptureFixture
) -> None:
    well = make_well(tmp_path, ("0", "1"))
    swapped(well, keep=told_at == "swap")  # killed before the end, if it is told here only
    if told_at == "end":
        discard_backups(well, REQUEST, keep_originals=True)
    for _ in range(2):
        with caplog.at_level(logging.INFO):
            receipt = discard_backups(well, REQUEST)
        assert receipt.backups_kept == tuple(str(image.backup) for image in well.images)
        assert receipt.backups_removed == ()
        swap_image(well.image("1"), REQUEST)
        discard_backup(well.image("1"), REQUEST)
    assert "B/03: 0 originals were removed, 2 are kept" in caplog.text
    assert "`platefuse clean --originals` removes them" in caplog.text
    assert [content(image.backup) for image in well.images] == ["old", "old"]


@pytest.mark.parametrize("keep", [True, False])
def test_a_job_marks_at_the_swap_what_its_config_keeps(tmp_path: Path, *, keep: bool) -> None:
    import _job
    import swap_image as script

    well = make_well(tmp_path)
    put(well, "old", "new", "absent")
    (well.plate / ".zgroup").write_text('{"zarr_format": 2}')
    (well.plate / ".zattrs").write_text('{"plate": {"wells": [{"path": "B/03"}]}}')
    plate = str(well.plate)
    given = {"plate": plate, "images": None, "request": asdict(REQUEST)}
    place = {"row": well.row, "column": well.column, "image": "0"}
    script.swap_image(_job.Job(place, given, 1, config={"keep_originals": {plate: keep}}))
    assert content(well.image("0").backup) == "old"
    assert kept_file(well.image("0")).exists() == keep


def test_what_is_removed_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    well = make_well(tmp_path, ("0", "1"))
    swapped(well, keep=False)
    shutil.rmtree(well.image("1").backup)
    with caplog.at_level(logging.INFO):
        receipt = discard_backups(well, REQUEST)
    assert receipt.backups_removed == (str(well.image("0").backup),)
    assert receipt.backups_kept == ()
    assert "B/03: 1 original was removed, 0 are kept" in caplog.text
    assert discard_backups(well, REQUEST).backups_removed == ()


def test_a_mark_of_a_run_that_swapped_nothing_binds_nobody(tmp_path: Path) -> None:
    well = make_well(tmp_path)
    put(well, "old", "new", "absent")
    mark_original(well.image("0"), keep=True)  # killed before the exchange
    swap_image(well.image("0"), REQUEST)
    assert discard_backups(well, REQUEST).backups_kept == ()
    assert not staging_root(well.plate).exists()


def test_the_mark_of_a_run_that_was_killed_in_the_gap_counts(tmp_path: Path) -> None:
    well = make_well(tmp_path)
    put(well, "absent", "new", "old")
    mark_original(well.image("0"), keep=True)
    swap_image(well.image("0"), REQUEST)
    assert len(discard_backups(well, REQUEST).backups_kept or ()) == 1


def test_a_mark_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(originals, "flush_folder", flushed.append)
    well = make_well(tmp_path)
    for keep in (True, False):
        for _ in range(2):  # the second time it is there already
            mark_original(well.image("0"), keep=keep)
            assert kept_file(well.image("0")).exists() == keep
    assert flushed == [well.staging, well.staging]


def test_a_mark_without_an_original_goes(tmp_path: Path) -> None:
    well = make_well(tmp_path)
    swapped(well, keep=True)
    shutil.rmtree(well.image("0").backup)
    discard_backups(well, REQUEST)
    assert not staging_root(well.plate).exists()


@pytest.mark.parametrize("keep", [True, False])
def test_the_rest_of_a_killed_removal_goes_with_the_next_run(tmp_path: Path, keep: bool) -> None:
    well = make_well(tmp_path)
    swapped(well, keep=keep)
    for name in (".0.removed", *(() if keep else (".0.original.removed",))):
        make_image(well.staging / name, "half removed")
    discard_backups(well, REQUEST)
    left = {p.name for p in well.staging.iterdir()} if well.staging.exists() else set()
    assert left == ({".0.kept.json", "0.original"} if keep else set())


def test_the_rest_of_an_original_goes_when_nothing_else_of_it_is_there(tmp_path: Path) -> None:
    well = make_well(tmp_path)
    put(well, "new", "absent", "absent")
    make_image(well.staging / ".0.original.removed", "half removed")
    for note in ("..0.kept.json", "..0.restored.json"):  # of writers that were killed
        (well.staging / f"{note}.0123456789abcdef").touch()
    discard_backups(well, REQUEST)
    assert not staging_root(well.plate).exists()


def test_the_rest_of_a_staged_image_goes_when_it_is_published_again(tmp_path: Path) -> None:
    well = make_well(tmp_path)
    make_image(well.path / "0", "old")
    make_image(well.path / "0_registered", "new", BESIDE)
    for name in ("0", ".0.removed"):
        make_image(well.staging / name, "half made")
    publish_registered(well, BESIDE)
    assert not staging_root(well.plate).exists()


def test_an_original_that_is_still_staged_is_kept_too(tmp_path: Path) -> None:
    """A run was killed between the exchange and the renaming of the original."""
    well = make_well(tmp_path)
    put(well, "new", "old", "absent")
    mark_original(well.image("0"), keep=True)
    for _ in range(2):
        assert len(discard_backups(well, REQUEST).backups_kept or ()) == 1
        assert content(well.image("0").backup) == "old"
