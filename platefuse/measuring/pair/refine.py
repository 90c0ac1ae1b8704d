"""Refine a shift at full resolution, from blocks of the overlap."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from platefuse.measuring.pair.blocks import FEW, MANY, Layout, Side, choose, overlap_box
from platefuse.measuring.pair.motion import Motion, turned
from platefuse.measuring.pair.spectra import Spectra, geometric
from platefuse.measuring.pair.transform import Transform, transform_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from platefuse.measuring.pair.spectra import Spectrum, Weights

_AGREES_PX = 1.0
"""A block agrees if its own shift is this close to the common one."""

_ROUNDS = 3
"""How often weights and shift are computed from each other."""

_CENTRED_PX = 0.75
"""Blocks are read again if they are further from the same tissue than this."""

_LAST_REACH_PX = 3

_ENOUGH_PX = 0.0125
"""A few blocks are enough if the uncertainty is no larger than this. That is small beside what else
an image is displaced by: its stage, its optics, and the rounding to whole pixels."""

_ENOUGH_BANDS_PX = 0.1
"""And if coarse and fine structures agree to this."""


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

    @property
    def is_sure(self) -> bool:
        """Whether more blocks would tell nothing that anybody needs."""
        return (
            max(self.sigma) <= _ENOUGH_PX
            and self.agreement == 1
            and self.angle_deg == 0
            and self.bands_differ_px <= _ENOUGH_BANDS_PX
        )


@dataclass(frozen=True)
class _Moving:
    """A block of the moving image, `whole` pixels displaced, and the pattern subtracted from it."""

    block: NDArray[np.float32]
    whole: tuple[int, int]
    subtracted: NDArray[np.float32]


@dataclass(frozen=True)
class _Fit:
    """A step towards a motion, and the spectra that it comes from."""

    motion: Motion
    step: Motion
    spectra: Spectra
    total: Spectrum
    coherence: Weights
    weights: Weights

    def agreement(self, places: Sequence[tuple[float, float]]) -> float:
        """Share of the blocks whose own shifts are that of all."""
        own = self.spectra.peaks(self.spectra.cross, self.weights)
        off = [np.subtract(o, self.step.at(p)) for o, p in zip(own, places, strict=True)]
        return float(np.mean([np.abs(o).max() <= _AGREES_PX for o in off]))

    def bands_differ_px(self) -> float:
        """How far apart coarse and fine structures are."""
        bands = self.spectra.bands(self.coherence, self.weights)
        ((coarse,), (fine,)) = (self.spectra.peaks([self.total], band) for band in bands)
        return max(abs(a - b) for a, b in zip(coarse, fine, strict=True))


def refine(
    sides: tuple[Side, Side],
    planes: Sequence[tuple[int, int]],
    texture: NDArray[np.floating],
    cell: int,
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
        Texture of the overlap, in cells of so many pixels as `cell` on each side.
    cell : int
        See there.
    factor : int
        The start is wrong by about half as many pixels.
    start : (float, float)
        Displacement (y, x) to begin with, in pixels.

    Returns
    -------
    Refined
    """
    whole = (round(start[0]), round(start[1]))
    overlap = overlap_box(sides[0].levels.shape, sides[1].levels.shape, whole)
    # What is left of a pattern is an error that no uncertainty tells: many blocks make it small.
    is_patterned = any(side.pattern is not None for side in sides)
    for blocks in (MANY,) if is_patterned else (FEW, MANY):
        layout = choose(overlap, texture, cell, blocks)
        found = _common(_Blocks(sides, planes, layout, 2 * factor + 2), start)
        if found.is_sure:
            break
    return found


