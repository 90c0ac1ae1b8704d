"""Complete runs that begin with raw plates: shifts and positions are measured, and nothing else."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from platefuse.__main__ import main
from platefuse.records import RegistrationRecord
from platefuse.testing import AcquisitionSpec, Truth, make_plate
from tests.raw_plate import RawPlate
from tests.truth import read_level
from tests.workflow.conftest import TINY, Folder, fingerprint

pytestmark = pytest.mark.slow

RAW = RawPlate(wells=("B/03", "B/04"), empty_wells=("B/04",))
MEASURE = {"registration": {"store": False, "measure": {"enabled": True}}}


def folder_with(tmp_path: Path, **config: Any) -> Folder:
    folder = Folder(tmp_path, Truth(TINY))
    text = yaml.safe_dump({"plates": {"p": "p.zarr"}, **config})
    (tmp_path / "config.yaml").write_text(text)
    return folder


def rows(file: Path) -> list[dict[str, str]]:
    with file.open() as opened:
        return list(csv.DictReader(opened, delimiter="\t"))


def test_a_raw_plate_is_measured_and_fused(tmp_path: Path) -> None:
    plate = RAW.write(tmp_path / "p.zarr")
    folder = folder_with(tmp_path, **MEASURE)
    before = fingerprint(plate)
    folder.succeed()
    assert fingerprint(plate) == before
    assert "Nothing to be done" in folder.succeed()

    fields = rows(tmp_path / "results" / "p" / "fields.tsv")
    assert {row["plate"] for row in fields} == {"p"}
    statuses = {row["status"] for row in fields if row["well"] == "B/04"}
    assert statuses == {"empty"}
    errors = []
    for row in fields:
        if row["well"] == "B/03":
            acquisition, k = int(row["acquisition"]), int(row["image"]) % 4
            place = np.array([float(row["y_um"]), float(row["x_um"])]) / 0.5
            errors.append(place - RAW.true("B/03", acquisition)[k])
    spread = np.array(errors) - np.median(errors, axis=0)
    assert np.abs(spread).max() < 0.2

    first, second = (
        read_level(tmp_path / "p_fused.zarr" / "B" / "03" / name).astype(float)[0, 0]
        for name in "01"
    )
    assert first.shape == second.shape  # one frame
    both = (first > 0) & (second > 0)
    assert np.corrcoef(first[both], second[both])[0, 1] > 0.97


MOSAIC = replace(
    TINY,
    name="p",
    wells=("B/03",),
    grid=(2, 2),
    field_shape=(160, 176),
    overlap=24,
    acquisitions=(AcquisitionSpec(0), AcquisitionSpec(1, shift_px=(6, -9))),
    tables=("FOV_ROI_table", "nuclei_ROI_table"),
    noise=True,
)


def test_a_mosaic_plate_is_measured_and_registered_in_place(tmp_path: Path) -> None:
    """The measured shifts become registered ROI tables, and registration runs on them unchanged."""
    make_plate(tmp_path / "p.zarr", MOSAIC)
    folder = folder_with(tmp_path, registration={"measure": {"enabled": True}})
    folder.succeed()
    record = RegistrationRecord.read(tmp_path / "p.zarr" / "B" / "03" / "1")
    assert record is not None
    for roi in record.rois:
        assert np.abs(np.array(roi.shift_px[-2:]) - (6, -9)).max() < 0.15
    assert "Nothing to be done" in folder.succeed()
    fused = tmp_path / "p_fused.zarr" / "B" / "03"
    first, second = (read_level(fused / name)[0].astype(float) for name in "01")
    assert first.shape == second.shape
    both = (first > 0) & (second > 0)
    assert np.corrcoef(first[both], second[both])[0, 1] > 0.95
    # Its results are gone: nothing is measured or moved again.
    before = fingerprint(tmp_path / "p.zarr")
    shutil.rmtree(tmp_path / "results")
    measured = {"measure": {"enabled": True}}
    folder = folder_with(tmp_path, registration=measured, fusion={"enabled": False})
    folder.succeed()
    assert fingerprint(tmp_path / "p.zarr") == before


def test_results_of_measured_and_stored_wells_that_are_gone_are_told_with_the_way_back(
    tmp_path: Path,
) -> None:
    make_plate(tmp_path / "p.zarr", MOSAIC)
    registration = {"keep_originals": True, "measure": {"enabled": True}}
    given = {"registration": registration, "quality": {"enabled": False}}
    folder = folder_with(tmp_path, **given, fusion={"enabled": False})
    folder.succeed()
    shutil.rmtree(tmp_path / "results")
    folder.succeed()  # a receipt of measuring that has no field
    folder = folder_with(tmp_path, **given)
    (said,) = re.findall("`platefuse (restore .*?)`", folder.fail())
    assert main([*said.split()[:1], str(tmp_path / "p.zarr")]) == 0
    folder.succeed()
    assert len(rows(tmp_path / "results" / "p" / "fields.tsv")) == 8
    assert (tmp_path / "p_fused.zarr" / "B" / "03" / "1").is_dir()


def test_a_table_of_another_program_is_never_replaced(tmp_path: Path) -> None:
    plate = tmp_path / "p.zarr"
    make_plate(plate, replace(MOSAIC, tables=TINY.tables))
    folder = folder_with(tmp_path, registration={"measure": {"enabled": True}})
    before = fingerprint(plate)
    said = folder.fail()
    assert "was not written by platefuse" in said
    assert fingerprint(plate) == before


def test_a_well_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    plate = RawPlate(wells=("B/03", "B/04"), grid=(1, 2)).write(tmp_path / "p.zarr")
    broken = [c for c in (plate / "B" / "04" / "1" / "0").rglob("0") if c.is_file()]
    for chunk in broken:
        chunk.write_bytes(b"no chunk")
    folder = folder_with(tmp_path, on_bad_well="skip", **MEASURE)
    said = folder.fail("--keep-going")
    assert "B/04: the well could not be measured: " in said
    assert {row["well"] for row in rows(tmp_path / "results" / "p" / "fields.tsv")} == {"B/03"}
    assert (tmp_path / "p_fused.zarr" / "B" / "03" / "1").is_dir()
    assert not (tmp_path / "p_fused.zarr" / "B" / "04").exists()
    receipt = tmp_path / "results" / "p" / "B" / "04" / "measure_well.json"
    assert "cannot be read" in json.loads(receipt.read_text())["problem"]

    # Another policy measures no well again. The message has the command that does.
    folder = folder_with(tmp_path, **MEASURE)  # on_bad_well: stop
    said = folder.fail()
    assert "cannot be read" in said
    assert "measuring" not in said
    command = "--forcerun results/p/B/04/measure_well.json"
    assert command in said
    said = folder.fail(*command.split())
    assert "B/04: measuring" in said
    assert "B/03: measuring" not in said
    for chunk in broken:  # the well is repaired
        chunk.unlink()
    folder.succeed(*command.split())
    assert (tmp_path / "p_fused.zarr" / "B" / "04" / "1").is_dir()


def test_nor_does_one_whose_registered_images_would_be_stored(tmp_path: Path) -> None:
    plate = tmp_path / "p.zarr"
    make_plate(plate, replace(MOSAIC, wells=("B/03", "B/04"), name="two"))
    (plate / "B" / "04" / "1" / "0" / "0" / "0" / "0" / "0").write_bytes(b"no chunk")
    folder = folder_with(tmp_path, on_bad_well="skip", registration={"measure": {"enabled": True}})
    before = fingerprint(plate / "B" / "04")
    said = folder.fail("--keep-going")
    assert "B/04: the well could not be measured: " in said
    assert "--forcerun results/p/B/04/measure_well.json" in said
    assert "there is no table" not in said
    assert fingerprint(plate / "B" / "04") == before
    assert (tmp_path / "p_fused.zarr" / "B" / "03" / "1").is_dir()


def test_another_model_measures_no_pair_again(tmp_path: Path) -> None:
    RAW.write(tmp_path / "p.zarr")
    folder = folder_with(tmp_path, **MEASURE)
    folder.succeed("--until", "solve_plate")
    receipt = tmp_path / "results" / "p" / "B" / "03" / "measure_well.json"
    before = receipt.read_text()
    measure = {"enabled": True, "model": "rigid"}
    registration = {"store": False, "measure": measure, "interpolation": "linear"}
    folder = folder_with(tmp_path, registration=registration, fusion={"method": "max"})
    said = folder.succeed("--until", "solve_plate")
    assert "solving the places" in said
    assert receipt.read_text() == before


def test_pixels_that_were_replaced_after_the_measurement_are_noticed(tmp_path: Path) -> None:
    plate = RawPlate(grid=(1, 2)).write(tmp_path / "p.zarr")
    folder = folder_with(tmp_path, **MEASURE)
    folder.succeed("--until", "solve_plate")
    other = replace(RawPlate(grid=(1, 2)), shifts_px={0: (0.0, 0.0), 1: (2.0, 14.0)})
    shutil.rmtree(plate)
    other.write(plate)
    said = folder.fail()
    assert "its pixels are not those by which its fields were placed" in said
    assert not (tmp_path / "p_fused.zarr" / "B").exists()
    folder.succeed("--forcerun", "results/p/B/03/measure_well.json")
    for row in rows(tmp_path / "results" / "p" / "fields.tsv"):
        if row["acquisition"] == "1":
            shift = [float(row[f"shift_{axis}_px"]) for axis in "yx"]
            assert np.abs(np.array(shift) - (2, 14)).max() < 4.0  # its stage is off by some pixels


def test_positions_that_changed_after_the_measurement_are_noticed(tmp_path: Path) -> None:
    plate = RawPlate(grid=(1, 2)).write(tmp_path / "p.zarr")
    folder = folder_with(tmp_path, **MEASURE)
    folder.succeed("--until", "solve_plate")
    file = plate / "B" / "03" / "1" / ".zattrs"
    file.write_text(file.read_text().replace("112.0", "113.0"))
    said = folder.fail()
    assert "field '1' was measured when its stage position was (0.0, 112.0)" in said
    assert "--forcerun measure_well" in said
    folder.succeed("--forcerun", "measure_well")

    # A table of positions is an input of the rule: wells are measured again by themselves.
    listed = ["well\timage\ty_um\tx_um\tacquisition"]
    listed += [f"B/03\t{k}\t0\t{112 * (k % 2)}\t{k // 2}" for k in range(4)]
    (tmp_path / "at.tsv").write_text("\n".join(listed))
    folder = folder_with(tmp_path, input={"positions": "at.tsv"}, **MEASURE)
    folder.succeed()
    (tmp_path / "at.tsv").write_text("\n".join(listed).replace("\t112\t0", "\t113\t0"))
    assert "B/03: measuring" in folder.succeed()


@pytest.mark.parametrize(
    ("registration", "message"),
    [
        ({}, "registration.store: false and registration.measure.enabled: true"),
        ({"store": False}, "registration.measure.enabled: true"),
        (
            {"store": False, "reference_acquisition": 7, "measure": {"enabled": True}},
            "no image is of the reference acquisition 7",
        ),
        (
            {"store": False, "measure": {"enabled": True, "max_shift": 0}},
            "config.registration.measure.max_shift is 0; expected a finite number above 0",
        ),
        (
            {"store": False, "measure": {"enabled": True, "channel": "DAPI"}},
            "no channel is named 'DAPI'",
        ),
    ],
)
def test_what_cannot_be_measured_is_said_before_the_first_job(
    tmp_path: Path, registration: dict[str, Any], message: str
) -> None:
    plate = RawPlate(grid=(1, 2), side=48, step=40).write(tmp_path / "p.zarr")
    folder = folder_with(tmp_path, registration=registration)
    before = fingerprint(plate)
    assert message in folder.fail()
    assert fingerprint(plate) == before
    assert not (tmp_path / "p_fused.zarr").exists()
