"""Cross spectra of blocks, weighted by how coherent the two images are.

The cross spectra of all blocks are added, and each ring of frequencies is weighted by the coherence
of the two images there: that is the maximum likelihood estimate of the delay between two noisy
signals (Knapp and Carter 1976, 10.1109/TASSP.1976.1162830). It adapts to sharp and smooth images,
and to any noise, without a parameter. The maximum of the weighted correlation is found by Newton's
method on the trigonometric sum itself, so there is no grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from platefuse.measuring.pair.correlate import parabola
from platefuse.measuring.pair.transform import RINGS, Transform

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Weights: TypeAlias = "NDArray[np.float64]"
    Spectrum: TypeAlias = "NDArray[np.complex64]"

_MOST_COHERENT = 0.95
"""Limit of the squared coherence: no image is a copy of another but for its noise."""

_LEAST_COHERENT = 3.0
"""A coherence below so many standard deviations of its estimate counts as none."""

_FIRST_SIGMA_PX = 1.0
"""The first weights, before a coherence is known, fade like a Gaussian blur of both images."""

_NEWTON_STEPS, _CONVERGED_PX = 8, 1e-4


class Spectra:
    """Cross spectra of pairs of blocks of one shape.

    Parameters
    ----------
    transform : Transform
        The transform of the blocks.
    reach : int
        Largest shift that is looked for, in pixels; not more than the zeros that blocks are padded
        with.
    pairs : iterable of (ndarray, ndarray, (float, float))
        The spectra of each reference block and each moving block, and its displacement (y, x) as
        far as it is known, in pixels. The window of the moving block was moved by it: windows that
        lie on the same tissue to a fraction of a pixel do not pull the shift towards zero.
    subtracted : iterable of (ndarray, ndarray)
        The spectra of the fixed patterns that were subtracted from them.

    Attributes
    ----------
    cross : list of ndarray of complex64
        Of each pair, aligned by its displacement.
    total_power, subtracted_power : ndarray of float64, shape (2, rings)
        Power of both images, and of the fixed patterns.
    """

    def __init__(
        self,
        transform: Transform,
        reach: int,
        pairs: Iterable[tuple[Spectrum, Spectrum, Sequence[float]]],
        subtracted: Iterable[tuple[Spectrum, Spectrum]] = (),
    ) -> None:
        self.transform, self.reach = transform, reach
        self.cross: list[Spectrum] = []
        power = np.zeros((2, *transform.ring.shape), np.float32)
        for first, second, shift in pairs:
            power[0] += _squares(first)
            power[1] += _squares(second)
            self.cross.append(transform.moved(first * second.conj(), shift))
        self.total_power = np.array([transform.rings(of_side) for of_side in power])
        self.subtracted_power = np.zeros_like(self.total_power)
        for both in subtracted:
            self.subtracted_power += [transform.rings(_squares(values)) for values in both]

    def trusted(self, coherence: Weights) -> Weights:
        """Share of the coherence of each ring that is not from the fixed pattern, 0 to 1.

        Subtracting a pattern is not exact, and what is left of it is coherent where pixels of the
        camera coincide: it pulls the shift there, most of all that of smooth tissue, which has
        nothing in the rings where dust is. How much is left is not known, so all of it counts.
        """
        common = coherence * geometric(self.total_power)
        left = np.sqrt(self.subtracted_power[0] * self.subtracted_power[1])
        return np.asarray(np.where(left > 0, common / np.maximum(common + left, 1e-300), 1.0))

    def total(self, shifts: Sequence[tuple[float, float]] | None = None) -> Spectrum:
        """Sum of all cross spectra, each aligned by a shift if there are any."""
        if not shifts:
            return np.asarray(np.sum(self.cross, axis=0))
        pairs = zip(self.cross, shifts, strict=True)
        return np.asarray(np.sum([self.transform.moved(*pair) for pair in pairs], axis=0))

    def first_weights(self) -> Weights:
        """Weights of the rings before a coherence is known: white, and damped where noise is."""
        middle = (np.arange(RINGS + 1) + 0.5) / (2 * RINGS)
        damped = np.exp(-((2 * np.pi * middle * _FIRST_SIGMA_PX) ** 2))
        damped[-1] = 0
        return np.asarray(damped / geometric(self.total_power))

    def coherence(self, aligned: Spectrum) -> Weights:
        """Coherence of each ring, 0 to 1, of the sum of all blocks, aligned."""
        estimate = self.transform.rings(aligned.real) / geometric(self.total_power)
        modes = self.transform.modes * self.transform.independent * len(self.cross)
        noise = 1 / np.sqrt(np.maximum(modes, 1))
        known = np.where(estimate > _LEAST_COHERENT * noise, estimate, 0)
        known[-1] = 0
        return np.minimum(known, np.sqrt(_MOST_COHERENT))

    def peaks(self, crosses: Iterable[Spectrum], weights: Weights) -> list[tuple[float, float]]:
        """Maximum (y, x) of each weighted correlation, by a parabola on each axis."""
        largest = float(weights.max()) or 1.0
        weight = (weights / largest).astype(np.float32)[self.transform.ring]
        steps = np.arange(-self.reach, self.reach + 1)
        rows, columns = (steps % n for n in self.transform.padded)
        found = []
        for cross in crosses:
            values = self.transform.back(cross * weight)[np.ix_(rows, columns)]
            y, x = (int(v) for v in np.unravel_index(int(values.argmax()), values.shape))
            dy = parabola(values[max(0, y - 1) : y + 2, x])
            dx = parabola(values[y, max(0, x - 1) : x + 2])
            found.append((y - self.reach + dy, x - self.reach + dx))
        return found

    def newton(
        self,
        cross: Spectrum,
        weights: Weights,
        start: tuple[float, float],
    ) -> tuple[float, float]:
        """Maximum (y, x) of the weighted correlation near `start`."""
        y, x = start
        weighted, fy, fx = self._band(cross, weights)
        for _ in range(_NEWTON_STEPS):
            rows, along = np.exp(1j * fy * y), weighted * np.exp(1j * fx * x)
            none, once, twice = (rows * (along * fx**n).sum(axis=1) for n in range(3))
            slope = -float((fy * none.imag).sum()), -float(once.imag.sum())
            yy, yx = -float((fy**2 * none.real).sum()), -float((fy * once.real).sum())
            xx = -float(twice.real.sum())
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
        weight = coherence**2 / (1 - coherence**2) * self.transform.independent * len(self.cross)
        yy, yx, xx = (weight * self.transform.bends).sum(axis=1).tolist()
        determinant = yy * xx - yx**2
        if not determinant > 0:
            return float("inf"), float("inf")
        return float(np.sqrt(xx / determinant)), float(np.sqrt(yy / determinant))

    def bands(self, coherence: Weights, weights: Weights) -> tuple[Weights, Weights]:
        """The weights of coarse and of fine structures, with half of the information each."""
        yy, _, xx = self.transform.bends
        share = np.cumsum(coherence**2 / (1 - coherence**2) * (yy + xx))
        coarse = share <= share[-1] / 2
        return weights * coarse, weights * ~coarse

    def _band(
        self, cross: Spectrum, weights: Weights
    ) -> tuple[NDArray[np.complex128], Weights, Weights]:
        """The weighted cross spectrum where it is not 0, and its angular frequencies y and x."""
        used = np.flatnonzero(weights)
        limit = (used[-1] + 1) / (2 * RINGS) if used.size else 0.0
        fy, fx = self.transform.fy.ravel(), self.transform.fx.ravel()
        rows, columns = np.flatnonzero(np.abs(fy) <= limit), int((fx <= limit).sum())
        weight = weights[self.transform.ring[rows, :columns]]
        weight *= self.transform.count[rows, :columns]
        band = np.asarray(cross[rows, :columns] * weight, np.complex128)
        return band, 2 * np.pi * fy[rows], 2 * np.pi * fx[:columns]


def _squares(values: Spectrum) -> NDArray[np.float32]:
    return np.asarray(np.square(values.real) + np.square(values.imag))


def geometric(power: NDArray[np.float64]) -> Weights:
    """Geometric mean of the powers of both images in each ring; never 0."""
    product = power[0] * power[1]
    return np.asarray(np.sqrt(np.maximum(product, max(float(product.max()) * 1e-24, 1e-300))))