def _common(blocks: _Blocks, start: tuple[float, float]) -> Refined:
    """The displacement that some blocks have in common, by two fits.

    The first has the whole reach. The second has blocks whose windows lie on the same tissue.
    """
    moving = blocks.read(Motion(start))
    first = blocks.fit(moving, Motion(start), blocks.reach)
    rest = blocks.residuals(moving, first.motion)
    if max(max(abs(y), abs(x)) for y, x in rest) > _CENTRED_PX:
        moving = blocks.read(first.motion)
    reach = min(_LAST_REACH_PX, blocks.reach)
    fit = blocks.fit(moving, first.motion, reach, may_turn=first.motion.angle != 0)
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
    most: int

    @cached_property
    def reach(self) -> int:
        """Largest shift that is looked for: at most a quarter of a block."""
        return max(1, min(self.most, min(self.layout.shape) // 4))

    @cached_property
    def transform(self) -> Transform:
        """The transform of a block."""
        return transform_of(self.layout.shape, self.reach)

    @cached_property
    def references(self) -> list[Spectrum]:
        """The spectra of the blocks of the reference."""
        shape = self.layout.shape
        return [
            self.transform(self.sides[0].block(start, shape, self._planes(number)[0]))
            for number, start in enumerate(self.layout.starts)
        ]

    def _planes(self, number: int) -> tuple[int, int]:
        return self.planes[number % len(self.planes)]

    def read(self, motion: Motion) -> list[_Moving]:
        """Moving blocks that show the same tissue as nearly as whole pixels can."""
        found = []
        shape, side = self.layout.shape, self.sides[1]
        places = zip(self.layout.starts, self.layout.places(), strict=True)
        for number, (start, place) in enumerate(places):
            y, x = (
                min(max(0, s - round(d)), n - m)
                for s, d, n, m in zip(
                    start, motion.at(place), side.levels.shape, shape, strict=True
                )
            )
            block = side.block((y, x), shape, self._planes(number)[1])
            whole = (start[0] - y, start[1] - x)
            found.append(_Moving(block, whole, side.subtracted((y, x), shape)))
        return found

    def residuals(self, moving: list[_Moving], motion: Motion) -> list[tuple[float, float]]:
        """What a motion is beyond the whole displacement of each block."""
        moves = [motion.at(place) for place in self.layout.places()]
        return [(y - m.whole[0], x - m.whole[1]) for m, (y, x) in zip(moving, moves, strict=True)]

    def fit(
        self,
        moving: list[_Moving],
        motion: Motion,
        reach: int,
        *,
        may_turn: bool = True,
    ) -> _Fit:
        """Improve a motion by what is left, up to `reach` pixels."""
        rests = self.residuals(moving, motion)
        pairs = [
            (reference, self.transform(each.block, rest), rest)
            for reference, each, rest in zip(self.references, moving, rests, strict=True)
        ]
        spectra = Spectra(self.transform, reach, pairs, self._subtracted(moving))
        places = self.layout.places()
        weights = spectra.first_weights()
        turn = turned(spectra.peaks(spectra.cross, weights), places) if may_turn else None
        total = spectra.total([turn.at(place) for place in places] if turn else None)
        shift, coherence, weights = _common_shift(spectra, total, weights)
        step = turn.then(Motion(shift)) if turn else Motion(shift)
        return _Fit(motion.then(step), step, spectra, total, coherence, weights)

    def _subtracted(self, moving: list[_Moving]) -> Iterator[tuple[Spectrum, Spectrum]]:
        """The spectra of the fixed patterns that were subtracted, if there are any."""
        if all(side.pattern is None for side in self.sides):
            return
        for start, each in zip(self.layout.starts, moving, strict=True):
            reference = self.sides[0].subtracted(start, self.layout.shape)
            yield self.transform(reference), self.transform(each.subtracted)


def _common_shift(
    spectra: Spectra, total: Spectrum, weights: Weights
) -> tuple[tuple[float, float], Weights, Weights]:
    """Shift of all blocks, coherence and weights of the rings, each from the others in turn."""
    (shift,) = spectra.peaks([total], weights)
    coherence = np.zeros(len(weights))
    for _ in range(_ROUNDS):
        shift = spectra.newton(total, weights, shift)
        coherence = spectra.coherence(spectra.transform.moved(total, shift))
        if not coherence.any():
            break
        coherence = coherence * spectra.trusted(coherence)
        weights = coherence / (1 - coherence**2) / geometric(spectra.total_power)
    return shift, coherence, weights
