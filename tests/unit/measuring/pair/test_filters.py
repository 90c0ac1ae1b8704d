"""Filters of planes are those of SciPy."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from platefuse.measuring.pair.filters import sliding


def noise(shape: tuple[int, int]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(1).random(shape, dtype=np.float32)


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3, 5, 11]))
def test_extremes_around_a_pixel_are_those_of_scipy(height: int, width: int, size: int) -> None:
    plane = noise((height, width))
    for ours, theirs in (
        (np.maximum, ndimage.maximum_filter),
        (np.minimum, ndimage.minimum_filter),
    ):
        expected = theirs(plane, size, mode="nearest")
        np.testing.assert_array_equal(sliding(plane, size, ours), expected)
