"""What jobs of a real run used, as their receipts say, against what they had asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from platefuse.records import JobUsage
from platefuse.testing import make_plate
from tests.workflow.test_measuring import MOSAIC, folder_with

REST = {"finish_fused_plate", "measure_well", "solve_plate", "report_plate"}
STEPS = {"register_image", "copy_tables", "swap_image", "discard_backups", "fuse_well"}


def used(file: Path) -> JobUsage | None:
    content = json.loads(file.read_text())
    return JobUsage(**content["used"]) if "used" in content else None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("jobs", "expected"),
    [("step", REST | STEPS | {"check_well", "fuse_part"}), ("well", REST | {"process_well"})],
)
def test_jobs_use_no_more_than_they_ask_for(tmp_path: Path, jobs: str, expected: set[str]) -> None:
    make_plate(tmp_path / "p.zarr", MOSAIC)
    scatter = 2 if jobs == "step" else 1
    config: dict[str, Any] = {"workflow": {"jobs": jobs}, "fusion": {"scatter": scatter}}
    folder = folder_with(tmp_path, registration={"measure": {"enabled": True}}, **config)
    folder.succeed()
    found = {file: own for file in folder.results.parent.rglob("*.json") if (own := used(file))}
    assert expected == {f.parent.name if f.stem.isdigit() else f.stem for f in found}
    for file, own in found.items():
        assert min(own.memory_mb, own.seconds, own.cpu_seconds) > 0, file
        assert own.threads == 1
        assert own.asked_mb is not None
        assert own.asked_seconds is not None
        assert own.memory_mb <= own.asked_mb, file
        assert own.seconds <= own.asked_seconds, file
    assert "Nothing to be done" in folder.succeed()
