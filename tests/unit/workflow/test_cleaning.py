"""What `platefuse clean` removes, and above all what it leaves."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from platefuse.__main__ import main
from platefuse.errors import LockError, PlatefuseError, SwapError
from platefuse.ngff.paths import staging_root
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well, WellImage
from platefuse.records import FusedWellRecord, RegistrationRecord, TableDigests
from platefuse.registration.originals import kept_file, mark_original, note_restored, restored_file
from platefuse.registration.swap import check_registered, discard_backups
from platefuse.storage.locks import claim
from platefuse.workflow import cleaning
from platefuse.workflow.cleaning import clean_fused, clean_wells
from platefuse.workflow.leftovers import Found
from platefuse.workflow.run_lock import plate_lock
from tests.swap_well import REQUEST, content, make_image, make_well, put, tree

RANDOM = "0123456789abcdef"


def plate_of(well: Well) -> Plate:
    section = {"wells": [{"path": well.name}], "rows": [{"name": "B"}], "columns": [{"name": "03"}]}
    (well.plate / ".zattrs").write_text(json.dumps({"plate": section}))
    (well.plate / ".zgroup").write_text('{"zarr_format": 2}')
    return Plate.open(well.plate)


@pytest.fixture
def well(tmp_path: Path) -> Well:
    """A well whose image is registered, and whose original is kept."""
    well = make_well(tmp_path)
    plate_of(well)
    put(well, "new", "absent", "old")
    mark_original(well.image("0"), keep=True)
    return well


def clean(well: Well, *, originals: bool = False, dry: bool = False) -> dict[str, str]:
    """Clean a well twice; what was removed the first time, and what stays, by path."""
    plate = Plate.open(well.plate)
    before = tree(well.plate.parent)
    planned = list(clean_wells(plate, [well], originals=originals, dry=True))
    assert tree(well.plate.parent) == before
    if dry:
        return by_path(well, planned)
    found = list(clean_wells(plate, [well], originals=originals))
    after = tree(well.plate.parent)
    assert {f for f in planned if "empty" not in f.why} <= set(found)
    again = list(clean_wells(plate, [well], originals=originals))
    assert {found.kind for found in again} <= {"stays"}
    assert tree(well.plate.parent) == after
    return by_path(well, found)


def by_path(well: Well, found: list[Found]) -> dict[str, str]:
    root = well.plate.parent
    return {each.path.relative_to(root).as_posix(): each.kind for each in found}


def test_a_kept_original_stays_until_it_is_asked_for(well: Well) -> None:
    image, name = well.image("0"), "p.zarr.staging/B/03/0.original"
    assert clean(well) == {name: "stays"}
    assert content(image.backup) == "old"
    assert name in clean(well, originals=True)
    assert not staging_root(well.plate).exists()
    assert content(image.live) == "new"


def test_no_original_goes_if_one_live_image_is_not_as_its_record_has_it(tmp_path: Path) -> None:
    well = make_well(tmp_path, ("0", "1"))
    plate_of(well)
    for image in well.images:
        make_image(image.live, "new", REQUEST)
        make_image(image.backup, "old")
    shutil.rmtree(well.image("1").live / "tables" / "t")
    with pytest.raises(PlatefuseError, match="table 't'"):
        check_registered(well.image("1"), REQUEST)
    before = tree(tmp_path)
    with pytest.raises(PlatefuseError, match="table 't'"):
        list(clean_wells(Plate.open(well.plate), [well], originals=True))
    assert tree(tmp_path) == before


def test_no_original_goes_before_its_image_was_read_back(
    well: Well, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differs(image: WellImage, record: RegistrationRecord, verify: str) -> None:
        raise SwapError(f"{image.live}: pixels differ ({verify})")

    monkeypatch.setattr(cleaning, "verify_image", differs)
    with pytest.raises(SwapError, match=r"pixels differ \(sample\)"):
        list(clean_wells(Plate.open(well.plate), [well], originals=True))
    assert content(well.image("0").backup) == "old"


@pytest.mark.parametrize("originals", [False, True])
@pytest.mark.parametrize("live", ["old", "absent"])
def test_an_original_of_an_image_that_is_not_registered_stays(
    tmp_path: Path, live: str, originals: bool
) -> None:
    well = make_well(tmp_path)
    plate_of(well)
    put(well, live, "absent", "old")
    assert clean(well, originals=originals) == {"p.zarr.staging/B/03/0.original": "stays"}
    assert content(well.image("0").backup) == "old"


STAGED = "p.zarr.staging/B/03/0"


@pytest.mark.parametrize(
    ("state", "goes"),
    [
        (("new", "new", "absent"), True),  # the same record
        (("new", "new", "old"), True),
        (("old", "new", "absent"), False),  # complete, and the next run swaps it
        (("new", "old", "absent"), False),  # the original, before it got its name
        (("absent", "new", "old"), False),  # in the gap between two renames
        (("old", "old", "absent"), False),  # unfinished, or nobody knows what
    ],
)
@pytest.mark.parametrize("originals", [False, True])
def test_only_a_staged_image_that_is_live_goes(
    tmp_path: Path, state: tuple[str, str, str], goes: bool, originals: bool
) -> None:
    well = make_well(tmp_path)
    plate_of(well)
    put(well, *state)
    found = clean(well, originals=originals)
    assert found[STAGED] == ("folder" if goes else "stays")
    assert (well.staging / "0").exists() == (not goes)
    assert content(well.path / "0") == (None if state[0] == "absent" else state[0])


def test_an_image_that_was_staged_with_another_record_stays(well: Well) -> None:
    staged = well.image("0").staged
    make_image(staged, "new", REQUEST)
    record = RegistrationRecord.read(staged)
    assert record is not None
    replace(record, digests=TableDigests("1", "2")).write(staged)
    assert clean(well)[STAGED] == "stays"


def test_what_was_set_aside_goes_and_nothing_beside_it(well: Well) -> None:
    for name in (".0.removed", ".0.original.removed", f".0.removed.{RANDOM}"):
        make_image(well.staging / name, "half removed")
    for name in (".9.removed", ".mine.removed", "notes", ".0.removed.mine"):
        (well.staging / name).mkdir()
    clean(well)
    left = {path.name for path in well.staging.iterdir()}
    expected = {".9.removed", ".mine.removed", "notes", ".0.removed.mine"}
    assert left == {*expected, ".0.kept.json", "0.original"}


def test_notes_that_say_nothing_any_more_go(well: Well) -> None:
    image = well.image("0")
    note_restored(image, None)
    shutil.rmtree(image.backup)
    clean(well)
    assert not staging_root(well.plate).exists()


def test_the_note_of_an_original_that_is_staged_stays(tmp_path: Path) -> None:
    well = make_well(tmp_path)
    plate_of(well)
    put(well, "new", "old", "absent")
    mark_original(well.image("0"), keep=True)
    clean(well)
    assert kept_file(well.image("0")).exists()


def test_the_note_of_a_restored_original_stays(tmp_path: Path) -> None:
    well = make_well(tmp_path)
    plate_of(well)
    put(well, "old", "absent", "absent")
    note_restored(well.image("0"), None)
    assert clean(well) == {}
    assert restored_file(well.image("0")).exists()


def test_temporary_files_go_from_the_plate_unless_somebody_writes_them(well: Well) -> None:
    live = well.path / "0"
    (live / "tables" / "t" / ".zgroup").write_text('{"zarr_format": 2}')
    dead = [
        folder / f".{name}.{RANDOM}"
        for folder, name in (
            (well.plate, ".zattrs"),
            (well.path, "zarr.json"),
            (live, ".zattrs"),
            (live / "tables", ".zattrs"),
            (live / "tables" / "t", ".zgroup"),
        )
    ]
    stay = [live / f".notes.txt.{RANDOM}", live / ".zattrs.mine", live / f".zattrs.{RANDOM}"]
    for file in (*dead, *stay):
        file.write_text("half")
    writing = live / f"..zattrs.{RANDOM[::-1]}"
    with writing.open("x") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        found = clean(well)
    assert found[writing.relative_to(well.plate.parent).as_posix()] == "stays"
    assert not [file for file in dead if file.exists()]
    assert all(file.exists() for file in (*stay, writing))


def test_a_replaced_table_goes_if_platefuse_wrote_both(well: Well) -> None:
    tables = well.path / "0" / "tables"
    own = json.dumps({"platefuse": {"digest": "1"}})
    for name, text in (("t", own), (".t.replaced", own), ("u", own), (".u.replaced", "{}")):
        (tables / name).mkdir(exist_ok=True)
        (tables / name / ".zgroup").write_text('{"zarr_format": 2}')
        (tables / name / ".zattrs").write_text(text)
    clean(well)
    assert {path.name for path in tables.iterdir()} == {"t", "u", ".u.replaced"}


def fused_well(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / ".zattrs").write_text(json.dumps({"well": {"images": []}}))
    FusedWellRecord(fingerprint={}, images={}).write(folder)
    return folder


def part(folder: Path, name: str = "begun") -> Path:
    folder.mkdir(parents=True)
    (folder / name).touch()
    return folder


@pytest.mark.parametrize("done", [True, False])
def test_of_a_fused_well_goes_what_is_not_needed(tmp_path: Path, done: bool) -> None:
    well, fused = make_well(tmp_path), tmp_path / "p_fused.zarr"
    plate = plate_of(well)
    staging = staging_root(fused) / "B"
    if done:
        fused_well(fused / "B" / "03")
    fused_well(fused / "B" / ".03.replaced")
    part(staging / "03.part0")
    part(staging / "03.part11")
    part(staging / ".03.part2.removed")
    part(staging / "03.part7", "mine")  # no part: a column may have such a name
    part(staging / "03.partial")
    part(staging / "03.tables", "t")
    part(staging / "03", "unfinished")
    before = tree(tmp_path)
    list(clean_fused(fused, plate.wells, dry=True))
    assert tree(tmp_path) == before
    for _ in range(2):
        list(clean_fused(fused, plate.wells))
        parts = set() if done else {"03.part0", "03.part11"}
        assert {path.name for path in staging.iterdir()} == {"03.part7", "03.partial", *parts}
        left = {path.name for path in (fused / "B").iterdir()}
        assert left == ({"03"} if done else {".03.replaced"})


def test_the_command_lists_removes_and_counts(
    well: Well, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(well.plate)
    make_image(well.staging / ".0.removed", "half removed")
    before = tree(well.plate.parent)
    assert main(["clean", path, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"would remove: {well.staging / '.0.removed'}: set aside to be removed\n" in out
    assert f"left as it is: {well.image('0').backup}: a kept original" in out
    assert tree(well.plate.parent) == before
    assert main(["clean", path]) == 0
    assert "removed: " in capsys.readouterr().out
    assert main(["clean", path]) == 0
    assert f"{path}: nothing is left over; 1 stay.\n" in capsys.readouterr().out
    assert main(["clean", path, "--originals", "--well", "B03"]) == 0
    capsys.readouterr()
    assert main(["clean", path, "--originals"]) == 0
    assert capsys.readouterr().out == f"{path}: nothing is left over.\n"
    assert discard_backups(well, REQUEST).backups_removed == ()


def test_what_cannot_be_removed_is_said(
    well: Well, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_image(well.staging / ".0.removed", "a viewer holds it")
    unlink = os.unlink

    def refuse(name: str, *args: object, **more: object) -> None:
        if Path(name).name == ".zgroup":
            raise OSError(16, "Device or resource busy", name)
        unlink(name, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", refuse)
    assert main(["clean", str(well.plate)]) == 0
    assert ".0.removed: a program holds it open" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "used"), [("restore", "p.zarr"), ("clean", "p.zarr"), ("clean", "p_fused.zarr")]
)
def test_during_a_run_nothing_is_restored_or_cleaned(
    well: Well, capsys: pytest.CaptureFixture[str], command: str, used: str
) -> None:
    plate = well.plate.with_name(used)
    make_image(well.staging / ".0.removed", "half removed")
    before = tree(well.plate.parent)
    with plate_lock(plate), ThreadPoolExecutor(1) as pool:  # another thread is as another process
        assert pool.submit(main, [command, str(well.plate)]).result() == 1
    assert f"plate {plate}: in use by process {os.getpid()}" in capsys.readouterr().err
    assert tree(well.plate.parent) == before
    assert main([command, str(well.plate)]) == 0


def test_no_image_is_exchanged_while_its_well_is_cleaned(
    well: Well, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_image(well.staging / ".0.removed", "half removed")
    remove, errors = Found.remove, list[BaseException | None]()

    def lock_of_the_well() -> None:
        with claim(staging_root(well.plate) / ".B,03.well.lock", "well"):
            pass

    def watched(found: Found) -> bool:
        with ThreadPoolExecutor(1) as pool:
            errors.append(pool.submit(lock_of_the_well).exception())
        return remove(found)

    monkeypatch.setattr(Found, "remove", watched)
    list(clean_wells(Plate.open(well.plate), [well]))
    assert [type(error) for error in errors] == [LockError]
