"""Two processes on one image: one makes it, the other says why it stops, and no pixel is lost."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import pytest

from platefuse.errors import ImageError, LockError, PlateError
from platefuse.ngff.paths import staging_root
from platefuse.ngff.plate import Plate
from platefuse.registration import api, stage
from platefuse.registration.api import apply_registration_to_image, write_registered_zarr
from platefuse.registration.locks import image_lock
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.restore import restore_well
from platefuse.registration.stage import register_image
from platefuse.registration.swap import (
    discard_backups,
    publish_registered,
    swap_image,
)
from platefuse.registration.tables import copy_tables
from platefuse.storage import lock_files
from tests.conftest import SMALL, ExamplePlate, PlateFactory
from tests.together import DONE, IN_USE, work_together
from tests.truth import assert_registered

FIELDS = "registered_FOV_ROI_table"
REQUEST = RegistrationRequest(FIELDS)
OTHERWISE = replace(REQUEST, interpolation="linear")
TINY = replace(
    SMALL,
    wells=("B/03",),
    acquisitions=SMALL.acquisitions[:2],
    field_shape=(40, 44),
    nucleus_diameter_um=9.0,
    levels=3,
    tables=("FOV_ROI_table", "well_ROI_table", FIELDS),
)
WORK = f"""
from platefuse.registration.api import apply_registration_to_image

def work(folder):
    image = folder / "plate.zarr" / "B" / "03" / "1"
    apply_registration_to_image(zarr_url=image, registered_roi_table={FIELDS!r}, threads=1)
