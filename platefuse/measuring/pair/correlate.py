"""Correlation of two prepared planes at every shift, normalised in the true overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from platefuse.measuring.pair.filters import sliding
from platefuse.measuring.pair.fourier import fast_length, forward, inverse
from platefuse.measuring.pair.prepare import upper_median

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SEPARATION_PX = 5
"""Maxima closer than this belong to one peak."""

_MOST_PEAKS = 5

_MOST_SCORE = 0.999
"""Scores above this do not count as better: Fisher's z would be infinite."""


@dataclass(frozen=True)
class Lags:
    """A rectangle of whole shifts, of the moving plane in the reference.

    At lag ``l`` pixel ``i`` of the reference lies on pixel ``i - l`` of the moving plane.

    Attributes
    ----------
    low, high : (int, int)
        First and last lag (y, x); both belong to it.
    """

    low: tuple[int, int]
    high: tuple[int, int]

    def axis(self, axis: int) -> NDArray[np.intp]:
        """All lags on an axis."""
        return np.arange(self.low[axis], self.high[axis] + 1)

    def grown(self, by: int) -> Lags:
        """The rectangle with `by` lags more on every side."""
        low, high = ((v[0] + s * by, v[1] + s * by) for v, s in ((self.low, -1), (self.high, 1)))
        return Lags(low, high)

    def __contains__(self, lag: object) -> bool:
        return isinstance(lag, tuple) and all(
            a <= v <= b for a, v, b in zip(self.low, lag, self.high, strict=True)
        )


@dataclass(frozen=True)
class Peak:
    """A local maximum of a surface.

    Attributes
    ----------
    lag : (int, int)
        Where it is.
    offset : (float, float)
        Where the vertex of the parabola through its neighbours is, from there.
    height : float
        Its significance.
    score : float
        Its correlation.
    overlap_px : int
        Pixels that overlap there.
    """

    lag: tuple[int, int]
    offset: tuple[float, float]
    height: float
    score: float
    overlap_px: int


