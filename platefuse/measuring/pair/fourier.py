"""Fourier transforms of real planes, in single precision.

NumPy's are as fast as SciPy's, whose import takes half a second in each job.
"""

from __future__ import annotations

from functools import cache
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@cache
def fast_length(least: int) -> int:
    """The smallest length from `least` on whose only prime factors are 2, 3 and 5.

    Examples
    --------
    >>> [fast_length(n) for n in (1, 7, 202, 250)]
    [1, 8, 216, 250]
    """
    return next(n for n in count(least) if _is_fast(n))


def _is_fast(n: int) -> bool:
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n == 1


def forward(plane: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.complex64]:
    """Spectrum of a plane that is padded with zeros to a shape; frequencies y ≥ 0 and < 0, x ≥ 0.

    Parameters
    ----------
    plane : ndarray of float32, axes yx
        The plane.
    shape : (int, int)
        Pixels (y, x) after padding.
    """
    return np.asarray(np.fft.rfft2(plane, shape), np.complex64)


def inverse(spectrum: NDArray[np.complex64], shape: tuple[int, int]) -> NDArray[np.float32]:
    """The plane of a spectrum.

    Parameters
    ----------
    spectrum : ndarray of complex64
        As `forward` returns it.
    shape : (int, int)
        Pixels (y, x) of the plane.
    """
    return np.asarray(np.fft.irfft2(spectrum, shape), np.float32)
