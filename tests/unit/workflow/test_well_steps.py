"""The steps of a well, and the job that does all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from platefuse.errors import SwapError
from platefuse.ngff.plate import Plate
from platefuse.records import ProcessedWell, Receipt
from platefuse.workflow.config.model import Config, read_config
from platefuse.workflow.well_steps import jobs_of, last_steps_of, process_well, steps_of

GIB = 2**30


def config(**given: Any) -> Config:
    return read_config({"plates": {"one": "p.zarr"}, **given})


FUSED = ["fuse_well", "check_well"]


@pytest.mark.parametrize(
    ("given", "steps", "last"),
    [
        (
            {},
            ["register_image", "copy_tables", "swap_image", "discard_backups", *FUSED],
            ["discard_backups", *FUSED],
        ),
        (
            {"registration": {"overwrite_input": False}},
            ["register_image", "copy_tables", "publish_registered", *FUSED],
            ["publish_registered", *FUSED],
        ),
        ({"registration": {"store": False}}, FUSED, FUSED),
        ({"registration": {"enabled": False}}, FUSED, FUSED),
        ({"registration": {"store": False}, "quality": {"enabled": False}}, FUSED[:1], FUSED[:1]),
        (
            {"fusion": {"enabled": False}},
            ["register_image", "copy_tables", "swap_image", "discard_backups"],
            ["discard_backups"],
        ),
    ],
    ids=str,
)
def test_steps_of_a_config(given: dict[str, Any], steps: list[str], last: list[str]) -> None:
    assert list(steps_of(config(**given))) == steps
    assert list(last_steps_of(config(**given))) == last


@pytest.mark.parametrize(
    ("given", "wells", "image_bytes", "jobs"),
    [
        ({}, 1, 0.99 * GIB, "well"),
        ({}, 7, GIB, "step"),
        ({}, 8, GIB, "well"),
        ({"fusion": {"scatter": 2}}, 384, 0, "step"),
        ({"fusion": {"scatter": 2}, "workflow": {"jobs": "well"}}, 1, GIB, "well"),
        ({"workflow": {"jobs": "step"}}, 384, 0, "step"),
        ({"workflow": {"jobs": "auto"}}, 384, 0, "well"),
    ],
    ids=str,
)
def test_jobs_of_a_run(given: dict[str, Any], wells: int, image_bytes: float, jobs: str) -> None:
    assert jobs_of(config(**given), wells, image_bytes) == jobs


@pytest.mark.parametrize(
    ("given", "jobs"),
    [({}, "step"), ({"workflow": {"jobs": "well"}}, "well")],
    ids=str,
)
def test_a_step_that_is_named_is_a_job_unless_the_config_says_otherwise(
    given: dict[str, Any], jobs: str
) -> None:
    assert jobs_of(config(**given), 384, 0, named="step") == jobs


@pytest.mark.parametrize(
    ("given", "jobs"),
    [
        ({}, "well"),
        ({"workflow": {"jobs": "step"}}, "step"),
        ({"fusion": {"scatter": 2}}, "step"),  # its parts are to run at the same time
    ],
    ids=str,
)
def test_jobs_of_a_run_on_a_cluster(given: dict[str, Any], jobs: str) -> None:
    assert jobs_of(config(**given), 1, GIB, on_nodes=True) == jobs


def test_steps_are_done_in_order_for_each_image_or_for_the_well(
    small_plate: Any, tmp_path: Path
) -> None:
    well = Plate.open(small_plate.path, ["0", "2"]).well("B", "02")
    asked: list[tuple[str, str | None]] = []

    def noting(step: str) -> Any:
        def do(image: str | None) -> Receipt:
            assert not list(tmp_path.rglob("*.json"))  # all at the end
            asked.append((step, image))
            return Receipt(time=f"{step} {image}")

        return do

    names = ("register_image", "swap_image", "fuse_well")
    receipt = process_well(well, {name: noting(name) for name in names}, tmp_path)
    assert asked == [
        ("register_image", "0"), ("register_image", "2"), ("swap_image", "0"), ("swap_image", "2"),
        ("fuse_well", None),
    ]  # fmt: skip
    paths = {str(p.relative_to(tmp_path)): Receipt.read(p).time for p in tmp_path.rglob("*.json")}
    assert paths == {
        f"{'' if image is None else f'{image}/'}{step}.json": f"{step} {image}"
        for step, image in asked
    }
    assert (receipt.well, receipt.images, tuple(receipt.steps)) == ("B/02", ("0", "2"), names)
    receipt.write(tmp_path / "own.json")
    assert ProcessedWell.read(tmp_path / "own.json") == receipt


def test_a_step_that_fails_leaves_no_receipt(small_plate: Any, tmp_path: Path) -> None:
    well, receipts = Plate.open(small_plate.path).well("B", "02"), tmp_path / "receipts"

    def fail(image: str | None) -> Receipt:
        raise SwapError(f"no room for {image}")

    steps = {"register_image": lambda image: Receipt(), "swap_image": fail}
    with pytest.raises(SwapError, match="no room for 0"):
        process_well(well, steps, receipts)
    assert not receipts.exists()
