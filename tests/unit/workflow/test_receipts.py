"""Which receipts jobs wait for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from platefuse.ngff.plate import Plate
from platefuse.workflow.config.model import read_config
from platefuse.workflow.receipts import Receipts, key_of
from tests.checks import wells_of

B02 = SimpleNamespace(plate="one", row="B", column="02")


@pytest.fixture
def plate(small_plate: Any) -> Plate:
    return Plate.open(small_plate.path, ["0", "2"])


def receipts(plate: Plate, **config: Any) -> Receipts:
    plates = {"one": plate, "other": plate}
    given = {"plates": dict.fromkeys(plates, "p.zarr"), "results": "r", **config}
    return Receipts(read_config(given), wells_of(plates))


def test_wells_are_in_the_order_of_the_config_and_the_plate(plate: Plate) -> None:
    wells = wells_of({"one": plate, "other": plate})
    names = ["one B/02", "one B/03", "other B/02", "other B/03"]
    assert [f"{name} {row}/{column}" for name, row, column in wells] == names
    assert wells[key_of(B02)].name == "B/02"


def test_the_first_swap_waits_for_all_tables_of_its_well_and_the_others_for_it(
    plate: Plate,
) -> None:
    first, last = (SimpleNamespace(**vars(B02), image=image) for image in "02")
    expected = ["r/one/B/02/0/copy_tables.json", "r/one/B/02/2/copy_tables.json"]
    assert receipts(plate).before_swap(first) == receipts(plate).copied_tables(B02) == expected
    assert receipts(plate).before_swap(last) == ["r/one/B/02/0/swap_image.json"]


def test_fusion_waits_for_what_registration_leaves(plate: Plate) -> None:
    swapped = ["r/one/B/02/0/swap_image.json", "r/one/B/02/2/swap_image.json"]
    assert receipts(plate).registered_well(B02) == receipts(plate).swapped_images(B02) == swapped
    beside = receipts(plate, registration={"overwrite_input": False})
    assert beside.registered_well(B02) == ["r/one/B/02/publish_registered.json"]
    assert receipts(plate, registration={"enabled": False}).registered_well(B02) == []


@pytest.mark.parametrize(("scatter", "parts"), [(1, []), (2, [0, 1]), (3, [0, 1, 2])])
def test_a_scattered_well_waits_for_its_parts(plate: Plate, scatter: int, parts: list[int]) -> None:
    expected = [f"r/one/B/02/fuse_part/{part}.json" for part in parts]
    assert receipts(plate, fusion={"scatter": scatter}).fused_parts(B02) == expected


def test_a_fused_plate_waits_for_its_own_wells(plate: Plate) -> None:
    expected = ["r/other/B/02/fuse_well.json", "r/other/B/03/fuse_well.json"]
    assert receipts(plate).fused_wells(SimpleNamespace(plate="other")) == expected


@pytest.mark.parametrize(
    ("config", "of_wells", "of_plates"),
    [
        ({}, "discard_backups", True),
        ({"registration": {"overwrite_input": False}}, "publish_registered", True),
        ({"registration": {"enabled": False}}, None, True),
        ({"fusion": {"enabled": False}}, "discard_backups", False),
    ],
    ids=str,
)
def test_a_run_ends_with(
    plate: Plate, config: dict[str, Any], of_wells: str | None, of_plates: bool
) -> None:
    wells = [f"r/{p}/B/{c}/{of_wells}.json" for p in ("one", "other") for c in ("02", "03")]
    rules = ("finish_fused_plate", "report_plate")
    plates = [f"r/{p}/{rule}.json" for rule in rules for p in ("one", "other")]
    assert receipts(plate, **config).final() == wells * bool(of_wells) + plates * of_plates


@pytest.mark.parametrize(
    ("quality", "last"),
    [
        ({"enabled": False}, "finish_fused_plate"),
        ({"on_flag": "warn"}, "report_plate"),
        ({"on_flag": "stop"}, "accept_plate"),
    ],
)
def test_a_checked_run_ends_with(plate: Plate, quality: dict[str, Any], last: str) -> None:
    assert receipts(plate, quality=quality).final()[-1] == f"r/other/{last}.json"


def of_wells(*steps: str) -> list[str]:
    return [
        f"r/{p}/B/{c}/{step}.json" for p in ("one", "other") for c in ("02", "03") for step in steps
    ]


def test_a_run_of_one_job_per_well_ends_with_the_receipts_of_these_jobs(plate: Plate) -> None:
    found = replace(receipts(plate), jobs="well")
    rules = ("finish_fused_plate", "report_plate")
    plates = [f"r/{plate}/{rule}.json" for rule in rules for plate in ("one", "other")]
    assert found.final() == of_wells("process_well") + plates
    assert found.fused_wells(B02) == [
        "r/one/B/02/process_well.json",
        "r/one/B/03/process_well.json",
    ]


@pytest.mark.parametrize("jobs", ["step", "well"])
def test_a_finished_well_stays_what_it_is(
    plate: Plate, jobs: Literal["step", "well"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole, steps = (tmp_path / "r" / "one" / "B" / column for column in ("02", "03"))
    for folder, names in (
        (whole, ("discard_backups", "fuse_well", "check_well", "process_well")),
        (steps, ("discard_backups", "fuse_well", "check_well")),
    ):
        folder.mkdir(parents=True)
        for name in names:
            (folder / f"{name}.json").touch()
    found = replace(receipts(plate), jobs=jobs)
    assert found.fused_wells(B02) == ["r/one/B/02/process_well.json", "r/one/B/03/fuse_well.json"]
    (steps / "fuse_well.json").unlink()  # not finished: what the config says
    last = "fuse_well" if jobs == "step" else "process_well"
    assert replace(found).fused_wells(B02)[1] == f"r/one/B/03/{last}.json"


def test_a_step_that_the_job_of_a_well_did_not_do_is_a_job(
    plate: Plate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake starts no job for an output that nothing waits for."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "r" / "one" / "B" / "02"
    folder.mkdir(parents=True)
    for name in ("fuse_well", "process_well"):
        (folder / f"{name}.json").touch()
    unchecked = {"registration": {"store": False}, "quality": {"enabled": False}}
    wells = [receipts(plate, **unchecked), receipts(plate, quality={"enabled": False})]
    was, now = (replace(found, jobs="well") for found in wells)
    assert was.fused_wells(B02)[0] == "r/one/B/02/process_well.json"
    assert now.fused_wells(B02)[0] == "r/one/B/02/fuse_well.json"
    assert now.final()[0] == "r/one/B/02/discard_backups.json"
    (folder / "discard_backups.json").touch()  # by its own job
    assert replace(now).fused_wells(B02)[0] == "r/one/B/02/fuse_well.json"
    (folder / "process_well.json").touch()  # one job did all
    assert replace(now).fused_wells(B02)[0] == "r/one/B/02/process_well.json"
