"""A job of a well imports nothing that takes as long as the well."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import SMALL, PlateFactory

ROOT = Path(__file__).parents[2]
SLOW = ("anndata", "dask", "matplotlib", "pandas", "scipy", "snakemake", "xarray")
TABLES = ("FOV_ROI_table", "well_ROI_table", "registered_FOV_ROI_table")

WORK = """
import json, sys
from pathlib import Path

plate, fused, mode, slow = json.loads(sys.argv[1])

if mode == "check":
    from platefuse.fusion.options import FusionOptions
    from platefuse.ngff.plate import Plate
    from platefuse.quality.well import check_well
    from platefuse.workflow.sources import FusionSources

    (well,) = Plate.open(plate).read_wells()
    reader = FusionSources(FusionOptions()).reader(well)
    check_well(well, Path(fused), reader, Path(fused).with_name("figures"), reference=0)
else:
    from benchmarks.jobs.well import prepare

    prepare(plate, fused, mode, 1)()
print(json.dumps([name for name in slow if name in sys.modules]))
"""


def imported(plate: Path, mode: str) -> list[str]:
    """The slow modules that a process has imported after its work."""
    given = json.dumps([str(plate), str(plate.with_name("fused.zarr")), mode, SLOW])
    run = subprocess.run(
        [sys.executable, "-c", WORK, given], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found: list[str] = json.loads(run.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("mode", ["one pass", "two passes", "measure"])
def test_a_well(example_plate: PlateFactory, mode: str) -> None:
    plate = example_plate(replace(SMALL, wells=SMALL.wells[:1], tables=TABLES)).path
    assert imported(plate, mode) == []


def test_a_check(example_plate: PlateFactory) -> None:
    plate = example_plate(replace(SMALL, wells=SMALL.wells[:1], tables=TABLES)).path
    imported(plate, "two passes")
    assert imported(plate, "check") == []