"""
PAIRS = 8


def copies(example: ExamplePlate, folder: Path, number: int) -> list[Path]:
    folders = [folder / str(n) for n in range(number)]
    for each in folders:
        shutil.copytree(example.path, each / "plate.zarr")
    return folders


def test_no_pixel_is_lost_however_far_apart_they_begin(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    example = example_plate(TINY)
    folders = copies(example, tmp_path / "pairs", PAIRS)
    pairs = work_together(WORK, folders, apart_s=0.2, seed=12)
    for folder, pair in zip(folders, pairs, strict=True):
        assert set(pair) <= {DONE, IN_USE}, pairs
        assert DONE in pair, pairs
        assert_registered(folder / "plate.zarr", example.truth, "B/03", "1")
        assert [path.name for path in folder.iterdir()] == ["plate.zarr"]
    assert any(IN_USE in pair for pair in pairs)


def in_thread(call: Callable[[], object]) -> BaseException | None:
    """The error that a call raises in another thread, which is to a lock as another process."""
    found: list[BaseException] = []

    def work() -> None:
        try:
            call()
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0] if found else None


def halfway(monkeypatch: pytest.MonkeyPatch, module: Any, call: Callable[[], object]) -> list[Any]:
    """Let a call come in another thread when half of the pixels are written; its errors."""
    errors: list[Any] = []
    begun: list[bool] = []
    run = module.run_tasks

    def run_half(tasks: Any, *args: Any, **kwargs: Any) -> None:
        tasks = list(tasks)
        half = len(tasks) // 2
        run(iter(tasks[:half]), *args, **kwargs)
        if not begun:  # the call itself comes here, too
            begun.append(True)
            errors.append(in_thread(call))
        run(iter(tasks[half:]), *args, **kwargs)

    monkeypatch.setattr(module, "run_tasks", run_half)
    return errors


STEPS: dict[str, Callable[[Any], object]] = {
    "register_image": lambda image: register_image(image, REQUEST),
    "register_image otherwise": lambda image: register_image(image, OTHERWISE),
    "copy_tables": lambda image: copy_tables(image, REQUEST),
    "swap_image": lambda image: swap_image(image, REQUEST),
    "publish": lambda image: publish_registered(
        replace(image.well, only=("1",)), replace(REQUEST, overwrite_input=False)
    ),
    "restore_well": lambda image: restore_well(image.well),
    "apply": lambda image: apply_registration_to_image(
        zarr_url=image.live, registered_roi_table=FIELDS
    ),
    "apply beside": lambda image: apply_registration_to_image(
        zarr_url=image.live, registered_roi_table=FIELDS, overwrite_input=False
    ),
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_no_step_of_an_image_is_done_while_it_is_staged(
    example_plate: PlateFactory, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    plate = example_plate(TINY)
    image = Plate.open(plate.path).read_wells()[0].image("1")
    errors = halfway(monkeypatch, stage, lambda: STEPS[step](image))
    register_image(image, REQUEST)
    (error,) = errors
    assert isinstance(error, LockError)
    assert re.search(rf"{image.live}: in use by process {os.getpid()} \(.*on host", str(error))
    copy_tables(image, REQUEST)
    swap_image(image, REQUEST)
    assert_registered(plate.path, plate.truth, "B/03", "1")


def test_other_images_of_the_well_are_registered_meanwhile(
    example_plate: PlateFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = example_plate(TINY)
    image, other = (plate.path / "B" / "03" / name for name in "10")
    errors = halfway(monkeypatch, stage, lambda: apply_registration_to_image(
        zarr_url=other, registered_roi_table=FIELDS
    ))  # fmt: skip
    apply_registration_to_image(zarr_url=image, registered_roi_table=FIELDS)
    assert errors == [None]
    for name in "01":
        assert_registered(plate.path, plate.truth, "B/03", name)
    assert not staging_root(plate.path).exists()


def test_backups_of_an_image_in_work_are_kept(example_plate: PlateFactory) -> None:
    plate = example_plate(TINY)
    well = Plate.open(plate.path).read_wells()[0]
    for step in (register_image, copy_tables, swap_image):
        for image in well.images:
            step(image, REQUEST)
    with image_lock(well.images[1]):
        assert isinstance(in_thread(lambda: discard_backups(well, REQUEST)), LockError)
        assert all(image.backup.is_dir() for image in well.images)
    discard_backups(well, REQUEST)
    assert not staging_root(plate.path).exists()


@pytest.mark.parametrize("name", ["link", "steps", "row"])
def test_an_image_by_another_name_is_the_same_image(
    example_plate: PlateFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    plate = example_plate(TINY)
    (tmp_path / "link.zarr").symlink_to(plate.path)
    (tmp_path / "row").symlink_to(plate.path / "B")
    (plate.path / "Z").symlink_to("B")
    other = {
        "link": tmp_path / "link.zarr" / "B",
        "steps": tmp_path / "row" / ".." / "B",
        "row": plate.path / "Z",
    }[name]

    def again() -> None:
        apply_registration_to_image(zarr_url=other / "03" / "1", registered_roi_table=FIELDS)

    errors = halfway(monkeypatch, stage, again)
    apply_registration_to_image(zarr_url=plate.path / "B" / "03" / "1", registered_roi_table=FIELDS)
    assert isinstance(errors[0], LockError)
    again()
    assert not list(tmp_path.glob("*.staging"))
    assert_registered(plate.path, plate.truth, "B/03", "1")


def test_steps_up_lead_where_the_system_has_it(example_plate: PlateFactory, tmp_path: Path) -> None:
    """As text, the path is that of the other plate."""
    here, there = (example_plate(TINY, f"{name}/p.zarr") for name in ("here", "there"))
    (here.path.parent / "link").symlink_to(there.path / "B")
    path = here.path.parent / "link" / ".." / ".." / "p.zarr" / "B" / "03" / "1"
    apply_registration_to_image(zarr_url=path, registered_roi_table=FIELDS)
    assert_registered(there.path, there.truth, "B/03", "1")
    with pytest.raises(AssertionError):
        assert_registered(here.path, here.truth, "B/03", "1")


def test_steps_up_to_a_new_image(example_plate: PlateFactory, tmp_path: Path) -> None:
    plate = example_plate(TINY)
    (tmp_path / "there" / "folder").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "there" / "folder")
    write_new(plate, tmp_path / "link" / ".." / "new.zarr")
    assert (tmp_path / "there" / "new.zarr").is_dir()
    assert not (tmp_path / "new.zarr").exists()


@pytest.mark.parametrize("part", ["", "B", "B/03"])
def test_a_staging_folder_that_is_a_link_is_refused(
    example_plate: PlateFactory, tmp_path: Path, part: str
) -> None:
    plate = example_plate(TINY)
    root = staging_root(plate.path)
    victim = tmp_path / "victim"
    for folder in ("1", "B/03/1", "03/1"):
        (victim / folder).mkdir(parents=True)
        (victim / folder / "only.txt").write_text("copy")
    before = sorted(victim.rglob("*"))
    link = root / part
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(victim)
    with pytest.raises(PlateError, match=f"{link} is a link to {victim}.*Take the link"):
        apply_registration_to_image(
            zarr_url=plate.path / "B" / "03" / "1", registered_roi_table=FIELDS
        )
    assert sorted(victim.rglob("*")) == before


def write_new(plate: ExamplePlate, new: Path) -> None:
    image = plate.path / "B" / "03" / "1"
    tables = [
        anndata.read_zarr(plate.path / "B" / "03" / name / "tables" / FIELDS) for name in "10"
    ]
    write_registered_zarr(image, new, tables[0], tables[1], 3)


def test_a_new_image_is_written_by_one(
    example_plate: PlateFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate, new = example_plate(TINY), tmp_path / "out" / "new.zarr"
    errors = halfway(monkeypatch, api, lambda: write_new(plate, new))
    write_new(plate, new)
    assert isinstance(errors[0], LockError)
    assert [path.name for path in new.parent.iterdir()] == ["new.zarr"]
    chunks = sum(path.is_file() for path in new.rglob("*"))
    write_new(plate, tmp_path / "second.zarr")
    assert chunks == sum(path.is_file() for path in (tmp_path / "second.zarr").rglob("*"))
    with pytest.raises(ImageError, match="exists already"):
        write_new(plate, new)


def test_without_locks_each_makes_a_folder_of_its_own(
    example_plate: PlateFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The second one that is complete is told; nothing of the first is overwritten."""

    def no_locks(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    plate = example_plate(TINY)
    image = Plate.open(plate.path).read_wells()[0].image("1")
    monkeypatch.setattr("fcntl.flock", no_locks)
    monkeypatch.setattr(lock_files, "_reach", {})
    errors = halfway(monkeypatch, stage, lambda: register_image(image, REQUEST))
    with pytest.raises(LockError, match="another process has made this folder meanwhile"):
        register_image(image, REQUEST)
    assert errors == [None]
    assert caplog.text.count("this file system has no locks") == 1
    copy_tables(image, REQUEST)
    swap_image(image, REQUEST)
    assert_registered(plate.path, plate.truth, "B/03", "1")
