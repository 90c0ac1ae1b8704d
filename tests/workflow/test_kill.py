"""Tests that a run which is killed at any time and started again gives exact results."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from tests.workflow.conftest import Folder

KILLS = 50 if os.environ.get("TORTURE") == "complete" else 10


@pytest.mark.slow
def test_killed_many_times_a_run_ends_exact(fresh: Folder, unrun: Folder) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  (to repeat a failure)
    moments = random.Random(seed)
    for number in range(KILLS):
        if number % 10 == 0 and number:  # it is done by then: from the start
            fresh.succeed()
            fresh.assert_exact()
            for path in (fresh.plate, fresh.fused, fresh.results):
                shutil.rmtree(path)
            shutil.copytree(unrun.plate, fresh.plate)
        kill(fresh, jobs=moments.randrange(4), seconds=moments.uniform(0, 1))
        fresh.succeed("--unlock")
    fresh.succeed()
    fresh.assert_exact()


def kill(folder: Folder, jobs: int, seconds: float) -> None:
    """Start a run, and kill its process group some seconds after a number of jobs have begun."""
    run = subprocess.Popen(
        folder.command(), cwd=folder.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    assert run.stdout is not None
    with run.stdout as lines:
        while jobs and (line := lines.readline()):
            jobs -= line.startswith("Job ")
        time.sleep(seconds)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
