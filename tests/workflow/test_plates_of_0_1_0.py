"""Tests that this version continues runs that platefuse 0.1.0 began or finished."""

from __future__ import annotations

from pathlib import Path

from platefuse.workflow.status import plate_status
from tests.plates_0_1_0 import WELLS_OF_HALF, extract, truth_of_half
from tests.truth import assert_registered
from tests.workflow.conftest import Folder, fingerprint


def test_killed_run_of_0_1_0_is_finished(tmp_path: Path) -> None:
    plate, truth = extract("half", tmp_path), truth_of_half()
    Folder(tmp_path, truth).succeed("--configfile", "half.yaml")
    for well in WELLS_OF_HALF:
        for image in ("0", "1"):
            assert_registered(plate, truth, well, image)
    assert plate_status(plate).counts == {"registered": 8}
    assert not (tmp_path / "half.zarr.staging").exists()


def test_finished_run_of_0_1_0_leaves_nothing_to_do(tmp_path: Path) -> None:
    extract("in_place", tmp_path)
    with (tmp_path / "in_place.yaml").open("a") as config:
        config.write("\nquality: {enabled: false}\n")  # it did not check wells
    before = fingerprint(tmp_path)
    said = Folder(tmp_path, truth_of_half()).succeed("--configfile", "in_place.yaml", "--dry-run")
    assert "Nothing to be done" in said
    assert {
        file: found for file, found in fingerprint(tmp_path).items() if file in before
    } == before
