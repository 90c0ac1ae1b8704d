"""Prepare pixels for correlation: mask, compress the range, and keep the fine structure.

The steps: pixels without information are masked (not finite, saturated, areas of zeros), values are
limited and their logarithm taken, and a difference of two Gaussians, which approximates the
Laplacian of a Gaussian, removes shading and damps noise. Masked pixels take no part in the
Gaussians (normalised convolution) and are 0 in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from platefuse.measuring.pair.filters import sliding
from platefuse.measuring.pair.fourier import fast_length, forward, inverse

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Transfer: TypeAlias = Callable[[tuple[int, int]], NDArray[np.float32]]

SIGMA_PX = 1.5
"""Scale of the Laplacian of a Gaussian that the difference of Gaussians approximates."""

MARGIN_PX = 8
"""Pixels at the border of a crop that the Gaussians change."""

_NARROW, _WIDE = 0.79, 1.26
"""Standard deviations of the two Gaussians, in units of the scale: a ratio of 1.6 approximates the
Laplacian of a Gaussian best (Marr and Hildreth 1980, 10.1098/rspb.1980.0020)."""

_TRUNCATE = 3.0
"""Standard deviations at which the Gaussians end: within the margin."""

_LEAST_WEIGHT = 0.5
"""Share of valid weight below which the value of a pixel is not used."""

_PERCENTILES = (0.1, 99.9)

_SAMPLE = 100_000
"""Pixels that the tone is taken from."""

_NOISE_SAMPLE = 50_000
"""Pixels that the noise is taken from."""

_LEAST_PLATEAU, _LEAST_SPAN = 1e-4, 200.0
"""Share of pixels, and counts above the median, from which a plateau is saturation."""


@dataclass(frozen=True)
class Tone:
    """How the values of an image are compressed.

    Attributes
    ----------
    low, high : float
        Limits of the values.
    unit : float
        The value above `base` up to which the scale is about linear.
    base : float
        Value of no light.
    saturated : float
        From this value on a pixel is saturated.
    """

    low: float
    high: float
    unit: float
    base: float
    saturated: float

    @classmethod
    def of(cls, pixels: NDArray[Any], dtype: np.dtype[Any]) -> Tone:
        """The tone of an image, from a sample of its pixels.

        Parameters
        ----------
        pixels : ndarray
            The sample, averaged or not.
        dtype : dtype
            Data type of the image: integers saturate at its largest value.
        """
        saturated = float(np.iinfo(dtype).max) if dtype.kind in "iu" else np.inf
        valid = valid_pixels(pixels, saturated)
        values = pixels[valid] if not valid.all() else pixels.ravel()
        if not values.size:
            return cls(0.0, 1.0, 1.0, 0.0, saturated)
        values = values[:: max(1, values.size // _SAMPLE)]
        low, middle, high = np.percentile(values, [_PERCENTILES[0], 50, _PERCENTILES[1]]).tolist()
        base = min(0.0, low)
        unit = middle - base or high - base or 1.0
        return cls(low, high, unit, base, min(saturated, _plateau(values, middle)))

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Compressed values, float32; NaN becomes the least value."""
        values = pixels.astype(np.float32)
        if pixels.dtype.kind == "f":
            np.nan_to_num(values, copy=False, nan=self.low, posinf=self.high, neginf=self.low)
        np.clip(values, self.low, self.high, out=values)
        values -= np.float32(self.base)
        values /= np.float32(self.unit)
        values += 1
        return np.log(values, out=values)  # a fifth of the time of log1p


def _plateau(values: NDArray[Any], middle: float) -> float:
    """The value at which a camera with fewer bits than the data type saturates; else infinity.

    It is the largest value, if more pixels have it than all the values a little below.
    """
    top = values.max()
    span = float(top) - middle
    at_top = int((values == top).sum())
    below = int(((values < top) & (values >= top - 0.05 * span)).sum())
    many = at_top > max(_LEAST_PLATEAU * values.size, below)
    return float(top) if many and span > _LEAST_SPAN else np.inf


def valid_pixels(pixels: NDArray[Any], saturated: float) -> NDArray[np.bool_]:
    """Whether each pixel holds information.

    Parameters
    ----------
    pixels : ndarray
        Counts.
    saturated : float
        Pixels from this value on are not valid.

    Returns
    -------
    ndarray of bool
        False for saturated and non-finite pixels, and for zeros that fill a square of 5 × 5: single
        zeros occur where a background was subtracted, areas of them are where nothing was imaged.
    """
    valid = np.isfinite(pixels) if pixels.dtype.kind == "f" else np.ones(pixels.shape, bool)
    if np.isfinite(saturated):
        valid &= pixels < saturated
    zeros = pixels == 0
    if zeros.any():
        valid &= ~sliding(sliding(zeros, 5, np.minimum), 5, np.maximum)
    return valid


