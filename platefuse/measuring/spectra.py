"""Cross spectra of blocks, weighted by how coherent the two images are.

The cross spectra of all blocks are added, and each ring of frequencies is weighted by the coherence
of the two images there: that is the maximum likelihood estimate of the delay between two noisy
signals (Knapp and Carter 1976, 10.1109/TASSP.1976.1162830). It adapts to sharp and smooth images,
and to any noise, without a parameter. The maximum of the weighted correlation is found by Newton's
method on the trigonometric sum itself, so there is no grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from platefuse.measuring.correlate import parabola

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Weights: TypeAlias = "NDArray[np.float64]"

_RINGS = 32
"""Rings of frequencies, up to half a cycle per pixel. One more holds the corners beyond."""

_MOST_COHERENT = 0.95
"""Limit of the squared coherence: no image is a copy of another but for its noise."""

_LEAST_COHERENT = 3.0
"""A coherence below so many standard deviations of its estimate counts as none."""

_TAPER = 0.15
"""Share of a block's side over which it fades at each end."""

_LEAST_TAPER_PX = 12.0
"""Narrow blocks fade over at least so many pixels."""

_FIRST_SIGMA_PX = 1.0
"""The first weights, before a coherence is known, fade like a Gaussian blur of both images."""

_NEWTON_STEPS, _CONVERGED_PX = 8, 1e-4


