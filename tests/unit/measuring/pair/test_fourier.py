"""Transforms of real planes, in single precision."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft

from platefuse.measuring.pair.fourier import fast_length, forward, inverse


def test_fast_lengths_are_those_of_scipy() -> None:
    lengths = range(1, 1000)
    assert [fast_length(n) for n in lengths] == [fft.next_fast_len(n, real=True) for n in lengths]


@pytest.mark.parametrize("shape", [(64, 60), (250, 243), (320, 300)])
def test_a_plane_is_padded_transformed_and_comes_back(shape: tuple[int, int]) -> None:
    height, width = 50, 40
    plane = np.random.default_rng(1).normal(size=(height, width)).astype(np.float32)
    spectrum = forward(plane, shape)
    assert spectrum.dtype == np.complex64
    expected = np.fft.rfft2(plane.astype(float), shape)
    np.testing.assert_allclose(spectrum, expected, atol=1e-3)
    back = inverse(spectrum, shape)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back[:height, :width], plane, atol=1e-5)
    assert np.abs(back[height:]).max() < 1e-5