def prepare(
    pixels: NDArray[Any], tone: Tone, pattern: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Fine structure of a plane.

    Parameters
    ----------
    pixels : ndarray, axes yx
        Counts.
    tone : Tone
        How they are compressed.
    pattern : ndarray of float32, optional
        Fixed pattern of the camera at these pixels, prepared in the same way; it is subtracted.

    Returns
    -------
    ndarray of float32, same shape
        About zero on average; 0 where a pixel is masked.
    """
    return fine_structure(tone(pixels), valid_pixels(pixels, tone.saturated), pattern)


def fine_structure(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    pattern: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """As `prepare`, of values that are compressed already; `valid` says which are not masked."""
    # Without the value of one of them, pixels that are all equal are exactly 0 in the result.
    values = values - values.flat[valid.argmax()]
    if valid.all():
        (result,) = _filtered(values, [_fine])
    else:
        weight = valid.astype(np.float32)
        values *= weight
        narrow, wide = _filtered(weight, [_narrow, _wide])
        inside = valid & (narrow > _LEAST_WEIGHT) & (wide > _LEAST_WEIGHT)
        narrow[~inside] = wide[~inside] = 1
        blurred = _filtered(values, [_narrow, _wide])
        result = blurred[0] / narrow - blurred[1] / wide
        result *= inside
    if pattern is not None:
        result -= pattern if valid.all() else pattern * inside
    return result


def _filtered(
    values: NDArray[np.float32], filters: Sequence[Transfer]
) -> list[NDArray[np.float32]]:
    """A plane filtered in several ways; beyond its border it goes on with the last pixel.

    By one transform and one back for each filter, which takes a third of the time of the four
    passes of two separable Gaussians, whatever their width.
    """
    height, width = values.shape
    padded = fast_length(height + 2 * MARGIN_PX), fast_length(width + 2 * MARGIN_PX)
    spectrum = forward(_continued(values, padded), padded)
    inner = slice(MARGIN_PX, MARGIN_PX + height), slice(MARGIN_PX, MARGIN_PX + width)
    return [inverse(spectrum * transfer(padded), padded)[inner] for transfer in filters]


def _continued(values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """A plane within a larger one that goes on with its last pixels; faster than `numpy.pad`."""
    height, width = values.shape
    bottom, right = MARGIN_PX + height, MARGIN_PX + width
    result = np.empty(shape, np.float32)
    rows = result[MARGIN_PX:bottom]
    rows[:, MARGIN_PX:right] = values
    rows[:, :MARGIN_PX], rows[:, right:] = values[:, :1], values[:, -1:]
    result[:MARGIN_PX], result[bottom:] = rows[0], rows[-1]
    return result


@lru_cache(maxsize=16)
def _fine(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Transfer function of the difference of the two Gaussians."""
    return _narrow(shape) - _wide(shape)


def _narrow(shape: tuple[int, int]) -> NDArray[np.float32]:
    return _gaussian(shape, SIGMA_PX * _NARROW)


def _wide(shape: tuple[int, int]) -> NDArray[np.float32]:
    return _gaussian(shape, SIGMA_PX * _WIDE)


def _gaussian(shape: tuple[int, int], sigma: float) -> NDArray[np.float32]:
    """Transfer function of a Gaussian that ends at `_TRUNCATE`, for a real transform."""
    steps = np.arange(1, int(_TRUNCATE * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * np.square(steps / sigma))
    rows, columns = (
        (1 + 2 * (weights * np.cos(2 * np.pi * f[:, None] * steps)).sum(axis=1))
        / (1 + 2 * weights.sum())
        for f in (np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1]))
    )
    return np.outer(rows, columns).astype(np.float32)


def texture(pixels: NDArray[Any], tone: Tone, prepared: NDArray[np.float32]) -> float:
    """Share of the prepared variance that is more than white noise.

    Parameters
    ----------
    pixels : ndarray, axes yx
        Counts.
    tone : Tone
        How they were compressed.
    prepared : ndarray of float32, same shape
        What `prepare` made of them.

    Returns
    -------
    float
        0 for noise alone, 1 without noise. The noise is estimated from second differences on both
        axes (Immerkær 1996, 10.1006/cviu.1996.0060), by their median, which edges hardly change.
    """
    return structure(tone(pixels), prepared)


def structure(values: NDArray[np.float32], prepared: NDArray[np.float32]) -> float:
    """As `texture`, of values that are compressed already."""
    if min(values.shape) < 3 or not prepared.any():
        return 0.0
    step = max(1, values.size // _NOISE_SAMPLE)  # rows that the noise is taken from
    rows = values[2::step] - 2 * values[1:-1:step] + values[:-2:step]
    both = rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2]
    deviation = 1.4826 * upper_median(np.abs(both)) / 6
    first, second = (SIGMA_PX * scale for scale in (_NARROW, _WIDE))
    gain = 1 / first**2 + 1 / second**2 - 4 / (first**2 + second**2)
    noise = deviation**2 * gain / (4 * np.pi)
    variance = float(np.square(prepared, dtype=np.float64).mean())
    return max(0.0, 1 - noise / variance)


def upper_median(values: NDArray[np.floating]) -> float:
    """The median of at least one value, the higher one of the two in the middle.

    Examples
    --------
    >>> upper_median(np.array([4.0, 1.0, 2.0, 3.0]))
    3.0
    """
    middle = values.size // 2  # a single place: half of the time of np.median, or less
    return float(np.partition(values, middle, axis=None)[middle])
