"""Downsample a level of a pyramid to the next: pure functions of arrays.

The pixel at index ``i`` of the coarser level is computed from the pixels ``i * f`` to
``(i + 1) * f`` of the finer one on each axis, for the factor ``f`` of that axis. An incomplete
group at the end (shapes rounded up) is computed from the pixels that it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from platefuse.errors import ConfigError
from platefuse.geometry import Pixels

Downsample = Callable[[Pixels, tuple[int, ...], tuple[int, ...]], Pixels]

_STRIP_BYTES = 2**20  # a strip of rows of this size stays in the cache


def nearest(block: Pixels, factors: tuple[int, ...], shape: tuple[int, ...]) -> Pixels:
    """The first pixel of every group: an existing value, so no new ids appear.

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
    if block.dtype.kind in "iub":
        if block.dtype.itemsize <= 2 and _is_plane_by_two(block, factors):
            return _small_integer_mean(block)
        return _integer_mean(block, factors, shape)
    totals = _group_sums(block.astype(np.float64), factors)
    with np.errstate(over="ignore"):
        return np.asarray(totals / _group_counts(block.shape, factors)).astype(block.dtype)


def mean_of_data(block: Pixels, factors: tuple[int, ...], shape: tuple[int, ...]) -> Pixels:
    """The mean of the pixels of every group that are not NaN; NaN if all are.

    For blocks of floats. Parameters as for `nearest`.
    """
    valid = ~np.isnan(block)
    if valid.all():
        return mean(block, factors, shape)
    share = mean(valid.astype(block.dtype), factors, shape)
    total = mean(np.where(valid, block, 0), factors, shape)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / share)


def aggregate(function: Callable[..., object]) -> Downsample:
    """A user's aggregation function (like ``np.max``, with ``axis=``) as a `Downsample`.

    ``np.mean`` becomes `mean`, which rounds integers to nearest. For any other function the
    result is converted to the dtype of the block, integers rounded to nearest and clipped.

    Raises
    ------
    ConfigError
        On use, if the function returns another shape than ``np.max`` would.
    """
    if function is np.mean:
        return mean

    def apply(block: Pixels, factors: tuple[int, ...], shape: tuple[int, ...]) -> Pixels:
        whole = tuple(n * f for n, f in zip(shape, factors, strict=True))
        block = block[tuple(slice(0, n) for n in whole)]
        missing = [(0, n - m) for n, m in zip(whole, block.shape, strict=True)]
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


def to_dtype(values: Pixels, dtype: np.dtype[np.generic]) -> Pixels:
    """Values as `dtype`: integers and bools rounded to nearest (halves to even) and clipped."""
    if dtype.kind == "b" and values.dtype.kind == "f":
        return np.asarray(values > 0.5)
    if values.dtype == dtype or dtype.kind not in "iu" or values.dtype.kind not in "iuf":
        return values.astype(dtype, copy=False)
    if values.dtype.kind in "iu":
        limits, own = np.iinfo(dtype.name), np.iinfo(values.dtype)
        return values.clip(max(limits.min, own.min), min(limits.max, own.max)).astype(dtype)
    if values.dtype == np.float32 and dtype.itemsize > 2:
        values = values.astype(np.float64)
    return _rounded(values, dtype)


def _rounded(values: Pixels, dtype: np.dtype[np.generic]) -> Pixels:
    """Floats rounded, clipped and converted; a large block in strips that stay in the cache."""
    strip = _STRIP_BYTES // values.itemsize
    if values.size <= strip or not values.flags.c_contiguous:
        rounded = np.rint(values)
        return np.clip(rounded, *_limits(dtype), out=rounded).astype(dtype)
    out = np.empty(values.shape, dtype)
    flat, flat_out = values.reshape(-1), out.reshape(-1)
    for start in range(0, flat.size, strip):
        flat_out[start : start + strip] = _rounded(flat[start : start + strip], dtype)
    return out


@cache
def _limits(dtype: np.dtype[np.generic]) -> tuple[float, float]:
    """The lowest and the highest integer of a type, as floats that can be converted to it."""
    limits = np.iinfo(dtype.name)
    highest = float(limits.max)
    if highest > limits.max:  # float64 has no 2**64 - 1: take the next lower float
        highest = math.nextafter(highest, 0)
    return float(limits.min), highest


def _is_plane_by_two(block: Pixels, factors: tuple[int, ...]) -> bool:
    return (
        factors[-2:] == (2, 2)
        and math.prod(factors) == 4
        and all(n % 2 == 0 for n in block.shape[-2:])
    )


def _small_integer_mean(block: Pixels) -> Pixels:
    """Mean of 2 × 2 integers of at most 16 bits, whose sums float32 holds exactly."""
    *planes, height, width = block.shape
    out = np.empty((*planes, height // 2, width // 2), block.dtype)
    strip = max(1, min(_STRIP_BYTES // (4 * max(width, 1)), height // 2))
    columns, sums = (np.empty((strip, n), np.float32) for n in (width, width // 2))
    for plane in np.ndindex(*planes):
        for start in range(0, height // 2, strip):
            rows = out[plane][start : start + strip]
            pairs = block[plane][2 * start : 2 * (start + strip)]
            column, total = columns[: len(rows)], sums[: len(rows)]
            np.add(pairs[0::2], pairs[1::2], out=column, dtype=np.float32)
            np.add(column[:, 0::2], column[:, 1::2], out=total)
            total *= 0.25
            rows[...] = np.rint(total, out=total)
    return out


def _integer_mean(block: Pixels, factors: tuple[int, ...], shape: tuple[int, ...]) -> Pixels:
    counts = _group_counts(block.shape, factors).astype(np.int64)
    if block.dtype.itemsize < 8:
        totals = _group_sums(block.astype(np.int64), factors)
        whole, rest = np.divmod(totals, counts)
    else:  # sums of eight-byte integers overflow: add quotients and remainders separately
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
