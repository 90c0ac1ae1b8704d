"""Tests of real runs: the results, and the files that a second run does not change."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.truth import assert_fused
from tests.workflow.conftest import CLONE, Folder, fingerprint

NOTHING = "Nothing to be done"


def test_a_run_is_exact_and_leaves_nothing_in_staging(finished: Folder) -> None:
    finished.assert_exact()


def test_every_job_leaves_a_receipt_a_log_and_a_benchmark(finished: Folder) -> None:
    results = finished.path / "results"
    receipts = {file.relative_to(results).with_suffix("") for file in results.rglob("*.json")}
    logs = {file.relative_to(results / "logs").with_suffix("") for file in results.rglob("*.log")}
    benchmarks = {
        file.relative_to(results / "benchmarks").with_suffix("") for file in results.rglob("*.tsv")
    }
    assert len(receipts) == 17
    assert logs == benchmarks == receipts
    for file in results.rglob("*.json"):
        assert {"platefuse_version", "time"} < set(json.loads(file.read_text()))
    assert all("done" in file.read_text() for file in results.rglob("*.log"))


def test_a_second_run_has_nothing_to_do(done: Folder) -> None:
    before = fingerprint(done.path / "tiny.zarr")
    assert NOTHING in done.succeed()
    assert fingerprint(done.plate) == before


def test_a_forced_run_moves_nothing_twice(done: Folder) -> None:
    before = fingerprint(done.plate)
    done.succeed("--forceall")
    assert fingerprint(done.plate) == before
    done.assert_exact()


def test_deleted_results_move_nothing_twice(done: Folder) -> None:
    before = fingerprint(done.plate)
    shutil.rmtree(done.path / "results")
    shutil.rmtree(done.path / ".snakemake")
    done.succeed()
    assert fingerprint(done.plate) == before
    done.assert_exact()


@pytest.mark.slow
def test_a_touched_script_moves_nothing_twice(done: Folder, tmp_path: Path) -> None:
    clone = copy_clone(tmp_path / "clone")
    for script in (clone / "scripts").glob("*.py"):
        script.write_text(f"{script.read_text()}\n# a comment\n")
    before = fingerprint(done.plate)
    assert NOTHING in done.succeed(clone=clone)
    assert "register_image" in done.succeed("--rerun-triggers", "code", "mtime", clone=clone)
    assert fingerprint(done.plate) == before


def copy_clone(target: Path) -> Path:
    target.mkdir()
    for name in ("workflow", "scripts", "profiles", "platefuse"):
        shutil.copytree(CLONE / name, target / name)
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(CLONE / name, target)
    return target


@pytest.mark.parametrize("forget", [False, True], ids=["known", "results deleted"])
def test_another_roi_table_is_refused(done: Folder, forget: bool) -> None:
    before = fingerprint(done.plate)
    if forget:
        shutil.rmtree(done.path / "results")
        shutil.rmtree(done.path / ".snakemake")
    done.configure(registration={"roi_table": "FOV_ROI_table"})
    output = done.fail()
    assert "registered_FOV_ROI_table" in output
    assert "Traceback" not in output
    assert fingerprint(done.plate) == before


def test_changed_fusion_fuses_again_and_registers_nothing(done: Folder) -> None:
    before = fingerprint(done.plate)
    done.configure(fusion={"method": "max"})
    output = done.succeed()
    assert "fusing" in output
    assert "registering" not in output
    assert fingerprint(done.plate) == before


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["step", "well"])
def test_an_acquisition_that_was_added_is_fused_by_the_next_run(fresh: Folder, jobs: str) -> None:
    """The next cycle of a plate: `everything is done` would be silent and wrong."""
    well = fresh.plate / "B" / "02"
    listed = json.loads((well / ".zattrs").read_text())
    second = listed["well"]["images"].pop()
    whole = (well / ".zattrs").read_text()
    fresh.configure(registration={"store": False}, workflow={"jobs": jobs})
    (well / ".zattrs").write_text(json.dumps(listed))
    (well / second["path"]).rename(fresh.path / "later")
    fresh.succeed()
    assert not (fresh.fused / "B" / "02" / second["path"]).exists()
    other = fingerprint(fresh.fused / "B" / "03")
    (well / ".zattrs").write_text(whole)
    (fresh.path / "later").rename(well / second["path"])
    assert "list other images than when they were done: tiny B/02" in fresh.succeed("--dry-run")
    fresh.succeed()
    for image in ("0", "1"):
        assert_fused(fresh.fused, fresh.truth, "B/02", image)
    assert fingerprint(fresh.fused / "B" / "03") == other
    assert NOTHING in fresh.succeed()


def test_a_bad_table_in_the_last_well_leaves_every_well_untouched(fresh: Folder) -> None:
    last = fresh.plate / fresh.truth.spec.wells[-1]
    shutil.rmtree(last / "1" / "tables" / "registered_FOV_ROI_table")
    before = fingerprint(fresh.path)
    output = fresh.fail()
    assert f"{last.relative_to(fresh.path)}/1" in output
    assert "registered_FOV_ROI_table" in output
    assert "Traceback" not in output
    after = fingerprint(fresh.path)
    assert {name: after[name] for name in before} == before
    assert [path.name for path in fresh.results.iterdir()] == ["bad_wells.tsv"]
    assert not list(fresh.path.glob("*.staging"))


def test_a_failed_job_says_why_and_changes_nothing(fresh: Folder) -> None:
    shutil.rmtree(fresh.plate / "B" / "02" / "1" / "tables" / "registered_FOV_ROI_table")
    before = fingerprint(fresh.plate)
    receipt = "results/tiny/B/02/1/register_image.json"
    output = fresh.fail("--no-hooks", receipt)
    message = "registered_FOV_ROI_table"
    assert message in output
    assert "Traceback" not in output
    assert message in (fresh.results.parent / "logs/tiny/B/02/1/register_image.log").read_text()
    assert not (fresh.path / receipt).exists()
    assert fingerprint(fresh.plate) == before


@pytest.mark.slow
def test_images_beside_the_originals(fresh: Folder) -> None:
    before = fingerprint(fresh.plate)
    fresh.configure(registration={"overwrite_input": False})
    fresh.succeed()
    fresh.assert_exact(beside=True)
    after = fingerprint(fresh.plate)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {f"{well}/.zattrs" for well in fresh.truth.spec.wells}
    assert NOTHING in fresh.succeed()


@pytest.mark.slow
def test_kept_originals_go_only_when_somebody_says_so(fresh: Folder) -> None:
    fresh.configure(registration={"keep_originals": True}, fusion={"enabled": False})
    before = fingerprint(fresh.plate)
    assert "the originals that no run keeps (keep_originals: True)" in fresh.succeed()
    staging = fresh.path / "tiny.zarr.staging"
    kept = {name: state for name, state in fingerprint(staging).items() if ".original/" in name}
    assert kept == {name: before[backed_up(name)] for name in kept}
    assert len(kept) > 100
    fresh.configure(fusion={"method": "max"})
    output = fresh.succeed()
    assert "the originals that no run keeps (keep_originals: False)" in output
    assert "4 originals are kept" in output
    now = fingerprint(staging)
    assert kept.items() <= now.items()
    assert len(now) == len(kept) + 4  # and their marks
    receipt = json.loads((fresh.results / "B" / "02" / "discard_backups.json").read_text())
    assert (len(receipt["backups_kept"]), receipt["backups_removed"]) == (2, [])
    command = [sys.executable, "-m", "platefuse", "clean", "--originals", "tiny.zarr"]
    subprocess.run(
        command, cwd=fresh.path, env={**os.environ, "PYTHONPATH": str(CLONE)}, check=True
    )
    fresh.assert_exact()


def backed_up(name: str) -> str:
    """Return the path in the plate of a file in staging, ``B/02/1.original/0/.zarray``."""
    return name.replace(".original", "", 1)


@pytest.mark.slow
def test_plates_and_wells_one_after_the_other(fresh: Folder) -> None:
    shutil.copytree(fresh.plate, fresh.path / "other.zarr")
    fresh.configure(plates={"tiny": "tiny.zarr", "other": "other.zarr"})
    output = fresh.succeed()
    fresh.assert_exact("tiny")
    fresh.assert_exact("other")
    begun = re.findall(r"^Job \d+: (\w+ \w+/\w+): (\w+)", output, re.MULTILINE)
    wells = list(dict.fromkeys(well for well, _ in begun))
    assert wells == ["tiny B/02", "tiny B/03", "other B/02", "other B/03"]
    for earlier, later in zip(wells, wells[2:], strict=False):
        assert begun.index((earlier, "checking")) < begun.index((later, "registering"))


def test_a_report_can_be_made(done: Folder) -> None:
    done.succeed("--report", "report.html")
    assert "Registration" in (done.path / "report.html").read_text()


def test_a_scattered_well_is_the_same_byte_for_byte(done: Folder) -> None:
    fused = done.path / "tiny_fused.zarr"
    expected = chunks(fused)
    shutil.rmtree(fused)
    # ids are already consistent, so merging them, which every part does separately, has no effect
    done.configure(fusion={"scatter": 3, "merge_labels": 0.5})
    output = done.succeed("--forcerun", "fuse_part")
    assert "fusing part 2" in output
    assert chunks(fused) == expected
    done.assert_exact()


def chunks(plate: Path) -> dict[Path, bytes]:
    """Return the content of every chunk of a plate; attributes are left out, they hold times."""
    names = (".zattrs", ".zarray", ".zgroup", "zarr.json")
    files = (file for file in plate.rglob("*") if file.is_file() and file.name not in names)
    return {file.relative_to(plate): file.read_bytes() for file in files}
