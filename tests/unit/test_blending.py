from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from platefuse.blending import (
    KERNELS,
    REACH,
    border_weights,
    cubic_weights,
    float_dtype,
    resample,
)

POLYNOMIALS = {1: (3.0, -2.0, 0.0), 3: (3.0, -2.0, 0.25)}  # exact for order 1 and 3: by degree


def polynomial(order: int, x: NDArray[Any]) -> NDArray[Any]:
    a, b, c = POLYNOMIALS[order]
    return np.asarray(a + b * x + c * x * x)


@given(start=st.integers(-9, 9), size=st.integers(1, 30), width=st.just(0.0) | st.floats(1e-3, 40))
def test_every_pixel_of_a_view_has_a_weight_that_falls_towards_the_borders(
    start: int, size: int, width: float
) -> None:
    weights = border_weights(np.arange(start, start + size), start, start + size, width)
    assert (weights > 0).all()
    assert (weights <= 1).all()
    np.testing.assert_allclose(weights, weights[::-1], atol=1e-12)
    half = weights[: (size + 1) // 2]
    assert (np.diff(half) >= -1e-12).all()
    inside = np.arange(size) + 0.5
    assert (weights[np.minimum(inside, size - inside) >= width] == 1).all()


def test_weights_are_a_raised_cosine_of_the_distance_to_the_border() -> None:
    weights = border_weights(np.arange(20), 0, 20, 8)
    expected = 0.5 - 0.5 * np.cos(np.pi * np.minimum(np.arange(20) + 0.5, 8) / 8)
    np.testing.assert_allclose(weights[:10], expected[:10], rtol=1e-6)


@pytest.mark.parametrize("order", [1, 3])
@given(fraction=st.floats(0, 1, exclude_max=True))
def test_kernels_keep_constants_and_whole_positions(order: int, fraction: float) -> None:
    taps = KERNELS[order](fraction)
    assert sum(weight for _, weight in taps) == pytest.approx(1)
    assert all(-REACH[order] <= offset <= REACH[order] for offset, _ in taps)
    assert dict(KERNELS[order](0.0))[0] == 1
    # The moment of order 1 is the position itself.
    assert sum(offset * weight for offset, weight in taps) == pytest.approx(fraction)


def test_cubic_weights_work_on_arrays() -> None:
    fractions = np.linspace(0, 0.9, 7)
    for k, weights in enumerate(cubic_weights(fractions)):
        np.testing.assert_allclose(weights, [cubic_weights(float(f))[k] for f in fractions])


@pytest.mark.parametrize("order", [1, 3])
@settings(max_examples=40)
@given(fraction=st.floats(0, 0.999), first=st.integers(2, 5), n=st.integers(1, 6))
def test_polynomials_are_sampled_exactly(order: int, fraction: float, first: int, n: int) -> None:
    y, x = np.ogrid[:14, :14]
    pixels = polynomial(order, x) + 10 * polynomial(order, y)
    got = resample(pixels, (first, first), (0.0, fraction), (n, n), order)
    at = np.arange(first, first + n)
    expected = polynomial(order, at + fraction)[None] + 10 * polynomial(order, at)[:, None]
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_beyond_its_border_an_array_goes_on_with_its_border_pixels() -> None:
    pixels = np.array([[10.0, 20.0]])
    got = resample(pixels, (0, -2), (0.0, 0.5), (1, 6), 1)
    np.testing.assert_allclose(got, [[10, 10, 15, 20, 20, 20]])


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("bool", "float32"),
        ("uint8", "float32"),
        ("uint16", "float32"),
        ("float16", "float32"),
        ("float32", "float32"),
        ("int32", "float64"),
        ("uint64", "float64"),
        ("float64", "float64"),
    ],
)
def test_values_are_computed_in_a_float_that_holds_them_exactly(dtype: str, expected: str) -> None:
    assert float_dtype(np.dtype(dtype)) == expected
