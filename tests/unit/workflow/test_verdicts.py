from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from platefuse.measuring.receipt import SolvedPlate
from platefuse.ngff.create import write_group
from platefuse.workflow.config.model import read_config
from platefuse.workflow.verdicts import (
    kept_originals_line,
    unmeasured_warnings,
    where_results_are,
)
from tests.fields_plate import FieldsPlate

MEASURED: Mapping[str, Any] = {"store": False, "measure": {"enabled": True}}


def warnings(folder: Path, statuses: Mapping[str, int], **options: Any) -> list[str]:
    """What a run says of a plate whose fields have these statuses."""
    receipt = folder / "results" / "p" / "solve_plate.json"
    receipt.parent.mkdir(parents=True, exist_ok=True)
    SolvedPlate(wells=("B/03",), statuses=statuses, angles_deg={}).write(receipt)
    given = {"plates": {"p": "p.zarr"}, "results": str(folder / "results"), **options}
    return list(unmeasured_warnings(read_config(given)))


def test_fields_without_a_measured_place_are_told_where_no_well_is_checked(tmp_path: Path) -> None:
    statuses = {"reference": 4, "measured": 2, "empty": 3, "too_far": 1, "filled_well": 2}
    unchecked = {"registration": MEASURED, "quality": {"enabled": False}}
    (warning,) = warnings(tmp_path, statuses, **unchecked)
    assert "plate p: the places of 3 of 12 fields" in warning
    assert "(1 too_far, 2 filled_well)" in warning
    assert f"{tmp_path}/results/p/fields.tsv lists them" in warning


@pytest.mark.parametrize(
    ("statuses", "options"),
    [
        ({"reference": 1, "measured": 2, "empty": 3}, {"quality": {"enabled": False}}),
        ({"too_far": 1}, {}),  # the check of the well tells it
        ({"too_far": 1}, {"quality": {"enabled": False}, "registration": {"enabled": False}}),
    ],
    ids=["no doubt", "checked", "of an earlier run"],
)
def test_nothing_is_told_twice_or_without_need(
    tmp_path: Path, statuses: Mapping[str, int], options: Mapping[str, Any]
) -> None:
    assert warnings(tmp_path, statuses, **{"registration": MEASURED, **options}) == []


def test_only_what_is_there_is_named_as_a_result(tmp_path: Path) -> None:
    """A run with `--until` ends before the fused plate, and one without wells before all."""
    plate = FieldsPlate({"B/03": {0: 1}}).write(tmp_path / "p.zarr")
    config = read_config({"plates": {"p": str(plate)}, "results": str(tmp_path / "results")})
    assert not list(where_results_are(config))
    write_group(tmp_path / "p_fused.zarr", {}, "0.4")
    assert list(where_results_are(config)) == [
        f"plate p: the fused plate is {tmp_path}/p_fused.zarr."
    ]


def test_a_command_that_is_told_can_be_typed(tmp_path: Path) -> None:
    plate = tmp_path / "my plate #1.zarr"
    well = tmp_path / f"{plate.name}.staging" / "B" / "03"
    (well / "0.original").mkdir(parents=True)
    (well / ".0.kept.json").write_text("{}")
    write_group(plate, {}, "0.4")
    line = kept_originals_line(plate)
    command = line.split("`")[1]
    assert shlex.split(command)[1:] == ["clean", "--originals", str(plate)]
