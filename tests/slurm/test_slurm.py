"""Runs on a real Slurm: as typed, with jobs that end early, and interrupted.

Skipped where no Slurm can be started. Each Slurm job takes some seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from platefuse.testing import Truth
from tests.raw_plate import RawPlate
from tests.slurm import cluster
from tests.slurm.conftest import SlurmFolder
from tests.workflow.conftest import TINY, Folder, fingerprint
from tests.workflow.test_jobs import MEASURE_ONLY, content, plates_of
from tests.workflow.test_run import NOTHING

pytestmark = pytest.mark.slow


def submitted(output: str) -> list[str]:
    """Numbers of the Slurm jobs of a run."""
    return re.findall(r"submitted with SLURM jobid (\d+)", output)


def asked(job: str) -> tuple[float, str]:
    """Memory in MB that a job asked for, and the limit of its time."""
    shown = subprocess.run(
        ["scontrol", "show", "job", job], capture_output=True, text=True, check=True
    ).stdout
    memory = re.search(r"MinMemoryNode=([0-9.]+)([MG])", shown)
    limit = re.search(r"TimeLimit=(\S+)", shown)
    assert memory is not None
    assert limit is not None
    return float(memory[1]) * (1024 if memory[2] == "G" else 1), limit[1]


def test_a_run_has_a_job_for_each_well_and_equals_a_local_run(
    fresh: SlurmFolder, local: Folder
) -> None:
    output = fresh.succeed()
    assert len(submitted(output)) == 2
    fresh.assert_exact()
    assert content(fresh) == content(local)
    assert NOTHING in fresh.succeed()


def test_a_measured_run_of_the_command_equals_a_local_run(slurm: None, tmp_path: Path) -> None:
    made = {}
    RawPlate(wells=("B/03", "B/04"), grid=(1, 2)).write(tmp_path / "plate" / "p.zarr")
    for name, options in (("local", ["--cores", "2"]), ("slurm", ["--profile", "slurm"])):
        folder = Folder(tmp_path / name, Truth(TINY))
        shutil.copytree(tmp_path / "plate", folder.path)
        config: dict[str, Any] = {"plates": {"p": "p.zarr"}, **MEASURE_ONLY}
        (folder.path / "config.yaml").write_text(yaml.safe_dump(config))
        run = subprocess.run(
            [sys.executable, "-m", "platefuse", "run", "config.yaml", *options],
            cwd=folder.path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        assert "2 of 2 wells done" in run.stdout
        made[name] = content(folder)
        log = (folder.path / "results" / "logs" / "snakemake.log").read_text()
        # Two jobs for each well, and two for the plate: the places of its fields, and the report.
        assert len(submitted(log)) == (6 if name == "slurm" else 0)
    assert made["slurm"] == made["local"]


def test_a_cancelled_job_is_tried_again_with_more(fresh: SlurmFolder, local: Folder) -> None:
    run = fresh.start()
    job = run.wait_for_running("tiny_B_02")
    subprocess.run(["scancel", job], check=True)
    assert run.process.wait() == 0, run.output
    jobs = submitted(run.output)
    assert len(jobs) == 3
    memory, limit = asked(job)
    again = next(number for number in jobs if asked(number) != (memory, limit))
    assert asked(again)[0] == pytest.approx(2 * memory, rel=0.01)
    assert plates_of(fresh) == plates_of(local)


def test_a_job_that_is_killed_for_memory_is_tried_again_with_more(
    fresh: SlurmFolder, local: Folder
) -> None:
    # Less than Python needs to read the workflow.
    memory = "process_well:mem_mb=100 if attempt == 1 else 1000"
    output = fresh.succeed("--set-resources", memory)
    jobs = submitted(output)
    assert sorted(asked(job)[0] for job in jobs) == [100, 100, 1000, 1000]
    killed = re.findall(r"log: .*, (\S+) \(check log file", output)
    assert len(killed) == 2
    assert all("exceeded memory limit" in Path(log).read_text() for log in killed)
    assert plates_of(fresh) == plates_of(local)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_an_interrupted_run_goes_on_and_does_no_finished_well_again(
    fresh: SlurmFolder, local: Folder, how: signal.Signals
) -> None:
    run = fresh.start("--jobs", "1")  # one well after the other
    run.wait_for_running("tiny_B_03")
    done = [fresh.plate / "B" / "02", fresh.fused / "B" / "02", fresh.results / "B" / "02"]
    before = [fingerprint(folder) for folder in done]
    assert all(before)
    run.process.send_signal(how)
    assert run.process.wait() != 0
    if how == signal.SIGKILL:
        assert run.jobs(), "Slurm goes on without Snakemake"
        subprocess.run(["scancel", "--name", run.name], check=True)
    cluster.wait_for(lambda: not run.jobs(), "the end of the cancelled job")
    if how == signal.SIGKILL:
        fresh.succeed("--unlock")
    output = fresh.succeed()
    assert len(submitted(output)) == 1
    assert [fingerprint(folder) for folder in done] == before
    fresh.assert_exact()
    assert plates_of(fresh) == plates_of(local)


def test_the_error_of_a_job_is_on_the_screen(fresh: SlurmFolder, local: Folder) -> None:
    table = fresh.plate / "B" / "02" / "1" / "tables" / "registered_FOV_ROI_table"
    shutil.rmtree(table)
    said = fresh.fail("--no-hooks", "--keep-going", "--retries", "0")
    assert re.search(r"^ *\w+Error: .*registered_FOV_ROI_table", said, re.MULTILINE), said
    own = {name: file for name, file in content(local).items() if "B/03/" in name}
    assert own
    assert {name: content(fresh)[name] for name in own} == own


def test_an_account_of_others_ends_the_run_with_a_message(
    fresh: SlurmFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plug-in finds it before it calls Slurm."""
    accounts = fresh.path / "bin" / "sacctmgr"
    accounts.parent.mkdir()
    accounts.write_text("#!/bin/sh\necho mylab\n")
    accounts.chmod(0o755)
    monkeypatch.setenv("PATH", f"{accounts.parent}:{os.environ['PATH']}")
    resources = ("mem_mb=1000", "runtime=5", "slurm_account=other")
    said = fresh.fail("--retries", "0", "--default-resources", *resources)
    assert "account other appears to be invalid" in said
    assert "mylab" in said
    assert not submitted(said)
