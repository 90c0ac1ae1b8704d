"""Tests of dry runs: the planned jobs, and the errors. None of them writes anything."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from platefuse.testing import PlateSpec, make_plate
from tests.workflow.conftest import CLONE, Folder, fingerprint


def planned(output: str) -> dict[str, int]:
    """Return the number of jobs of each rule, from the table at the head of a plan."""
    table = output.split("Job stats:")[1].split("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def plan(folder: Folder, **config: Any) -> dict[str, int]:
    folder.configure(**config)
    return planned(folder.succeed("--dry-run", "--quiet", "rules"))


def test_each_image_is_registered_and_each_well_fused(fresh: Folder) -> None:
    assert plan(fresh) == {
        "all": 1,
        "register_image": 4,
        "copy_tables": 4,
        "swap_image": 4,
        "discard_backups": 2,
        "fuse_well": 2,
        "finish_fused_plate": 1,
    }


def test_one_job_publishes_the_images_of_a_well(fresh: Folder) -> None:
    assert plan(fresh, registration={"overwrite_input": False}) == {
        "all": 1,
        "register_image": 4,
        "copy_tables": 4,
        "publish_registered": 2,
        "fuse_well": 2,
        "finish_fused_plate": 1,
    }


def test_without_registration_wells_are_fused(fresh: Folder) -> None:
    jobs = plan(fresh, registration={"enabled": False})
    assert jobs == {"all": 1, "fuse_well": 2, "finish_fused_plate": 1}


def test_without_fusion_wells_are_registered(fresh: Folder) -> None:
    jobs = plan(fresh, fusion={"enabled": False})
    assert set(jobs) == {"all", "register_image", "copy_tables", "swap_image", "discard_backups"}


def test_every_plate_is_planned(fresh: Folder) -> None:
    shutil.copytree(fresh.plate, fresh.path / "other.zarr")
    plates = {"tiny": "tiny.zarr", "other": "other.zarr"}
    assert plan(fresh, plates=plates)["register_image"] == 8


def test_names_may_have_dots_dashes_and_spaces(tmp_path: Path, unrun: Folder) -> None:
    spec = PlateSpec(wells=("A/01",), pixels=False)
    folder = Folder(tmp_path, make_plate(tmp_path / "tiny.zarr", spec))
    well = folder.plate / "A" / "01"
    (well / "2").rename(well / "2_illum-corr v1.2")
    rename_image(well, "2", "2_illum-corr v1.2")
    assert plan(folder, registration={"reference_acquisition": 0})["register_image"] == 3


def rename_image(well: Path, old: str, new: str) -> None:
    text = (well / ".zattrs").read_text()
    attributes = json.loads(text)
    for image in attributes["well"]["images"]:
        image["path"] = new if image["path"] == old else image["path"]
    (well / ".zattrs").write_text(json.dumps(attributes))


REFUSED = {
    "unknown key": ({"fusion": {"tile_tabel": "x"}}, ["config.fusion", "'tile_tabel'"]),
    "wrong type": ({"registration": {"enabled": "yes please"}}, ["config.registration.enabled"]),
    "unquoted version": ({"fusion": {"ngff_version": 0.4}}, ["ngff_version", "quotes"]),
    "scatter": ({"fusion": {"scatter": 0}}, ["config.fusion.scatter"]),
    "images away": ({"images": ["nine"]}, ["config.images", "nine"]),
    "nothing to do": (
        {"fusion": {"enabled": False}, "registration": {"enabled": False}},
        ["nothing to do"],
    ),
    "plate missing": ({"plates": {"tiny": "away.zarr"}}, ["away.zarr", "no such plate"]),
    "not a plate": ({"plates": {"tiny": "tiny.zarr/B"}}, ["tiny.zarr/B", "not an OME-Zarr"]),
    "plate twice": (
        {"plates": {"tiny": "tiny.zarr", "again": "./tiny.zarr"}},
        ["config.plates.tiny", "config.plates.again"],
    ),
    "one output for two": (
        {"plates": {"tiny": "tiny.zarr", "b": "b.zarr"}, "fusion": {"output": "f.zarr"}},
        ["config.fusion.output"],
    ),
    "results in a plate": ({"results": "tiny.zarr/results"}, ["config.results", "tiny.zarr"]),
    "results in the fused plate": (
        {"results": "tiny_fused.zarr"},
        ["config.results", "config.fusion.output", "tiny_fused.zarr"],
    ),
    "results is a file": ({"results": "tiny.zarr/.zattrs"}, ["config.results", "is a file"]),
    "output is the plate": (
        {"fusion": {"output": "B/../tiny.zarr"}},
        ["config.plates.tiny", "config.fusion.output", "Choose separate folders"],
    ),
    "output in the plate": (
        {"fusion": {"output": "tiny.zarr/B/f.zarr"}},
        ["config.plates.tiny", "config.fusion.output", "Choose separate folders"],
    ),
    "output around the plate": (
        {"fusion": {"output": "."}},
        ["config.plates.tiny", "config.fusion.output", "Choose separate folders"],
    ),
    "plate in a plate": (
        {"plates": {"tiny": "tiny.zarr", "again": "tiny.zarr/B/.."}},
        ["config.plates.tiny", "config.plates.again", "Choose separate folders"],
    ),
    "number as a name": (
        {"plates": {20240101: "tiny.zarr"}},
        ["config.plates", "20240101", "quotes"],
    ),
    "reference absent": (
        {"registration": {"reference_acquisition": 7}},
        ["tiny.zarr/B/02", "acquisition 7", "[0, 1]"],
    ),
}


@pytest.mark.parametrize(("config", "words"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_message(fresh: Folder, config: dict[str, Any], words: list[str]) -> None:
    before = fingerprint(fresh.plate)
    fresh.configure(**config)
    output = fresh.fail("--dry-run")
    assert output.count("Error") == 1, output
    assert "Traceback" not in output
    for word in words:
        assert word in output, output
    assert fingerprint(fresh.plate) == before


def test_a_dry_run_with_no_core_is_refused(unrun: Folder) -> None:
    output = unrun.fail("--dry-run", "--cores", "0")
    assert "--cores is 0; expected a whole number above 0, or all." in output
    assert "ZeroDivisionError" not in output


def test_a_key_that_occurs_twice_is_refused_in_one_message(fresh: Folder) -> None:
    (fresh.path / "config.yaml").write_text(
        "plates:\n  tiny: tiny.zarr\nfusion:\n  method: max\nplates:\n  other: other.zarr\n"
    )
    said = fresh.fail("--dry-run")
    assert "config.plates is in line 1 and again in line 5" in said
    (fresh.path / "config.yaml").write_text("plates: {tiny: tiny.zarr, tiny: other.zarr}\n")
    assert "config.plates.tiny is in line 1 and again in line 1" in fresh.fail("--dry-run")


def test_two_plates_are_never_fused_to_one(fresh: Folder) -> None:
    shutil.copytree(fresh.plate, fresh.path / "tiny")
    fresh.configure(plates={"a": "tiny.zarr", "b": "tiny"})
    output = fresh.fail("--dry-run")
    assert "the fused plate of config.plates.a" in output
    assert "the fused plate of config.plates.b" in output


def test_a_plate_without_the_metadata_of_an_array_is_refused_in_one_message(fresh: Folder) -> None:
    (fresh.plate / "B" / "02" / "0" / "0" / ".zarray").unlink()
    before = fingerprint(fresh.plate)
    output = fresh.fail("--cores", "1")
    assert "Traceback" not in output
    assert "B/02/0/0" in output
    assert fingerprint(fresh.plate) == before


def test_the_clone_is_linted_without_a_plate(tmp_path: Path) -> None:
    folder = Folder(tmp_path, None)  # type: ignore[arg-type]
    folder.configure(plates={"tiny": "away.zarr"})
    assert "Congratulations" in folder.succeed("--lint")


@pytest.mark.parametrize("words", [("--unlock",), ("--unl",), ("--cleanup-metadata", "a.json")])
def test_locks_and_metadata_are_removed_without_a_plate(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    folder = Folder(tmp_path, None)  # type: ignore[arg-type]
    folder.configure(plates={"tiny": "away.zarr"}, on_bad_well="skip", input={"positions": "x.tsv"})
    output = folder.snakemake(*words).stdout
    assert "away.zarr" not in output
    expected = (
        "Unlocked working directory" if "--unl" in words[0] else "Failed to clean up metadata"
    )
    assert expected in output


def test_slurm_is_found_as_typed_in_a_clone() -> None:
    assert (CLONE / "slurm" / "config.yaml").samefile(CLONE / "profiles" / "slurm" / "config.yaml")


def test_few_large_wells_are_planned_for_a_cluster_or_for_one_machine(fresh: Folder) -> None:
    level = fresh.plate / "B" / "02" / "0" / "0" / ".zarray"
    array = json.loads(level.read_text())
    array["shape"][-2:] = [2**15, 2**15]
    level.write_text(json.dumps(array))
    one = {"registration": {"enabled": False}}  # labels and tables are those of the small image
    assert "fuse_well" in plan(fresh, workflow={"jobs": "auto"}, **one)
    on_slurm = fresh.succeed("--dry-run", "--profile", str(CLONE / "profiles" / "slurm"))
    assert "process_well" in planned(on_slurm)
    fresh.configure(workflow={"jobs": "step"}, **one)
    on_slurm = fresh.succeed("--dry-run", "--profile", str(CLONE / "profiles" / "slurm"))
    assert "fuse_well" in planned(on_slurm)
