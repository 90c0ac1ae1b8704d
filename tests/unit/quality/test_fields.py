"""Figures of fields that need no reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from platefuse.fusion.options import FusionOptions
from platefuse.geometry import Box
from platefuse.measuring.pair.levels import Crop
from platefuse.ngff.plate import Plate
from platefuse.quality.fields import gradient_of, middle_plane
from platefuse.quality.model import CheckedWell
from platefuse.quality.well import check_well
from platefuse.registration.request import RegistrationRequest
from platefuse.testing import PlateSpec
from platefuse.workflow.sources import FusionSources
from tests.conftest import PlateFactory
from tests.fused import fuse
from tests.unit.quality.test_well import SPEC

REQUEST = RegistrationRequest()
ONE = replace(SPEC, wells=("B/02",), acquisitions=SPEC.acquisitions[:1], noise=False)


def check(
    plate: Path, folder: Path, request: RegistrationRequest | None = None, **options: Any
) -> CheckedWell:
    fused = fuse(plate, request, store=False, **options)
    (well,) = Plate.open(plate).read_wells()
    reader = FusionSources(FusionOptions(**options), request=request, store=False).reader(well)
    return check_well(well, fused, reader, folder)


def brighten(plate: Path, spec: PlateSpec, column: int, factor: float) -> None:
    """Multiply all fields of a column of the grid, at all levels."""
    for level in range(spec.levels):
        array = zarr.open_array(plate / "B/02/0" / str(level), mode="r+")
        pixels = np.asarray(array[...]).astype(float)
        width = spec.field_shape[1] >> level
        pixels[..., column * width : (column + 1) * width] *= factor
        array[...] = np.clip(pixels, 0, 65535).astype(np.uint16)


@pytest.mark.parametrize("planes", [1, 3])
def test_a_field_without_coarse_levels_is_averaged(planes: int) -> None:
    pixels = np.arange(planes * 520 * 780, dtype=np.uint32).reshape(planes, 520, 780)
    coarse, factor = middle_plane(Crop(pixels, Box.of_shape(pixels.shape)))
    middle = pixels[(planes - 1) // 2].astype(float)
    expected = middle.reshape(260, 2, 390, 2).mean(axis=(1, 3))
    assert factor == 2
    assert coarse.shape == (260, 390)
    assert coarse == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_are_no_data(value: float) -> None:
    """A mean with one of them is not finite, and would be in no receipt."""
    pixels = np.ones((520, 780), np.float32)
    pixels[4, 6] = value
    coarse, _ = middle_plane(Crop(pixels, Box.of_shape(pixels.shape)))
    assert coarse[2, 3] == 0
    assert np.delete(coarse.ravel(), 2 * 390 + 3) == pytest.approx(1)


def test_equal_neighbours_have_no_seam(example_plate: PlateFactory, tmp_path: Path) -> None:
    well = check(example_plate(ONE).path, tmp_path)
    assert all(own.seam is not None and own.seam < 0.02 for own in well.fields)


def test_fields_between_the_pixels_of_coarse_levels_have_no_seam(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    """A registered field begins anywhere: its whole coarse pixels are compared where they lie."""
    spec = replace(SPEC, wells=("B/02",), field_shape=(540, 560), levels=2, noise=False)
    well = check(example_plate(spec).path, tmp_path, REQUEST)
    assert all(own.seam is not None and own.seam < 0.02 for own in well.fields)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_figures_are_those_of_the_fused_pixels_at_any_spacing(
    example_plate: PlateFactory, tmp_path: Path, factor: float
) -> None:
    spec = replace(SPEC, wells=("B/02",), noise=False)
    spacing = dict.fromkeys("yx", factor * spec.pixel_size_um[-1])
    well = check(example_plate(spec).path, tmp_path, REQUEST, output_spacing=spacing)
    assert all(own.seam is not None and own.seam < 0.02 for own in well.fields)
    shifts = {a.number: np.array(a.shift_px) / factor for a in spec.acquisitions}
    for own in well.fields:
        assert own.shift_px == pytest.approx(tuple(shifts[own.acquisition]))
        if own.acquisition:
            assert own.before is not None
            assert own.before < 0.5


def test_a_brighter_neighbour_is_a_seam(example_plate: PlateFactory, tmp_path: Path) -> None:
    plate = example_plate(ONE).path
    brighten(plate, ONE, 1, 1.5)
    well = check(plate, tmp_path)
    # 1 and 1.5: the difference is 0.5 of a mean of 1.25
    assert all(own.seam == pytest.approx(0.4, abs=0.02) for own in well.fields)


def test_the_share_that_registration_keeps(example_plate: PlateFactory, tmp_path: Path) -> None:
    well = check(example_plate(replace(SPEC, wells=("B/02",))).path, tmp_path, REQUEST)
    height, width = SPEC.field_shape
    shifts = np.array([a.shift_px for a in SPEC.acquisitions])
    y, x = np.ptp(shifts, axis=0)  # what all acquisitions show
    expected = (height - y) * (width - x) / (height * width)
    assert [own.kept for own in well.fields] == pytest.approx([expected] * len(well.fields))


def test_boxes_are_those_of_the_fields_in_the_fused_image(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(ONE)
    well = check(plate.path, tmp_path)
    height, width = ONE.field_shape
    for own in well.fields:
        top, left, bottom, right = own.box_px
        assert (bottom - top, right - left) == (height, width)
    assert min(own.box_px[0] for own in well.fields) == 0
    assert min(own.box_px[1] for own in well.fields) == 0


@pytest.mark.parametrize(("by_y", "by_x"), [(0.0, 0.0), (0.2, 0.0), (0.0, -0.3), (0.1, 0.25)])
def test_the_gradient_is_that_of_the_light(by_y: float, by_x: float) -> None:
    y, x = np.mgrid[-0.5:0.5:240j, -0.5:0.5:300j]
    light = 400 * (1 + by_y * y + by_x * x)
    noise = np.random.default_rng(1).normal(0, 10, light.shape)
    found = gradient_of((light + noise).astype(np.float32))
    # of the middles of 6 parts: 5/6 of the whole length
    assert found == pytest.approx((abs(by_y) + abs(by_x)) * 5 / 6, abs=0.01)


def test_a_dark_or_tiny_field_has_no_gradient() -> None:
    assert gradient_of(np.zeros((100, 100), np.float32)) is None
    assert gradient_of(np.ones((8, 100), np.float32)) is None
