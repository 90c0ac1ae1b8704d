"""Filters of planes, by NumPy alone: the import of `scipy.ndimage` takes half a second."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_T = TypeVar("_T", bound=np.generic)

_TRUNCATED = 3.0
"""Standard deviations at which a Gaussian ends."""

_STRIP_PX = 2**16
"""Pixels that are filtered at once, so that they stay in the cache of the processor."""


def gaussian(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Filter a plane by a Gaussian; beyond its borders are the nearest pixels.

    Parameters
    ----------
    plane : ndarray of float32, axes yx
        The plane.
    sigma : float
        Standard deviation in pixels. The Gaussian ends at three of them.

    Returns
    -------
    ndarray of float32, same shape
    """
    weights = _weights(sigma)
    reach, rows = len(weights) - 1, len(plane)
    padded = np.pad(plane, reach, mode="edge")
    result = np.empty_like(plane)
    step = max(1, _STRIP_PX // max(1, plane.shape[1]))
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        strip = _along_rows(padded[start : stop + 2 * reach], weights)
        result[start:stop] = _along_columns(strip, weights)
    return result


@cache
def _weights(sigma: float) -> NDArray[np.float32]:
    """Weights of a Gaussian from its middle to its end; both sides add up to 1."""
    places = np.arange(int(_TRUNCATED * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * np.square(places / sigma))
    return np.asarray(weights / (2 * weights.sum() - weights[0]), np.float32)


def _along_rows(padded: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted sum of each row and its neighbours, which `padded` has more on both sides."""
    reach = len(weights) - 1
    rows = len(padded) - 2 * reach
    total: NDArray[np.float32] = padded[reach : reach + rows] * weights[0]
    pair = np.empty_like(total)
    for step, weight in enumerate(weights[1:], 1):
        before, after = reach - step, reach + step
        np.add(padded[before : before + rows], padded[after : after + rows], out=pair)
        pair *= weight
        total += pair
    return total


def _along_columns(
    padded: NDArray[np.float32], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The same for columns."""
    return _along_rows(padded.T, weights).T


def sliding(plane: NDArray[_T], size: int, extreme: np.ufunc) -> NDArray[_T]:
    """The largest or smallest value around each pixel.

    Parameters
    ----------
    plane : ndarray, axes yx
        The plane.
    size : int
        Side of the square around a pixel, odd. It is cut off at the borders of the plane.
    extreme : ufunc
        ``np.maximum`` or ``np.minimum``.

    Returns
    -------
    ndarray, same shape and dtype

    Examples
    --------
    >>> sliding(np.array([[0, 0, 5, 0, 1]]), 3, np.maximum).tolist()
    [[0, 5, 5, 5, 1]]
    """
    return _sliding_rows(_sliding_rows(plane, size, extreme).T, size, extreme).T


def _sliding_rows(plane: NDArray[_T], size: int, extreme: Any) -> NDArray[_T]:
    """The extreme of each row and its neighbours, from runs whose lengths are powers of two."""
    rows, length = len(plane), 1
    runs = np.pad(plane, ((size // 2, size // 2), (0, 0)), mode="edge")
    while 2 * length <= size:
        runs = extreme(runs[:-length], runs[length:])
        length *= 2
    last = size - length
    result: NDArray[_T] = extreme(runs[:rows], runs[last : last + rows])
    return result
