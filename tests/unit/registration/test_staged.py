"""What waits in the staging folder replaces nothing but what it was made from."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zarr

from platefuse.errors import DiskError, PlatefuseError, RecordError, SwapError
from platefuse.ngff.well import Well, WellImage
from platefuse.records import RegistrationRecord
from platefuse.registration import stage, tables
from platefuse.registration.places import check_can_move
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.stage import register_image
from platefuse.registration.staged import FolderState, StagedFrom, staged_record
from platefuse.registration.swap import publish_image, swap_image
from platefuse.registration.tables import copy_tables
from platefuse.storage.filesystems import filesystem_type
from platefuse.storage.flush import Writes
from tests.conftest import PlateFactory
from tests.damage import SPEC, TABLE, state

REQUEST = RegistrationRequest(TABLE)


@pytest.fixture
def image(example_plate: PlateFactory) -> WellImage:
    return Well.read(example_plate(SPEC).path, "B", "03").image("1")


def chunk_of(image: Path) -> Path:
    return max((p for p in (image / "0").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def failing(number: int) -> Callable[[Writes, Path], None]:
    def flush(_: Writes, tree: Path) -> None:
        raise DiskError(f"{tree}: {os.strerror(number)}")

    return flush


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("step", ["register_image", "copy_tables"])
def test_what_is_not_on_the_disk_has_no_record_and_is_made_anew(
    image: WellImage, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    before = state(image.live)
    with monkeypatch.context() as patch:
        if step == "copy_tables":
            register_image(image, REQUEST)
        patch.setattr(Writes, "flush", failing(number))
        with pytest.raises(DiskError):
            {"register_image": register_image, "copy_tables": copy_tables}[step](image, REQUEST)
    # The kernel tells an error once: the next flush succeeds, and nothing may rely on it.
    with pytest.raises(RecordError, match="no complete staged image"):
        swap_image(image, REQUEST)
    assert state(image.live) == before
    again = register_image(image, REQUEST).action
    assert again == ("staged" if step == "register_image" else "staged before")
    assert copy_tables(image, REQUEST).action == "carried"
    assert swap_image(image, REQUEST).action == "swapped"


def cut_chunk(image: WellImage) -> None:
    chunk = chunk_of(image.staged)
    os.truncate(chunk, chunk.stat().st_size // 2)


def empty_chunk(image: WellImage) -> None:
    os.truncate(chunk_of(image.staged), 0)


def remove_chunk(image: WellImage) -> None:
    chunk_of(image.staged).unlink()


def empty_label(image: WellImage) -> None:
    os.truncate(chunk_of(next((image.staged / "labels").glob("[!.]*"))), 0)


def empty_table(image: WellImage) -> None:
    for file in (image.staged / "tables" / TABLE).rglob("*"):
        if file.is_file():
            os.truncate(file, 0)


def break_attributes(image: WellImage) -> None:
    os.truncate(image.staged / ".zattrs", 100)


def break_array(image: WellImage) -> None:
    os.truncate(image.staged / "0" / ".zarray", 10)


def forget_source(image: WellImage) -> None:
    image.staged_from.unlink()


def break_source(image: WellImage) -> None:
    image.staged_from.write_text('{"image": {"files": "many"}}')


@pytest.mark.parametrize(
    "spoil",
    [
        cut_chunk,
        empty_chunk,
        remove_chunk,
        empty_label,
        empty_table,
        break_attributes,
        break_array,
        forget_source,
        break_source,
    ],
)
def test_a_staged_image_that_is_not_as_its_record_says_is_not_swapped_and_made_anew(
    image: WellImage, spoil: Callable[[WellImage], None]
) -> None:
    register_image(image, REQUEST)
    copy_tables(image, REQUEST)
    whole = {k: v for k, v in state(image.staged).items() if k != ".zattrs"}  # it has the time
    before = state(image.live)
    spoil(image)
    with pytest.raises(RecordError, match=r"Start again"):
        swap_image(image, REQUEST)
    assert state(image.live) == before
    expected = "staged before" if spoil is empty_table else "staged"
    assert register_image(image, REQUEST).action == expected
    copy_tables(image, REQUEST)
    assert {k: v for k, v in state(image.staged).items() if k != ".zattrs"} == whole
    assert swap_image(image, REQUEST).action == "swapped"


def add_note(live: Path) -> None:
    (live / "note.txt").write_text("keep me")


def add_label(live: Path) -> None:
    zarr.create_array(live / "labels" / "mine" / "0", shape=(4,), dtype="u1", zarr_format=2)


def add_table_file(live: Path) -> None:
    (live / "tables" / "note.txt").write_text("keep me")


def change_pixel(live: Path) -> None:
    """In place, with the same size and the same time of the last modification."""
    chunk = chunk_of(live)
    times = chunk.stat()
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    with chunk.open("r+b") as file:
        file.write(content)
    os.utime(chunk, ns=(times.st_atime_ns, times.st_mtime_ns))


def remove_file(live: Path) -> None:
    chunk_of(live).unlink()


@pytest.mark.parametrize("change", [add_note, add_label, add_table_file, change_pixel, remove_file])
@pytest.mark.parametrize("after", [register_image, copy_tables])
def test_what_has_changed_since_it_was_staged_is_never_replaced(
    image: WellImage,
    change: Callable[[Path], None],
    after: Callable[[WellImage, RegistrationRequest], object],
) -> None:
    register_image(image, REQUEST)
    if after is copy_tables:
        copy_tables(image, REQUEST)
    change(image.live)
    now = state(image.live)
    if after is register_image and change is not add_table_file:
        with pytest.raises(RecordError, match="made from the image as it is now"):
            copy_tables(image, REQUEST)
    if after is copy_tables:
        with pytest.raises(SwapError, match=r"have changed since its new image was made"):
            swap_image(image, REQUEST)
    assert state(image.live) == now
    register_image(image, REQUEST)
    copy_tables(image, REQUEST)
    swap_image(image, REQUEST)
    if change in (add_note, add_table_file):
        note = next(image.live.rglob("note.txt"))
        assert note.read_text() == "keep me"


@pytest.mark.parametrize(
    "spoil", [cut_chunk, empty_table, lambda image: add_note(image.live)],
    ids=["cut chunk", "empty table", "note"],
)  # fmt: skip
def test_what_is_put_beside_the_original_is_compared_too(
    image: WellImage, spoil: Callable[[WellImage], None]
) -> None:
    request = replace(REQUEST, overwrite_input=False)
    register_image(image, request)
    copy_tables(image, request)
    spoil(image)
    with pytest.raises(PlatefuseError, match="Start again"):
        publish_image(image, request)
    assert not image.registered.exists()
    register_image(image, request)
    copy_tables(image, request)
    assert publish_image(image, request) == image.registered


def test_nothing_is_left_of_a_registered_image(image: WellImage) -> None:
    register_image(image, REQUEST)
    copy_tables(image, REQUEST)
    assert image.staged_from.exists()
    swap_image(image, REQUEST)
    assert [path.name for path in image.well.staging.iterdir()] == ["1.original"]


def test_tables_are_read_after_their_state(
    image: WellImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that is added while tables are copied is not taken for one that was copied."""
    register_image(image, REQUEST)
    write = tables.write_tables

    def meanwhile(*arguments: object) -> object:
        result = write(*arguments)  # type: ignore[arg-type]
        add_table_file(image.live)
        return result

    monkeypatch.setattr(tables, "write_tables", meanwhile)
    copy_tables(image, REQUEST)
    with pytest.raises(SwapError, match="its tables have changed"):
        swap_image(image, REQUEST)


