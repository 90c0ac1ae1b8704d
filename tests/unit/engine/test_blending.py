from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platefuse.engine.blending import border_weights, float_dtype


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
