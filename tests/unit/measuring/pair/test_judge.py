"""Images whose best peak is clear and still is not the shift of the tissue."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from platefuse.measuring.pair.correlate import Lags, Plane, surface
from platefuse.measuring.pair.depth import FLAT
from platefuse.measuring.pair.judge import LEAST_TEXTURE, Judge
from platefuse.measuring.pair.levels import Levels
from platefuse.measuring.pair.measure import measure_shift
from platefuse.measuring.pair.refine import Refined
from platefuse.measuring.pair.regions import Regions
from platefuse.measuring.pair.search import Request, search

SIDE = 256
Light = NDArray[np.float64]


def lit(bench: Any, light: Light, seed: int) -> Any:
    return bench.camera(light + 60.0, seed)


def fibre(origin: tuple[float, float], angle: float, turn_px: float = math.inf) -> Light:
    """A fibre of 3 px, straight or an arc, that crosses the image."""
    y, x = (np.arange(SIDE) + o - SIDE / 2 for o in origin)
    across = y[:, None] * math.sin(angle) + x * math.cos(angle)
    if math.isfinite(turn_px):
        along = y[:, None] * math.cos(angle) - x * math.sin(angle)
        across = np.hypot(across + turn_px, along) - turn_px
    return np.asarray(1000 * np.exp(-((across / 3) ** 2) / 2))


@pytest.mark.parametrize("angle", [0.4, 0.9, 1.3, 2.0, 2.8])
def test_a_straight_fibre_does_not_tell_how_far_it_moved_along_itself(
    bench: Any, angle: float
) -> None:
    moved = 5.2 * -math.sin(angle) + 3.0, 5.2 * math.cos(angle) + 2.0
    images = lit(bench, fibre((0, 0), angle), 0), lit(bench, fibre(moved, angle), 1)
    assert measure_shift(*images, max_shift_px=20).status == "ambiguous"


def test_an_arc_does(bench: Any) -> None:
    true = (-3.3, 5.1)
    images = lit(bench, fibre((0, 0), 0.4, 200), 0), lit(bench, fibre(true, 0.4, 200), 1)
    found = measure_shift(*images, max_shift_px=20)
    assert found.status == "measured"
    assert np.abs(np.subtract(found.shift_px, true)).max() < 0.15


def grains(
    count: int,
    seed: int,
    at: tuple[float, float] = (0, 0),
    peak: float = 600,
) -> Light:
    """Irregular objects of some 20 px, each of a body and what is in it."""
    rng = np.random.default_rng([seed, 7])
    y, x = np.ogrid[:SIDE, :SIDE]
    light = np.zeros((SIDE, SIDE))
    for centre in rng.uniform(90, SIDE - 90, (count, 2)):
        size = rng.uniform(5, 12)
        spots = [(centre, size, peak)]
        for _ in range(7):
            inside = centre + rng.normal(0, 0.7 * size, 2)
            spots.append((inside, rng.uniform(1.3, 3), peak * rng.uniform(0.2, 0.8)))
        for (cy, cx), radius, bright in spots:
            square = (y + at[0] - cy) ** 2 + (x + at[1] - cx) ** 2
            light += bright * np.exp(-square / radius**2 / 2)
    return light


def test_debris_in_two_empty_fields_is_no_tissue(bench: Any) -> None:
    found = [
        measure_shift(
            lit(bench, grains(1, 2 * seed), 0), lit(bench, grains(1, 2 * seed + 1), 1),
            max_shift_px=90,
        )
        for seed in range(30)
    ]  # fmt: skip
    assert max(f.height for f in found) > 20  # it stands out of the noise of the camera
    assert "measured" not in {f.status for f in found}


@pytest.mark.parametrize("cells", [1, 2, 4])
def test_few_cells_are_enough(bench: Any, cells: int) -> None:
    true = (11.3, -7.8)
    for seed in range(4):
        images = grains(cells, seed, peak=3000), grains(cells, seed, true, peak=3000)
        found = measure_shift(lit(bench, images[0], 0), lit(bench, images[1], 1), max_shift_px=60)
        assert found.status == "measured"
        assert np.abs(np.subtract(found.shift_px, true)).max() < 0.1


def test_grain_that_two_images_share_is_no_chance() -> None:
    scene = np.random.default_rng(3).integers(0, 1000, (300, 300))
    found = measure_shift(scene[:256, :256], scene[7:263, 3:259], max_shift_px=20)
    assert found.texture < LEAST_TEXTURE
    assert found.status == "measured"
    assert np.abs(np.subtract(found.shift_px, (7, 3))).max() < 0.01


def test_strips_with_few_cells_are_judged_less_strictly_than_whole_fields(bench: Any) -> None:
    found = []
    for seed in range(30):
        images = [lit(bench, grains(1, 2 * seed + k), k) for k in (0, 1)]
        levels = Levels.of(images[0], "reference"), Levels.of(images[1], "moving")
        own = search(*levels, Request((0, 0), (60, 60)), (None, None), Regions())
        noise, peaks = own.surface.noise(), own.surface.peaks()
        place = own.displacement(peaks[0])
        fine = Refined(place, (0, 0), (0.1, 0.1), agreement=1, angle_deg=0, bands_differ_px=0)
        found.append(
            tuple(
                Judge(own, (None, None), noise, peaks, peaks[0], share).status(FLAT, fine)
                for share in (0.2, 0.3)
            )
        )
    assert ("measured", "ambiguous") in found
    assert ("ambiguous", "measured") not in found


@pytest.mark.parametrize(("sigma", "status"), [(0.3, "measured"), (0.4, "ambiguous")])
def test_what_may_be_wrong_by_a_pixel_is_not_measured(
    bench: Any, sigma: float, status: str
) -> None:
    images = [lit(bench, grains(4, 0, at, peak=3000), 0) for at in ((0, 0), (4, 5))]
    levels = Levels.of(images[0], "reference"), Levels.of(images[1], "moving")
    found = search(*levels, Request((0, 0), (30, 30)), (None, None), Regions())
    peaks, noise = found.surface.peaks(), found.surface.noise()
    judge = Judge(found, (None, None), noise, peaks, peaks[0], overlap=0.9)
    place = found.displacement(peaks[0])
    fine = Refined(place, (0, 0), (0.1, sigma), agreement=1, angle_deg=0, bands_differ_px=0)
    assert judge.status(FLAT, fine) == status


def test_the_largest_height_beyond_a_peak() -> None:
    random = np.random.default_rng(0)
    first, second = (random.normal(size=(40, 50)).astype(np.float32) for _ in range(2))
    found = surface(Plane(first), Plane(second), Lags((-6, -8), (6, 8)), 1)
    far = [
        float(found.height[y + 6, x + 8])
        for y in range(-6, 7)
        for x in range(-8, 9)
        if math.hypot(y - 2, x + 3) > 5 and math.hypot(y, x - 8) > 5
    ]
    assert found.highest_beyond([(2, -3), (0, 8)], 5) == pytest.approx(max(far))
    assert found.highest_beyond([(0, 0)], 100) == 0
