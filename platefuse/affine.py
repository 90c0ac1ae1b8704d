"""Sampling under an affine map, from no more than the block's own source region."""

from __future__ import annotations

from functools import reduce
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
    out : ndarray
        The samples; for order 0 of the dtype of `pixels`, else float.
    """
    if order == 0:
        nearest = [
            np.clip(np.floor(position + 0.5).astype(np.intp), 0, n - 1)
            for position, n in zip(_positions(matrix, offset, out.shape), pixels.shape, strict=True)
        ]
        out[...] = pixels[tuple(nearest)]
        return
    if order == 1:
        affine_transform(
            pixels,
            matrix,
            offset,
            output=out,
            output_shape=out.shape,
            order=1,
            mode="nearest",
            prefilter=False,
        )
        return
    taps = []
    for position, n in zip(_positions(matrix, offset, out.shape), pixels.shape, strict=True):
        whole = np.floor(position)
        index = whole.astype(np.intp)
        weights = cubic_weights(position - whole)
        taps.append([(np.clip(index + k - 1, 0, n - 1), w) for k, w in enumerate(weights)])
    out[...] = 0
    for combination in product(*taps):
        place = tuple(i for i, _ in combination)
        weight = np.prod(np.broadcast_arrays(*(w for _, w in combination)), axis=0)
        out += pixels[place] * weight.astype(out.dtype)


def _positions(
    matrix: NDArray[np.float64], offset: NDArray[np.float64], shape: tuple[int, ...]
) -> list[NDArray[np.float64]]:
    """Source position of every output pixel on each axis; of length 1 where it does not vary."""
    grid = np.ogrid[tuple(map(slice, shape))]
    return [
        reduce(np.add, (c * g for c, g in zip(row, grid, strict=True) if c), np.asarray(start))
        for row, start in zip(matrix, offset, strict=True)
    ]
