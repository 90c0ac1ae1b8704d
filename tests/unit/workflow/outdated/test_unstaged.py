"""Receipts of images that are not staged as they say do not stop the runs to come."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.restore import restore_well
from platefuse.registration.stage import register_image
from platefuse.registration.swap import swap_image
from platefuse.registration.tables import copy_tables
from platefuse.workflow.config.model import Config, read_config
from platefuse.workflow.outdated.notes import outdated_notes
from platefuse.workflow.outdated.unstaged import follow_staged

REQUEST = RegistrationRequest()
KEY = ("p", "B", "02")


@pytest.fixture
def well(small_plate: Any) -> Well:
    return Plate.open(small_plate.path, ["0", "1"]).well("B", "02")


def staged(well: Well, results: Path, *steps: str) -> Config:
    """Do steps of every image of a well, with their receipts."""
    work = {"register_image": register_image, "copy_tables": copy_tables, "swap_image": swap_image}
    for step in steps:
        for image in well.images:
            work[step](image, REQUEST).write(results / "p/B/02" / image.name / f"{step}.json")
    return read_config({"plates": {"p": str(well.plate)}, "results": str(results)})


def receipts(results: Path) -> list[str]:
    return sorted(f"{file.parent.name}/{file.stem}" for file in results.rglob("*.json"))


def no_staging(well: Well) -> None:
    shutil.rmtree(well.staging.parent.parent)


def restored(well: Well) -> None:
    assert restore_well(well) == []


def changed(well: Well) -> None:
    for image in well.images:
        (image.live / "notes.txt").write_text("seen")


def no_table(well: Well) -> None:
    for image in well.images:
        shutil.rmtree(image.staged / "tables" / "FOV_ROI_table")


@pytest.mark.parametrize("change", [no_staging, restored, changed, no_table])
@pytest.mark.parametrize("steps", [("register_image",), ("register_image", "copy_tables")])
def test_what_is_not_staged_any_more_is_staged_again(
    well: Well, tmp_path: Path, steps: tuple[str, ...], change: Callable[[Well], None]
) -> None:
    if change is no_table and "copy_tables" not in steps:
        return
    config = staged(well, tmp_path / "results", *steps)
    assert not list(outdated_notes(config, {}, {KEY: well}))
    change(well)
    (note,) = outdated_notes(config, {}, {KEY: well})
    assert note.startswith("Wells with images that are not staged any more as they were: p B/02.")
    follow_staged(config, {KEY: well})
    assert receipts(tmp_path / "results") == []


@pytest.mark.parametrize(
    "steps", [("register_image",), ("register_image", "copy_tables", "swap_image")]
)
def test_what_is_staged_or_registered_stays(
    well: Well, tmp_path: Path, steps: tuple[str, ...]
) -> None:
    config = staged(well, tmp_path / "results", *steps)
    before = receipts(tmp_path / "results")
    follow_staged(config, {KEY: well})
    assert receipts(tmp_path / "results") == before


def test_an_image_that_was_swapped_before_the_kill_keeps_its_receipts(
    well: Well, tmp_path: Path
) -> None:
    config = staged(well, tmp_path / "results", "register_image", "copy_tables", "swap_image")
    for file in (tmp_path / "results").rglob("swap_image.json"):
        file.unlink()
    before = receipts(tmp_path / "results")
    follow_staged(config, {KEY: well})
    assert receipts(tmp_path / "results") == before
