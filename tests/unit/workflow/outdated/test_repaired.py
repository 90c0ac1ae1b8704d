from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from platefuse.ngff.plate import Plate
from platefuse.storage.files import write_json
from platefuse.workflow.config.model import read_config
from platefuse.workflow.outdated.notes import outdated_notes
from platefuse.workflow.outdated.repaired import follow_repaired
from tests.fields_plate import FieldsPlate

WELL = "B/03"


def restored_from_a_copy(chunk: Path) -> None:
    """With the times of the copy, which are older than the receipt."""
    copy = chunk.with_name("copy")
    copy.write_bytes(chunk.read_bytes())
    os.utime(copy, ns=(0, 0))
    copy.replace(chunk)


def moved_away(chunk: Path) -> None:
    chunk.unlink()


@pytest.mark.parametrize("repair", [restored_from_a_copy, moved_away, None])
@pytest.mark.parametrize(
    ("problem", "fields"),
    [("a broken chunk", []), (None, []), (None, [{"key": {}}])],
    ids=["failed", "registered before", "measured"],
)
def test_only_a_well_without_measures_that_was_changed_is_measured_again(
    tmp_path: Path,
    problem: str | None,
    fields: list[object],
    repair: Callable[[Path], None] | None,
) -> None:
    path = FieldsPlate({WELL: {0: 2, 1: 2}}).write(tmp_path / "p.zarr")
    registration = {"store": False, "measure": {"enabled": True}}
    results = tmp_path / "results"
    given = {"plates": {"p": str(path)}, "results": str(results), "registration": registration}
    config, plates = read_config(given), {"p": Plate.open(path)}
    receipt = results / "p" / WELL / "measure_well.json"
    solved = results / "p" / "solve_plate.json"
    write_json(receipt, {"problem": problem, "fields": fields})
    write_json(solved, {})
    if repair is not None:
        repair(path / WELL / "2" / "0" / "0" / "0" / "0" / "0")
    is_stale = bool(not fields and repair)
    assert bool(list(outdated_notes(config, plates, {}))) is is_stale
    follow_repaired(config, plates)
    assert receipt.exists() is solved.exists() is not is_stale


def test_a_plate_that_is_not_measured_is_not_looked_at(tmp_path: Path) -> None:
    path = FieldsPlate({WELL: {0: 2}}).write(tmp_path / "p.zarr")
    plates = {"p": Plate.open(path)}
    shutil.rmtree(path)
    follow_repaired(read_config({"plates": {"p": str(path)}}), plates)
