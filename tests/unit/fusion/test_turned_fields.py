"""Fields that are turned by a small angle: sampled once, from a scene known between its pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from platefuse.fusion.fields.field import Field, Place, whole_image
from platefuse.fusion.fields.layers import SourceImage
from platefuse.fusion.fields.maps import extent_of, pixel_map, placed_box
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.frame import Frame
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells import well as fusion
from platefuse.geometry import Box
from platefuse.ngff.create import write_group
from platefuse.ngff.image import Multiscale
from platefuse.ngff.plate import Plate
from platefuse.ngff.tables.table import read_table, write_roi_table
from platefuse.ngff.well import WellImage
from tests.fields_plate import PIXEL_UM, write_image
from tests.truth import read_level

SIDE, STEP, COLUMNS = 96, 80, 3
Numbers = NDArray[np.float64]


def scene(y_um: Numbers, x_um: Numbers) -> Numbers:
    """Intensities between 1000 and 3000, smooth enough for linear interpolation."""
    waves = np.sin(y_um / 5.1 + 0.3) + np.cos(x_um / 6.3) + np.sin((x_um - 0.6 * y_um) / 7.7)
    return 2000 + 333 * waves


def centres(angle_deg: float, corner_um: Numbers) -> tuple[Numbers, Numbers]:
    """Where the centres of a field's pixels are: turned about the field's centre."""
    half = SIDE * PIXEL_UM / 2
    y, x = np.mgrid[:SIDE, :SIDE] * PIXEL_UM + PIXEL_UM / 2 - half
    angle = np.deg2rad(angle_deg)
    turned_y = np.cos(angle) * y + np.sin(angle) * x
    turned_x = np.cos(angle) * x - np.sin(angle) * y
    return turned_y + half + corner_um[0], turned_x + half + corner_um[1]


def plate_of(path: Path, angle_deg: float) -> dict[str, Place]:
    """A plate of 3 × 3 turned fields whose stage positions are a little off; their true places."""
    random = np.random.default_rng(1)
    section = {"wells": [{"path": "B/03", "rowIndex": 0, "columnIndex": 0}], "version": "0.4"}
    rows = {"rows": [{"name": "B"}], "columns": [{"name": "03"}]}
    write_group(path, {"plate": {**section, **rows}}, "0.4")
    write_group(path / "B", {}, "0.4")
    images = [{"path": str(k), "acquisition": 0} for k in range(COLUMNS**2)]
    write_group(path / "B" / "03", {"well": {"images": images, "version": "0.4"}}, "0.4")
    places = {}
    for k in range(COLUMNS**2):
        grid = np.array(divmod(k, COLUMNS)) * STEP * PIXEL_UM
        corner = grid + random.normal(0, 1, 2)
        pixels = np.rint(scene(*centres(angle_deg, corner))).astype(np.uint16)[None, None]
        write_image(path / "B" / "03" / str(k), pixels, position=[0, 0, *grid.tolist()])
        if k == 4:
            write_group(path / "B" / "03" / "4" / "labels", {"labels": ["cells"]}, "0.4")
            ids = (pixels[:1] > 2000) * np.uint32(2**30 + 1)
            extra = {"image-label": {"version": "0.4"}}
            write_image(path / "B/03/4/labels/cells", ids.astype(np.uint32), extra=extra)
        y, x = (corner - grid) / PIXEL_UM
        places[str(k)] = Place(
            (float(grid[0]), float(grid[1])), (0.0, float(y), float(x)), angle_deg
        )
    return places


@pytest.mark.parametrize("chunk", [64, 100, 37])
@pytest.mark.parametrize("angle_deg", [0.3, -0.3, 0.0])
def test_a_turned_mosaic_is_the_scene(tmp_path: Path, angle_deg: float, chunk: int) -> None:
    places = plate_of(tmp_path / "p.zarr", angle_deg)

    def source(image: WellImage) -> SourceImage:
        return replace(SourceImage.at(image.live), places={image.name: places[image.name]})

    options = FusionOptions(
        output_chunksize={"z": 1, "y": chunk, "x": chunk}, blending_widths={"y": 5, "x": 5}
    )
    well = Plate.open(tmp_path / "p.zarr").well("B", "03")
    receipt = fusion.fuse_well(well, tmp_path / "f.zarr", LayerReader(options, source=source))
    fused = tmp_path / "f.zarr" / "B" / "03" / "0"
    assert receipt.images is not None
    origin = receipt.images["0"].origin_um
    pixels = read_level(fused)[0, 0].astype(float)
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]] * PIXEL_UM + PIXEL_UM / 2
    expected = scene(y + origin["y"], x + origin["x"])
    inner = pixels[6:-6, 6:-6] > 0  # the border of a turned mosaic is not straight
    assert inner.all()
    difference = np.abs(pixels - expected)[6:-6, 6:-6]
    assert difference.mean() < 0.5
    assert difference.max() < 5  # no dark line at any seam or border of chunks
    ids = read_level(fused / "labels" / "cells")[0, 0]
    assert set(np.unique(ids)) == {0, 2**30 + 1}
    truth = (expected > 2000) & (ids > 0)
    assert truth.sum() > 0.99 * (ids > 0).sum()


def test_boxes_of_a_turned_field_enclose_what_they_showed(tmp_path: Path) -> None:
    """By hand: the corners of a box in field 4, turned by 30° about the centre of the field."""
    plate_of(tmp_path / "p.zarr", 0.0)
    image = tmp_path / "p.zarr" / "B" / "03" / "4"
    grid = STEP * PIXEL_UM
    place = Place((grid, grid), (0.0, 3.0, -1.0), 30.0)
    box = {"x_micrometer": 10.0, "y_micrometer": 4.0, "z_micrometer": 0.0}
    lengths = {"len_x_micrometer": 8.0, "len_y_micrometer": 2.0, "len_z_micrometer": 1.0}
    write_roi_table(image, "regions", {"a": {**box, **lengths}})

    def source(image: WellImage) -> SourceImage:
        found = SourceImage.at(image.live)
        return replace(found, places={"4": place}) if image.name == "4" else found

    options = FusionOptions(output_chunksize={"z": 1, "y": 64, "x": 64})
    well = Plate.open(tmp_path / "p.zarr").well("B", "03")
    receipt = fusion.fuse_well(well, tmp_path / "f.zarr", LayerReader(options, source=source))
    assert receipt.images is not None
    origin = receipt.images["0"].origin_um
    centre = np.array([grid + 3.0 * PIXEL_UM, grid - 1.0 * PIXEL_UM]) + SIDE * PIXEL_UM / 2
    corners = np.array([(y, x) for y in (4.0, 6.0) for x in (10.0, 18.0)]) - SIDE * PIXEL_UM / 2
    cos, sin = 0.75**0.5, 0.5
    stage = [(cos * y + sin * x, cos * x - sin * y) for y, x in corners] + centre
    low, high = stage.min(axis=0), stage.max(axis=0)
    (roi,) = read_table(tmp_path / "f.zarr" / "B" / "03" / "0", "regions").rois("yx")
    for k, axis in enumerate("yx"):
        assert roi.start_um[axis] == pytest.approx(low[k] - origin[axis], abs=1e-4)
        assert roi.length_um[axis] == pytest.approx(high[k] - low[k], abs=1e-4)


@pytest.fixture
def image(tmp_path: Path) -> Multiscale:
    write_image(tmp_path / "image", np.zeros((1, 1, 40, 60), np.uint16))
    return Multiscale.read(tmp_path / "image")


def test_a_turn_by_a_right_angle_by_hand(image: Multiscale) -> None:
    """From x to y: the first pixel of a row of x goes to the top of a column of y."""
    field: Field = replace(whole_image("f", image, {"y": 100.0, "x": 200.0}), angle_deg=90.0)
    low, high = extent_of(field, image, image)
    # 20 × 30 µm about the centre (110, 215): 30 × 20 µm; centres of pixels are 0.25 µm inside
    np.testing.assert_allclose(low[1:], [95.25, 205.25])
    np.testing.assert_allclose(high[1:], [124.75, 224.75])
    frame = Frame("zyx", (1.0, 0.5, 0.5), (0.5, 95.25, 205.25), (1, 60, 40))
    pixels = pixel_map(field, image, frame, 1e-3)
    for at, expected in (((0, 0), (0, 39)), ((0, 59), (59, 39)), ((39, 0), (0, 0))):
        found = pixels.matrix @ [0, *at] + pixels.offset
        np.testing.assert_allclose(found, [0, *expected], atol=1e-9)
    assert placed_box(field, image, frame, 1e-3) == Box((0, 0, 0), (1, 60, 40))
