"""A well that is fused in parts is the same, byte for byte, as one fused in one go."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells import scatter
from platefuse.fusion.wells.scatter import Scatter
from platefuse.ngff.paths import staging_root
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from tests.conftest import ExamplePlate, PlateFactory
from tests.fused import (
    BARE,
    SMALL_CHUNKS,
    TINY,
    WELL,
    everything,
    fuse,
    fuse_well,
    fuse_well_part,
    number_fields_one_by_one,
)
from tests.neighbours import tidy_after_every_new_folder

TABLES = ("FOV_ROI_table", "nuclei_ROI_table", "nuclei_features")


@pytest.mark.parametrize("parts", [2, 3, 13])
def test_labels_are_merged_the_same_in_any_number_of_parts(
    example_plate: PlateFactory, tmp_path: Path, parts: int
) -> None:
    """There are 12 tiles of the image, and 6 of the label."""
    plate = example_plate(replace(BARE, grid=(2, 3), tables=TABLES))
    number_fields_one_by_one(plate, "0")
    assert_same_in_parts(plate, tmp_path, parts, merge_labels=0.5)


def test_stacked_acquisitions_are_the_same_in_parts(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(replace(TINY, tables=TABLES))
    number_fields_one_by_one(plate, "0")
    number_fields_one_by_one(plate, "2")
    options = {"merge_labels": 0.5, "layout": "stacked", "weights": "content_based"}
    assert_same_in_parts(plate, tmp_path, 3, **options)


def test_parts_of_shards_are_whole_shards(example_plate: PlateFactory, tmp_path: Path) -> None:
    plate = example_plate(replace(BARE, stage_jitter_px=2.5, whole_pixel_stage=False, grid=(2, 3)))
    shards = {"z": 1, "y": 64, "x": 64}
    assert_same_in_parts(plate, tmp_path, 3, ngff_version="0.5", shards=shards)


def assert_same_in_parts(plate: ExamplePlate, folder: Path, parts: int, **options: Any) -> None:
    whole = fuse(plate.path, output=folder / "whole" / "fused.zarr", **options)
    scattered = fuse(plate.path, output=folder / "parts" / "fused.zarr", scatter=parts, **options)
    expected = everything(whole)
    assert any("labels" in path.parts and path.name.isdigit() for path in expected)
    assert everything(scattered) == expected
    assert [path.name for path in scattered.parent.iterdir()] == ["fused.zarr"]


def three_parts(plate: ExamplePlate, folder: Path) -> tuple[Well, Path, FusionOptions, Path]:
    """Fuse three parts: the well, the fused plate, the options, and the well fused in one go."""
    whole = fuse(plate.path, output=folder / "1.zarr") / WELL
    well, fused = Plate.open(plate.path).read_wells()[0], folder / "3.zarr"
    wanted = FusionOptions(output_chunksize=SMALL_CHUNKS)
    for part in range(3):
        fuse_well_part(well, fused, wanted, part, 3)
    return well, fused, wanted, whole


def test_parts_that_are_missing_are_made_by_the_job_that_finishes(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(replace(BARE, grid=(1, 3)))
    number_fields_one_by_one(plate, "0")
    options: dict[str, Any] = {"merge_labels": 0.5, "output_chunksize": SMALL_CHUNKS}
    whole = fuse(plate.path, output=tmp_path / "1.zarr", **options) / WELL
    well, fused = Plate.open(plate.path).read_wells()[0], tmp_path / "3.zarr"
    fuse_well(well, fused, FusionOptions(**options), scatter=3)
    assert everything(fused / WELL) == everything(whole)
    assert not fused.with_name("3.zarr.staging").exists()


def test_parts_are_used_again_if_the_job_that_finishes_is_interrupted(
    example_plate: PlateFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    well, fused, wanted, whole = three_parts(example_plate(replace(BARE, grid=(1, 3))), tmp_path)
    with monkeypatch.context() as full:
        full.setattr(scatter, "finish_tasks", refuse)
        with pytest.raises(OSError, match="No space"):
            fuse_well(well, fused, wanted, scatter=3)
    monkeypatch.setattr(Scatter, "begin", refuse)  # no part is made again
    fuse_well(well, fused, wanted, scatter=3)
    assert everything(fused / WELL) == everything(whole)
    assert not fused.with_name("3.zarr.staging").exists()


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"")])
def test_a_part_that_has_lost_something_is_made_again(
    example_plate: PlateFactory, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    well, fused, wanted, whole = three_parts(example_plate(replace(BARE, grid=(1, 3))), tmp_path)
    parts = Scatter(fused.with_name("3.zarr.staging") / WELL, 3)
    chunks = [file for file in parts.folder(1).rglob("*") if file.name.isdigit() and file.is_file()]
    damage(chunks[0])
    fuse_well(well, fused, wanted, scatter=3)
    assert everything(fused / WELL) == everything(whole)


def test_what_a_killed_job_has_left_goes_with_the_next(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(replace(BARE, grid=(1, 3)))
    well, fused = Plate.open(plate.path).read_wells()[0], tmp_path / "3.zarr"
    wanted = FusionOptions(output_chunksize=SMALL_CHUNKS)
    fuse_well_part(well, fused, wanted, 4, 5)  # when there were to be five
    fuse_well(well, fused, wanted, scatter=3)
    assert not fused.with_name("3.zarr.staging").exists()
    staged = fused.with_name("3.zarr.staging") / WELL
    for name in ("03", ".03.part1.removed"):  # the old well, exchanged; a part, half removed
        staged.with_name(name).mkdir(parents=True)
    (staged.with_name(".03.part1.removed") / "0").touch()
    assert fuse_well(well, fused, wanted, scatter=3).action == "fused before"
    assert not fused.with_name("3.zarr.staging").exists()


def test_others_that_tidy_the_staging_folder_remove_nothing_of_a_job(
    example_plate: PlateFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = example_plate(BARE)
    well, fused = Plate.open(plate.path).read_wells()[0], tmp_path / "3.zarr"
    options = FusionOptions(output_chunksize=SMALL_CHUNKS)
    part, rest = partial(fuse_well_part, number=0, of=3), partial(fuse_well, scatter=3)
    for work in (part, rest):
        with monkeypatch.context() as others:
            tidied = tidy_after_every_new_folder(others, staging_root(fused))
            assert work(well, fused, options).action == "fused"
            assert tidied
    assert not staging_root(fused).exists()


def refuse(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
