"""The shift of pairs whose true shift is known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

import platefuse
from platefuse.errors import ImageError
from platefuse.geometry import Box
from platefuse.measuring.model import FieldKey
from platefuse.measuring.pair.levels import Crop
from platefuse.measuring.pair.measure import Shift, measure_shift
from platefuse.measuring.pair.pattern import FixedPattern, fixed_pattern
from platefuse.testing import AcquisitionSpec, PlateSpec, make_plate

SHAPE = (320, 384)
TRUE = (7.3, -11.6)


def error(found: Shift, true: tuple[float, ...]) -> float:
    return max(abs(a - b) for a, b in zip(found.shift_px, true, strict=True))


def pair(bench: Any, true: tuple[float, float] = TRUE, seed: int = 0, gain: float = 1.0) -> Any:
    blobs = bench.Blobs(seed)
    return (
        bench.camera(blobs.light(SHAPE), 2 * seed),
        bench.camera(gain * blobs.light(SHAPE, true), 2 * seed + 1),
    )


@pytest.mark.parametrize("true", [TRUE, (-31.25, 24.75), (0.5, 3.5), (-2.01, 0.02)])
def test_a_shift_is_found_to_a_small_part_of_a_pixel(bench: Any, true: tuple[float, float]) -> None:
    found = measure_shift(*pair(bench, true), max_shift_px=40)
    assert found.status == "measured"
    assert error(found, true) < 0.03
    assert error(found, true) < 5 * max(found.sigma_px)
    assert found.score > 0.8 > abs(found.score_at_zero)
    share = (1 - abs(true[0]) / SHAPE[0]) * (1 - abs(true[1]) / SHAPE[1])
    assert found.overlap == pytest.approx(share, abs=0.01)
    assert found.texture > 0.5
    assert found.runner_up > 0.5


def test_exchanged_images_have_the_opposite_shift(bench: Any) -> None:
    a, b = pair(bench)
    there = measure_shift(a, b, max_shift_px=20).shift_px
    back = measure_shift(b, a, max_shift_px=20).shift_px
    assert there == pytest.approx([-v for v in back], abs=0.02)


@pytest.mark.parametrize("axis", [0, 1])
def test_neighbours_that_share_a_tenth(bench: Any, axis: int) -> None:
    offset = [0.0, 0.0]
    offset[axis] = 0.9 * SHAPE[axis]
    true = (3.4, -2.7)
    blobs = bench.Blobs(3)
    origin = (offset[0] + true[0], offset[1] + true[1])
    images = bench.camera(blobs.light(SHAPE), 0), bench.camera(blobs.light(SHAPE, origin), 1)
    found = measure_shift(*images, offset_px=offset, max_shift_px=12)
    assert found.status == "measured"
    assert error(found, true) < 0.1


def test_forty_pixels_between_neighbours_of_a_large_field(bench: Any) -> None:
    shape, offset, true = (200, 1200), (0.0, 1080.0), (12.3, -40.6)
    blobs = bench.Blobs(4)
    origin = (true[0], offset[1] + true[1])
    images = bench.camera(blobs.light(shape), 0), bench.camera(blobs.light(shape, origin), 1)
    found = measure_shift(*images, offset_px=offset, max_shift_px=60)
    assert found.status == "measured"
    assert error(found, true) < 0.05


def test_bleaching_and_gain_do_not_matter(bench: Any) -> None:
    found = measure_shift(*pair(bench, gain=0.3), max_shift_px=20)
    assert found.status == "measured"
    assert error(found, TRUE) < 0.05


def test_vignetting_does_not_pull_to_zero(bench: Any) -> None:
    shading, blobs = bench.shading(SHAPE, 0.9), bench.Blobs(1)
    a = bench.camera(shading * blobs.light(SHAPE), 0)
    b = bench.camera(shading * blobs.light(SHAPE, TRUE), 1)
    found = measure_shift(a, b, max_shift_px=20)
    assert found.status == "measured"
    assert error(found, TRUE) < 0.05


def test_bright_debris_that_moves_otherwise(bench: Any) -> None:
    a, b = (image.copy() for image in pair(bench))
    a[100:112, 200:212] = b[130:142, 150:162] = 60000
    a[30:50, 300:303] = b[60:80, 90:93] = 20000
    found = measure_shift(a, b, max_shift_px=60)
    assert found.status == "measured"
    assert error(found, TRUE) < 0.1


def test_saturated_pixels(bench: Any) -> None:
    a, b = (np.minimum(image, 700) for image in pair(bench))  # a plateau of the brightest blobs
    found = measure_shift(a, b, max_shift_px=20)
    assert found.status == "measured"
    assert error(found, TRUE) < 0.1


def test_areas_of_zeros_and_nan_are_no_tissue(bench: Any) -> None:
    a, b = (image.astype(np.float32) for image in pair(bench))
    a[:, :30] = b[:, :30] = 0  # a registered image has borders without data
    a[150:180, 100:140] = b[150:180, 100:140] = np.nan
    found = measure_shift(a, b, max_shift_px=20)
    assert found.status == "measured"
    assert error(found, TRUE) < 0.05


def test_empty_fields_have_no_shift(bench: Any) -> None:
    dark = np.full(SHAPE, 150.0)
    found = measure_shift(bench.camera(dark, 0), bench.camera(dark, 1), max_shift_px=20)
    assert found.status == "empty"
    assert all(math.isnan(value) for value in found.shift_px)


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_constant_fields_have_no_shift(value: int) -> None:
    image = np.full((64, 80), value, np.uint16)
    found = measure_shift(image, image, max_shift_px=5)
    assert found.status == "empty"
    assert found.texture == 0


def test_smooth_images_do_not_answer_zero() -> None:
    y, x = np.mgrid[:200, :240] / 100
    a, b = 1000 + 200 * y + 90 * x, 1500 + 200 * x * y
    found = measure_shift(a.astype(np.uint16), b.astype(np.uint16), max_shift_px=20)
    assert found.status != "measured"


def test_pairs_that_cannot_match_are_not_measured(bench: Any) -> None:
    images = [bench.camera(bench.Blobs(20 + k).light((160, 192)), k) for k in range(8)]
    found = [
        measure_shift(a, b, max_shift_px=20)
        for number, a in enumerate(images)
        for b in images[:number]
    ]
    assert {shift.status for shift in found} <= {"ambiguous", "too_far"}


def test_a_repeated_structure_is_ambiguous(bench: Any) -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    lattice = 400 * (1 + np.cos(2 * np.pi * y / 16) * np.cos(2 * np.pi * x / 16))
    moved = 400 * (1 + np.cos(2 * np.pi * (y + 3) / 16) * np.cos(2 * np.pi * (x + 2) / 16))
    a, b = bench.camera(lattice, 0), bench.camera(moved, 1)
    assert measure_shift(a, b, max_shift_px=40).status == "ambiguous"


def test_a_shift_that_is_larger_than_allowed(bench: Any) -> None:
    found = measure_shift(*pair(bench, (14.2, 3.0)), max_shift_px=10)
    assert found.status == "too_far"


def test_a_turned_field_has_the_shift_of_its_middle(bench: Any) -> None:
    shape = (1000, 1100)
    blobs = bench.Blobs(5)
    a = bench.camera(blobs.light(shape), 0)
    b = bench.camera(blobs.light(shape, TRUE, angle_deg=0.3), 1)
    found = measure_shift(a, b, max_shift_px=30)
    assert found.status == "measured"
    assert found.angle_deg == pytest.approx(0.3, abs=0.01)
    assert error(found, TRUE) < 0.1


class TestFixedPattern:
    """Dust three times as strong as the tissue, which has moved by 12 pixels."""

    true = (12.0, -7.0)

    def image(self, bench: Any, light: NDArray[np.float64], noise: int) -> Any:
        tissue = 150 + 0.1 * (light - 150)
        strength = 3 * float(tissue.std() / tissue.mean())
        return bench.camera(bench.dust(SHAPE, strength) * tissue, noise)

    def pair(self, bench: Any, true: tuple[float, float]) -> Any:
        blobs = bench.Blobs(6)
        a, b = blobs.light(SHAPE), blobs.light(SHAPE, true)
        return self.image(bench, a, 0), self.image(bench, b, 1)

    def patterns(self, bench: Any) -> Any:
        lights = [bench.Blobs(50 + k).light(SHAPE) for k in range(24)]
        fields = [self.image(bench, light, 50 + k) for k, light in enumerate(lights)]
        return fixed_pattern(fields[::2]), fixed_pattern(fields[1::2])

    def test_without_a_known_pattern_it_is_flagged(self, bench: Any) -> None:
        found = measure_shift(*self.pair(bench, self.true), max_shift_px=30)
        assert found.score_at_zero > 0.3
        assert found.status == "fixed_pattern"

    def test_with_the_pattern_it_is_found_or_flagged(self, bench: Any) -> None:
        first, second = self.patterns(bench)
        found = measure_shift(
            *self.pair(bench, self.true),
            max_shift_px=30,
            reference_pattern=first,
            moving_pattern=second,
        )
        assert found.status == "fixed_pattern" or error(found, self.true) < 0.5

    def test_a_field_with_nothing_but_the_pattern_is_not_measured(self, bench: Any) -> None:
        dark = np.full(SHAPE, 150.0)
        pattern = bench.dust(SHAPE, 0.2)
        a, b = (bench.camera(pattern * dark, noise) for noise in (0, 1))
        first, second = self.patterns(bench)
        known = measure_shift(a, b, max_shift_px=30, reference_pattern=first, moving_pattern=second)
        assert known.status in {"fixed_pattern", "empty"}
        assert measure_shift(a, b, max_shift_px=30).status == "fixed_pattern"

    def test_tissue_that_has_not_moved_needs_a_known_pattern(self, bench: Any) -> None:
        a, b = pair(bench, (0.1, 0.2))
        clean = [bench.camera(bench.Blobs(50 + k).light(SHAPE), k) for k in range(16)]
        first, second = fixed_pattern(clean[::2]), fixed_pattern(clean[1::2])
        known = measure_shift(a, b, max_shift_px=30, reference_pattern=first, moving_pattern=second)
        assert known.status == "measured"
        assert error(known, (0.1, 0.2)) < 0.05
        assert measure_shift(a, b, max_shift_px=30).status == "fixed_pattern"


@pytest.mark.parametrize("true", [(0.0, 2.0), (4.0, 0.0), (12.0, -7.0)])
def test_weak_dust_pulls_smooth_tissue_by_no_more_than_is_said(
    bench: Any, true: tuple[float, float]
) -> None:
    """Dust of 5 % with a known pattern: what is left of it is where the camera's zero is."""
    from scipy.ndimage import gaussian_filter

    dust, edge = bench.dust((300, 340), 0.05), 40

    def image(seed: int, noise: int, origin: tuple[float, float] = (0.0, 0.0)) -> Any:
        wide = bench.Blobs(seed).light((380, 420), tuple(o - edge for o in origin))
        return bench.camera(dust * gaussian_filter(wide, 7.0)[edge:-edge, edge:-edge], noise)

    fields = [image(500 + k, 50 + k) for k in range(16)]
    first, second = fixed_pattern(fields[::2]), fixed_pattern(fields[1::2])
    for seed in (1, 4):
        found = measure_shift(
            image(seed, seed),
            image(seed, 1000 + seed, true),
            max_shift_px=30,
            reference_pattern=first,
            moving_pattern=second,
        )
        if found.status == "measured":
            assert error(found, true) < 0.5
            assert error(found, true) < 3.5 * max(found.sigma_px)


