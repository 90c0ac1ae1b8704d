from __future__ import annotations

import sys
from pathlib import Path

import pytest

from platefuse.command.options import read_options
from platefuse.command.shipped import PACKAGED, Workflow, find_workflow
from platefuse.errors import ConfigError

CLONE = Path(__file__).parents[3]
WORKFLOW = find_workflow(CLONE / "platefuse")


def after_snakefile(*options: str) -> list[str]:
    """What the command has between the Snakefile and the logger."""
    command = read_options(Path("my.yaml"), options).command(WORKFLOW)
    first = command.index("--snakefile") + 2
    return command[first : command.index("--logger")]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--cores", "4"],
        ["-j4", "--keep-going", "-n"],
        ["a_target", "--forcerun", "fuse_well"],
        ["--set-threads", "fuse_well=2", "x=1", "--quiet"],
        ["--config", "results=r", "--default-resources", "a=1", "b=2"],
        ["-d", "there", "--rerun-triggers=mtime"],
    ],
)
def test_options_are_passed_on_unchanged(options: list[str]) -> None:
    assert after_snakefile(*options) == options


def test_the_command() -> None:
    command = read_options(Path("my.yaml"), ["--cores", "1"]).command(WORKFLOW)
    assert command[:3] == [sys.executable, "-m", "platefuse.command.child"]
    assert command[command.index("--configfile") + 1] == str(Path("my.yaml").absolute())
    assert command[command.index("--workflow-profile") + 1] == str(CLONE / "profiles" / "default")
    assert command[-2:] == ["--logger", "platefuse"]


@pytest.mark.parametrize("option", ["--touch", "-t"])
def test_jobs_whose_outputs_are_only_touched_are_none(option: str) -> None:
    assert read_options(Path("my.yaml"), ["--cores", "1", option]).only_touches
    assert not read_options(Path("my.yaml"), ["--cores", "1", "-n"]).only_touches


def test_a_run_that_leaves_bad_wells_out_goes_on_after_an_error() -> None:
    options = read_options(Path("my.yaml"), ["--cores", "1"])
    going, not_going = (options.command(WORKFLOW, keep_going=each) for each in (True, False))
    assert [word for word in going if word not in not_going] == ["--keep-going"]


def test_a_workflow_profile_of_the_user_is_taken() -> None:
    command = read_options(Path("my.yaml"), ["--workflow-profile", "none"]).command(WORKFLOW)
    assert command.count("--workflow-profile") == 1


def test_loggers_of_the_user_stay() -> None:
    command = read_options(Path("my.yaml"), ["--logger", "rich", "--cores", "1"]).command(WORKFLOW)
    assert command[-3:] == ["--logger", "rich", "platefuse"]
    assert command.count("--logger") == 1


def test_a_shipped_profile_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    shipped = str(CLONE / "profiles" / "slurm")
    assert after_snakefile("--profile", "slurm") == ["--profile", shipped]
    assert after_snakefile("--profile=slurm", "-n") == [f"--profile={shipped}", "-n"]
    for other in ("mine", "./slurm", "/etc"):
        assert after_snakefile("--profile", other) == ["--profile", other]
    (tmp_path / "config" / "snakemake" / "slurm").mkdir(parents=True)
    assert after_snakefile("--profile", "slurm") == ["--profile", "slurm"]


def test_a_profile_in_the_working_directory_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slurm").mkdir()
    assert after_snakefile("--profile", "slurm") == ["--profile", "slurm"]


def test_changes_of_the_config_are_merged_as_snakemake_does() -> None:
    given = {"plates": {"a": "a.zarr"}, "fusion": {"method": "max", "scatter": 2}}
    options = ["--config", "results=r2", "fusion={method: mean}", "-C", "on_bad_well=skip"]
    merged = read_options(Path("my.yaml"), options).merged(given)
    assert merged == {
        "plates": {"a": "a.zarr"}, "fusion": {"method": "mean", "scatter": 2},
        "results": "r2", "on_bad_well": "skip",
    }  # fmt: skip
    assert given["fusion"] == {"method": "max", "scatter": 2}


@pytest.mark.parametrize(
    "options", [["-d", "there"], ["--directory", "there"], ["--directory=there"]]
)
def test_the_working_directory(options: list[str]) -> None:
    assert read_options(Path("my.yaml"), options).folder == Path("there")


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        ("my.yaml", ["--configfile", "b.yaml"], "has its config already"),
        ("my.yaml", ["--config", "results"], "expected key=value"),
        ("my.yaml", ["--config", "results={"], "--config results={"),
        ("my.yaml", ["--config", "fusion={scatter: 3}"], "Write `fusion` into the config"),
        ("my.yaml", ["--config", "wells={include: [3]}"], "Write `wells` into the config"),
        ("my.yaml", ["other.yaml"], "my.yaml and other.yaml: one run has one config"),
    ],
)
def test_contradictions(config: str, options: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_options(Path(config), options)


def test_the_workflow_of_a_clone_and_of_a_wheel(tmp_path: Path) -> None:
    assert find_workflow(CLONE / "platefuse") == Workflow(CLONE)
    package = tmp_path / "platefuse"
    (package / PACKAGED).mkdir(parents=True)
    with pytest.raises(ConfigError, match="Install platefuse again"):
        find_workflow(package)
    (package / PACKAGED / "Snakefile").touch()
    assert find_workflow(package) == Workflow(package / PACKAGED)
