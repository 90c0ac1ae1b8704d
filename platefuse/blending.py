"""Weights and kernels: how much of which pixel. Pure functions of positions.

Positions are in pixels of a view's own array; distances are measured from the outer edge of
its border pixels, so that every pixel of a view has a weight above zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]


def border_weights(position: NDArray[Any], start: float, stop: float, width: float) -> Weights:
    """Weight of positions on one axis: 1 inside, falling smoothly towards the borders.

    The raised cosine ``(1 - cos(pi * d / width)) / 2`` of the distance ``d`` to the nearer
    border, as in the blending of Preibisch et al. (2009), doi:10.1093/bioinformatics/btp184.

    Parameters
    ----------
    position : ndarray of float
        Positions on the axis, in pixels.
    start, stop : float
        First pixel of the view and one past its last.
    width : float
        Width of the falling part, in pixels; 0 for none.

    Returns
    -------
    ndarray of float32
        Weights above 0 and at most 1; same shape as `position`.

    Examples
    --------
    >>> border_weights(np.array([0.0, 4.5, 9.0]), 0, 10, 5).round(3)
    array([0.024, 1.   , 0.024])
    """
    if width <= 0:
        return np.ones(np.shape(position), np.float32)
    distance = np.minimum(position - (start - 0.5), (stop - 0.5) - position)
    ramp = distance.astype(np.float32)
    ramp *= np.float32(1 / width)
    np.clip(ramp, 1e-3, 1.0, out=ramp)
    ramp *= np.float32(np.pi / 2)
    np.sin(ramp, out=ramp)  # its square is the raised cosine, without its cancellation
    return np.multiply(ramp, ramp, out=ramp)


def linear_kernel(fraction: Any) -> tuple[tuple[int, Any], ...]:
    """Taps (offset, weight) of linear interpolation at fractions of a pixel."""
    return ((0, 1.0 - fraction), (1, fraction))


def cubic_weights(fraction: Any) -> tuple[Any, Any, Any, Any]:
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


def cubic_kernel(fraction: Any) -> tuple[tuple[int, Any], ...]:
    """Taps (offset, weight) of cubic convolution at fractions of a pixel."""
    return tuple(enumerate(cubic_weights(fraction), start=-1))


KERNELS = {1: linear_kernel, 3: cubic_kernel}
REACH = {0: 0, 1: 1, 3: 2}
"""Pixels that a kernel of each interpolation order reaches beyond the position."""


def float_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The float in which values of `dtype` are computed: float64 where float32 would round."""
    small = (dtype.kind == "f" and dtype.itemsize <= 4) or (
        dtype.kind in "iub" and dtype.itemsize <= 2
    )
    return np.dtype(np.float32 if small else np.float64)


def resample(
    pixels: NDArray[Any],
    first: Sequence[int],
    fractions: Sequence[float],
    shape: Sequence[int],
    order: int,
) -> NDArray[Any]:
    """Sample an array on a grid that is shifted against its own by fractions of a pixel.

    Beyond its border the array goes on with its border pixels.

    Parameters
    ----------
    pixels : ndarray
        The array.
    first : sequence of int
        Index of the pixel at or before the first sample, on every axis.
    fractions : sequence of float
        How far behind that pixel the first sample lies: at least 0, less than 1.
    shape : sequence of int
        Number of samples on every axis, at distance 1.
    order : int
        1 for linear, 3 for cubic interpolation; axes with fraction 0 are copied.

    Returns
    -------
    ndarray of float32 or float64
        The samples.
    """
    values = pixels.astype(float_dtype(pixels.dtype), copy=False)
    for axis, (start, fraction, n) in enumerate(zip(first, fractions, shape, strict=True)):
        taps = KERNELS[order](fraction) if fraction else ((0, 1.0),)
        values = _filter(values, axis, start, n, taps)
    return values


def _filter(
    values: NDArray[Any], axis: int, first: int, n: int, taps: Sequence[tuple[int, float]]
) -> NDArray[Any]:
    """Weighted sum of `n` values from `first` on, once for each tap."""
    begin = first + taps[0][0]
    values = extended(values, axis, begin, first + n + taps[-1][0])
    if len(taps) == 1:
        return values
    total: NDArray[Any] | None = None
    for offset, weight in taps:
        at = first + offset - begin
        part = values[(slice(None),) * axis + (slice(at, at + n),)] * values.dtype.type(weight)
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None
    return total


def extended(values: NDArray[Any], axis: int, start: int, stop: int) -> NDArray[Any]:
    """Part of an array on one axis; beyond its border it goes on with its border pixels."""
    n = values.shape[axis]
    first = min(max(start, 0), n - 1)
    last = min(max(stop, first + 1), n)
    inner = values[(slice(None),) * axis + (slice(first, last),)]
    before = min(max(-start, 0), stop - start - (last - first))
    after = stop - start - (last - first) - before
    if not before and not after:
        return inner
    widths = [(before, after) if a == axis else (0, 0) for a in range(values.ndim)]
    return np.pad(inner, widths, mode="edge")
