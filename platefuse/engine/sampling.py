"""Interpolation: sample an array at positions between its pixels. Pure.

Out-of-bounds samples repeat the border pixel. For cubic interpolation, two pixels more are added
at each border, on the parabola of the last three.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.blending import float_dtype
from platefuse.geometry import Box, Pixels, grid_box, grid_indices

_FAR = 4
"""From so many pixels outside on, all taps of all kernels are equal: cubic convolution goes on for
two pixels, and reaches two."""

Taps = Sequence[tuple[int, float | NDArray[np.floating]]]
"""Taps of a kernel on one axis: offset in pixels, and weight of all samples or of each."""
_Weight = TypeVar("_Weight", float, NDArray[np.floating])

_AT_ONCE = 2**18
"""Samples computed at once: few enough for the caches, enough that threads do not wait for the
interpreter between them."""


def linear_kernel(fraction: _Weight) -> tuple[tuple[int, _Weight], ...]:
    """Taps (offset, weight) of linear interpolation at fractions of a pixel."""
    return ((0, 1.0 - fraction), (1, fraction))


def cubic_weights(fraction: _Weight) -> tuple[_Weight, _Weight, _Weight, _Weight]:
    """Weights of the pixels at offsets -1, 0, 1, 2 in cubic convolution, at a fraction of a pixel.

    Keys (1981), doi:10.1109/TASSP.1981.1163711, with ``a = -1/2``: exact for quadratics, and
    four taps wide, so that a pixel depends on its neighbours only.
    """
    t = fraction
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )


def cubic_kernel(fraction: _Weight) -> tuple[tuple[int, _Weight], ...]:
    """Taps (offset, weight) of cubic convolution at fractions of a pixel."""
    return tuple(enumerate(cubic_weights(fraction), start=-1))


KERNELS = {1: linear_kernel, 3: cubic_kernel}
REACH = {0: 0, 1: 1, 3: 2}
"""Pixels that a kernel of each interpolation order reaches beyond the position."""


def resample(
    pixels: Pixels,
    first: Sequence[int],
    fractions: Sequence[float],
    shape: Sequence[int],
    order: int,
) -> Pixels:
    """Sample an array on a grid that is shifted against its own by fractions of a pixel.

    For samples beyond the border see the head of the module.

    Parameters
    ----------
    pixels : ndarray
        The array.
    first : sequence of int
        Index of the pixel at or before the first sample, on every axis.
    fractions : sequence of float
        Position of the first sample behind that pixel: at least 0, less than 1.
    shape : sequence of int
        Number of samples on every axis, at distance 1.
    order : int
        1 for linear, 3 for cubic interpolation; axes with fraction 0 are copied.

    Returns
    -------
    ndarray of float32 or float64
        The samples.
    """
    all_taps = [KERNELS[order](f) if f else ((0, 1.0),) for f in fractions]
    out = np.empty(shape, float_dtype(pixels.dtype))
    kind = _working_dtype(pixels.dtype)
    for box in _boxes(shape):
        part = pixels
        for axis, taps in enumerate(all_taps):
            start, stop = (first[axis] + at for at in (box.start[axis], box.stop[axis]))
            part = _extended(part, axis, start + taps[0][0], stop + taps[-1][0], order)
        values = part.astype(kind, copy=False)
        for axis, taps in enumerate(all_taps):
            values = _filter(values, axis, [weight for _, weight in taps])
        out[box.slices] = values
    return out


def _filter(values: Pixels, axis: int, weights: Sequence[float]) -> Pixels:
    """Weighted sums of as many neighbours on an axis as there are weights."""
    if len(weights) == 1:
        return values
    n = values.shape[axis] - len(weights) + 1
    total: Pixels | None = None
    for start, weight in enumerate(weights):
        part = _part(values, axis, start, start + n) * values.dtype.type(weight)
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None
    return total


def _extended(values: Pixels, axis: int, start: int, stop: int, order: int) -> Pixels:
    """Part of an array on one axis, also beyond its border: see the head of the module."""
    n = values.shape[axis]
    if order == 3 and n > 2 and (start < 0 or stop > n):
        begin = min(max(start, 0), n - 3)
        near = _part(values, axis, begin, max(min(stop, n), begin + 3))
        values, start, stop = _continued(near, axis), start - begin + 2, stop - begin + 2
        n = values.shape[axis]
    first = min(max(start, 0), n - 1)
    last = min(max(stop, first + 1), n)
    inner = _part(values, axis, first, last)
    before = min(max(-start, 0), stop - start - (last - first))
    after = stop - start - (last - first) - before
    if not before and not after:
        return inner
    widths = [(before, after) if a == axis else (0, 0) for a in range(values.ndim)]
    return np.pad(inner, widths, mode="edge")


def _continued(values: Pixels, axis: int) -> Pixels:
    """An array with two more pixels at both ends of an axis, on the parabola of the last three.

    This is Keys' boundary condition: cubic convolution is as exact there as elsewhere.
    """
    values = values.astype(float_dtype(values.dtype), copy=False)
    for end in (0, -1):
        for _ in range(2):
            a, b, c = (np.take(values, [k if end == 0 else -1 - k], axis) for k in range(3))
            more = 3 * a - 3 * b + c
            values = np.concatenate([more, values] if end == 0 else [values, more], axis)
    return values


def _part(values: Pixels, axis: int, start: int, stop: int) -> Pixels:
    return values[(slice(None),) * axis + (slice(start, stop),)]


def sample(
    pixels: Pixels,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    order: int,
    out: Pixels,
) -> None:
    """Fill `out` with samples of `pixels`. For those beyond the border see the head of the module.

    Parameters
    ----------
    pixels : ndarray
        Source pixels, on axes in space.
    matrix : ndarray of float64, shape (n, n)
        Linear part of the map from output pixels to source pixels.
    offset : ndarray of float64, shape (n,)
        Source position of the first output pixel.
    order : int
        0 nearest, 1 linear, 3 cubic convolution.
    out : ndarray
        The samples; for order 0 of the dtype of `pixels`, else float.
    """
    kind = np.result_type(out.dtype, _working_dtype(pixels.dtype)) if order else out.dtype
    for box in _boxes(out.shape):
        start = matrix @ np.array(box.start, float) + offset
        out[box.slices] = _samples(pixels, matrix, start, order, box.shape, kind)


def _working_dtype(dtype: np.dtype[np.generic]) -> np.dtype[np.floating]:
    """Float dtype for interpolation; float64 for floats, so that equal ones give their value."""
    return np.dtype(np.float64) if dtype.kind == "f" else float_dtype(dtype)


def _samples(
    pixels: Pixels,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    order: int,
    shape: Sequence[int],
    dtype: np.dtype[np.generic],
) -> Pixels:
    """The samples on one box, by flat index in the part of the array that they need."""
    part, place, all_taps = pixels, [], []
    for axis, (row, start) in enumerate(zip(matrix, offset, strict=True)):
        ends = [c * (n - 1) for c, n in zip(row, shape, strict=True)]
        begin = start + (0.5 if order == 0 else 0.0)
        first = math.floor(begin + sum(min(end, 0) for end in ends))
        last = math.floor(begin + sum(max(end, 0) for end in ends))
        position = _positions(row, begin - first, shape)
        index = np.trunc(position)  # none is below 0: this is the floor
        taps: Taps = ((0, 1.0),)
        if order and not is_whole(row, start):
            position -= index
            taps = KERNELS[order](position.astype(dtype))
        reach = [taps[0][0], taps[-1][0]]
        first, last = _near(index, first, last, pixels.shape[axis])
        part = _extended(part, axis, first + reach[0], last + reach[1] + 1, order)
        place.append(index)
        all_taps.append([(k - reach[0], weight) for k, weight in taps])
    strides = [int(np.prod(part.shape[axis + 1 :])) for axis in range(part.ndim)]
    for index, stride in zip(place, strides, strict=True):
        index *= stride
    flat = reduce(np.add, place)
    flat = flat.astype(np.intp)
    if flat.shape != tuple(shape):  # copied once here: NumPy copies a read-only index at each use
        flat = np.ascontiguousarray(np.broadcast_to(flat, shape))
    return _weighed(part.astype(dtype, copy=False).ravel(), flat, strides, all_taps)


def _near(index: NDArray[np.float64], first: int, last: int, n: int) -> tuple[int, int]:
    """Move positions far outside of an axis of `n` pixels to where its border repeats already.

    Of a strongly sheared view, positions lie much further outside than the view is long.

    Parameters
    ----------
    index : ndarray of float64
        Whole positions, counted from `first`. Changed in place.
    first, last, n : int
        The lowest and highest that may occur, and pixels of the axis.

    Returns
    -------
    (int, int)
        The new `first` and `last`.
    """
    low, high = (min(max(end, -_FAR), n - 1 + _FAR) for end in (first, last))
    if (low, high) != (first, last):
        index += first - low
        np.clip(index, 0, high - low, out=index)
    return low, high


def is_whole(row: NDArray[np.float64], start: float) -> bool:
    """Whether a map takes whole pixels to whole pixels on one axis: no interpolation."""
    return all(float(c).is_integer() for c in (*row, start))


def _weighed(
    values: Pixels, place: NDArray[np.intp], strides: Sequence[int], all_taps: Sequence[Taps]
) -> Pixels:
    """Weighted sum over the taps of all axes; `place` is the flat index of their first."""
    if not all_taps:
        return np.take(values, place, mode="clip")
    total: Pixels | None = None
    for k, weight in all_taps[0]:
        part = _weighed(values[k * strides[0] :], place, strides[1:], all_taps[1:])
        if len(all_taps[0]) == 1:
            return part
        part *= weight
        if part.dtype == np.float64 and not np.isfinite(part).all():  # 0 × infinity is 0 here
            np.copyto(part, 0, where=np.equal(weight, 0))
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None
    return total


def _positions(row: NDArray[np.float64], start: float, shape: Sequence[int]) -> NDArray[np.float64]:
    """Source position on one axis of every output pixel; of length 1 where it does not vary."""
    total = np.full((1,) * len(shape), start)
    for axis, (step, n) in enumerate(zip(row, shape, strict=True)):
        if step:
            total = total + (step * np.arange(n)).reshape([-1] + [1] * (len(shape) - axis - 1))
    return total


def _boxes(shape: Sequence[int]) -> Iterator[Box]:
    """Boxes that cover a shape: its longest sides are halved until a box is small enough."""
    sides = list(shape)
    while math.prod(sides) > _AT_ONCE:
        longest = sides.index(max(sides))
        sides[longest] = -(-sides[longest] // 2)
    yield from (grid_box(index, sides, shape) for index in grid_indices(Box.of_shape(shape), sides))