class Spectra:
    """Cross spectra of pairs of blocks of one shape.

    Parameters
    ----------
    shape : (int, int)
        Pixels (y, x) of a block.
    reach : int
        Largest shift that is looked for, in pixels. At most a quarter of the block is used.

    Attributes
    ----------
    cross : list of ndarray of complex64
        Of each pair, aligned by the shift that it was added with.
    total_power, subtracted_power : ndarray of float64, shape (2, rings)
        Power of both images, and of the fixed patterns that were subtracted from them.
    """

    def __init__(self, shape: tuple[int, int], reach: int) -> None:
        from scipy import fft

        self.shape = shape
        self.reach = max(1, min(reach, min(shape) // 4))
        height, width = (fft.next_fast_len(n + self.reach, real=True) for n in shape)
        self.padded = (height, width)
        self.fy = np.fft.fftfreq(height)[:, None]
        self.fx = np.fft.rfftfreq(width)[None]
        ring = (np.hypot(self.fy, self.fx) * 2 * _RINGS).astype(np.intp)
        self.ring = np.minimum(ring, _RINGS)
        # All frequencies but those of the first and the middle column stand for two.
        twice = np.full(self.fx.shape[1], 2.0)
        twice[0] = 1
        if width % 2 == 0:
            twice[-1] = 1
        self.count = np.broadcast_to(twice, self.ring.shape)
        self.window = self._window((0.0, 0.0))
        square = np.square(self.window, dtype=np.float64)
        # Share of the frequencies that are independent, after padding and window.
        self.independent = float(square.sum() ** 2 / np.square(square).sum()) / (height * width)
        self.modes = self._rings(np.ones(self.ring.shape)) * self.independent
        self.cross: list[NDArray[np.complex64]] = []
        self.total_power = np.zeros((2, _RINGS + 1))
        self.subtracted_power = np.zeros((2, _RINGS + 1))

    def add(
        self,
        reference: NDArray[np.float32],
        moving: NDArray[np.float32],
        shift: Sequence[float] = (0.0, 0.0),
    ) -> None:
        """Add a pair of blocks.

        Parameters
        ----------
        reference, moving : ndarray of float32, shape `shape`
            Prepared pixels.
        shift : (float, float)
            Displacement (y, x) of the moving block, as far as it is known, in pixels. The window of
            the moving block is moved by it: windows that lie on the same tissue to a fraction of a
            pixel do not pull the shift towards zero.
        """
        from scipy import fft

        first = fft.rfft2(reference * self.window, self.padded)
        second = fft.rfft2(moving * self._window(shift), self.padded)
        for power, values in zip(self.total_power, (first, second), strict=True):
            power += self._rings(np.square(values.real) + np.square(values.imag))
        self.cross.append((first * second.conj() * self.ramp(shift)).astype(np.complex64))

    def add_subtracted(self, reference: NDArray[np.float32], moving: NDArray[np.float32]) -> None:
        """Add the fixed patterns that were subtracted from a pair of blocks."""
        from scipy import fft

        for power, pattern in zip(self.subtracted_power, (reference, moving), strict=True):
            values = fft.rfft2(pattern * self.window, self.padded)
            power += self._rings(np.square(values.real) + np.square(values.imag))

    def trusted(self, coherence: Weights) -> Weights:
        """Share of the coherence of each ring that is not from the fixed pattern, 0 to 1.

        Subtracting a pattern is not exact, and what is left of it is coherent where pixels of the
        camera coincide: it pulls the shift there, most of all that of smooth tissue, which has
        nothing in the rings where dust is. How much is left is not known, so all of it counts.
        """
        common = coherence * geometric(self.total_power)
        left = np.sqrt(self.subtracted_power[0] * self.subtracted_power[1])
        return np.asarray(np.where(left > 0, common / np.maximum(common + left, 1e-300), 1.0))

    def total(
        self, shifts: Sequence[tuple[float, float]] | None = None
    ) -> NDArray[np.complexfloating]:
        """Sum of all cross spectra, each aligned by a shift if there are any."""
        if not shifts:
            return np.asarray(np.sum(self.cross, axis=0))
        pairs = zip(self.cross, shifts, strict=True)
        return np.asarray(np.sum([cross * self.ramp(shift) for cross, shift in pairs], axis=0))

    def ramp(self, shift: Sequence[float]) -> NDArray[np.complex128]:
        """What a cross spectrum is multiplied by, to move its maximum from `shift` to 0."""
        rows = np.exp(2j * np.pi * self.fy * shift[0])
        return np.asarray(rows * np.exp(2j * np.pi * self.fx * shift[1]))

    def first_weights(self) -> Weights:
        """Weights of the rings before a coherence is known: white, and damped where noise is."""
        middle = (np.arange(_RINGS + 1) + 0.5) / (2 * _RINGS)
        damped = np.exp(-((2 * np.pi * middle * _FIRST_SIGMA_PX) ** 2))
        damped[-1] = 0
        return np.asarray(damped / geometric(self.total_power))

    def coherence(self, aligned: NDArray[np.complexfloating]) -> Weights:
        """Coherence of each ring, 0 to 1, of the sum of all blocks, aligned."""
        estimate = self._rings(aligned.real) / geometric(self.total_power)
        noise = 1 / np.sqrt(np.maximum(self.modes * len(self.cross), 1))
        known = np.where(estimate > _LEAST_COHERENT * noise, estimate, 0)
        known[-1] = 0
        return np.minimum(known, np.sqrt(_MOST_COHERENT))

    def peak(self, cross: NDArray[np.complexfloating], weights: Weights) -> tuple[float, float]:
        """Maximum (y, x) of the weighted correlation, by a parabola on each axis."""
        values = self._plane(cross, weights)
        y, x = (int(v) for v in np.unravel_index(int(values.argmax()), values.shape))
        dy = parabola(values[max(0, y - 1) : y + 2, x])
        dx = parabola(values[y, max(0, x - 1) : x + 2])
        return y - self.reach + dy, x - self.reach + dx

    def newton(
        self,
        cross: NDArray[np.complexfloating],
        weights: Weights,
        start: tuple[float, float],
    ) -> tuple[float, float]:
        """Maximum (y, x) of the weighted correlation near `start`."""
        y, x = start
        weighted = cross * (weights[self.ring] * self.count)
        waves = 2 * np.pi * self.fy, 2 * np.pi * self.fx
        for _ in range(_NEWTON_STEPS):
            value = weighted * self.ramp((y, x))
            slope = [-float((wave * value.imag).sum()) for wave in waves]
            by_y, by_x = waves[0] * value.real, waves[1] * value.real
            yy, yx, xx = (
                -float(v.sum()) for v in (waves[0] * by_y, waves[0] * by_x, waves[1] * by_x)
            )
            determinant = yy * xx - yx**2
            if not (yy < 0 and determinant > 0):  # not near a maximum
                break
            step_y = (yx * slope[1] - xx * slope[0]) / determinant
            step_x = (yx * slope[0] - yy * slope[1]) / determinant
            y, x = y + float(np.clip(step_y, -0.5, 0.5)), x + float(np.clip(step_x, -0.5, 0.5))
            if max(abs(step_y), abs(step_x)) < _CONVERGED_PX:
                break
        return y, x

    def sigma(self, coherence: Weights) -> tuple[float, float]:
        """Standard deviation (y, x) of the shift, in pixels: the Cramér-Rao bound.

        Infinite without coherence.
        """
        square = coherence**2
        weight = (square / (1 - square))[self.ring] * self.count
        weight *= self.independent * len(self.cross)
        waves = 2 * np.pi * self.fy, 2 * np.pi * self.fx
        yy, yx, xx = (
            float((a * b * weight).sum())
            for a, b in ((waves[0], waves[0]), (waves[0], waves[1]), (waves[1], waves[1]))
        )
        determinant = yy * xx - yx**2
        if not determinant > 0:
            return float("inf"), float("inf")
        return float(np.sqrt(xx / determinant)), float(np.sqrt(yy / determinant))

    def bands(self, coherence: Weights, weights: Weights) -> tuple[Weights, Weights]:
        """The weights of coarse and of fine structures, with half of the information each."""
        square = coherence**2
        waves = np.square(2 * np.pi * self.fy) + np.square(2 * np.pi * self.fx)
        share = np.cumsum(square / (1 - square) * self._rings(waves))
        coarse = share <= share[-1] / 2
        return weights * coarse, weights * ~coarse

    def _plane(self, cross: NDArray[np.complexfloating], weights: Weights) -> NDArray[np.floating]:
        """Weighted correlation at all whole shifts up to the reach, the lowest first."""
        from scipy import fft

        largest = float(weights.max()) or 1.0
        relative = (weights / largest).astype(np.float32)  # single precision is twice as fast
        full = fft.irfft2(cross.astype(np.complex64) * relative[self.ring], self.padded)
        steps = np.arange(-self.reach, self.reach + 1)
        return np.asarray(full[np.ix_(steps % self.padded[0], steps % self.padded[1])])

    def _rings(self, values: NDArray[np.floating]) -> Weights:
        """Sum of values over each ring."""
        weighted = (values * self.count).ravel()
        sums = np.bincount(self.ring.ravel(), weighted, minlength=_RINGS + 1)
        return np.asarray(sums, np.float64)

    def _window(self, shift: Sequence[float]) -> NDArray[np.float32]:
        rows, columns = (_taper(n, s) for n, s in zip(self.shape, shift, strict=True))
        return np.outer(rows, columns).astype(np.float32)


def _taper(length: int, shift: float) -> NDArray[np.float64]:
    """Cosine taper at both ends, of a block whose pixels are displaced by `shift`."""
    edge = min(max(_LEAST_TAPER_PX, _TAPER * length), length / 2)
    place = np.arange(length) + 0.5 + shift
    distance = np.clip(np.minimum(place, length - place), 0, edge)
    window: NDArray[np.float64] = np.sin(np.pi / 2 * distance / edge) ** 2
    return window


def geometric(power: NDArray[np.float64]) -> Weights:
    """Geometric mean of the powers of both images in each ring; never 0."""
    product = power[0] * power[1]
    return np.asarray(np.sqrt(np.maximum(product, max(float(product.max()) * 1e-24, 1e-300))))
