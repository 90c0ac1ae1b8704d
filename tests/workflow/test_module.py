"""The workflow as a module of another one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from platefuse.records import read_places
from tests.raw_plate import RawPlate
from tests.workflow.conftest import CLONE, Folder

SNAKEFILE = f"""\
import yaml

with open("platefuse.yaml") as file:
    PLATEFUSE = yaml.safe_load(file)

module platefuse:
    snakefile: "{CLONE / "Snakefile"}"
    config: PLATEFUSE

use rule * from platefuse as platefuse_*

rule count_wells:
    default_target: True
    input: "results/tiny/report_plate.json"
    output: "wells.txt"
    shell: "cut -f 2 results/tiny/quality_wells.tsv | tail -n +2 > {{output}}"
"""


def test_another_workflow_builds_on_the_fused_plate(fresh: Folder) -> None:
    (fresh.path / "Snakefile").write_text(SNAKEFILE)
    config = {"plates": {"tiny": "tiny.zarr"}}
    (fresh.path / "platefuse.yaml").write_text(yaml.safe_dump(config))

    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2"],
        cwd=fresh.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stdout
    assert (fresh.path / "wells.txt").read_text().split() == list(fresh.truth.spec.wells)
    fresh.assert_exact()


PREFIXED = f"""\
CONFIG = {{
    "plates": {{"raw": "raw.zarr"}},
    "registration": {{"store": False, "measure": {{"enabled": True}}}},
}}

module platefuse:
    snakefile: "{CLONE / "Snakefile"}"
    config: CONFIG
    prefix: "sub"

use rule * from platefuse as platefuse_*

rule wait:
    default_target: True
    input: "sub/results/raw/report_plate.json"
"""


def test_a_prefix_holds_for_the_measured_places(tmp_path: Path) -> None:
    RawPlate(grid=(1, 2)).write(tmp_path / "raw.zarr")
    (tmp_path / "Snakefile").write_text(PREFIXED)

    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stdout
    assert len(read_places(tmp_path / "sub" / "results" / "raw" / "fields.tsv")) == 4
    assert (tmp_path / "raw_fused.zarr" / "B" / "03" / "1").is_dir()
    assert not (tmp_path / "results").exists()
