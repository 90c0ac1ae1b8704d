"""The largest or smallest values around pixels: `scipy.ndimage` takes half a second to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_T = TypeVar("_T", bound=np.generic)


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
