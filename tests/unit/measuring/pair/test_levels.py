"""Pyramids and crops as the pair measure reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from platefuse.errors import ImageError
from platefuse.geometry import Box
from platefuse.measuring.pair.levels import Crop, Levels

IMAGE = np.random.default_rng(0).integers(0, 1000, (1100, 50), dtype=np.uint16)


def halved(image: NDArray[Any]) -> NDArray[Any]:
    height, width = (n // 2 for n in image.shape)
    smaller: NDArray[Any] = (
        image[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3))
    )
    return smaller


@given(
    st.tuples(st.integers(0, 40), st.integers(0, 10)),
    st.tuples(st.integers(1, 1100), st.integers(1, 50)),
    st.sampled_from([1, 2, 4]),
)
def test_a_level_that_is_missing_is_averaged(
    start: tuple[int, int], size: tuple[int, int], factor: int
) -> None:
    first = (start[0] * factor, start[1] * factor)
    box = Box(first, (min(1100, first[0] + size[0]), min(50, first[1] + size[1])))
    levels = [IMAGE, halved(IMAGE), halved(halved(IMAGE))]
    chunked = zarr.array(IMAGE, chunks=(530, 20))
    whole = Levels.of(levels, "x").read(box, 0, factor)
    for images in (IMAGE, [IMAGE, levels[1]], [chunked]):
        np.testing.assert_allclose(Levels.of(images, "x").read(box, 0, factor), whole, rtol=1e-6)


def test_a_plane_of_a_stack_is_read() -> None:
    stack = np.stack([IMAGE, IMAGE + 1])
    levels = Levels.of([stack, np.stack([halved(IMAGE)])], "x")  # a level with fewer planes
    assert levels.planes == 2
    assert levels.factor(1) is None
    box = Box((0, 0), (100, 50))
    np.testing.assert_allclose(levels.read(box, 1, 2), halved(IMAGE + 1)[:50], rtol=1e-6)


def test_a_crop_is_sliced_like_an_array() -> None:
    array = np.arange(2 * 30 * 40).reshape(2, 30, 40)
    crop = Crop(array, Box((5, 7), (25, 37)), (1,))
    part = array[1, 5:25, 7:37]
    assert crop.shape == part.shape
    assert crop.dtype == part.dtype
    for key in (np.s_[2:5, 3:300], np.s_[-4:, :], np.s_[3:4], np.s_[9:2, :]):
        np.testing.assert_array_equal(crop[key], part[key])
    assert crop.chunks is None
    assert Crop(zarr.array(array, chunks=(1, 8, 9)), crop.box, (1,)).chunks == (8, 9)


def test_arrays_with_an_axis_too_many_are_refused() -> None:
    with pytest.raises(ImageError, match=r"reference image has shape \(1, 1, 4, 4\)"):
        Levels.of(np.zeros((1, 1, 4, 4)), "reference")
