from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from platefuse.engine.downsample import aggregate, mean, nearest, to_dtype

INTEGERS = ("bool", "uint8", "int8", "uint16", ">u2", "int16", "uint32", "int32", "uint64", "int64")


@st.composite
def groups(
    draw: st.DrawFn, dtypes: tuple[str, ...] = INTEGERS
) -> tuple[NDArray[Any], tuple[int, ...], tuple[int, ...]]:
    """A block, factors and the shape of the coarser level: rounded down or up on each axis."""
    ndim = draw(st.integers(2, 3))
    factors = draw(st.one_of(st.just((1, 2, 2)[-ndim:]), st.tuples(*[st.integers(1, 4)] * ndim)))
    size = draw(st.tuples(*[st.integers(1, 9)] * ndim))
    rounded = [
        draw(st.sampled_from([max(1, n // f), -(-n // f)]))
        for n, f in zip(size, factors, strict=True)
    ]
    dtype = draw(st.sampled_from(dtypes))
    low, high = (0, 1) if dtype == "bool" else _limits(dtype)
    # Few distinct values far apart, so that halves, extremes and both signs turn up.
    few = [low, high, 0, 1, draw(st.integers(low, high))]
    chosen = np.random.default_rng(draw(st.integers(0, 2**32))).choice(5, size)
    return np.array(few, dtype)[chosen], factors, tuple(rounded)


def _limits(dtype: str) -> tuple[int, int]:
    limits: np.iinfo[Any] = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def members(block: NDArray[Any], factors: tuple[int, ...], index: tuple[int, ...]) -> NDArray[Any]:
    return block[tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))]


@given(groups())
def test_the_mean_of_integers_is_exact_and_halves_go_to_even(
    case: tuple[NDArray[Any], tuple[int, ...], tuple[int, ...]],
) -> None:
    block, factors, shape = case
    before = block.copy()
    coarse = mean(block, factors, shape)
    assert coarse.dtype == block.dtype
    assert coarse.shape == shape
    for index in product(*map(range, shape)):
        group = [int(v) for v in members(block, factors, index).ravel()]
        assert int(coarse[index]) == round(Fraction(sum(group), len(group)))
    np.testing.assert_array_equal(block, before)


@pytest.mark.parametrize("height", [0, 2, 1000])
@pytest.mark.parametrize("dtype", ["uint16", ">i2", "int8"])
def test_the_mean_of_two_by_two_is_exact_beyond_one_strip(height: int, dtype: str) -> None:
    limits = np.iinfo(dtype)
    pixels = np.random.default_rng(0).integers(limits.min, limits.max, (2, height, 1024))
    coarse = mean(pixels.astype(dtype), (1, 2, 2), (2, height // 2, 512))
    groups_ = pixels.reshape(2, height // 2, 2, 512, 2).mean(axis=(2, 4))
    assert coarse.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(coarse, np.rint(groups_))


@given(groups(("uint8",)), st.sampled_from(["float16", "float32", "float64"]))
def test_the_mean_of_floats_is_the_mean(
    case: tuple[NDArray[Any], tuple[int, ...], tuple[int, ...]], dtype: str
) -> None:
    block, factors, shape = case[0].astype(dtype), case[1], case[2]
    coarse = mean(block, factors, shape)
    assert coarse.dtype == block.dtype
    for index in product(*map(range, shape)):
        expected = np.mean(members(block, factors, index).astype(float))
        assert float(coarse[index]) == pytest.approx(expected, rel=1e-3, abs=1e-3)


@given(groups())
def test_nearest_takes_the_first_pixel_of_every_group(
    case: tuple[NDArray[Any], tuple[int, ...], tuple[int, ...]],
) -> None:
    block, factors, shape = case
    coarse = nearest(block, factors, shape)
    assert coarse.shape == shape
    assert coarse.dtype == block.dtype
    for index in product(*map(range, shape)):
        assert coarse[index] == members(block, factors, index).ravel()[0]


@pytest.mark.parametrize("function", [np.max, np.min, np.median])
@given(case=groups(("uint8", "int16", "uint16")))
def test_a_user_s_aggregation_gets_each_group_and_is_rounded(
    case: tuple[NDArray[Any], tuple[int, ...], tuple[int, ...]], function: Callable[..., Any]
) -> None:
    block, factors, shape = case
    coarse = aggregate(function)(block, factors, shape)
    assert coarse.dtype == block.dtype
    whole = [
        index
        for index in product(*map(range, shape))
        if members(block, factors, index).size == np.prod(factors)
    ]
    for index in whole:
        assert coarse[index] == round(float(function(members(block, factors, index))))


def test_numpy_s_mean_stands_for_the_rounded_one() -> None:
    assert aggregate(np.mean) is mean


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "uint32", "int64", "uint64"])
@given(value=st.one_of(st.floats(-300, 300), st.floats(-1e20, 1e20)))
def test_floats_become_the_nearest_integer_that_the_dtype_has(value: float, dtype: str) -> None:
    limits = np.iinfo(dtype)
    got = to_dtype(np.array([value]), np.dtype(dtype))
    assert got.dtype == dtype
    expected = min(max(round(value), limits.min), limits.max)
    # The largest float64 below 2**63 or 2**64 stands for the largest integers.
    assert int(got[0]) == expected or (limits.bits == 64 and expected - int(got[0]) in range(2**11))


def test_float32_that_is_beyond_a_wide_integer_is_clipped() -> None:
    values = np.array([3e9, -3e9, 16777217.0], np.float32)
    assert to_dtype(values, np.dtype("int32")).tolist() == [2**31 - 1, -(2**31), 16777216]


def test_values_of_the_right_dtype_are_not_copied() -> None:
    values = np.arange(4, dtype=np.uint16)
    assert to_dtype(values, np.dtype("uint16")) is values


def test_a_bool_is_the_nearer_of_the_two() -> None:
    values = np.array([-0.2, 0.1, 0.5, 0.6, 1.2])
    assert to_dtype(values, np.dtype(bool)).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "uint64"])
def test_integers_beyond_the_limits_of_a_dtype_are_clipped(dtype: str) -> None:
    limits = np.iinfo(dtype)
    block = np.full((2, 2), limits.max, dtype)
    np.testing.assert_array_equal(aggregate(np.sum)(block[:1], (1, 1), (1, 2)), block[:1])
    if limits.bits < 64:  # NumPy's own sum would wrap around
        np.testing.assert_array_equal(aggregate(np.sum)(block, (2, 2), (1, 1)), [[limits.max]])
    extremes = np.array([np.iinfo(np.int64).min, -1, 0, np.iinfo(np.int64).max])
    expected = [min(max(int(v), limits.min), limits.max) for v in extremes]
    assert to_dtype(extremes, np.dtype(dtype)).tolist() == expected