def test_an_image_that_changes_while_it_is_staged_is_not_taken_for_its_source(
    image: WellImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = stage.stage_image

    def meanwhile(*arguments: object) -> int:
        add_note(image.live)
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(stage, "stage_image", meanwhile)
    register_image(image, REQUEST)
    with pytest.raises(RecordError, match="made from the image as it is now"):
        copy_tables(image, REQUEST)


def test_the_state_of_a_folder_has_every_file_and_link(tmp_path: Path) -> None:
    folder = tmp_path / "image"
    seen = [FolderState.of(folder)]
    (folder / "0").mkdir(parents=True)
    assert FolderState.of(folder) == seen[0] == FolderState(0, 0, seen[0].digest)
    for change in (
        lambda: (folder / "0" / "0.0").write_text("a"),
        lambda: (folder / "0" / "0.0").write_text("b"),
        lambda: (folder / "link").symlink_to("0"),
        lambda: (folder / "0" / "0.0").rename(folder / "0.0"),
        lambda: os.mkfifo(folder / "pipe"),
        lambda: (folder / os.fsdecode(b"\xff")).write_text(""),
    ):
        change()
        seen.append(FolderState.of(folder))
    assert len({each.digest for each in seen}) == len(seen)
    assert FolderState.of(folder, without="0") == FolderState.of(folder)  # an empty folder


def test_a_record_without_files_is_that_of_an_older_version(image: WellImage) -> None:
    register_image(image, REQUEST)
    assert staged_record(image, REQUEST) is not None
    attributes = (image.staged / ".zattrs").read_text()
    (image.staged / ".zattrs").write_text(attributes.replace("pixel_files", "unknown"))
    assert RegistrationRecord.read(image.staged) is not None
    assert staged_record(image, REQUEST) is None
    assert StagedFrom.read(image) is not None


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[Path]:
    """A file system of layers; ``image`` lies in the lower one."""
    folders = [tmp_path / name for name in ("lower", "upper", "work", "plate")]
    for folder in folders:
        folder.mkdir()
    lower, upper, work, plate = folders
    (lower / "image").mkdir()
    options = f"lowerdir={lower},upperdir={upper},workdir={work},redirect_dir=off"
    command = ["mount", "-t", "overlay", "overlay", "-o", options, str(plate)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("an overlay cannot be mounted here: it takes an administrator")
    try:
        yield plate
    finally:
        subprocess.run(["umount", str(plate)], check=True)


def test_an_image_that_cannot_be_moved_is_refused_before_anything_is_made(layers: Path) -> None:
    assert filesystem_type(layers) == "overlay"
    (layers / "new").mkdir()
    check_can_move(layers / "new", layers / "staged")
    with pytest.raises(SwapError, match="cannot move this image"):
        check_can_move(layers / "image", layers / "staged")
    assert sorted(path.name for path in layers.iterdir()) == ["image", "new"]


def test_whether_an_image_can_be_moved_is_tried_before_it_is_staged(
    image: WellImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(live: Path, staged: Path) -> None:
        raise SwapError(f"{live} cannot be moved; staged: {staged.exists()}")

    monkeypatch.setattr(stage, "check_can_move", refuse)
    with pytest.raises(SwapError, match="staged: False"):
        register_image(image, REQUEST)
    assert not image.staged.exists()
    beside = replace(REQUEST, overwrite_input=False)
    assert register_image(image, beside).action == "staged"  # nothing is to be moved


def test_without_layers_nothing_is_tried(tmp_path: Path) -> None:
    check_can_move(tmp_path, tmp_path / "staged")
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_staged_image_stops_nobody(image: WellImage) -> None:
    image.staged.mkdir(parents=True)
    (image.staged / ".zgroup").write_text('{"zarr_format": 2}')
    (image.staged / ".zattrs").write_text("")
    assert register_image(image, REQUEST).action == "staged"
    with pytest.raises(PlatefuseError, match="no complete staged image"):
        swap_image(image, REQUEST)
