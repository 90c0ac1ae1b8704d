"""The workflow as a module of another one."""

from __future__ import annotations

import subprocess
import sys

import yaml

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
