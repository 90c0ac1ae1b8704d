"""The camera of an example plate: its noise, and counts in the data type of the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Counts of a 16-bit camera, scaled down for data types that hold less.
OFFSET = 100.0
BACKGROUND = 150.0
FULL_SCALE = 6000.0


def to_counts(counts: NDArray[np.floating], dtype: str) -> NDArray[np.generic]:
    """Convert counts of a 16-bit camera to another data type.

    Parameters
    ----------
    counts : ndarray of float
        Counts, at most about `FULL_SCALE`.
    dtype : str
        The data type. Small integers are scaled to their range; floats are rounded to
        sixteenths.

    Returns
    -------
    ndarray of `dtype`

    Examples
    --------
    >>> to_counts(np.array([0.4, 1000.6, 70000]), "uint16").tolist()
    [0, 1001, 65535]
    >>> to_counts(np.array([6000.0]), "uint8").tolist()
    [255]
    >>> to_counts(np.array([0.26]), "float32").tolist()
    [0.25]
    """
    target = np.dtype(dtype)
    if target.kind == "f":
        scale = 1 / 60 if target.itemsize == 2 else 1.0
        sixteenths: NDArray[np.generic] = np.rint(counts * np.float32(16 * scale)) / 16
        return sixteenths.astype(target)
    most = float(min(np.iinfo(target).max, 2**24))
    scale = min(1.0, most / FULL_SCALE)
    whole: NDArray[np.generic] = np.clip(np.rint(counts * np.float32(scale)), 0, most)
    return whole.astype(target)


def add_noise(
    counts: NDArray[np.float32], read_noise: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Shot and read noise of a camera of gain 1.

    Shot noise is drawn from a normal distribution with the variance of the Poisson distribution.
    From about a hundred counts on, as in these scenes, the two do not differ noticeably, and the
    normal distribution is ten times faster.

    Parameters
    ----------
    counts : ndarray of float32
        Counts without noise, offset included.
    read_noise : float
        Standard deviation, counts.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float32
        Counts with noise.
    """
    deviation = np.sqrt(np.maximum(counts - np.float32(OFFSET), 0) + np.float32(read_noise**2))
    noise: NDArray[np.float32] = deviation * rng.standard_normal(counts.shape, dtype=np.float32)
    return counts + noise
