"""The Fourier transform of blocks of one shape, and the rings of frequencies in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from platefuse.measuring.pair.fourier import fast_length, forward, inverse

if TYPE_CHECKING:
    from numpy.typing import NDArray

RINGS = 32
"""Rings of frequencies, up to half a cycle per pixel. One more holds the corners beyond."""

_TAPER = 0.15
"""Share of a block's side over which it fades at each end."""

_LEAST_TAPER_PX = 12.0
"""Narrow blocks fade over at least so many pixels."""


@dataclass(frozen=True, eq=False)
class Transform:
    """A real transform of blocks that fade at their border and are padded with zeros.

    It is made once for each shape: see `transform_of`.

    Attributes
    ----------
    shape, padded : (int, int)
        Pixels (y, x) of a block, without and with the zeros.
    fy, fx : ndarray of float64
        Frequencies in cycles per pixel, as a column and as a row.
    ring : ndarray of int, shape of a spectrum
        The ring of each frequency.
    count : ndarray of float64, same shape
        How many frequencies of a full transform each stands for: 2, but for the first and the
        middle column.
    independent : float
        Share of the frequencies that are independent, after padding and window.
    modes : ndarray of float64, shape (rings,)
        Number of frequencies in each ring.
    bends : ndarray of float64, shape (3, rings)
        Sums over each ring of the products of angular frequencies: yy, yx and xx.
    """

    shape: tuple[int, int]
    padded: tuple[int, int]
    fy: NDArray[np.float64]
    fx: NDArray[np.float64]
    ring: NDArray[np.intp]
    count: NDArray[np.float64]
    independent: float
    modes: NDArray[np.float64]
    bends: NDArray[np.float64]

    def __call__(
        self, block: NDArray[np.float32], shift: Sequence[float] = (0.0, 0.0)
    ) -> NDArray[np.complex64]:
        """The spectrum of a block, whose window is moved by `shift` (y, x)."""
        return forward(block * _window(self.shape, shift), self.padded)

    def back(self, spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        """The plane of a spectrum, with its padding."""
        return inverse(spectrum, self.padded)

    def waves(self, shift: Sequence[float]) -> tuple[NDArray[np.complex128], ...]:
        """Column and row by which a cross spectrum is multiplied to move `shift` (y, x) to 0."""
        y, x = shift
        return np.exp(2j * np.pi * self.fy * y), np.exp(2j * np.pi * self.fx * x)

    def moved(self, cross: NDArray[np.complex64], shift: Sequence[float]) -> NDArray[np.complex64]:
        """A cross spectrum whose maximum is moved from `shift` (y, x) to 0."""
        rows, columns = (wave.astype(np.complex64) for wave in self.waves(shift))
        found = cross * rows
        found *= columns
        return found

    def rings(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Sum of values over each ring."""
        return _sums(self.ring, values * self.count)


@lru_cache(maxsize=16)
def transform_of(shape: tuple[int, int], room: int) -> Transform:
    """The transform of blocks of a shape, padded with `room` zeros at least on each axis."""
    height, width = (fast_length(n + room) for n in shape)
    fy = np.asarray(np.fft.fftfreq(height), np.float64)[:, None]
    fx = np.asarray(np.fft.rfftfreq(width), np.float64)[None]
    ring = np.minimum((np.hypot(fy, fx) * 2 * RINGS).astype(np.intp), RINGS)
    twice = np.full(fx.shape[1], 2.0)
    twice[0] = 1
    if width % 2 == 0:
        twice[-1] = 1
    count = np.ascontiguousarray(np.broadcast_to(twice, ring.shape))
    square = np.square(_window(shape, (0.0, 0.0)), dtype=np.float64)
    independent = float(square.sum() ** 2 / np.square(square).sum()) / (height * width)
    y, x = 2 * np.pi * fy, 2 * np.pi * fx
    modes, *bends = (_sums(ring, count * each) for each in (1.0, y * y, y * x, x * x))
    return Transform(
        shape, (height, width), fy, fx, ring, count, independent, modes, np.array(bends)
    )


def _sums(ring: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.bincount(ring.ravel(), values.ravel(), minlength=RINGS + 1)
    return np.asarray(sums, np.float64)


def _window(shape: tuple[int, int], shift: Sequence[float]) -> NDArray[np.float32]:
    rows, columns = (_taper(n, s).astype(np.float32) for n, s in zip(shape, shift, strict=True))
    return np.outer(rows, columns)


def _taper(length: int, shift: float) -> NDArray[np.float64]:
    """Cosine taper at both ends, of a block whose pixels are displaced by `shift`."""
    edge = min(max(_LEAST_TAPER_PX, _TAPER * length), length / 2)
    place = np.arange(length) + 0.5 + shift
    distance = np.clip(np.minimum(place, length - place), 0, edge)
    window: NDArray[np.float64] = np.sin(np.pi / 2 * distance / edge) ** 2
    return window