class TestStacks:
    shape, planes = (200, 240), 9

    def stack(self, bench: Any, origin: tuple[float, float], z: float, noise: int) -> Any:
        blobs = bench.Blobs(8, density=4.0)
        planes = [blobs.light(self.shape, origin, z=z + k) for k in range(self.planes)]
        return bench.camera(np.stack(planes), noise)

    def test_a_drift_on_z(self, bench: Any) -> None:
        a, b = self.stack(bench, (0, 0), 0, 0), self.stack(bench, (4.3, -6.2), 1.6, 1)
        found = measure_shift(a, b, max_shift_px=(4, 15, 15))
        assert found.status == "measured"
        assert len(found.shift_px) == 3
        assert abs(found.shift_px[0] - 1.6) < 0.15
        assert error(found, (found.shift_px[0], 4.3, -6.2)) < 0.05

    @pytest.mark.parametrize(
        ("planes", "drift", "limit"), [(4, 1, 0.09), (6, 1, 0.04), (6, -2, 0.04)]
    )
    def test_few_planes_that_are_much_alike(
        self, tmp_path: Path, planes: int, drift: int, limit: float
    ) -> None:
        """Displacements are compared by the same planes: others have other structure."""
        images = AcquisitionSpec(0), AcquisitionSpec(1, shift_px=(drift, 4, -6))
        spec = PlateSpec(wells=("B/02",), acquisitions=images, channels=("DAPI",), planes=planes)
        make_plate(tmp_path / "p.zarr", replace(spec, field_shape=(256, 256)))
        levels = (zarr.open_array(tmp_path / f"p.zarr/B/02/{n}/0") for n in (0, 1))
        stacks = [np.asarray(level[0, :, :256, :256]) for level in levels]
        found = measure_shift(*stacks, max_shift_px=(3, 15, 15))
        assert found.status == "measured"
        assert abs(found.shift_px[0] - drift) < limit

    @pytest.mark.parametrize("planes", [(1, 3), (2, 2), (3, 3), (3, 5), (6, 6)])
    def test_planes_that_are_alike_tell_nothing_of_z(
        self, bench: Any, planes: tuple[int, int]
    ) -> None:
        """Noise made one displacement the best, and stacks were fused with planes of zeros."""
        for seed in range(6):
            blobs = bench.Blobs(20 + seed, density=4.0)
            one, other = (
                bench.camera(np.stack([blobs.light(self.shape, origin)] * count), 10 * seed + k)
                for k, (count, origin) in enumerate(zip(planes, [(0, 0), (4.3, -6.2)], strict=True))
            )
            found = measure_shift(one, other, max_shift_px=(5, 15, 15))
            assert found.status == "measured"
            assert found.shift_px[0] == 0
            assert found.sigma_px[0] == 0.5
            assert error(found, (0.0, 4.3, -6.2)) < 0.05

    def test_a_drift_beyond_what_is_allowed(self, bench: Any) -> None:
        a, b = self.stack(bench, (0, 0), 0, 0), self.stack(bench, (4.3, -6.2), 4, 1)
        assert measure_shift(a, b, max_shift_px=(2, 15, 15)).status == "too_far"


