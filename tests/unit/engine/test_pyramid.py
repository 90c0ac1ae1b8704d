from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from platefuse.engine.downsample import Downsample, aggregate, mean, nearest
from platefuse.engine.pyramid import Index, PyramidWriter, TileTree
from platefuse.geometry import Box
from platefuse.storage.threads import run_tasks
from tests.arrays import ArrayLevel
from tests.pyramids import Pyramid, pyramids


def random_pixels(shape: Index, dtype: str = "uint16") -> NDArray[Any]:
    pixels = np.random.default_rng(0).integers(0, 60000, shape)
    return np.where(pixels < 30000, 0, pixels).astype(dtype)


def write(
    pyramid: Pyramid,
    pixels: NDArray[Any],
    downsample: Downsample,
    *,
    threads: int = 1,
    zero_is_fill: bool = True,
) -> list[ArrayLevel]:
    levels = pyramid.levels(str(pixels.dtype), zero_is_fill=zero_is_fill)
    writer = PyramidWriter(pyramid.tree, levels, downsample)

    def work(index: Index) -> None:
        block = pixels[pyramid.tree.region(0, index).slices]
        writer.put(index, block if block.any() else None)

    run_tasks((partial(work, leaf) for leaf in pyramid.tree.leaves()), threads)
    assert not writer._open
    return levels


@pytest.mark.parametrize("downsample", [mean, nearest, aggregate(np.max)])
@settings(max_examples=50)
@given(
    pyramid=pyramids(),
    threads=st.integers(1, 3),
    dtype=st.sampled_from(["uint16", "int64", "float32"]),
    zero_is_fill=st.booleans(),
)
def test_one_pass_gives_what_level_after_level_would(
    pyramid: Pyramid, threads: int, dtype: str, zero_is_fill: bool, downsample: Downsample
) -> None:
    expected = random_pixels(pyramid.shapes[0], dtype)
    levels = write(pyramid, expected, downsample, threads=threads, zero_is_fill=zero_is_fill)
    for level, written in enumerate(levels):
        if level:
            factors = pyramid.factors[level - 1]
            expected = downsample(expected, factors, pyramid.shapes[level])
        np.testing.assert_array_equal(written.pixels, expected, err_msg=f"level {level}")


def test_tiles_without_pixels_are_left_out_where_that_reads_as_zero() -> None:
    pyramid = Pyramid([(8, 8), (4, 4)], [(4, 4), (4, 4)], [(2, 2)])
    pixels = np.zeros((8, 8), np.uint16)
    pixels[:4, 4:] = 7
    levels = write(pyramid, pixels, mean)
    assert [level.written for level in levels] == [[Box((0, 4), (4, 8))], [Box((0, 0), (4, 4))]]


def test_what_waits_keeps_its_byte_order() -> None:
    """A level may be made in another byte order than its array has."""
    shapes = [(64, 64), (32, 32), (16, 16), (8, 8)]
    tree = TileTree(shapes, [(8, 8)] * 4, [(2, 2)] * 3)

    def swapped(block: Any, factors: tuple[int, ...], shape: tuple[int, ...]) -> Any:
        return mean(block, factors, shape).astype(">u2")

    class Level(ArrayLevel):
        def write(self, box: Box, pixels: Any) -> None:
            super().write(box, pixels.astype("<u2"))

    levels = [Level(shape, (8, 8), np.dtype("<u2")) for shape in shapes]
    writer = PyramidWriter(tree, levels, swapped)
    for index in tree.leaves():
        writer.put(index, np.full((8, 8), 258, "<u2"))
    assert all((level.pixels == 258).all() for level in levels)
