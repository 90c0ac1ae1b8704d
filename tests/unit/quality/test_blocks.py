"""Blocks: where they lie, and what their pixels show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import fourier_shift, gaussian_filter

from platefuse.geometry import Box
from platefuse.measuring.pair.prepare import Tone
from platefuse.quality.blocks import BLOCK_PX, MOST_BLOCKS, Block, choose_blocks, compare
from platefuse.quality.planes import Plane

RANDOM = np.random.default_rng(7)


class Slices:
    """An array that is sliced as a stored one."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.asarray(self.pixels[key])


def plane_of(pixels: NDArray[Any]) -> Plane:
    return Plane([Slices(pixels)], (), None)  # type: ignore[list-item]


def tissue(height: int, width: int, blur: float = 1.5) -> NDArray[np.float64]:
    """Smooth structure of all sizes, periodic, about 1000 counts."""
    random = np.random.default_rng(3)
    fine = gaussian_filter(random.normal(size=(height, width)), blur, mode="wrap")
    coarse = gaussian_filter(random.normal(size=(height, width)), 5, mode="wrap")
    return np.asarray(1000 + 150 * fine / fine.std() + 150 * coarse / coarse.std())


def camera(scene: NDArray[np.float64], seed: int, noise: float = 20) -> NDArray[np.uint16]:
    random = np.random.default_rng(seed)
    return np.clip(np.rint(scene + random.normal(0, noise, scene.shape)), 0, 65535).astype(
        np.uint16
    )


def block(pixels: NDArray[np.uint16]) -> Block:
    return Block.of(pixels, Tone.of(pixels, pixels.dtype))


@settings(max_examples=25, deadline=None)
@given(y=st.floats(-30, 30), x=st.floats(-30, 30))
def test_the_residual_is_the_shift_that_is_missing(y: float, x: float) -> None:
    scene = tissue(320, 320)
    moved = np.fft.ifft2(fourier_shift(np.fft.fft2(scene), (y, x))).real
    first, second = (
        block(camera(own, seed)[60:260, 60:260]) for seed, own in enumerate((scene, moved))
    )

    found = compare(first, second, (0, 0))

    assert found.residual_px == pytest.approx((-y, -x), abs=1 / 16)
    assert found.before == found.after


@pytest.mark.parametrize("seed", range(8))
def test_other_tissue_is_not_found_again(seed: int) -> None:
    random = np.random.default_rng(seed)
    pair = (gaussian_filter(random.normal(size=(200, 200)), 2) for _ in range(2))
    first, second = (block(camera(1000 + 500 * own / own.std() / 3, 1)) for own in pair)

    assert compare(first, second, (0, 0)).residual_px is None


def test_correlation_before_and_after() -> None:
    scene = tissue(300, 300)
    still, moving = block(camera(scene, 0)[50:250, 50:250]), block(camera(scene, 1)[50:250, 50:250])

    found = compare(still, moving, (7, 12))

    assert found.after > 0.8
    assert abs(found.before) < 0.2
    assert compare(still, moving, (70, 12)).before == 0  # beyond what a block can show
    # tissue that registration moved away from where it was
    moved = block(camera(scene, 1)[57:257, 62:262])
    assert compare(still, moved, (-7, -12)).before > 0.8


def test_blur_lowers_the_focus_and_brightness_does_not() -> None:
    sharp = tissue(200, 200)
    focus = {
        blur: block(camera(gaussian_filter(sharp, blur, mode="wrap"), 1, noise=10)).shown.focus
        for blur in (0.0, 1.0, 2.0, 3.0)
    }
    values = [focus[blur] for blur in sorted(focus)]
    assert all(value is not None for value in values)
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    assert values[2] < values[0] / 2  # type: ignore[operator]

    bright = block(camera(3 * sharp, 1, noise=10)).shown.focus
    assert bright == pytest.approx(values[0], rel=0.1)


def test_noise_alone_has_no_structure() -> None:
    dark = block(camera(np.full((200, 200), 500.0), 4))
    assert not dark.shown.has_structure
    assert dark.shown.focus is None


@pytest.mark.parametrize("part", [(0.5, 0.5), (0.5, 0.0), (0.25, 0.4)])
@pytest.mark.parametrize("gain", [1.5, 20.0])
def test_interpolated_noise_has_no_structure(part: tuple[float, float], gain: float) -> None:
    random = np.random.default_rng(8)
    for _ in range(20):
        noise = 300 + random.normal(0, gain, (201, 201))
        y, x = part
        rows = (1 - y) * noise[:-1] + y * noise[1:]
        both = (1 - x) * rows[:, :-1] + x * rows[:, 1:]
        assert not block(np.rint(both).astype(np.uint16)).shown.has_structure


def test_saturated_pixels_are_counted() -> None:
    pixels = camera(tissue(200, 200), 1)
    pixels[:20, :50] = 65535
    assert block(pixels).shown.saturated == pytest.approx(1000 / 40000)


def test_blocks_lie_where_the_structure_is_and_no_other_field() -> None:
    pixels = camera(np.full((900, 1700), 500.0), 5)
    pixels[500:620, 250:370] = camera(tissue(120, 120), 6)
    fields = [Box((0, 0), (900, 900)), Box((0, 800), (900, 1700))]

    blocks = choose_blocks(plane_of(pixels), fields)

    assert all(own.shape == (BLOCK_PX, BLOCK_PX) for own in blocks)
    assert all(own.stop[1] <= 800 or own.start[1] >= 900 for own in blocks)
    structured = Box((500, 250), (620, 370))
    assert any((own & structured).size > 0.8 * structured.size for own in blocks)
    assert len(blocks) == 8


def test_the_border_of_a_field_of_another_acquisition_is_avoided() -> None:
    pixels = camera(tissue(600, 600), 1)
    still, other = Box((0, 0), (500, 500)), Box((30, 40), (530, 540))

    blocks = choose_blocks(plane_of(pixels), [still], [other])

    assert blocks
    assert all(min(own.start) >= 30 and max(own.stop) <= 500 for own in blocks)


@pytest.mark.parametrize("side", [100, 130, 260])
def test_small_fields_have_smaller_blocks(side: int) -> None:
    pixels = camera(tissue(side, side), 1)
    blocks = choose_blocks(plane_of(pixels), [Box((0, 0), (side, side))])
    assert blocks
    assert all(own == own & Box((0, 0), (side, side)) for own in blocks)


def test_many_fields_have_few_blocks_each() -> None:
    pixels = np.zeros((2400, 2400), np.uint16)
    fields = [
        Box((y, x), (y + 100, x + 100)) for y in range(0, 2400, 100) for x in range(0, 2400, 100)
    ]
    blocks = choose_blocks(plane_of(pixels), fields)
    assert 0 < len(blocks) <= MOST_BLOCKS


def test_no_field_has_no_block() -> None:
    assert choose_blocks(plane_of(np.zeros((50, 50), np.uint16)), []) == []
