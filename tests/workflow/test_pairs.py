"""Tests that two runs on one plate, started from two folders, lose no pixel."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.workflow.conftest import Folder

PAIRS = 20 if os.environ.get("TORTURE") == "complete" else 1
LONGEST = 600


@pytest.mark.slow
def test_of_two_runs_on_one_plate_one_does_its_work_and_nothing_is_lost(
    fresh: Folder, unrun: Folder, tmp_path: Path
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  (to repeat a failure)
    moments = random.Random(seed)
    other = replace(fresh, path=tmp_path / "other")
    other.path.mkdir()
    other.configure(plates={"tiny": str(fresh.plate)})
    for _ in range(PAIRS):
        first = start(fresh)
        time.sleep(moments.uniform(0, 8))
        second = start(other)
        outputs = [run.communicate(timeout=LONGEST)[0] for run in (first, second)]
        assert 0 in (first.returncode, second.returncode), "\n".join(outputs)
        assert not any("Traceback" in output for output in outputs), "\n".join(outputs)
        fresh.succeed()
        fresh.assert_exact()
        for path in (fresh.plate, fresh.fused, fresh.results, other.path / "results"):
            if path.exists():
                shutil.rmtree(path)
        shutil.copytree(unrun.plate, fresh.plate)


def start(folder: Folder) -> subprocess.Popen[str]:
    """Start a run that prints everything to one pipe."""
    return subprocess.Popen(
        folder.command(), cwd=folder.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
