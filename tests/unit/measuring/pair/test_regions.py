"""Regions are the same whether they were kept or not, and not many are kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from platefuse.geometry import Box
from platefuse.measuring.pair.levels import Levels
from platefuse.measuring.pair.regions import MOST_PIXELS, Region, Regions, search_factor

IMAGES = [
    Levels.of(np.random.default_rng(seed).poisson(200, (64, 80)).astype(np.uint16), "x")
    for seed in range(4)
]
WHOLE = Box((0, 0), (64, 80))


def same(one: Region, other: Region) -> bool:
    return (
        np.array_equal(one.prepared.pixels, other.prepared.pixels)
        and one.texture == other.texture
        and one.tone == other.tone
    )


def test_a_region_that_was_used_just_before_is_not_read_again() -> None:
    regions = Regions()
    assert regions.of(IMAGES[0], WHOLE, 1, None) is regions.of(IMAGES[0], WHOLE, 1, None)
    other = regions.of(IMAGES[0], WHOLE, 2, None)
    assert other.prepared.shape == (32, 40)


def test_the_oldest_goes_when_there_are_too_many_and_comes_back_the_same() -> None:
    regions = Regions(most_pixels=2 * 64 * 80)
    first = regions.of(IMAGES[0], WHOLE, 1, None)
    for levels in IMAGES[1:]:
        regions.of(levels, WHOLE, 1, None)
    again = regions.of(IMAGES[0], WHOLE, 1, None)
    assert again is not first
    assert same(again, first)
    assert regions.of(IMAGES[3], WHOLE, 1, None) is regions.of(IMAGES[3], WHOLE, 1, None)


def test_threads_get_the_same() -> None:
    alone = [Region.read(levels, WHOLE, 1, None) for levels in IMAGES]
    regions = Regions(most_pixels=64 * 80)
    with ThreadPoolExecutor(4) as pool:
        numbers = [number for _ in range(10) for number in range(4)]
        found = list(pool.map(lambda n: regions.of(IMAGES[n], WHOLE, 1, None), numbers))
    assert all(same(region, alone[n]) for n, region in zip(numbers, found, strict=True))


def test_the_texture_of_an_image_is_that_of_its_region() -> None:
    regions = Regions(most_pixels=1)
    assert regions.texture(IMAGES[0]) == Region.read(IMAGES[0], WHOLE, 1, None).texture


@pytest.mark.parametrize(
    ("pixels", "factor"),
    [(1, 1), (MOST_PIXELS, 1), (MOST_PIXELS + 1, 2), (4 * MOST_PIXELS, 2), (2160 * 2560, 4)],
)
def test_the_level_of_the_search_is_small_enough(pixels: int, factor: int) -> None:
    assert search_factor(pixels) == factor
