"""Spectra of blocks, and the rings of frequencies in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platefuse.measuring.pair.transform import RINGS, Transform, transform_of

SHAPES = [(48, 64), (47, 61), (16, 200)]
SCENE = np.random.default_rng(4).normal(size=(120, 120)).astype(np.float32)


def test_it_is_made_once_for_each_shape() -> None:
    assert transform_of((48, 64), 8) is transform_of((48, 64), 8)


@pytest.mark.parametrize("shape", SHAPES)
def test_there_is_room_around_a_block(shape: tuple[int, int]) -> None:
    transform = transform_of(shape, 9)
    assert all(n + 9 <= m for n, m in zip(shape, transform.padded, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_rings_hold_all_frequencies_of_a_full_transform(shape: tuple[int, int]) -> None:
    transform = transform_of(shape, 8)
    height, width = transform.padded
    assert transform.modes.sum() == height * width
    y = np.fft.fftfreq(height)[:, None]
    x = np.fft.fftfreq(width)[None]
    ring = np.minimum((np.hypot(y, x) * 2 * RINGS).astype(int), RINGS)
    expected = np.bincount(ring.ravel(), minlength=RINGS + 1)
    assert np.array_equal(transform.modes, expected)
    bends = [
        (4 * np.pi**2 * a * b * np.ones_like(ring))[ring == 5].sum() for a, b in [(y, y), (x, x)]
    ]
    assert transform.bends[[0, 2], 5] == pytest.approx(bends)


@given(st.tuples(st.integers(-6, 6), st.integers(-6, 6)))
def test_a_cross_spectrum_is_moved_to_its_shift(shift: tuple[int, int]) -> None:
    transform = transform_of((48, 64), 16)
    cross = cross_spectrum(transform, shift)
    assert peak(transform.back(cross)) == shift
    assert peak(transform.back(transform.moved(cross, shift))) == (0, 0)


def cross_spectrum(transform: Transform, shift: tuple[int, int]) -> np.ndarray:
    """Of a block and another, whose tissue lies at smaller places by the shift."""
    (height, width), (y, x) = transform.shape, shift
    one = SCENE[20 : 20 + height, 20 : 20 + width]
    two = SCENE[20 + y : 20 + y + height, 20 + x : 20 + x + width]
    return transform(one) * transform(two).conj()


def peak(plane: np.ndarray) -> tuple[int, ...]:
    """Where the maximum is; the second half of an axis holds negative places."""
    place = np.unravel_index(int(plane.argmax()), plane.shape)
    return tuple(
        int(p) - n if p > n // 2 else int(p) for p, n in zip(place, plane.shape, strict=True)
    )
