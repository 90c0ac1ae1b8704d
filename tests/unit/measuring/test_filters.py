"""Filters of planes are those of SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from platefuse.measuring.filters import gaussian, sliding


def noise(shape: tuple[int, int]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(1).random(shape, dtype=np.float32)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (40, 30), (700, 300)])
@pytest.mark.parametrize("sigma", [0.8, 1.89])
def test_a_gaussian_is_that_of_scipy(shape: tuple[int, int], sigma: float) -> None:
    plane = noise(shape)  # the last shape is filtered in strips
    expected = ndimage.gaussian_filter(plane, sigma, mode="nearest", truncate=3.0)
    np.testing.assert_allclose(gaussian(plane, sigma), expected, atol=1e-6)


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3, 5, 11]))
def test_extremes_around_a_pixel_are_those_of_scipy(height: int, width: int, size: int) -> None:
    plane = noise((height, width))
    for ours, theirs in (
        (np.maximum, ndimage.maximum_filter),
        (np.minimum, ndimage.minimum_filter),
    ):
        expected = theirs(plane, size, mode="nearest")
        np.testing.assert_array_equal(sliding(plane, size, ours), expected)
