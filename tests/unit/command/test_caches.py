from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

import pytest

import platefuse
from platefuse.command.caches import user_variables
from platefuse.command.shipped import find_workflow
from platefuse.command.watch import Run
from platefuse.workflow.config.model import read_config


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_home_that_can_be_used_is_used(home: Path, tmp_path: Path) -> None:
    home.mkdir()
    assert user_variables(tmp_path) == {}
    assert (home / ".cache" / "snakemake").is_dir()


def test_without_a_home_the_cache_is_in_the_work_folder(home: Path, tmp_path: Path) -> None:
    home.touch()  # so that nobody, root neither, can make a folder in it
    expected = {"XDG_CACHE_HOME": str(tmp_path / ".snakemake" / "cache")}
    assert user_variables(tmp_path) == expected


def test_a_cache_that_cannot_be_written_is_not_used(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert user_variables(tmp_path)


@pytest.fixture(params=[None, "", "relative"])
def no_home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom the system does not know, as in a container that runs with any number."""

    def unknown(number: int) -> pwd.struct_passwd:
        raise KeyError(number)

    names = ("LOGNAME", "USER", "LNAME", "USERNAME")  # `getpass.getuser` reads them
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", *names):
        monkeypatch.delenv(name, raising=False)
    if request.param is not None:
        monkeypatch.setenv("HOME", request.param)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_a_user_whom_nobody_knows_gets_a_name_and_a_home(no_home: None, tmp_path: Path) -> None:
    own = tmp_path / ".snakemake"
    expected = {"HOME": str(own), "XDG_CACHE_HOME": str(own / "cache"), "USER": str(os.getuid())}
    assert user_variables(tmp_path) == expected


def test_a_user_without_a_home_gets_the_profiles_that_are_shipped(
    no_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workflow = find_workflow(Path(platefuse.__file__).parent)
    assert workflow.profile("slurm") == str(workflow.folder / "profiles" / "slurm")


def test_a_folder_that_the_user_chose_is_kept(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "chosen"))
    assert user_variables(tmp_path) == {}


def test_snakemake_gets_the_variables(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.touch()
    monkeypatch.chdir(tmp_path)
    script = "import os, pathlib; pathlib.Path('seen').write_text(os.environ['XDG_CACHE_HOME'])"
    running = Run(read_config({"plates": {"p": "p.zarr"}}), "platefuse run c.yaml")
    assert running.execute([sys.executable, "-c", script], tmp_path) == 0
    assert Path("seen").read_text() == str(tmp_path / ".snakemake" / "cache")
