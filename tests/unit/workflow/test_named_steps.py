"""Steps that are named for Snakemake are jobs of the run, or the run says that they are not."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any, Literal

import pytest

from platefuse.errors import ConfigError
from platefuse.ngff.plate import Plate
from platefuse.workflow.config.model import read_config
from platefuse.workflow.named_steps import NamedSteps
from platefuse.workflow.receipts import Receipts
from platefuse.workflow.well_steps import STEPS, last_steps_of, steps_of


def parse(words: list[str]) -> tuple[Any, Namespace]:
    """Snakemake's parser; where it is not installed, one that refuses all words."""
    try:
        from snakemake.cli import parse_args
    except ImportError:
        raise SystemExit(2) from None
    found: tuple[Any, Namespace] = parse_args(words)
    return found


@pytest.mark.parametrize(
    ("words", "jobs"),
    [
        ("", None),
        ("--until register_image", "step"),
        ("results/a.json --cores 2 -U register_image -n", "step"),
        ("--omit-from check_well --keep-going", "step"),
        ("--until=fuse_well", "step"),
        ("--until measure_well --omit-from report_plate", None),
        ("--until process_well", "well"),
        ("--until kind2_process_well", "well"),
        ("-O fuse_well process_well", None),
        ("--until fuse_well --omit-from check_well", "step"),
        ("--forcerun fuse_well", None),
        ("--force fuse_well", None),
        ("--until a_rule_of_another_workflow", None),
    ],
)
def test_jobs_follow_what_is_named(words: str, jobs: str | None) -> None:
    assert NamedSteps.of(words.split(), parse).jobs == jobs


@pytest.mark.parametrize("option", ["--profile", "--workflow-profile"])
@pytest.mark.parametrize(
    ("profile", "words", "jobs"),
    [
        ("until: [register_image]", "", "step"),
        ("until: register_image", "--cores 2", "step"),
        ("omit-from: [process_well]", "", "well"),
        ("until: [register_image]", "--until process_well", "well"),  # the command line wins
        ("cores: 2", "--unti register_image", "step"),
    ],
)
def test_a_profile_names_steps_too(
    profile: str, words: str, jobs: str, option: str, tmp_path: Path
) -> None:
    pytest.importorskip("snakemake")
    (tmp_path / "config.yaml").write_text(profile)
    assert NamedSteps.of([option, str(tmp_path), *words.split()], parse).jobs == jobs


def test_a_profile_that_is_not_found_hides_no_step() -> None:
    words = "--profile of_another_folder --directory there --until register_image"
    assert NamedSteps.of(words.split(), parse).jobs == "step"


def receipts(plate: Path, results: Path, jobs: Literal["step", "well"], *, done: str) -> Receipts:
    """Receipts of a run of which some wells are done by a job for each."""
    config = read_config({"plates": {"p": str(plate)}, "results": str(results)})
    opened = Plate.open(plate)
    wells = {("p", well.row, well.column): opened.well(well.row, well.column)
             for well in opened.wells}  # fmt: skip
    for well in done.split():
        folder = results / "p" / well
        folder.mkdir(parents=True)
        for step in (*last_steps_of(config), "process_well"):
            (folder / f"{step}.json").write_text("{}")
    return Receipts(config, wells, jobs)


@pytest.mark.parametrize(
    ("words", "jobs", "done", "message"),
    [
        ("--until register_image", "well", "", "--until register_image: with workflow.jobs"),
        ("--until register_image", "well", "B/02", "--until register_image: "),
        ("--omit-from swap_image", "well", "", "--omit-from swap_image: .* process_well"),
        ("--forcerun fuse_well", "step", "B/02", r"fuse_well: .*done \(p B/02\)\. Name it"),
        ("--until register_image", "step", "", None),
        ("--until process_well register_image", "well", "", None),
        ("--until fuse_well", "well", "B/02 B/03", None),  # nothing is left to do
        ("--forcerun fuse_well", "well", "", None),  # all steps are done anyway
        ("--forcerun fuse_well process_well", "well", "B/02", None),
        ("--until measure_well", "well", "", None),
    ],
)
def test_a_step_in_the_job_of_a_well_is_not_passed_over(
    small_plate: Any,
    tmp_path: Path,
    words: str,
    jobs: Literal["step", "well"],
    done: str,
    message: str | None,
) -> None:
    named = NamedSteps.of(words.split(), parse)
    asked = receipts(small_plate.path, tmp_path / "results", jobs, done=done)
    if message is None:
        named.check(asked)
        return
    with pytest.raises(ConfigError, match=message):
        named.check(asked)


def test_every_step_of_a_config_is_known() -> None:
    for registration in ({}, {"overwrite_input": False}):
        config = read_config({"plates": {"p": "p.zarr"}, "registration": registration})
        assert set(steps_of(config)) <= STEPS
