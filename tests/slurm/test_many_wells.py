"""A plate of many wells on a real Slurm, whose run is killed again and again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import ExamplePlate
from tests.slurm import cluster
from tests.slurm.conftest import AUTO, SlurmFolder, SlurmRun
from tests.workflow.conftest import TINY, fingerprint

WELLS = tuple(f"{row}/{column:02}" for row in "ABCD" for column in range(1, 13))
KILLS = 5
MANY = replace(TINY, wells=WELLS)


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("TORTURE") != "complete", reason="takes many minutes: a part of `make torture`"
)
def test_no_finished_well_is_done_again(
    slurm: None, plate_cache: Callable[..., ExamplePlate], tmp_path: Path
) -> None:
    example = plate_cache(MANY)
    folder = SlurmFolder(tmp_path / "run", example.truth)
    shutil.copytree(example.path, folder.plate)
    folder.configure(**AUTO)
    done: dict[str, object] = {}
    for kill in range(1, KILLS + 1):
        run = folder.start()
        wait_for_wells(folder, run, 4 * kill)
        run.process.send_signal(signal.SIGKILL)
        assert run.process.wait() != 0, run.output
        subprocess.run(["scancel", "--name", run.name], check=True)
        cluster.wait_for(partial(is_over, run), "the end of the cancelled jobs")
        assert {name: state(folder, name) for name in done} == done
        done |= {name: state(folder, name) for name in finished_wells(folder)}
        folder.succeed("--unlock")
    assert len(done) < len(WELLS), "the last run has nothing to do"
    folder.succeed()
    assert {name: state(folder, name) for name in done} == done
    folder.assert_exact()


def wait_for_wells(folder: SlurmFolder, run: SlurmRun, count: int) -> None:
    """Wait until so many wells are finished; a run that has ended is an error."""

    def is_so_far() -> bool:
        assert run.process.poll() is None, run.output
        return len(finished_wells(folder)) >= count

    cluster.wait_for(is_so_far, f"{count} finished wells")


def is_over(run: SlurmRun) -> bool:
    """Whether Slurm has no job of a run any more."""
    return not run.jobs()


def finished_wells(folder: SlurmFolder) -> list[str]:
    """The wells whose receipt is there."""
    return [name for name in WELLS if (folder.results / name / "process_well.json").exists()]


def state(folder: SlurmFolder, well: str) -> object:
    """Digest and time of every file of a well, registered and fused."""
    return fingerprint(folder.plate / well), fingerprint(folder.fused / well)
