"""The maximum of a correlation between whole shifts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platefuse.measuring.pair.correlate import Lags, Surface

offsets = st.floats(-0.5, 0.5)


def peak_at(y: float, x: float, sigma: float) -> Surface:
    """A Gaussian peak."""
    lags = Lags((-6, -5), (6, 5))
    rows, columns = lags.axis(0)[:, None] - y, lags.axis(1) - x
    score = np.exp(-(rows**2 + columns**2) / (2 * sigma**2)).astype(np.float32)
    return Surface(lags, score, score, np.ones(score.shape, np.int64))


@given(offsets, offsets, st.floats(1.7, 6))
def test_the_vertex_is_the_maximum(y: float, x: float, sigma: float) -> None:
    found = peak_at(2 + y, -1 + x, sigma).vertex((2, -1))
    assert found == pytest.approx((2 + y, -1 + x), abs=0.01)


def test_without_a_maximum_the_lag_stays() -> None:
    flat = np.zeros((5, 5), np.float32)
    lags = Lags((-2, -2), (2, 2))
    assert Surface(lags, flat, flat, flat.astype(np.int64)).vertex((0, 0)) == (0, 0)
