"""Fixtures that run real Snakemake on small plates, each run in its own folder."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from platefuse.testing import Truth
from tests.conftest import SMALL, ExamplePlate
from tests.truth import assert_fused, assert_registered

CLONE = Path(__file__).parents[2]

# The smallest plate with more than one well, acquisition, level and field.
TINY = replace(SMALL, name="tiny", acquisitions=SMALL.acquisitions[:2], grid=(1, 2), levels=2)


@dataclass(frozen=True)
class Folder:
    """A working directory with plates and a config, in which Snakemake is run."""

    path: Path
    truth: Truth

    @property
    def plate(self) -> Path:
        return self.path / "tiny.zarr"

    @property
    def fused(self) -> Path:
        return self.path / "tiny_fused.zarr"

    @property
    def results(self) -> Path:
        return self.path / "results" / "tiny"

    def configure(self, **config: Any) -> None:
        # Figures and reports have tests of their own; here they would double the time of each run.
        short = {"quality": {"enabled": False}, "workflow": {"jobs": "step"}}
        config = {"plates": {"tiny": "tiny.zarr"}, **short, **config}
        (self.path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def command(self, *args: str, clone: Path = CLONE) -> list[str]:
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(clone / "Snakefile")]
        return [*snakemake, "--cores", "2", "--configfile", "config.yaml", *args]

    def snakemake(self, *args: str, clone: Path = CLONE) -> subprocess.CompletedProcess[str]:
        """Run Snakemake and return the finished process; stdout includes stderr."""
        return subprocess.run(
            self.command(*args, clone=clone),
            cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip

    def succeed(self, *args: str, clone: Path = CLONE) -> str:
        run = self.snakemake(*args, clone=clone)
        assert run.returncode == 0, run.stdout
        return run.stdout

    def fail(self, *args: str) -> str:
        run = self.snakemake(*args)
        assert run.returncode != 0, run.stdout
        return run.stdout

    def assert_exact(self, plate: str = "tiny", *, beside: bool = False) -> None:
        """Check that all images are registered and fused exactly, and that nothing is staged."""
        for well in self.truth.spec.wells:
            for acquisition in self.truth.spec.acquisitions:
                image = acquisition.path
                path = f"{image}_registered" if beside else image
                assert_registered(self.path / f"{plate}.zarr", self.truth, well, image, path=path)
                assert_fused(self.path / f"{plate}_fused.zarr", self.truth, well, image)
        assert not list(self.path.glob("*.staging"))


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    """Return digest and modification time of every file in a folder, to find changes."""
    return {
        str(file.relative_to(folder)): (
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_mtime_ns,
        )
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.fixture(scope="session")
def unrun(
    plate_cache: Callable[..., ExamplePlate], tmp_path_factory: pytest.TempPathFactory
) -> Folder:
    """A plate and its config before the first run; for dry runs, and to be copied."""
    example = plate_cache(TINY)
    folder = Folder(tmp_path_factory.mktemp("unrun"), example.truth)
    shutil.copytree(example.path, folder.plate)
    folder.configure()
    return folder


@pytest.fixture(scope="session")
def finished(unrun: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The same after a complete run; to be copied."""
    folder = replace(unrun, path=tmp_path_factory.mktemp("finished") / "run")
    shutil.copytree(unrun.path, folder.path)
    folder.succeed()
    return folder


@pytest.fixture
def fresh(unrun: Folder, tmp_path: Path) -> Folder:
    """A copy of the folder before the first run, for one test."""
    shutil.copytree(unrun.path, tmp_path / "run")
    return replace(unrun, path=tmp_path / "run")


@pytest.fixture
def done(finished: Folder, tmp_path: Path) -> Folder:
    """A copy of the folder after a complete run, for one test."""
    shutil.copytree(finished.path, tmp_path / "run")
    return replace(finished, path=tmp_path / "run")
