"""From a level of the pyramid to the next: pure functions of arrays.

The pixel at index ``i`` of the coarser level stands for the pixels ``i * f`` to ``(i + 1) * f``
of the finer one on each axis, for the factor ``f`` of that axis. Where the coarser level has a
pixel for an incomplete group (shapes rounded up), it stands for the pixels that are there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platefuse.errors import ConfigError

Pixels = NDArray[Any]
Downsample = Callable[[Pixels, tuple[int, ...], tuple[int, ...]], Pixels]

_STRIP_BYTES = 2**19  # a strip of rows that stays in the second-level cache


def nearest(block: Pixels, factors: tuple[int, ...], shape: tuple[int, ...]) -> Pixels:
    """The first pixel of every group: an existing value, so ids are never invented.

    Parameters
    ----------
    block : ndarray
        Pixels of the finer level.
    factors : tuple of int
        Group size on every axis.
    shape : tuple of int
        Shape of the result.
    """
    return block[tuple(slice(0, n * f, f) for n, f in zip(shape, factors, strict=True))]


def mean(block: Pixels, factors: tuple[int, ...], shape: tuple[int, ...]) -> Pixels:
    """The mean of every group; integers rounded to nearest, halves to even.

    Exact for every integer dtype. Parameters as for `nearest`.
    """
    block = block[tuple(slice(0, n * f) for n, f in zip(shape, factors, strict=True))]
    if block.dtype == np.uint16 and _is_plane_by_two(block, factors):
        return _mean_uint16(block)
    if block.dtype.kind in "iub":
        return _integer_mean(block, factors, shape)
    totals = _group_sums(block.astype(np.float64), factors)
    with np.errstate(over="ignore"):
        return np.asarray(totals / _group_counts(block.shape, factors)).astype(block.dtype)


def aggregate(function: Callable[..., Any]) -> Downsample:
    """A user's aggregation function (like ``np.max``, with ``axis=``) as a `Downsample`.

    ``np.mean`` becomes `mean`, which rounds integers to nearest. For any other function the
    result is converted to the dtype of the block, integers rounded to nearest and clipped.

    Raises
    ------
    ConfigError
        When it is used, if the function returns another shape than ``np.max`` would.
    """
    if function is np.mean:
        return mean

    def apply(block: Pixels, factors: tuple[int, ...], shape: tuple[int, ...]) -> Pixels:
        wanted = tuple(n * f for n, f in zip(shape, factors, strict=True))
        block = block[tuple(slice(0, n) for n in wanted)]
        missing = [(0, n - m) for n, m in zip(wanted, block.shape, strict=True)]
        if any(after for _, after in missing):
            block = np.pad(block, missing, mode="edge")
        groups = block.reshape([k for pair in zip(shape, factors, strict=True) for k in pair])
        within_groups = tuple(range(1, groups.ndim, 2))
        values = np.asarray(function(groups, axis=within_groups))
        if values.shape != shape:
            raise ConfigError(
                f"aggregation_function: {function!r} made shape {values.shape} of {groups.shape} "
                f"with axis={within_groups}; expected {shape}. Give a function that reduces these "
                "axes and keeps none of them, as numpy.max does."
            )
        return to_dtype(values, block.dtype)

    return apply


def to_dtype(values: Pixels, dtype: np.dtype[Any]) -> Pixels:
    """Values as `dtype`: integers and bools rounded to nearest (halves to even) and clipped."""
    if dtype.kind == "b" and values.dtype.kind == "f":
        return np.asarray(values > 0.5)
    if values.dtype == dtype or dtype.kind not in "iu" or values.dtype.kind not in "f":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    highest = float(limits.max)
    if highest > limits.max:  # float64 has no 2**64 - 1: the next lower one fits
        highest = math.nextafter(highest, 0)
    if values.dtype == np.float32 and dtype.itemsize > 2:
        values = values.astype(np.float64)
    rounded = np.rint(values)
    return np.clip(rounded, limits.min, highest, out=rounded).astype(dtype)


def _is_plane_by_two(block: Pixels, factors: tuple[int, ...]) -> bool:
    return (
        factors[-2:] == (2, 2)
        and math.prod(factors) == 4
        and all(n % 2 == 0 for n in block.shape[-2:])
        and block.strides[-1] == block.itemsize
        and bool(np.little_endian)
    )


def _mean_uint16(block: Pixels) -> Pixels:
    """Mean of 2 × 2 pixels of uint16, two neighbours at a time in one 32-bit word."""
    words = block.view(np.uint32)
    rows, width = words.shape[-2] // 2, words.shape[-1]
    out = np.empty((*block.shape[:-2], rows, width), np.uint16)
    strip = max(1, _STRIP_BYTES // (4 * max(width, 1)))
    sums, scratch = np.empty((2, min(strip, rows), width), np.uint32)
    for plane in np.ndindex(block.shape[:-2]):
        for start in range(0, rows, strip):
            stop = min(start + strip, rows)
            total, other = sums[: stop - start], scratch[: stop - start]
            upper = words[(*plane, slice(2 * start, 2 * stop, 2))]
            lower = words[(*plane, slice(2 * start + 1, 2 * stop, 2))]
            np.bitwise_and(upper, 0xFFFF, out=total)
            total += np.right_shift(upper, 16, out=other)
            total += np.bitwise_and(lower, 0xFFFF, out=other)
            total += np.right_shift(lower, 16, out=other)
            # halves to even: a quarter of total + 1, and one more where that quarter is odd
            np.right_shift(total, 2, out=other)
            other &= 1
            total += other
            total += 1
            total >>= 2
            out[(*plane, slice(start, stop))] = total
    return out


def _integer_mean(block: Pixels, factors: tuple[int, ...], shape: tuple[int, ...]) -> Pixels:
    counts = _group_counts(block.shape, factors).astype(np.int64)
    if block.dtype.itemsize < 8:
        totals = _group_sums(block.astype(np.int64), factors)
        whole, rest = np.divmod(totals, counts)
    else:  # a sum of eight-byte integers overflows: add quotients and remainders apart
        spread = np.broadcast_to(counts, shape)
        for axis, f in enumerate(factors):
            spread = np.repeat(spread, f, axis=axis)
        n = spread[tuple(map(slice, block.shape))].astype(block.dtype)
        quotient, remainder = np.divmod(block, n)
        more, rest = np.divmod(_group_sums(remainder.astype(np.int64), factors), counts)
        whole = _group_sums(quotient, factors) + more.astype(block.dtype)
    twice = 2 * rest
    up = (twice > counts) | ((twice == counts) & (whole % 2 == 1))
    return np.asarray(whole + up.astype(whole.dtype)).astype(block.dtype)


def _group_sums(values: Pixels, factors: tuple[int, ...]) -> Pixels:
    for axis, f in enumerate(factors):
        if f > 1:
            values = np.add.reduceat(values, np.arange(0, values.shape[axis], f), axis=axis)
    return values


def _group_counts(shape: tuple[int, ...], factors: tuple[int, ...]) -> Pixels:
    counts: Pixels = np.ones((1,) * len(shape))
    for axis, (n, f) in enumerate(zip(shape, factors, strict=True)):
        sizes = np.minimum(f, n - np.arange(0, n, f))
        counts = counts * sizes.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return counts