def test_pyramids_give_the_same_shift_and_only_crops_of_level_0_are_read(bench: Any) -> None:
    shape, true = (1400, 1500), (21.4, -13.7)
    blobs = bench.Blobs(9, density=0.4)
    images = bench.camera(blobs.light(shape), 0), bench.camera(blobs.light(shape, true), 1)
    plain = measure_shift(*images, max_shift_px=60)
    watched = [Watched(image) for image in images]
    halves = [
        [w, i.reshape(700, 2, 750, 2).mean((1, 3)), i.reshape(350, 4, 375, 4).mean((1, 3))]
        for w, i in zip(watched, images, strict=True)
    ]
    found = measure_shift(*halves, max_shift_px=60)
    assert error(found, true) < 0.01
    assert found.shift_px == pytest.approx(plain.shift_px, abs=1e-3)
    assert max(w.read for w in watched) < 0.75 * math.prod(shape)


class Watched:
    """An array that counts the pixels that are read."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0

    def __getitem__(self, key: Any) -> NDArray[Any]:
        part = np.asarray(self.array[key])
        self.read += part.size
        return part


def test_a_field_of_a_mosaic_is_read_from_its_zarr_array(bench: Any) -> None:
    a, b = pair(bench)
    mosaic = zarr.array(np.stack([np.hstack([b, a]), np.hstack([a, b])]), chunks=(1, 100, 100))
    left = Crop(mosaic, Box((0, 0), SHAPE), (1,))
    right = Crop(mosaic, Box((0, SHAPE[1]), (SHAPE[0], 2 * SHAPE[1])), (1,))
    assert measure_shift(left, right, max_shift_px=20) == measure_shift(a, b, max_shift_px=20)


def test_any_number_of_threads_gives_the_same_bits(bench: Any) -> None:
    from scipy import fft

    a, b = pair(bench)
    found = []
    for workers in (1, 2, 5):
        with fft.set_workers(workers):
            found.append(measure_shift(a, b, max_shift_px=20))
    assert found[0] == found[1] == found[2]


def test_a_pair_of_fields_has_its_vectors_on_zyx(bench: Any) -> None:
    found = measure_shift(*pair(bench), max_shift_px=20)
    keys = FieldKey("B/03", 0, "0", "FOV_1"), FieldKey("B/03", 1, "1", "FOV_1")
    measure = found.as_pair("cycle", *keys)
    assert measure.shift_px == (0.0, *found.shift_px)
    assert measure.sigma_px == (0.0, *found.sigma_px)
    assert (measure.score, measure.status) == (found.score, found.status)
    assert (measure.reference, measure.moving) == keys


def test_it_is_public() -> None:
    assert platefuse.measure_shift is measure_shift


OTHER_PATTERN = FixedPattern(1, np.zeros((24, 24), np.float32), None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_shift_px": (1, 2, 3)}, "max_shift_px is .* expected 2 finite numbers"),
        ({"max_shift_px": -1}, "max_shift_px is -1; expected 0 or more"),
        ({"offset_px": (math.nan, 0)}, "offset_px is .* expected 2 finite numbers"),
        ({"offset_px": (500, 0)}, "do not overlap"),
        ({"moving": np.zeros((2, 40, 40))}, "has 2 axes and the moving image 3"),
        ({"moving": np.zeros(40)}, r"moving image has shape \(40,\)"),
        ({"reference": np.zeros((40, 40), complex)}, "reference image has data type complex128"),
        ({"reference": []}, "reference image has no levels"),
        ({"reference": None}, r"reference image has shape \(\); expected two axes"),
        ({"reference": "image.zarr"}, r"reference image has shape \(\); expected two axes"),
        ({"reference": [[1, 2], [3]]}, "reference image is no array: .* Expected an array"),
        ({"max_shift_px": None}, "max_shift_px is None; expected 2 finite numbers"),
        ({"max_shift_px": "20"}, "max_shift_px is '20'; expected 2 finite numbers"),
        ({"max_shift_px": True}, "max_shift_px is True; expected 2 finite numbers"),
        ({"max_shift_px": {"y": 1, "x": 1}}, "max_shift_px is .* expected 2 finite numbers"),
        ({"max_shift_px": [[1, 2], [3, 4]]}, "max_shift_px is .* expected 2 finite numbers"),
        ({"offset_px": {"y": 1, "x": 1}}, "offset_px is .* expected 2 finite numbers"),
        ({"min_overlap": math.nan}, "min_overlap is nan; expected a number from 0 to 1, or None"),
        ({"min_overlap": "half"}, "min_overlap is 'half'; expected a number from 0 to 1"),
        ({"min_overlap": 2}, "min_overlap is 2; expected a number from 0 to 1"),
        ({"moving_pattern": np.zeros((40, 40))}, "moving_pattern is a ndarray; expected what"),
        ({"reference_pattern": OTHER_PATTERN}, r"reference_pattern .* \[24, 24\] .* \[40, 40\]"),
    ],
)
def test_what_cannot_be_measured_is_said(change: dict[str, Any], words: str) -> None:
    image = np.zeros((40, 40), np.uint8)
    request: dict[str, Any] = {"reference": image, "moving": image, "max_shift_px": 5, **change}
    with pytest.raises(ImageError, match=words):
        measure_shift(**request)


@pytest.mark.parametrize(
    "most", [np.int64(20), np.float32(20), np.array(20), np.array([20, 20]), 1e6, 1e300]
)
def test_numbers_of_any_kind_and_size_are_numbers(most: Any) -> None:
    scene = np.random.default_rng(3).random((140, 140))
    found = measure_shift(scene[:128, :128], scene[7:135, 3:131], max_shift_px=most)
    assert found.status == "measured"
    np.testing.assert_allclose(found.shift_px, (7, 3), atol=0.02)


def test_lists_of_numbers_are_an_image_and_a_larger_level_is_not_read() -> None:
    scene = np.random.default_rng(3).random((140, 140))
    reference, moving = scene[:128, :128], scene[7:135, 3:131]
    expected = measure_shift(reference, moving, max_shift_px=20)
    assert measure_shift(reference.tolist(), moving, max_shift_px=20) == expected
    larger = np.repeat(np.repeat(reference, 2, 0), 2, 1)
    assert measure_shift([reference, larger], moving, max_shift_px=20) == expected
