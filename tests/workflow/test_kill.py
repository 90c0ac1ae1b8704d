"""Tests that a run which is killed at any time and started again gives exact results."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest

from tests.workflow.conftest import Folder

KILLS = 10


@pytest.mark.slow
def test_killed_ten_times_a_run_ends_exact(fresh: Folder) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  (to repeat a failure)
    moments = random.Random(seed)
    for _ in range(KILLS):
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
