"""Sampling under an affine map, from no more than the block's own source region."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platefuse.blending import KERNELS, extended
from platefuse.geometry import Box, grid_box

Pixels = NDArray[Any]
Taps = Sequence[tuple[int, Any]]

_AT_ONCE = 2**15
"""Samples that are taken at once: few enough for all that they need to stay in a core's cache."""


def sample(
    pixels: Pixels,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    order: int,
    out: Pixels,
) -> None:
    """Fill `out` with samples of `pixels`; beyond its border the array goes on with its border.

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
    kind = out.dtype
    if order and pixels.dtype.kind == "f":  # so that the weighted mean of equal floats is theirs
        kind = np.dtype(np.float64)
    tile = _halved(out.shape)
    for index in np.ndindex(*(-(-n // t) for n, t in zip(out.shape, tile, strict=True))):
        box = grid_box(index, tile, out.shape)
        start = matrix @ np.array(box.start, float) + offset
        out[box.slices] = _samples(pixels, matrix, start, order, box, kind)


def _halved(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape whose longest sides are halved until it is small enough to be sampled at once."""
    sides = list(shape)
    while np.prod(sides) > _AT_ONCE:
        longest = sides.index(max(sides))
        sides[longest] = -(-sides[longest] // 2)
    return tuple(sides)


def _samples(
    pixels: Pixels,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    order: int,
    box: Box,
    dtype: np.dtype[Any],
) -> Pixels:
    """The samples on one box, taken by their index in the part of the array that they need."""
    part, place, all_taps = pixels, [], []
    for axis, (row, start) in enumerate(zip(matrix, offset, strict=True)):
        ends = [c * (n - 1) for c, n in zip(row, box.shape, strict=True)]
        begin = start + (0.5 if order == 0 else 0.0)
        first = math.floor(begin + sum(min(end, 0) for end in ends))
        last = math.floor(begin + sum(max(end, 0) for end in ends))
        position = _positions(row, begin - first, box.shape)
        index = position.astype(np.intp)  # none is below 0: this is the floor
        taps: Taps = ((0, 1.0),)
        if order and not all(float(c).is_integer() for c in (*row, start)):
            taps = KERNELS[order]((position - index).astype(dtype))
        reach = [taps[0][0], taps[-1][0]]
        part = extended(part, axis, first + reach[0], last + reach[1] + 1)
        place.append(index)
        all_taps.append([(k - reach[0], weight) for k, weight in taps])
    strides = [int(np.prod(part.shape[axis + 1 :])) for axis in range(part.ndim)]
    flat = reduce(np.add, (index * stride for index, stride in zip(place, strides, strict=True)))
    flat = np.broadcast_to(flat, box.shape)
    return _weighed(part.astype(dtype, copy=False).ravel(), flat, strides, all_taps)


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
