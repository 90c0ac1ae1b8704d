"""A Slurm, and folders in which Snakemake submits to it what is typed in a clone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import ExamplePlate
from tests.slurm import cluster
from tests.workflow.conftest import CLONE, TINY, Folder

AUTO = {"workflow": {"jobs": "auto"}}


@dataclass(frozen=True)
class SlurmFolder(Folder):
    """A working directory of a run that is typed in the clone."""

    def command(self, *args: str, clone: Path = CLONE) -> list[str]:
        return [
            sys.executable, "-m", "snakemake", "--profile", "slurm",
            "--directory", str(self.path), "--configfile", str(self.path / "config.yaml"),
            "--slurm-init-seconds-before-status-checks", "2", *args,
        ]  # fmt: skip

    def snakemake(self, *args: str, clone: Path = CLONE) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*args), cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip

    def start(self, *args: str) -> SlurmRun:
        """Start Snakemake and do not wait for its end."""
        log = self.path / "screen.log"
        # A shell that starts tests in the background lets them ignore Ctrl-C, and what they start.
        command = ["env", "--default-signal=INT", *self.command(*args)]
        with log.open("w") as out:
            return SlurmRun(log, subprocess.Popen(command, cwd=CLONE, stdout=out, stderr=out))


@dataclass(frozen=True)
class SlurmRun:
    """A run that was started."""

    log: Path
    process: subprocess.Popen[bytes]

    @property
    def output(self) -> str:
        """What is on the screen until now."""
        return self.log.read_text()

    @property
    def name(self) -> str:
        """The name of all its jobs in Slurm."""
        found = re.search(r"SLURM run ID: (\S+)", self.output)
        return found[1] if found else "not yet known"

    def jobs(self) -> list[cluster.Job]:
        """Its jobs that wait or run."""
        return cluster.jobs("--name", self.name)

    def wait_for_running(self, text: str) -> str:
        """Wait until a job whose comment has this text runs, and return its number."""
        found: list[str] = []

        def runs() -> bool:
            assert self.process.poll() is None, self.output
            found[:] = [
                job.number for job in self.jobs() if job.state == "RUNNING" and text in job.comment
            ]
            return bool(found)

        cluster.wait_for(runs, f"a job of {text}")
        return found[0]


@pytest.fixture(scope="session")
def slurm() -> Iterator[None]:
    """A Slurm of one node."""
    if reason := cluster.why_not():
        pytest.skip(reason)
    with cluster.running():
        yield


@pytest.fixture(scope="session")
def unrun(
    plate_cache: Callable[..., ExamplePlate], tmp_path_factory: pytest.TempPathFactory
) -> SlurmFolder:
    """A plate and its config before the first run; to be copied."""
    example = plate_cache(TINY)
    folder = SlurmFolder(tmp_path_factory.mktemp("unrun"), example.truth)
    shutil.copytree(example.path, folder.plate)
    folder.configure(**AUTO)
    return folder


@pytest.fixture(scope="session")
def local(unrun: SlurmFolder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The same after a run on this machine."""
    folder = Folder(tmp_path_factory.mktemp("local") / "run", unrun.truth)
    shutil.copytree(unrun.path, folder.path)
    folder.succeed()
    return folder


@pytest.fixture
def fresh(slurm: None, unrun: SlurmFolder, tmp_path: Path) -> SlurmFolder:
    """A copy of the folder before the first run, for one test on Slurm."""
    shutil.copytree(unrun.path, tmp_path / "run")
    return replace(unrun, path=tmp_path / "run")
