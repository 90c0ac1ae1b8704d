from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from platefuse.command.example import KNOWN_SHIFTS
from platefuse.ngff.metadata import read_attributes
from platefuse.storage.files import write_json
from platefuse.workflow.status import plate_status

CLONE = Path(__file__).parents[2]
FOUND = "  B/03  1            +7 -12  +7 -12  0.0"
FOLDERS = ("platefuse", "workflow", "scripts", "config", "profiles", "example")
FILES = ("Makefile", "Snakefile", "environment.yml", "requirements.lock", "requirements-dev.lock")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    path = tmp_path / "clone"
    skip = shutil.ignore_patterns("__pycache__", ".mypy_cache", "*.zarr", "*.staging")
    for name in FOLDERS:
        shutil.copytree(CLONE / name, path / name, ignore=skip)
    for name in FILES:
        shutil.copy(CLONE / name, path)
    (path / "config" / "config.yaml").write_text("plates: {mine: not/there.zarr}\n")
    return path


def run(clone: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # A profile of the user's must not count: this one does not exist.
    environment = {**os.environ, "SNAKEMAKE_PROFILE": "none", "PYTHONPATH": str(clone)}
    return subprocess.run(
        command, cwd=clone, env=environment, capture_output=True, text=True, check=False
    )


def make_demo(clone: Path) -> subprocess.CompletedProcess[str]:
    """``make demo`` with the environment of this test run, which `make setup` has made."""
    return run(clone, "make", "-o", "setup", "demo", f"BIN={Path(sys.executable).parent}")


@pytest.mark.slow
def test_demo_runs_and_runs_again(clone: Path) -> None:
    plate = clone / "example" / "demo.zarr"
    first = make_demo(clone)
    assert first.returncode == 0, first.stderr
    assert "3 of 3 wells done, 3 of them in this run" in first.stdout
    assert FOUND in first.stdout
    assert re.search(r"B/04  1 +\+7 -12 +– +– +4 empty\n", first.stdout)
    assert plate_status(plate).complete

    again = make_demo(clone)
    assert again.returncode == 0, again.stderr
    assert "nothing was left to do" in again.stdout

    # Receipts of plates that were deleted do not count.
    fused = clone / "example" / "demo_fused.zarr"
    shutil.rmtree(fused)
    assert make_demo(clone).returncode == 0
    assert plate_status(plate).complete
    shutil.rmtree(plate)
    last = make_demo(clone)
    assert last.returncode == 0, last.stderr
    assert FOUND in last.stdout

    # The comparison fails where a shift is not the known one.
    file = plate / "B" / "03" / "1" / ".zattrs"
    known = {"0": [0, 0], "1": [7, -11], "2": [-5, 9]}
    write_json(file, {**read_attributes(file.parent), KNOWN_SHIFTS: known})
    fields = "results/demo/fields.tsv"
    compared = run(clone, sys.executable, "example/compare.py", str(plate), fields)
    assert compared.returncode == 1
    assert "B/03/1 has a field that is 1.0" in compared.stderr


def test_comparison_needs_a_plate(clone: Path) -> None:
    done = run(clone, sys.executable, "example/compare.py", "none.zarr", "none.tsv")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("compare: ")
