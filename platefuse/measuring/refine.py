"""Refine a shift at full resolution, from blocks of the overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from platefuse.measuring.blocks import Layout, Side, choose, overlap_box
from platefuse.measuring.motion import Motion, turned
from platefuse.measuring.spectra import Spectra, geometric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from platefuse.measuring.spectra import Weights

_AGREES_PX = 1.0
"""A block agrees if its own shift is this close to the common one."""

_ROUNDS = 3
"""How often weights and shift are computed from each other."""

_CENTRED_PX = 0.75
"""Blocks are read again if they are further from the same tissue than this."""

_LAST_REACH_PX = 3


@dataclass(frozen=True)
class Refined:
    """The shift that the blocks have in common.

    Attributes
    ----------
    displacement : (float, float)
        Position (y, x) of pixel 0 of the moving image in the reference, in pixels, by what lies at
        `at_px`.
    at_px : (float, float)
        Where the displacement holds, from the centre of the overlap: the centre itself if a turn
        is clear, else the middle of the blocks.
    sigma : (float, float)
        Its uncertainty; infinite where the blocks have nothing in common.
    agreement : float
        Share of the blocks whose own shifts agree.
    angle_deg : float
        Turn that brings the moving image onto the reference, from x to y; 0 if none is clear.
    bands_differ_px : float
        How far apart the shifts are that coarse and fine structures have, each with half of the
        information.
    """

    displacement: tuple[float, float]
    at_px: tuple[float, float]
    sigma: tuple[float, float]
    agreement: float
    angle_deg: float
    bands_differ_px: float


@dataclass(frozen=True)
class _Pair:
    """Prepared blocks of both images, `whole` pixels displaced, and the patterns subtracted."""

    reference: NDArray[np.float32]
    moving: NDArray[np.float32]
    whole: tuple[int, int]
    subtracted: tuple[NDArray[np.float32], NDArray[np.float32]] | None


@dataclass(frozen=True)
class _Fit:
    """A step towards a motion, and the spectra that it comes from."""

    motion: Motion
    step: Motion
    spectra: Spectra
    total: NDArray[np.complexfloating]
    coherence: Weights
    weights: Weights

    def agreement(self, places: Sequence[tuple[float, float]]) -> float:
        """Share of the blocks whose own shifts are that of all."""
        own = [self.spectra.peak(cross, self.weights) for cross in self.spectra.cross]
        off = [np.subtract(o, self.step.at(p)) for o, p in zip(own, places, strict=True)]
        return float(np.mean([np.abs(o).max() <= _AGREES_PX for o in off]))

    def bands_differ_px(self) -> float:
        """How far apart coarse and fine structures are."""
        bands = self.spectra.bands(self.coherence, self.weights)
        coarse, fine = (self.spectra.peak(self.total, band) for band in bands)
        return max(abs(a - b) for a, b in zip(coarse, fine, strict=True))


def refine(
    sides: tuple[Side, Side],
    planes: Sequence[tuple[int, int]],
    texture: NDArray[np.floating],
    factor: int,
    start: tuple[float, float],
) -> Refined:
    """Refine a displacement by blocks at full resolution.

    Parameters
    ----------
    sides : (Side, Side)
        Reference and moving image.
    planes : sequence of (int, int)
        Planes of both that show the same; blocks take them in turn.
    texture : ndarray of float
        Texture of the overlap, in pixels larger by `factor`.
    factor : int
        See there. The start is wrong by about half as many pixels.
    start : (float, float)
        Displacement (y, x) to begin with, in pixels.

    Returns
    -------
    Refined
    """
    whole = (round(start[0]), round(start[1]))
    overlap = overlap_box(sides[0].levels.shape, sides[1].levels.shape, whole)
    blocks = _Blocks(sides, planes, choose(overlap, texture, factor))
    pairs = blocks.read(Motion(start))
    fit = blocks.fit(pairs, Motion(start), 2 * factor + 2)
    rest = blocks.residuals(pairs, fit.motion)
    if max(max(abs(y), abs(x)) for y, x in rest) > _CENTRED_PX:
        pairs = blocks.read(fit.motion)
    fit = blocks.fit(pairs, fit.motion, _LAST_REACH_PX)
    places = blocks.layout.places()
    middle = (float(np.mean([y for y, _ in places])), float(np.mean([x for _, x in places])))
    return Refined(
        displacement=fit.motion.shift,
        at_px=(0.0, 0.0) if fit.motion.angle else middle,
        sigma=fit.spectra.sigma(fit.coherence),
        agreement=fit.agreement(places),
        angle_deg=math.degrees(fit.motion.angle),
        bands_differ_px=fit.bands_differ_px(),
    )


@dataclass(frozen=True)
class _Blocks:
    """Reads the blocks of a layout, and finds the motion that they have in common."""

    sides: tuple[Side, Side]
    planes: Sequence[tuple[int, int]]
    layout: Layout

    def read(self, motion: Motion) -> list[_Pair]:
        """Blocks that show the same tissue as nearly as whole pixels can."""
        pairs = []
        shape, limits = self.layout.shape, self.sides[1].levels.shape
        places = zip(self.layout.starts, self.layout.places(), strict=True)
        for number, (start, place) in enumerate(places):
            a, b = self.planes[number % len(self.planes)]
            y, x = (
                min(max(0, s - round(d)), n - m)
                for s, d, n, m in zip(start, motion.at(place), limits, shape, strict=True)
            )
            reference = self.sides[0].block(start, shape, a)
            moving = self.sides[1].block((y, x), shape, b)
            subtracted = None
            if any(side.pattern is not None for side in self.sides):
                first, second = self.sides
                subtracted = first.subtracted(start, shape), second.subtracted((y, x), shape)
            pairs.append(_Pair(reference, moving, (start[0] - y, start[1] - x), subtracted))
        return pairs

    def residuals(self, pairs: list[_Pair], motion: Motion) -> list[tuple[float, float]]:
        """What a motion is beyond the whole displacement of each block."""
        moves = [motion.at(place) for place in self.layout.places()]
        return [(y - p.whole[0], x - p.whole[1]) for p, (y, x) in zip(pairs, moves, strict=True)]

    def fit(self, pairs: list[_Pair], motion: Motion, reach: int) -> _Fit:
        """Improve a motion by what is left, up to `reach` pixels."""
        spectra = Spectra(self.layout.shape, reach)
        for pair, rest in zip(pairs, self.residuals(pairs, motion), strict=True):
            spectra.add(pair.reference, pair.moving, rest)
            if pair.subtracted is not None:
                spectra.add_subtracted(*pair.subtracted)
        places = self.layout.places()
        weights = spectra.first_weights()
        turn = turned([spectra.peak(cross, weights) for cross in spectra.cross], places)
        total = spectra.total([turn.at(place) for place in places] if turn else None)
        shift, coherence, weights = common_shift(spectra, total, weights)
        step = turn.then(Motion(shift)) if turn else Motion(shift)
        return _Fit(motion.then(step), step, spectra, total, coherence, weights)


def common_shift(
    spectra: Spectra,
    total: NDArray[np.complexfloating],
    weights: Weights,
    rounds: int = _ROUNDS,
) -> tuple[tuple[float, float], Weights, Weights]:
    """Shift of all blocks, coherence and weights of the rings, each from the others in turn."""
    shift = spectra.peak(total, weights)
    coherence = np.zeros(len(weights))
    for _ in range(rounds):
        shift = spectra.newton(total, weights, shift)
        coherence = spectra.coherence(total * spectra.ramp(shift))
        if not coherence.any():
            break
        coherence = coherence * spectra.trusted(coherence)
        weights = coherence / (1 - coherence**2) / geometric(spectra.total_power)
    return shift, coherence, weights
