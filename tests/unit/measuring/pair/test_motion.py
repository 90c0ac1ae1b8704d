"""Shift and turn from the shifts of blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platefuse.measuring.pair.motion import Motion, turned

PLACES = [(float(y), float(x)) for y in (-700, 0, 700) for x in (-900, 0, 900)]


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.1, 1) | st.floats(-1, -0.1))
def test_a_turn_is_found_though_one_block_is_wrong(y: float, x: float, degrees: float) -> None:
    true = Motion((y, x), np.deg2rad(degrees))
    shifts = [true.at(place) for place in PLACES]
    shifts[4] = (shifts[4][0] + 6, shifts[4][1] - 4)
    found = turned(shifts, PLACES)
    assert found is not None
    assert found.angle == pytest.approx(true.angle, abs=1e-4)
    assert found.shift == pytest.approx(true.shift, abs=0.05)


def test_noise_is_no_turn() -> None:
    for seed in range(20):
        shifts = np.random.default_rng(seed).normal(2, 0.5, (9, 2)).tolist()
        assert turned(shifts, PLACES) is None


def test_few_blocks_show_no_turn() -> None:
    true = Motion((0, 0), 0.01)
    assert turned([true.at(place) for place in PLACES[:3]], PLACES[:3]) is None


def test_steps_add_up() -> None:
    both = Motion((1, 2), 0.1).then(Motion((3, 4), 0.2))
    assert both.shift == pytest.approx((4, 6))
    assert both.angle == pytest.approx(0.3)
