"""A field that is all zeros was not taken: it does not darken its neighbours."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from platefuse.fusion.fields import empty as module
from platefuse.fusion.fields.empty import empty_fields
from platefuse.fusion.options import FusionOptions
from platefuse.geometry import Box
from platefuse.ngff.image import Multiscale
from platefuse.ngff.layout import InputOptions
from platefuse.ngff.plate import Plate
from platefuse.storage.arrays import StoredArray
from tests.conftest import PlateFactory
from tests.fields_plate import SHAPE, FieldsPlate, write_image
from tests.fused import BARE, fuse_well
from tests.truth import read_level


def fuse(plate: Path, tmp_path: Path) -> Path:
    well = Plate.open(plate).well("B", "03")
    options = FusionOptions(output_chunksize={"z": 1, "y": 64, "x": 64})
    fuse_well(well, tmp_path / "fused.zarr", options, read_as=InputOptions())
    return tmp_path / "fused.zarr" / "B" / "03"


def blank(array: Path, place: Any, how: str) -> None:
    """Make pixels zero: chunks that are not stored, or stored zeros."""
    found = zarr.open_array(array, mode="r+")
    with zarr.config.set({"array.write_empty_chunks": how == "stored"}):
        found = zarr.open_array(array, mode="r+")
        found[place] = 0


@pytest.mark.parametrize("how", ["stored", "missing"])
def test_a_field_of_zeros_does_not_darken_its_neighbours(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    spec = FieldsPlate({"B/03": {0: 4}}, labels=True)
    plate = spec.write(tmp_path / "p.zarr")
    for level in ("0", "1"):
        blank(plate / "B/03/3" / level, ..., how)
    with caplog.at_level(logging.WARNING, "platefuse"):
        fused = fuse(plate, tmp_path)
    scene, expected = spec.pixels("B/03", 0), read_level(fused / "0")
    covered = np.zeros(expected.shape[-2:], bool)
    for number in range(3):
        y, x = spec.origin(number)
        covered[y : y + SHAPE[0], x : x + SHAPE[1]] = True
    size = expected.shape[-2:]
    np.testing.assert_array_equal(expected, np.where(covered, scene[..., : size[0], : size[1]], 0))
    assert size == (32 + SHAPE[0], 40 + SHAPE[1])  # the frame still has room for it
    assert [m for m in caplog.messages if "is all zeros" in m]
    assert len(caplog.messages) == 1
    label = read_level(fused / "0" / "labels" / "nuclei")
    np.testing.assert_array_equal(label, scene[:1, :, : size[0], : size[1]] // 1000)


@pytest.mark.parametrize("levels", ["all", "finest"])
def test_a_field_of_a_mosaic_that_is_zero(
    example_plate: PlateFactory, tmp_path: Path, levels: str
) -> None:
    """The coarser levels may still show it: then it is read as it is."""
    plate = example_plate(BARE).path
    image = plate / "B" / "03" / "0"
    height, width = BARE.field_shape
    for level in range(2 if levels == "all" else 1):
        blank(image / str(level), np.s_[..., : height >> level, : width >> level], "stored")
    found = Multiscale.read(image)
    whole = Box.of_shape(found.shapes[0])
    boxes = [
        Box((*whole.start[:-2], y, x), (*whole.stop[:-2], y + height, x + width))
        for y in (0, height)
        for x in (0, width)
    ]
    assert empty_fields(found, boxes) == ({0} if levels == "all" else set())


def test_a_single_pixel_is_data(tmp_path: Path) -> None:
    pixels = np.zeros((2, 1, *SHAPE), np.uint16)
    pixels[1, 0, 37, 41] = 1  # level 1 does not show it
    write_image(tmp_path / "0", pixels)
    image = Multiscale.read(tmp_path / "0")
    assert empty_fields(image, [Box.of_shape(image.shapes[0])]) == set()


def test_a_well_of_zeros_is_fused(tmp_path: Path) -> None:
    plate = FieldsPlate({"B/03": {0: 2}}).write(tmp_path / "p.zarr")
    for image in ("0", "1"):
        for level in ("0", "1"):
            blank(plate / "B/03" / image / level, ..., "missing")
    assert not read_level(fuse(plate, tmp_path) / "0").any()


def test_an_ordinary_image_costs_one_chunk_of_its_coarsest_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "0", np.ones((2, 3, *SHAPE), np.uint16))
    image = Multiscale.read(tmp_path / "0")
    decoded: list[Path] = []

    class Counted(StoredArray):
        def decode(self, box: Box) -> Any:
            decoded.append(self.path)
            return super().decode(box)

    monkeypatch.setattr(module, "StoredArray", Counted)
    assert empty_fields(image, [Box.of_shape(image.shapes[0])]) == set()
    assert decoded == [image.level_paths[1]]


def test_a_coarse_level_that_cannot_be_read_does_not_matter(tmp_path: Path) -> None:
    write_image(tmp_path / "0", np.ones((2, 1, *SHAPE), np.uint16))
    image = Multiscale.read(tmp_path / "0")
    for file in (p for p in image.level_paths[1].rglob("*") if p.name.isdigit() and p.is_file()):
        file.write_bytes(b"no chunk")
    assert empty_fields(image, [Box.of_shape(image.shapes[0])]) == set()
