"""The built wheel, installed into an environment that a user has already."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.registry]
ROOT = Path(__file__).parents[2]
NEIGHBOURS = ("multiview-stitcher==0.1.62", "ngio", "anndata")
SOURCES = (
    *("pyproject.toml", "setup.py", "README.md", "LICENSE", "platefuse"),
    *("Snakefile", "workflow", "scripts", "profiles", "environment.yml"),
)


def run(python: Path | str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python, or another command, without anything of this clone on its path."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    command = [str(python), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=inherited, capture_output=True, text=True, check=False
    )


def pip(python: Path | str, *arguments: str, cwd: Path) -> str:
    done = run(python, "-m", "pip", "--disable-pip-version-check", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def versions(python: Path) -> dict[str, str]:
    listed = json.loads(pip(python, "list", "--format=json", cwd=python.parent))
    return {package["name"].lower(): package["version"] for package in listed}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources, so that nothing is left in the clone."""
    folder = tmp_path_factory.mktemp("wheel")
    index = ("download", "--quiet", "--no-deps", "--dest", str(folder), NEIGHBOURS[0])
    asked = run(sys.executable, "-m", "pip", *index, cwd=folder)
    if asked.returncode:
        last = (asked.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"no package index answers: {last}")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    pip(sys.executable, "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", ".", cwd=folder)
    (built,) = (folder / "dist").glob("platefuse-*.whl")
    return built


@pytest.fixture(scope="module")
def neighbours(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the newest versions of what users have."""
    folder = tmp_path_factory.mktemp("environment")
    done = run(sys.executable, "-m", "venv", str(folder), cwd=folder)
    assert done.returncode == 0, done.stderr
    python = folder / "bin" / "python"
    pip(python, "install", "--quiet", *NEIGHBOURS, cwd=folder)
    return python


@pytest.fixture(scope="module")
def installed(wheel: Path, neighbours: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Versions of all packages before and after the wheel is installed."""
    before = versions(neighbours)
    pip(neighbours, "install", "--quiet", str(wheel), cwd=neighbours.parent)
    return before, versions(neighbours)


def test_no_version_is_moved(
    neighbours: Path, installed: tuple[dict[str, str], dict[str, str]]
) -> None:
    before, after = installed
    assert {name: after.get(name) for name in before} == before
    assert set(after) - set(before) <= {"platefuse", "zarrs"}
    assert "platefuse" in after
    pip(neighbours, "check", cwd=neighbours.parent)


@pytest.mark.usefixtures("installed")
def test_the_three_functions_work_there(neighbours: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name("use_wheel.py")
    copy = shutil.copy(script, tmp_path)
    done = run(neighbours, str(copy), str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment into which the wheel was installed with the workflow."""
    folder = tmp_path_factory.mktemp("workflow")
    done = run(sys.executable, "-m", "venv", str(folder), cwd=folder)
    assert done.returncode == 0, done.stderr
    pip(folder / "bin" / "python", "install", "--quiet", f"{wheel}[workflow]", cwd=folder)
    return folder / "bin"


def test_the_workflow_runs_from_the_wheel(commands: Path, tmp_path: Path) -> None:
    def platefuse(*arguments: str) -> str:
        done = run(commands / "platefuse", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    platefuse("example", "--wells", "B/02", "--grid", "1", "2", "demo.zarr")
    platefuse("init", "demo.zarr", "--output", "my.yaml")
    assert "Nothing would stop this run." in platefuse("check", "my.yaml")
    out = platefuse("run", "my.yaml", "--cores", "2")
    assert out.startswith("1 of 1 well done, 1 of them in this run")
    assert f"fused plate: {tmp_path / 'demo_fused.zarr'}" in out
    assert (tmp_path / "demo_fused.zarr" / "B" / "02" / "0").is_dir()
    shipped = next((commands.parent / "lib").glob("python3.*/site-packages/platefuse/_workflow"))
    log = (tmp_path / "results" / "logs" / "snakemake.log").read_text()
    assert f"{shipped}/profiles/default" in log
    by_slurm = platefuse("run", "my.yaml", "--profile", "slurm", "--dry-run", "--forceall")
    assert "process_well" in by_slurm


def test_the_wheel_has_all_of_the_workflow(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {
            name.removeprefix("platefuse/_workflow/")
            for name in archive.namelist()
            if name.startswith("platefuse/_workflow/")
        }
    listed = subprocess.run(
        ["git", "ls-files", "Snakefile", "workflow", "scripts", "profiles", "environment.yml"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shipped == set(listed.stdout.split())
