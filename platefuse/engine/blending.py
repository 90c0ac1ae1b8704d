"""Blending weights of views: pure functions of positions.

Positions are in pixels of a view's own array; distances are measured from the outer edge of
its border pixels, so that every pixel of a view has a weight above zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]


def border_weights(
    position: NDArray[np.floating] | NDArray[np.integer], start: float, stop: float, width: float
) -> Weights:
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
    array([0.024, 1.   , 0.024], dtype=float32)
    """
    if width <= 0:
        return np.ones(np.shape(position), np.float32)
    distance = np.minimum(position - (start - 0.5), (stop - 0.5) - position)
    return falling(distance.astype(np.float32), width)


def falling(distance: Weights, width: float) -> Weights:
    """Weights at distances from the outer edge of a view: see `border_weights`.

    Parameters
    ----------
    distance : ndarray of float32
        Distances in pixels, above 0 inside; overwritten by the weights.
    width : float
        Width of the falling part, in pixels; above 0.
    """
    distance *= np.float32(1 / width)
    np.clip(distance, 1e-3, 1.0, out=distance)
    distance *= np.float32(np.pi / 2)
    np.sin(distance, out=distance)  # its square is the raised cosine, without cancellation
    return np.multiply(distance, distance, out=distance)


def float_dtype(dtype: np.dtype[np.generic]) -> np.dtype[np.floating]:
    """The float in which values of `dtype` are computed: float64 where float32 would round."""
    small = (dtype.kind == "f" and dtype.itemsize <= 4) or (
        dtype.kind in "iub" and dtype.itemsize <= 2
    )
    return np.dtype(np.float32 if small else np.float64)
