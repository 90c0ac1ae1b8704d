"""Sizes of what is stored in a well."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.testing import PlateSpec, make_plate
from platefuse.workflow.resources.stored import (
    Size,
    acquisitions_of,
    fields_of,
    has_own_tables,
    image_size,
    labels_of,
    labels_size,
    work_size,
)
from tests.fields_plate import FieldsPlate

SPEC = PlateSpec(wells=("B/02",), pixels=False, grid=(2, 3), planes=3)


def well_of(plate: Path) -> Well:
    return next(iter(Plate.open(plate).read_wells()))


@pytest.fixture
def well(tmp_path: Path) -> Well:
    make_plate(tmp_path / "p.zarr", SPEC)
    return well_of(tmp_path / "p.zarr")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_size_of_an_image(tmp_path: Path, version: str) -> None:
    """Fields of 540 × 640 in a grid of 2 × 3, so 1080 × 1920 pixels."""
    shards = (1, 1, 128, 128) if version == "0.5" else ()
    spec = replace(SPEC, chunks=(1, 1, 64, 128), shards=shards, ngff_version=version)
    make_plate(tmp_path / "p.zarr", spec)
    size = image_size(tmp_path / "p.zarr" / "B" / "02" / "0")
    high = 128 if shards else 64  # a shard is decoded as a whole, so it counts as the chunk
    assert (size.chunk, size.pixel) == (2 * 128 * high, 2)
    assert size.total == 2 * 2 * 3 * 1080 * 1920
    assert size.area == 2 * 1080 * 1920
    assert size.plane == 2 * 1920 * (1152 if shards else 1088)
    assert size.stack == 3 * size.plane


def test_a_chunk_of_several_planes_is_decoded_for_one_of_them(tmp_path: Path) -> None:
    make_plate(tmp_path / "p.zarr", replace(SPEC, chunks=(2, 540, 640)))
    size = image_size(tmp_path / "p.zarr" / "B" / "02" / "0")
    assert (size.plane, size.stack) == (2 * size.area, 4 * size.area)


@pytest.mark.parametrize("damage", [{"dtype": "object"}, {"shape": None}, {"chunks": "x"}])
def test_an_image_that_cannot_be_read_counts_as_empty(well: Well, damage: dict[str, Any]) -> None:
    file = well.path / "0" / "0" / ".zarray"
    file.write_text(json.dumps({**json.loads(file.read_text()), **damage}))
    assert image_size(well.path / "0") == Size()
    assert image_size(well.path / "no image") == Size()
    assert labels_size(well.path / "no image") == Size()


def test_images_of_a_well_together(well: Well) -> None:
    one = image_size(well.path / "0")
    assert work_size(well, "0") == one
    assert work_size(well) == one._replace(total=3 * one.total)
    assert acquisitions_of(well) == ((one,), (one,), (one,))
    assert labels_of(well).pixel == 4


def test_fields_are_images_or_rows_of_the_tile_table(well: Well, tmp_path: Path) -> None:
    assert fields_of(well, "FOV_ROI_table") == 6
    assert fields_of(well, "no_table") == 1
    FieldsPlate({"B/03": {0: 3, 1: 2}}).write(tmp_path / "fields.zarr")
    assert fields_of(well_of(tmp_path / "fields.zarr"), "FOV_ROI_table") == 3
    assert [len(own) for own in acquisitions_of(well_of(tmp_path / "fields.zarr"))] == [3, 2]


def test_a_table_without_a_length_in_json_counts_as_its_chunks(tmp_path: Path) -> None:
    backends = {"FOV_ROI_table": "csv"}
    make_plate(tmp_path / "p.zarr", replace(SPEC, table_backends=backends))
    assert fields_of(well_of(tmp_path / "p.zarr"), "FOV_ROI_table") == 6


def test_tables_that_are_not_those_of_fields_and_wells(well: Well, tmp_path: Path) -> None:
    assert not has_own_tables(well, ())
    make_plate(tmp_path / "q.zarr", replace(SPEC, tables=("FOV_ROI_table", "nuclei_ROI_table")))
    other = well_of(tmp_path / "q.zarr")
    assert has_own_tables(other, ())
    assert not has_own_tables(other, ("nuclei_ROI_table",))
