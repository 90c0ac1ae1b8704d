"""One job per step, or one per well: the same plates and receipts, and each continues the other."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from platefuse.ngff.plate import Plate
from platefuse.records import RegistrationRecord
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.swap import swap_image
from platefuse.storage.typed_json import object_of
from platefuse.testing import Truth, make_plate
from tests.fields_plate import FieldsPlate
from tests.raw_plate import RawPlate
from tests.workflow.conftest import TINY, Folder, fingerprint
from tests.workflow.test_measuring import MOSAIC
from tests.workflow.test_run import NOTHING

STEP: dict[str, Any] = {"workflow": {"jobs": "step"}}
WELL: dict[str, Any] = {"workflow": {"jobs": "well"}}
MEASURE = {"registration": {"measure": {"enabled": True}}}
MEASURE_ONLY = {"registration": {"store": False, "measure": {"enabled": True}}}


def content(folder: Folder) -> dict[str, object]:
    """Every file of the plates and every receipt, without times, durations and what jobs used."""
    return {
        str(file.relative_to(folder.path)): without_times(file)
        for name in ("*.zarr", "results")
        for root in folder.path.glob(name)
        for file in root.rglob("*")
        if file.is_file()
        and not {"logs", "benchmarks"} & set(file.parts)
        and file.name not in ("process_well.json", "report.html")  # this one tells the settings
    }


def plates_of(folder: Folder) -> dict[str, object]:
    """The same of the plates only, without files that a kill left half-written."""
    found = content(folder)
    return {
        name: found[name]
        for name in found
        if not name.startswith("results") and not re.search(r"/\.[^/]*\.[0-9a-f]{16}$", name)
    }


def without_times(file: Path) -> object:
    data = file.read_bytes()
    if file.suffix != ".json" and not file.name.startswith(".z"):
        return data

    def cleaned(value: object) -> object:
        if isinstance(value, dict):
            left_out = ("time", "newest_ns", "seconds", "command", "used")
            own = {k: v for k, v in value.items() if k not in left_out}
            # When the source was changed, which the copies of a test do not have in common.
            return {k: cleaned(v) for k, v in own.items() if k != "changed_ns"}
        return [cleaned(part) for part in value] if isinstance(value, list) else value

    return cleaned(json.loads(data))


def jobs(output: str) -> set[str]:
    """The rules of the jobs that were run."""
    return set(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", output, re.MULTILINE)) - {"all"}


def kill_when(folder: Folder, sign: str) -> None:
    """Start a run, and kill its process group when a file or folder of this pattern exists."""
    run = subprocess.Popen(
        folder.command("--quiet", "all"), cwd=folder.path, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(60_000):
            if any(folder.path.glob(sign)):
                break
            assert run.poll() is None, f"the run ended, and nothing was named {sign}"
            time.sleep(0.002)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    folder.succeed("--unlock")


def test_one_job_per_well_makes_what_one_per_step_makes(fresh: Folder, finished: Folder) -> None:
    fresh.configure(**WELL)
    assert jobs(fresh.succeed()) == {"process_well", "finish_fused_plate"}
    fresh.assert_exact()
    assert content(fresh) == content(finished)
    log = (fresh.results.parent / "logs/tiny/B/02/process_well.log").read_text()
    assert log.index("copy_tables of image 1") < log.index("swap_image of image 0")
    receipt = json.loads((fresh.results / "B/02/process_well.json").read_text())
    assert list(object_of(receipt["steps"])) == [
        "register_image", "copy_tables", "swap_image", "discard_backups", "fuse_well",
    ]  # fmt: skip
    assert NOTHING in fresh.succeed()


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(STEP, WELL), (WELL, STEP)], ids=["step", "well"])
def test_what_is_finished_in_one_mode_is_finished_in_the_other(
    fresh: Folder, first: dict[str, Any], second: dict[str, Any]
) -> None:
    fresh.configure(**first)
    fresh.succeed()
    before = fingerprint(fresh.path / "tiny.zarr")
    fresh.configure(**second)
    assert NOTHING in fresh.succeed()
    # A changed option reaches every well, and registers nothing again.
    fresh.configure(fusion={"method": "max"}, **second)
    assert jobs(fresh.succeed()) == {
        *(["fuse_well"] if first == STEP else ["process_well"]),
        "finish_fused_plate",
    }
    assert fingerprint(fresh.plate) == before
    fresh.assert_exact()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second", "sign"),
    [
        (STEP, WELL, "tiny.zarr.staging/B/02/0.original"),  # an image is swapped
        (STEP, WELL, "tiny_fused.zarr/B/02"),  # the first well is done
        (WELL, STEP, "tiny.zarr.staging/B/02/1/tables"),  # all images are registered
        (WELL, STEP, "tiny_fused.zarr.staging/B/02/0"),  # the well is being fused
    ],
    ids=["step, swapping", "step, fused", "well, registered", "well, fusing"],
)
def test_a_killed_run_is_continued_in_the_other_mode(
    fresh: Folder, finished: Folder, first: dict[str, Any], second: dict[str, Any], sign: str
) -> None:
    fresh.configure(**first)
    kill_when(fresh, sign)
    fresh.configure(**second)
    fresh.succeed()
    fresh.assert_exact()
    assert plates_of(fresh) == plates_of(finished)
    fresh.configure(**first)
    assert NOTHING in fresh.succeed()


@pytest.mark.parametrize("second", [STEP, WELL], ids=["step", "well"])
def test_a_measured_well_is_continued_after_one_of_its_images_was_swapped(
    fresh: Folder, second: dict[str, Any]
) -> None:
    """What is registered cannot be measured any more, and need not be: it was."""
    measured: dict[str, Any] = {"roi_table": "measured", "measure": {"enabled": True}}
    fresh.configure(registration=measured)
    fresh.succeed("--until", "copy_tables")
    well = Plate.open(fresh.plate).well("B", "02")
    swap_image(well.image("0"), RegistrationRequest("measured"))
    fresh.configure(registration=measured, **second)
    fresh.succeed()
    assert not list(fresh.path.glob("*.staging"))
    for image in well.read_again().images:
        assert RegistrationRecord.read(image.live) is not None
    assert NOTHING in fresh.succeed()


@pytest.mark.slow
def test_a_job_that_begins_again_leaves_no_receipt_of_before(fresh: Folder) -> None:
    """Receipts of a well that is not done must not be taken for those of single steps."""
    fresh.configure(**WELL)
    fresh.succeed()
    fresh.configure(fusion={"method": "max"}, **WELL)
    shutil.move(fresh.plate / "B/02/0/tables", fresh.path)
    assert "Error" in fresh.fail("--no-hooks", "results/tiny/B/02/process_well.json")
    well = fresh.results / "B" / "02"
    assert not [file.name for file in well.glob("*.json")]
    shutil.move(fresh.path / "tables", fresh.plate / "B/02/0")
    fresh.configure(fusion={"method": "max"}, **STEP)
    assert "fuse_well" in jobs(fresh.succeed())
    fresh.assert_exact()


@pytest.mark.slow
def test_a_step_that_is_asked_for_later_is_done(fresh: Folder) -> None:
    """The receipt of a well that one job did says nothing of steps that it was not to do."""
    fresh.configure(registration={"store": False}, quality={"enabled": False}, **WELL)
    fresh.succeed()
    fresh.configure(registration={"store": True}, quality={"enabled": True}, **WELL)
    assert {"swap_image", "discard_backups", "check_well"} < jobs(fresh.succeed())
    fresh.assert_exact()
    assert NOTHING in fresh.succeed()


def test_a_run_until_a_step_does_it_and_the_next_run_goes_on(fresh: Folder) -> None:
    """The jobs of wells that a config leaves to platefuse become the steps that are named."""
    fresh.configure(workflow={"jobs": "auto"})
    assert jobs(fresh.succeed("--until", "register_image")) == {"register_image"}
    assert jobs(fresh.succeed("--until", "register_image")) == set()
    assert jobs(fresh.succeed("--omit-from", "fuse_well")) == {
        "copy_tables", "swap_image", "discard_backups",
    }  # fmt: skip
    assert not fresh.fused.exists()
    assert jobs(fresh.succeed()) == {"process_well", "finish_fused_plate"}
    fresh.assert_exact()


def test_a_step_that_is_no_job_is_refused_in_one_message(fresh: Folder) -> None:
    """Snakemake would do nothing, or all that it was to leave out, and call it a success."""
    fresh.configure(**WELL)
    before = fingerprint(fresh.path)
    for option in ("--until", "--omit-from"):
        said = fresh.fail(option, "swap_image")
        assert f"{option} swap_image: with workflow.jobs: well" in said
        assert "Traceback" not in said
    assert fingerprint(fresh.plate) == {
        name.removeprefix("tiny.zarr/"): own
        for name, own in before.items()
        if name.startswith("tiny.zarr/")
    }
    assert not fresh.results.exists()


def test_a_well_that_fails_stops_no_other(fresh: Folder, finished: Folder) -> None:
    fresh.configure(**WELL)
    shutil.rmtree(fresh.plate / "B" / "02" / "1" / "tables" / "registered_FOV_ROI_table")
    said = fresh.fail("--no-hooks", "--keep-going")
    assert "registered_FOV_ROI_table" in said
    assert "Traceback" not in said
    fused, complete = content(fresh), content(finished)
    assert not any("fused.zarr/B/02" in name for name in fused)
    own = {name for name in complete if "B/03/" in name}
    assert {name: fused[name] for name in own} == {name: complete[name] for name in own}


def other_plate(tmp_path: Path, kind: str) -> dict[str, Any]:
    """Write a plate; return the config for it."""
    if kind == "measured, registered in the plate":
        make_plate(tmp_path / "p.zarr", replace(MOSAIC, wells=("B/03", "B/04")))
        return MEASURE
    if kind == "measured, in one pass":
        RawPlate(wells=("B/03", "B/04"), grid=(1, 2)).write(tmp_path / "p.zarr")
        return MEASURE_ONLY
    if kind == "beside the originals":
        make_plate(tmp_path / "p.zarr", TINY)
        return {"registration": {"overwrite_input": False}}
    if kind == "only registered":
        make_plate(tmp_path / "p.zarr", TINY)
        return {"fusion": {"enabled": False}, "registration": {"keep_originals": True}}
    if kind == "in parts":
        make_plate(tmp_path / "p.zarr", TINY)
        return {"fusion": {"scatter": 3}}
    FieldsPlate({"A/01": {0: 4, 1: 4}, "A/02": {0: 4}}).write(tmp_path / "p.zarr")
    return {"registration": {"enabled": False}}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "measured, registered in the plate",
        "measured, in one pass",
        "beside the originals",
        "only registered",
        "in parts",
        "fields",
    ],
)
def test_both_make_the_same_of_every_kind_of_plate(tmp_path: Path, kind: str) -> None:
    config = other_plate(tmp_path / "plate", kind)
    made = {}
    for name, mode in (("step", STEP), ("well", WELL)):
        folder = Folder(tmp_path / name, Truth(TINY))
        shutil.copytree(tmp_path / "plate", folder.path)
        (folder.path / "config.yaml").write_text(
            yaml.safe_dump({"plates": {"p": "p.zarr"}, **config, **mode})
        )
        ran = jobs(folder.succeed())
        assert ("process_well" in ran) == (name == "well")
        if "measure" in kind:
            assert {"measure_well", "solve_plate"} < ran
        made[name] = content(folder)
        if kind == "only registered":
            made[name] |= fingerprints_of_backups(folder)
    parts = {name for name in made["step"] if "fuse_part" in name}
    assert bool(parts) == (kind == "in parts")
    assert {k: v for k, v in made["step"].items() if k not in parts} == made["well"]


def fingerprints_of_backups(folder: Folder) -> dict[str, object]:
    """Digests of the kept originals; of the notes about them the names, for they have times."""
    found = fingerprint(folder.path / "p.zarr.staging")
    assert found
    return {
        f"staging {name}": None if name.endswith(".kept.json") else digest
        for name, (digest, _) in found.items()
    }