@dataclass(frozen=True, eq=False)
class Plane:
    """A prepared plane, and what all its correlations share.

    Attributes
    ----------
    pixels : ndarray of float32, axes yx
        Zero on average in any larger area, so that no mean is subtracted.
    """

    pixels: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels (y, x)."""
        return self.pixels.shape

    @cached_property
    def sums(self) -> NDArray[np.float64]:
        """Table of the sums of squares, from which that of any rectangle follows."""
        table = np.zeros(tuple(n + 1 for n in self.shape))
        np.cumsum(np.square(self.pixels, dtype=np.float64), axis=0, out=table[1:, 1:])
        np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
        return table

    def spectrum(self, shape: tuple[int, int]) -> NDArray[np.complex64]:
        """Spectrum of the plane, padded with zeros. The last one is kept."""
        found = self._last.get(shape)
        if found is None:
            self._last.clear()
            found = self._last[shape] = forward(self.pixels, shape)
        return found

    @cached_property
    def _last(self) -> dict[tuple[int, int], NDArray[np.complex64]]:
        return {}


@dataclass(frozen=True)
class Surface:
    """Correlation at all lags of a rectangle.

    Attributes
    ----------
    lags : Lags
        The rectangle.
    score : ndarray of float32, shape of the rectangle
        Zero-normalised correlation of what overlaps, -1 to 1; 0 where too little does.
    height : ndarray of float32, same shape
        Fisher's z of the score, times the root of the overlap relative to the largest overlap. The
        noise of z is inverse to the root of the number of pixels and does not depend on the score:
        in units of height it is the same at every lag.
    overlap_px : ndarray of int, same shape
        Pixels that overlap.
    """

    lags: Lags
    score: NDArray[np.float32]
    height: NDArray[np.float32]
    overlap_px: NDArray[np.int64]

    def noise(self) -> float:
        """Robust standard deviation of the height over all lags."""
        values = self.height[self.height != 0]
        if not values.size:
            return 0.0
        return 1.4826 * upper_median(np.abs(values - upper_median(values)))

    def at(self, lag: tuple[float, float]) -> float:
        """Score at a fractional lag: the quadratic through its nine nearest; 0 outside."""
        place = [round(v) - low for v, low in zip(lag, self.lags.low, strict=True)]
        if not all(1 <= p < n - 1 for p, n in zip(place, self.score.shape, strict=True)):
            return 0.0
        near = self.score[tuple(slice(p - 1, p + 2) for p in place)].astype(np.float64)
        for value in (v - round(v) for v in lag):
            low, middle, high = near
            near = middle + value * (high - low) / 2 + value**2 * ((high + low) / 2 - middle)
        return float(near)

    def vertex(self, lag: tuple[int, int]) -> tuple[float, float]:
        """The maximum (y, x) of the polynomial of degree 4 on both axes near a lag.

        It goes through the 25 scores around the lag, which must be in the rectangle. Scores of
        prepared planes are smooth (a Gaussian with a standard deviation of 1.7 pixels or more), so
        it is the maximum of the continuous correlation to some thousandths of a pixel.
        """
        top, left = (v - low - 2 for v, low in zip(lag, self.lags.low, strict=True))
        near = self.score[top : top + 5, left : left + 5].astype(np.float64)
        surface = _POLYNOMIAL @ near @ _POLYNOMIAL.T
        y = x = 0.0
        for _ in range(_NEWTON_STEPS):
            by_y, by_x = _derivatives(y), _derivatives(x)
            (_, to_x, xx), (to_y, yx, _), (yy, _, _) = by_y @ surface @ by_x.T
            determinant = yy * xx - yx**2
            if not (yy < 0 and determinant > 0):  # not near a maximum
                break
            y += float(np.clip((yx * to_x - xx * to_y) / determinant, -0.5, 0.5))
            x += float(np.clip((yx * to_y - yy * to_x) / determinant, -0.5, 0.5))
        return lag[0] + min(1.0, max(-1.0, y)), lag[1] + min(1.0, max(-1.0, x))

    def peaks(self) -> list[Peak]:
        """The highest local maxima, the highest first."""
        top = sliding(self.height, 2 * _SEPARATION_PX + 1, np.maximum)
        places = np.argwhere((self.height == top) & (self.height > 0))
        order = np.argsort(-self.height[tuple(places.T)], kind="stable")[:_MOST_PEAKS]
        return [self._peak(int(y), int(x)) for y, x in places[order]]

    def highest_beyond(self, lags: Sequence[tuple[int, int]], distance: float) -> float:
        """Largest height further than a distance from all of some lags; 0 if there is none."""
        far = np.ones(self.height.shape, bool)
        for lag in lags:
            y, x = (self.lags.axis(axis) - value for axis, value in enumerate(lag))
            far &= np.square(y)[:, None] + np.square(x) > distance**2
        return max(0.0, float(self.height[far].max(initial=0.0)))

    def _peak(self, y: int, x: int) -> Peak:
        row = self.score[y, max(0, x - 1) : x + 2]
        column = self.score[max(0, y - 1) : y + 2, x]
        return Peak(
            (y + self.lags.low[0], x + self.lags.low[1]),
            (parabola(column), parabola(row)),
            float(self.height[y, x]),
            float(self.score[y, x]),
            int(self.overlap_px[y, x]),
        )


_POLYNOMIAL = np.linalg.inv(np.vander(np.arange(-2.0, 3.0), increasing=True))
"""From the values at -2 to 2 to the coefficients of the polynomial through them."""

_NEWTON_STEPS = 4
"""The first step begins within half a pixel of the maximum; four converge."""


def _derivatives(place: float) -> NDArray[np.float64]:
    """The powers 0 to 4 of a place, and their first and second derivatives, shape (3, 5)."""
    p = place
    return np.array(
        [[1, p, p**2, p**3, p**4], [0, 1, 2 * p, 3 * p**2, 4 * p**3], [0, 0, 2, 6 * p, 12 * p**2]]
    )


def parabola(three: NDArray[np.floating]) -> float:
    """Vertex of the parabola through three values, from the middle one; 0 where it has none.

    Examples
    --------
    >>> parabola(np.array([0.0, 1.0, 0.5]))
    0.16666666666666666
    """
    if len(three) != 3:
        return 0.0
    low, middle, high = (float(v) for v in three)
    bend = low - 2 * middle + high
    return min(0.5, max(-0.5, (low - high) / (2 * bend))) if bend < 0 else 0.0


def surface(reference: Plane, moving: Plane, lags: Lags, least_px: int) -> Surface:
    """Correlate two planes.

    Parameters
    ----------
    reference, moving : Plane
        The planes.
    lags : Lags
        The shifts. The planes are padded with zeros so that none of them wraps around.
    least_px : int
        Lags with a smaller overlap have score 0.

    Returns
    -------
    Surface

    Notes
    -----
    The squares in the denominator are summed over the overlap alone, by tables of sums
    (J. P. Lewis, Fast Normalized Cross-Correlation, 1995).
    """
    products = _products(reference, moving, lags)
    spans = [_spans(n, m, lags.axis(a)) for a, (n, m) in enumerate(_both(reference, moving))]
    energy = _sums(reference, spans, 0) * _sums(moving, spans, 1)
    lengths = [(stop - start).astype(np.int64) for start, stop, _ in spans]
    overlap = np.maximum(lengths[0], 0)[:, None] * np.maximum(lengths[1], 0)
    used = (overlap >= max(1, least_px)) & (energy > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.where(used, products / np.sqrt(energy), 0)
    score = np.clip(score, -1, 1).astype(np.float32)
    limited = score.clip(-_MOST_SCORE, _MOST_SCORE)
    height = np.log((1 + limited) / (1 - limited)) / 2  # a seventh of the time of np.arctanh
    height *= np.sqrt(overlap / max(1, overlap.max())).astype(np.float32)
    return Surface(lags, score, height, overlap)


def _both(reference: Plane, moving: Plane) -> list[tuple[int, int]]:
    return list(zip(reference.shape, moving.shape, strict=True))


def _products(reference: Plane, moving: Plane, lags: Lags) -> NDArray[np.float32]:
    """Sum of the products of what overlaps, at every lag."""
    height, width = (
        fast_length(max(m + max(0, lags.high[axis]), n + max(0, -lags.low[axis])))
        for axis, (n, m) in enumerate(_both(reference, moving))
    )
    shape = height, width
    full = inverse(reference.spectrum(shape) * moving.spectrum(shape).conj(), shape)
    return full[np.ix_(lags.axis(0) % height, lags.axis(1) % width)]


def _spans(
    reference: int, moving: int, lags: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """First and last + 1 pixel of the reference in the overlap at each lag, and the lags."""
    start = np.clip(lags, 0, reference)
    return start, np.maximum(start, np.minimum(reference, moving + lags)), lags


def _sums(
    plane: Plane,
    spans: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]],
    which: int,
) -> NDArray[np.float64]:
    """Sum of squares in the overlap; `which` is 0 for the reference, 1 for the moving plane."""
    table = plane.sums
    ends = [
        [np.clip(end - which * lags, 0, n) for end in (start, stop)]
        for (start, stop, lags), n in zip(spans, plane.shape, strict=True)
    ]
    (top, bottom), (left, right) = ends
    total: NDArray[np.float64] = (
        table[np.ix_(bottom, right)]
        - table[np.ix_(top, right)]
        - table[np.ix_(bottom, left)]
        + table[np.ix_(top, left)]
    )
    return np.maximum(total, 0)
