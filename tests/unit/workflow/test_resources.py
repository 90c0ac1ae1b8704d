"""Priority, threads, memory, disk and time of jobs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platefuse.ngff.plate import Plate, Well
from platefuse.testing import PlateSpec, make_plate
from platefuse.workflow.config import Config, read_config
from platefuse.workflow.receipts import WellKey
from platefuse.workflow.resources import GIB, MIB, STEPS, JobResources, Size, image_size
from tests.checks import wells_of

SPEC = PlateSpec(wells=("B/02", "B/03"), pixels=False, tables=())


class Job:
    """The wildcards of a job."""

    plate, row, column = "one", "B", "02"

    def __init__(self, **more: str) -> None:
        self.more = more

    def get(self, name: str, default: Any = None) -> Any:
        return self.more.get(name, default)


def config(**given: Any) -> Config:
    return read_config({"plates": {"one": "p.zarr"}, **given})


def resized(well: Well, image: str, **changes: Any) -> None:
    file = well.path / image / "0" / ".zarray"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.fixture
def wells(tmp_path: Path) -> dict[WellKey, Well]:
    """Wells with an image of 4 MiB in chunks of 1 MiB, and one of 2 MiB in one chunk."""
    make_plate(tmp_path / "p.zarr", replace(SPEC, acquisitions=SPEC.acquisitions[:2]))
    plate = Plate.open(tmp_path / "p.zarr")
    for well in plate.read_wells():
        resized(well, "0", shape=[1, 1, 1024, 2048], chunks=[1, 1, 512, 1024], dtype="<u2")
        resized(well, "1", shape=[1, 1, 1024, 2048], chunks=[1, 1, 1024, 2048], dtype="|u1")
    return wells_of({"one": plate})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_size_of_an_image(tmp_path: Path, version: str) -> None:
    shards = (1, 1, 64, 64) if version == "0.5" else ()
    spec = replace(SPEC, chunks=(1, 1, 32, 64), shards=shards, ngff_version=version)
    make_plate(tmp_path / "p.zarr", spec)
    pixels = (2 if spec.channels else 1) * 1000
    size = image_size(tmp_path / "p.zarr" / "B" / "02" / "0")
    # A shard is decoded as a whole, so it counts as the chunk.
    assert (size.chunk, size.pixel) == (2 * 64 * (64 if shards else 32), 2)
    assert size.total % 2 == 0
    assert size.total > pixels


@pytest.mark.parametrize("damage", [{"dtype": "object"}, {"shape": None}, {"chunks": "x"}])
def test_an_image_that_cannot_be_read_counts_as_empty(
    wells: dict[WellKey, Well], damage: dict[str, Any]
) -> None:
    well = next(iter(wells.values()))
    resized(well, "0", **damage)
    assert image_size(well.path / "0") == Size()
    assert image_size(well.path / "no image") == Size()


def test_a_link_out_of_the_plate_is_not_followed(wells: dict[WellKey, Well]) -> None:
    well = wells["one", "B", "02"]
    (well.path / "0").rename(well.plate.parent / "away")
    (well.path / "0").symlink_to(well.plate.parent / "away")
    assert JobResources(config(), wells).disk_mb(Job(image="0")) == 1


def test_later_steps_and_earlier_wells_come_first(wells: dict[WellKey, Well]) -> None:
    resources, later = JobResources(config(), wells), Job()
    later.column = "03"
    ranks = [resources.priority(job, step) for job in (later, Job()) for step in STEPS]
    assert ranks == list(range(2 * len(STEPS)))
    assert resources.priority(Job(), "finish_fused_plate") == 2 * len(STEPS)


@pytest.mark.parametrize(("gib", "threads"), [(0.1, 1), (1.4, 1), (1.6, 2), (8, 8), (20, 8)])
def test_a_thread_for_each_gib(wells: dict[WellKey, Well], gib: float, threads: int) -> None:
    resized(wells["one", "B", "02"], "0", shape=[1, 1, round(gib * 2**10), 2**20], dtype="|u1")
    assert JobResources(config(), wells).threads == threads


def test_a_job_for_a_well_has_a_thread_for_each_gib_of_its_images(
    wells: dict[WellKey, Well],
) -> None:
    for image in "01":
        shape = [1, 1, round(1.4 * 2**10), 2**20]
        resized(wells["one", "B", "02"], image, shape=shape, dtype="|u1")
    resources = JobResources(config(), wells)
    assert (resources.threads, resources.well_threads) == (1, 3)


def test_threads_without_a_plate() -> None:
    assert JobResources(config(), {}).threads == JobResources(config(), {}).well_threads == 1


def test_memory_follows_the_largest_chunk(wells: dict[WellKey, Well]) -> None:
    resources = JobResources(config(), wells)
    assert resources.memory_mb(Job(image="0"), 1, 1) == 800 + 24
    assert resources.memory_mb(Job(image="1"), 1, 1) == 800 + 48
    assert resources.memory_mb(Job(), threads=3, attempt=2) == 2 * (800 + 3 * 48)


@pytest.mark.parametrize(
    ("fusion", "megabytes"),
    [
        ({"output_chunksize": {"y": 16, "x": 16}}, 48),  # the chunk of 2 MiB is larger
        ({"output_chunksize": {"z": 2, "y": 1024, "x": 1024}}, 24 * 4),
        ({"ngff_version": "0.5", "shards": {"y": 4096, "x": 2048}}, 24 * 16),
        ({"output_chunksize": {"y": 1024, "x": 1024}, "weights": "content_based"}, 100 * 2),
    ],
    ids=str,
)
def test_memory_of_fusion_follows_the_tiles(
    wells: dict[WellKey, Well], fusion: dict[str, Any], megabytes: int
) -> None:
    resources = JobResources(config(fusion=fusion), wells)
    assert resources.fusion_memory_mb(Job(), 1, 1) == 800 + megabytes
    assert resources.fusion_memory_mb(Job(), 2, 3) == 3 * (800 + 2 * megabytes)


def test_disk_and_time_follow_the_pixels(wells: dict[WellKey, Well]) -> None:
    resources = JobResources(config(), wells)
    assert resources.disk_mb(Job()) == round(1.4 * 6) + 1
    assert resources.disk_mb(Job(image="1")) == round(1.4 * 2) + 1
    assert resources.runtime_min(Job(), threads=1, attempt=1) == 10
    assert resources.well_runtime_min(Job(), threads=1, attempt=1) == 20
    resized(wells["one", "B", "03"], "0", shape=[1, 1, 2**12, 2**20], dtype="|u1")
    far = Job(image="0")
    far.column = "03"
    assert resources.runtime_min(far, threads=2, attempt=3) == 3 * (10 + 10 * 4 / 2)
    assert 4 * GIB == 4096 * MIB
