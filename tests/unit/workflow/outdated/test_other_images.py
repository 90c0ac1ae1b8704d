"""Receipts of wells that list other images than when they were done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platefuse.ngff.plate import Plate
from platefuse.records import FusionReceipt, ProcessedWell
from platefuse.storage.files import write_json
from platefuse.workflow.config.model import Config, read_config
from platefuse.workflow.outdated.notes import outdated_notes
from platefuse.workflow.outdated.other_images import follow_images
from platefuse.workflow.plates import Wells, open_plates
from tests.fields_plate import FieldsPlate
from tests.records import registration_record

BEFORE = FieldsPlate({"B/03": {0: 2}, "B/04": {0: 2}})
AFTER = FieldsPlate({"B/03": {0: 2}, "B/04": {0: 2, 1: 2}})
FUSED = FusionReceipt(well="B/04", fused="p_fused.zarr/B/04", action="fused")
WHOLE = ProcessedWell(well="B/04", images=(), steps={}, seconds=1.0)


def wells_of(folder: Path, spec: FieldsPlate, **registration: Any) -> tuple[Config, Wells]:
    path = spec.write(folder / "p.zarr")
    given = {"plates": {"p": str(path)}, "results": str(folder / "results")}
    config = read_config({**given, "registration": {"store": False, **registration}})
    return config, Wells(config, open_plates(config))


def write_receipts(folder: Path, step: str, images: tuple[str, ...] | None) -> list[Path]:
    """The receipts of both wells, made from the same images."""
    receipts = [folder / "results" / "p" / well / f"{step}.json" for well in BEFORE.wells]
    for receipt in receipts:
        if step == "process_well":
            replace(WHOLE, images=images or ()).write(receipt)
        else:
            replace(FUSED, sources=images).write(receipt)
    return receipts


@pytest.mark.parametrize("measure", [True, False])
@pytest.mark.parametrize("step", ["process_well", "fuse_well"])
def test_a_well_with_a_new_acquisition_is_done_again(
    tmp_path: Path, step: str, measure: bool
) -> None:
    config, wells = wells_of(tmp_path, AFTER, enabled=measure, measure={"enabled": measure})
    same, other = write_receipts(tmp_path, step, ("0", "1"))
    solved = tmp_path / "results" / "p" / "solve_plate.json"
    measured = [receipt.with_name("measure_well.json") for receipt in (same, other)]
    plate = [solved.with_name(f"{step}.json") for step in ("finish_fused_plate", "report_plate")]
    for file in (solved, *measured, *plate):
        write_json(file, {})
    (note,) = outdated_notes(config, {}, wells)
    assert "Wells that list other images than when they were done: p B/04." in note
    assert other.exists()
    follow_images(config, wells)
    assert same.exists()
    assert not any(file.exists() for file in (other, *plate))
    assert measured[0].exists()
    assert [file.exists() for file in (measured[1], solved)] == [not measure] * 2
    assert not list(outdated_notes(config, {}, wells))


def test_what_cannot_be_measured_again_is_kept(tmp_path: Path) -> None:
    """The images are registered in the plate: their shifts are known from the receipt only."""
    _, wells = wells_of(tmp_path, AFTER, measure={"enabled": True})
    given = {"plates": {"p": str(tmp_path / "p.zarr")}, "results": str(tmp_path / "results")}
    stored = read_config({**given, "registration": {"measure": {"enabled": True}}})
    receipts = write_receipts(tmp_path, "process_well", ("0", "1"))
    measured = receipts[1].with_name("measure_well.json")
    write_json(measured, {})
    registration_record().write(tmp_path / "p.zarr" / "B/04" / "0")
    follow_images(stored, wells)
    assert not receipts[1].exists()
    assert measured.exists()


@pytest.mark.parametrize("store", [False, True])
def test_a_well_that_was_only_measured_is_measured_with_its_new_acquisition(
    tmp_path: Path, store: bool
) -> None:
    """A run was stopped, or the originals were put back, before the acquisition was added."""
    _, wells = wells_of(tmp_path, AFTER, measure={"enabled": True})
    given = {"plates": {"p": str(tmp_path / "p.zarr")}, "results": str(tmp_path / "results")}
    config = read_config({**given, "registration": {"store": store, "measure": {"enabled": True}}})
    solved = tmp_path / "results" / "p" / "solve_plate.json"
    same, other = (solved.parent / well / "measure_well.json" for well in BEFORE.wells)
    for file in (solved, same, other):
        write_json(file, {"made_from": {"pixels": {"0": {}, "1": {}}}})
    follow_images(config, wells)
    assert [file.exists() for file in (same, other, solved)] == [True, False, False]


def test_a_well_that_lost_an_acquisition_is_done_again(tmp_path: Path) -> None:
    config, wells = wells_of(tmp_path, BEFORE, measure={"enabled": True})
    receipts = write_receipts(tmp_path, "process_well", ("0", "1", "2"))
    follow_images(config, wells)
    assert not any(receipt.exists() for receipt in receipts)


@pytest.mark.parametrize("content", ["{}", "no JSON", None])
def test_receipts_that_do_not_say_it_stay(tmp_path: Path, content: str | None) -> None:
    config, wells = wells_of(tmp_path, AFTER, measure={"enabled": True})
    receipts = write_receipts(tmp_path, "fuse_well", None)  # as versions before wrote it
    if content is not None:
        for receipt in receipts:
            receipt.write_text(content)
    follow_images(config, wells)
    assert all(receipt.exists() for receipt in receipts)


def test_the_images_are_those_that_the_config_names(tmp_path: Path) -> None:
    config, _ = wells_of(tmp_path, AFTER, measure={"enabled": True})
    plates = {"p": Plate.open(tmp_path / "p.zarr", ["0", "1"])}
    wells = Wells(config, plates)
    (_, other) = write_receipts(tmp_path, "process_well", ("0", "1"))
    follow_images(config, wells)
    assert other.exists()
