"""Priority, threads, memory, disk and time of jobs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.testing import PlateSpec, make_plate
from platefuse.workflow.config.model import Config, read_config
from platefuse.workflow.receipts import WellKey
from platefuse.workflow.resources.jobs import GIB, MIB, STEPS, JobResources
from platefuse.workflow.resources.memory import (
    AFTER_OTHERS,
    FINISHED_PLATE_MB,
    MB,
    METADATA_MB,
    SPARE,
    TABLE_MODULES,
    TABLES_MB,
    TILE,
)
from tests.checks import wells_of

SPEC = PlateSpec(wells=("B/02", "B/03"), pixels=False, tables=(), labels=())


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
    """Wells with an image of 16 MiB in chunks of 4 MiB, and one of 8 MiB in one chunk."""
    make_plate(tmp_path / "p.zarr", replace(SPEC, acquisitions=SPEC.acquisitions[:2]))
    plate = Plate.open(tmp_path / "p.zarr")
    for well in plate.read_wells():
        resized(well, "0", shape=[1, 1, 2048, 4096], chunks=[1, 1, 1024, 2048], dtype="<u2")
        resized(well, "1", shape=[1, 1, 2048, 4096], chunks=[1, 1, 2048, 4096], dtype="|u1")
    return wells_of({"one": plate})


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


def test_memory_of_registration_follows_the_largest_chunk(wells: dict[WellKey, Well]) -> None:
    resources = JobResources(config(), wells)
    one, two = (resources.registering_mb(Job(image=image), 1, 1) for image in "01")
    assert one < two
    assert resources.registering_mb(Job(), 1, 1) >= two
    three = resources.registering_mb(Job(image="1"), threads=3, attempt=1)
    assert three - two == pytest.approx(2 * SPARE * TILE * 8 * MIB / MB, abs=1)
    assert resources.registering_mb(Job(image="1"), threads=3, attempt=2) == 2 * three


def test_memory_and_disk_of_labels_count(tmp_path: Path) -> None:
    make_plate(tmp_path / "p.zarr", replace(SPEC, labels=("nuclei",)))
    wells = wells_of({"one": Plate.open(tmp_path / "p.zarr")})
    label = wells["one", "B", "03"].path / "0" / "labels" / "nuclei" / "0" / ".zarray"
    changes = {"shape": [1, 2048, 2048], "chunks": [1, 2048, 2048]}
    label.write_text(json.dumps({**json.loads(label.read_text()), **changes}))
    resources, other = JobResources(config(), wells), Job(image="0")
    other.column = "03"
    assert (
        resources.registering_mb(other, 1, 1) > resources.registering_mb(Job(image="0"), 1, 1) + 50
    )
    assert resources.fusing_mb(other, 1, 1) > resources.fusing_mb(Job(), 1, 1)
    assert resources.disk_mb(other) > resources.disk_mb(Job(image="0")) + 10


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"output_chunksize": {"y": 16, "x": 16}}, {"output_chunksize": {"y": 2048, "x": 2048}}),
        ({"output_chunksize": {"z": 1}}, {"output_chunksize": {"z": 4}}),
        ({"ngff_version": "0.5"}, {"ngff_version": "0.5", "shards": {"y": 4096, "x": 2048}}),
        ({}, {"weights": "content_based"}),
    ],
    ids=str,
)
def test_memory_of_fusion_follows_the_tiles(
    wells: dict[WellKey, Well], less: dict[str, Any], more: dict[str, Any]
) -> None:
    few, many = (JobResources(config(fusion=fusion), wells) for fusion in (less, more))
    assert few.fusing_mb(Job(), 1, 1) < many.fusing_mb(Job(), 1, 1) < many.fusing_mb(Job(), 2, 1)
    assert many.fusing_mb(Job(), 2, 3) == 3 * many.fusing_mb(Job(), 2, 1)


def test_a_job_of_all_steps_asks_for_the_largest_of_those_that_it_does(
    wells: dict[WellKey, Well],
) -> None:
    whole = JobResources(config(), wells)
    steps = [whole.registering_mb, whole.fusing_mb, whole.checking_mb]
    most = max(step(Job(), 2, 1) for step in steps)
    assert most <= whole.processing_mb(Job(), 2, 1) <= most + AFTER_OTHERS / MB + 1
    assert most > whole.registering_mb(Job(), 2, 1)
    alone = JobResources(config(fusion={"enabled": False}), wells)
    without = alone.processing_mb(Job(), 2, 1) - alone.registering_mb(Job(), 2, 1)
    assert without == pytest.approx(AFTER_OTHERS / MB, abs=1)


def test_jobs_of_a_plate_follow_its_fields(wells: dict[WellKey, Well]) -> None:
    well = wells["one", "B", "02"]
    one = JobResources(config(), wells)
    many = JobResources(config(), {("one", "C", str(n)): well for n in range(2999)})
    assert many.solving_mb(Job(), 1) > one.solving_mb(Job(), 1) + 50
    assert many.reporting_mb(Job(), 1) > one.reporting_mb(Job(), 1) + 50
    assert many.plate_runtime_min(Job(), 1) >= one.plate_runtime_min(Job(), 1) + 2999 * 2 / 1000 - 1
    raw = JobResources(config(registration={"store": False}), wells)
    assert raw.solving_mb(Job(), 1) < one.solving_mb(Job(), 1)  # it writes no tables


def test_on_a_cluster_each_job_has_snakemake_beside_it(wells: dict[WellKey, Well]) -> None:
    alone, beside = (JobResources(config(), wells, beside_mb=mb) for mb in (0, 400))
    assert beside.metadata_mb(Job(), 1) == alone.metadata_mb(Job(), 1) + 400
    assert beside.measuring_mb(Job(), 1, 2) == alone.measuring_mb(Job(), 1, 2) + 2 * 400


def test_no_job_asks_for_less_than_the_interpreter_takes() -> None:
    plain = JobResources(config(), {})
    assert plain.metadata_mb(Job(), 1) == METADATA_MB
    assert METADATA_MB < FINISHED_PLATE_MB < TABLES_MB


def test_disk_and_time_follow_the_pixels(wells: dict[WellKey, Well]) -> None:
    resources = JobResources(config(), wells)
    assert resources.disk_mb(Job()) == round(1.4 * 24) + 1
    assert resources.disk_mb(Job(image="1")) == round(1.4 * 8) + 1
    assert resources.runtime_min(Job(), threads=1, attempt=1) == 10
    assert resources.well_runtime_min(Job(), threads=1, attempt=1) == 20
    resized(wells["one", "B", "03"], "0", shape=[1, 1, 2**12, 2**20], dtype="|u1")
    far = Job(image="0")
    far.column = "03"
    assert resources.runtime_min(far, threads=2, attempt=3) == 3 * (10 + 10 * 4 / 2)
    assert 4 * GIB == 4096 * MIB


def test_tables_that_move_take_the_modules_that_move_them(tmp_path: Path) -> None:
    asked = {}
    for tables in (("FOV_ROI_table",), ("FOV_ROI_table", "condition")):
        plate = tmp_path / f"{len(tables)}.zarr"
        make_plate(plate, replace(SPEC, tables=tables))
        resources = JobResources(config(), wells_of({"one": Plate.open(plate)}))
        asked[tables] = (
            resources.tables_mb(Job(image="0"), 1),
            resources.finishing_well_mb(Job(), 1, 1),
            resources.processing_mb(Job(), 1, 1),
        )
    without, moved = asked.values()
    more = [a - b for a, b in zip(moved, without, strict=True)]
    assert more == pytest.approx([TABLE_MODULES / MB] * 3, abs=1)


def test_verifying_more_takes_more(wells: dict[WellKey, Well]) -> None:
    asked = [
        JobResources(config(registration={"verify": verify}), wells).verifying_mb(Job(), 2, 1)
        for verify in ("none", "sample", "full")
    ]
    assert METADATA_MB <= asked[0] < asked[1] < asked[2]


def test_a_well_that_is_gathered_from_parts_takes_less(wells: dict[WellKey, Well]) -> None:
    alone, parts = (JobResources(config(fusion={"scatter": n}), wells) for n in (1, 2))
    assert alone.finishing_well_mb(Job(), 2, 1) == alone.fusing_mb(Job(), 2, 1)
    assert parts.finishing_well_mb(Job(), 2, 1) < parts.fusing_mb(Job(), 2, 1)
    assert parts.finishing_well_mb(Job(), 2, 3) == 3 * parts.finishing_well_mb(Job(), 2, 1)
