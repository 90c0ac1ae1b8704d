"""Sampling under an affine map, from no more than the block's own source region."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from platefuse.blending import cubic_weights

Pixels = NDArray[Any]


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
    out : ndarray of float
        The samples.
    """
    if order < 3:
        affine_transform(
            pixels,
            matrix,
            offset,
            output=out,
            output_shape=out.shape,
            order=order,
            mode="nearest",
            prefilter=False,
        )
        return
    grid = np.ogrid[tuple(map(slice, out.shape))]
    taps = []
    for row, start, n in zip(matrix, offset, pixels.shape, strict=True):
        position = sum((c * g for c, g in zip(row, grid, strict=True)), start=start)
        whole = np.floor(position)
        index = whole.astype(np.intp)
        weights = cubic_weights(position - whole)
        taps.append([(np.clip(index + k - 1, 0, n - 1), w) for k, w in enumerate(weights)])
    out[...] = 0
    for combination in product(*taps):
        index = tuple(i for i, _ in combination)
        weight = np.prod(np.broadcast_arrays(*(w for _, w in combination)), axis=0)
        out += pixels[index] * weight.astype(out.dtype)
