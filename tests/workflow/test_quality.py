"""Complete runs that end with figures, verdicts and a report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from platefuse.quality.tables import CYCLES, DICTIONARY, FIELDS, WELLS
from platefuse.storage.tsv import read_rows
from tests.workflow.conftest import TINY, Folder, fingerprint


def rows(folder: Folder, name: str) -> list[dict[str, str]]:
    return [row for _, row in read_rows(folder.results / name, tuple(DICTIONARY[name]))]


def test_a_run_ends_with_a_report_and_changes_nothing_else(fresh: Folder) -> None:
    fresh.configure(quality={"enabled": True})
    output = fresh.succeed()
    assert (
        "the fused plate is tiny_fused.zarr, and the report is results/tiny/report.html" in output
    )
    fresh.assert_exact()
    spec = fresh.truth.spec

    wells = rows(fresh, WELLS)
    assert [row["well"] for row in wells] == list(spec.wells)
    fields = rows(fresh, FIELDS)
    count = len(spec.wells) * len(spec.acquisitions) * spec.grid[0] * spec.grid[1]
    assert len(fields) == count
    assert all(row["flags"] == "" for row in fields), fields
    assert len(rows(fresh, CYCLES)) == sum(row["verdict"] == "good" for row in wells)
    page = (fresh.results / "report.html").read_text()
    assert all(well in page for well in spec.wells)
    for well in spec.wells:
        receipt = json.loads((fresh.results / well / "check_well.json").read_text())
        for picture in receipt["pictures"]:
            assert (fresh.results / well / picture["file"]).stat().st_size > 100

    fresh.succeed("--report", "all.html")
    whole = (fresh.path / "all.html").read_text()
    assert "residual_px" in whole  # its figures, with their captions
    assert "in the layout of plate" in whole

    # Another threshold judges again, and computes nothing again.
    before, plate = fingerprint(fresh.fused), fresh.results / spec.wells[0] / "check_well.json"
    made = plate.stat().st_mtime_ns
    fresh.configure(quality={"enabled": True, "max_residual": 0.5})
    fresh.succeed()
    assert fingerprint(fresh.fused) == before
    assert plate.stat().st_mtime_ns == made
    assert "Nothing to be done" in fresh.succeed()


@pytest.mark.slow
def test_a_flagged_well_is_named_at_the_end(fresh: Folder) -> None:
    saturate(fresh.plate / fresh.truth.spec.wells[0] / fresh.truth.spec.acquisitions[0].path)
    fresh.configure(quality={"enabled": True})

    output = fresh.succeed()

    well = fresh.truth.spec.wells[0]
    assert f"1 of {len(fresh.truth.spec.wells)} wells is flagged: {well} (saturated" in output
    flagged = [row for row in rows(fresh, WELLS) if row["verdict"] == "look"]
    assert [row["well"] for row in flagged] == [well]


@pytest.mark.slow
def test_a_run_can_stop_at_a_flagged_well(fresh: Folder) -> None:
    well = fresh.truth.spec.wells[0]
    saturate(fresh.plate / well / fresh.truth.spec.acquisitions[0].path)
    fresh.configure(quality={"enabled": True, "on_flag": "stop"})

    output = fresh.fail()

    assert "QualityError" in output
    assert f"{well} (saturated" in output
    assert (fresh.results / "report.html").exists()

    fresh.configure(quality={"enabled": True, "on_flag": "stop", "max_saturated": 1.0})
    assert "check_well" not in fresh.succeed()


def saturate(image: Path) -> None:
    """Saturate a tenth of each field: a bright piece of debris."""
    array = zarr.open_array(image / "0", mode="r+")
    pixels = np.asarray(array[...])
    height, width = TINY.field_shape
    for left in range(0, pixels.shape[-1], width):
        pixels[..., : height // 2, left + 10 : left + 10 + width // 5] = np.iinfo(pixels.dtype).max
    array[...] = pixels
