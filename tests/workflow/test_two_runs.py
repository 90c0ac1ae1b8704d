"""Tests that a second run on a plate stops before it does anything, from wherever it is started."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from platefuse.storage.locks import claim, shared_folder
from tests.workflow.conftest import Folder, fingerprint

IN_USE = r"in use by process (\d+) \((.+)\) on host (\S+) since \d{4}-"


def elsewhere(folder: Folder, path: Path, plate: Path, **config: Any) -> Folder:
    """Another working directory, whose config names the same plate."""
    path.mkdir()
    other = Folder(path, folder.truth)
    other.configure(plates={"same": str(plate)}, **config)
    return other


@contextmanager
def running(folder: Folder, *args: str) -> Iterator[subprocess.Popen[str]]:
    """A run that is stopped (SIGSTOP) when its first job has begun, and goes on in the end."""
    run = subprocess.Popen(
        folder.command(*args), cwd=folder.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert run.stdout is not None
        said: list[str] = []
        while not said or not re.match(r"Job \d", said[-1]):
            said.append(run.stdout.readline())
            assert said[-1], "".join(said)
        os.killpg(run.pid, signal.SIGSTOP)
        yield run
    finally:
        with suppress(ProcessLookupError):  # the test has killed it
            os.killpg(run.pid, signal.SIGCONT)
        if run.stdout is not None:
            run.stdout.read()
            run.stdout.close()
        run.wait()


def test_a_second_run_stops_before_it_does_anything(fresh: Folder, tmp_path: Path) -> None:
    (tmp_path / "link.zarr").symlink_to(fresh.plate)
    (tmp_path / "folder").symlink_to(fresh.plate / "B")
    names = {
        "path": fresh.plate,
        "link": tmp_path / "link.zarr",
        "steps": tmp_path / "folder" / ".." / ".." / "tiny.zarr",
    }
    others = {name: elsewhere(fresh, tmp_path / name, path) for name, path in names.items()}
    with running(fresh) as first:
        before = fingerprint(fresh.path)
        for other in others.values():
            said = other.fail()
            found = re.search(rf"plate \S*tiny.zarr: {IN_USE}", said)
            assert found is not None, said
            assert found.groups()[0::2] == (str(first.pid), socket.gethostname())
            assert not list(other.path.glob("results/same/*/*"))
        assert fingerprint(fresh.path) == before
    assert first.returncode == 0
    fresh.assert_exact()


def test_two_plates_that_are_fused_into_one_are_not_fused_at_once(
    done: Folder, tmp_path: Path
) -> None:
    output = tmp_path / "fused.zarr"
    config = {"fusion": {"output": str(output)}, "registration": {"enabled": False}}
    done.configure(**config)
    with shared_folder(tmp_path / "fused.zarr.staging"):
        with claim(tmp_path / "fused.zarr.staging" / ".run.lock", "other"):
            assert f"plate {output}: in use by process {os.getpid()}" in done.fail()
        done.succeed()
    assert output.is_dir()


@pytest.mark.slow
def test_a_dry_run_takes_no_lock(done: Folder) -> None:
    root = done.path / "tiny.zarr.staging"
    with shared_folder(root), claim(root / ".run.lock", "other"):
        done.succeed("--dry-run", "--forceall")
        shutil.rmtree(done.path / "results")
        assert "in use by" in done.fail()
    done.succeed()
    assert not list(done.path.glob("*.staging"))


@pytest.mark.slow
def test_a_killed_run_leaves_no_lock_that_stops_the_next(fresh: Folder) -> None:
    with running(fresh) as first:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        assert (fresh.path / "tiny.zarr.staging" / ".run.lock").exists()
    fresh.succeed("--unlock")
    fresh.succeed()
    fresh.assert_exact()
