"""Small blocks of a fused well by which acquisitions are compared: where they are, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from platefuse.geometry import Box
from platefuse.measuring.pair.correlate import Lags, Surface, surface
from platefuse.measuring.pair.correlate import Plane as Correlated
from platefuse.measuring.pair.fourier import forward
from platefuse.measuring.pair.prepare import (
    Tone,
    fine_structure,
    prepare,
    structure,
    upper_median,
    valid_pixels,
)
from platefuse.quality.planes import Plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_PX = 160
"""Side of a block, unless fields are smaller than two of them."""

_LEAST_BLOCK_PX = 48

_PER_SIDE = 2
"""Each field is cut into so many parts on both axes; the block with most structure is taken."""

MOST_BLOCKS = 400
"""Wells with more fields than this allows for have one block for each field, or for some."""

COARSE_PX = 768
"""Structure is looked for at a level with at most so many pixels on its longer side."""

_SAME_FIELD = 0.5
"""Fields that share more than this on both axes show the same place in two acquisitions."""

_BORDER_PX = 8
"""Pixels at the borders of fields in which no block lies: the preparation changes them."""

_LEAST_TEXTURE = 0.1
"""Share of the variance that is more than noise, from which a block has structure."""

_LEAST_COARSE = 2.0
"""Noise that was interpolated has up to 1.5 times more power in the coarse than in the fine band,
and is no structure; what a microscope images has more."""

_LEAST_HEIGHT, _LEAST_RUNNER_UP = 6.0, 0.2
"""When a peak of the correlation counts; as in `platefuse.measuring.pair.measure`."""

_BEYOND_PX = 2
"""A peak counts if the correlation is known so far beyond it."""

_FINE, _COARSE, _NOISE = (0.12, 0.25), (0.03, 0.10), (0.40, 0.50)
"""Frequencies of fine and coarse structure, and those at which there is only noise, in cycles per
pixel: no microscope that is sampled well passes more than 0.4."""


@dataclass(frozen=True)
class Compared:
    """A block of an acquisition, compared with the reference.

    Attributes
    ----------
    residual_px : (float, float) or None
        What has to be added to the place of the acquisition, (y, x), in pixels; None if nothing in
        it is found again.
    before, after : float
        Correlation with the reference, without and with the registration.
    """

    residual_px: tuple[float, float] | None
    before: float
    after: float


@dataclass(frozen=True)
class Shown:
    """What a block shows.

    Attributes
    ----------
    has_structure : bool
        Whether there is more than noise in it.
    focus : float or None
        Amplitude of the fine structure as a share of that of the coarse structure; None if there is
        no structure. The noise of the camera, which is the same at all frequencies, is taken away
        from both.
    saturated : float
        Share of its pixels that are saturated.
    """

    has_structure: bool
    focus: float | None
    saturated: float


@dataclass(frozen=True)
class Block:
    """A block, ready to be compared.

    Attributes
    ----------
    prepared : Plane
        Its fine structure; see `platefuse.measuring.pair.prepare`.
    shown : Shown
        What it shows.
    """

    prepared: Correlated
    shown: Shown

    @classmethod
    def of(cls, pixels: NDArray[Any], tone: Tone) -> Block:
        """The block with these pixels, whose values are compressed as the tone says."""
        values = tone(pixels)
        prepared = fine_structure(values, valid_pixels(pixels, tone.saturated))
        focus, coarse_to_fine = _focus(values)
        has_structure = (
            coarse_to_fine >= _LEAST_COARSE and structure(values, prepared) >= _LEAST_TEXTURE
        )
        saturated = float((pixels >= tone.saturated).mean())
        shown = Shown(has_structure, focus if has_structure else None, saturated)
        return cls(Correlated(prepared), shown)


def _focus(values: NDArray[np.float32]) -> tuple[float | None, float]:
    """See `Block.focus`; and the power of the coarse by that of the fine structure."""
    window, fine, coarse, noise = _bands((values.shape[0], values.shape[1]))
    spectrum = forward((values - values.mean()) * window, window.shape)
    power = (np.square(spectrum.real) + np.square(spectrum.imag)).ravel()
    floor = upper_median(power[noise]) / np.log(2)  # powers of noise are exponential
    low, high = (float(power[band].mean()) for band in (coarse, fine))
    focus = None if low <= 2 * floor else float(np.sqrt(max(0.0, high - floor) / (low - floor)))
    return focus, low / high if high else 0.0


@cache
def _bands(shape: tuple[int, int]) -> tuple[NDArray[Any], ...]:
    """Window of a block, and the frequencies of fine and coarse structure and of noise."""
    height, width = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]).ravel()
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    bands = (
        np.flatnonzero((frequency >= low) & (frequency < high))
        for low, high in (_FINE, _COARSE, _NOISE)
    )
    return window, *bands


def choose_blocks(plane: Plane, fields: Sequence[Box], others: Sequence[Box] = ()) -> list[Box]:
    """The blocks of a plane by which acquisitions are compared.

    Each field is cut into parts, and the block with most structure in each is taken. Blocks lie
    where one field alone is seen: the border of a field is a step of brightness, which is at
    another place in each acquisition and would be taken for tissue.

    Parameters
    ----------
    plane : Plane
        The plane of the reference.
    fields : sequence of Box
        The fields in it, on y and x.
    others : sequence of Box
        The fields of the other acquisitions.

    Returns
    -------
    list of Box
        The blocks, without two that overlap by more than a quarter.
    """
    clear = [_clear(field, [*fields, *others]) for field in fields]
    clear = [field for field in clear if min(field.shape) >= _LEAST_BLOCK_PX]
    if not clear:
        return []
    shortest = min(min(field.shape) for field in clear)
    side = min(BLOCK_PX, max(_LEAST_BLOCK_PX, shortest // _PER_SIDE))
    level = plane.level_of(COARSE_PX)
    whole = Box.of_shape(plane.shape_of(level))
    pixels = plane.read(whole, level)
    energy = Correlated(prepare(pixels, Tone.of(pixels, plane.dtype))).sums
    factor = plane.shape[0] / whole.shape[0], plane.shape[1] / whole.shape[1]
    parts = [part for field in clear for part in _parts(field, side, len(clear))]
    chosen: list[Box] = []
    for part in parts[:: -(-len(parts) // MOST_BLOCKS)] if parts else []:
        block = _best(part, side, energy, factor)
        shared = (block & other for other in chosen)
        if all(b.empty or b.size < block.size / 4 for b in shared):
            chosen.append(block)
    return chosen


def compare(reference: Block, moving: Block, move: tuple[int, int]) -> Compared:
    """Compare a block of an acquisition with that of the reference.

    Parameters
    ----------
    reference, moving : Block
        Both at the same place in the fused well.
    move : (int, int)
        How far registration moved what is in the block, in pixels.
    """
    reach = min(reference.prepared.shape) // 4
    lags = Lags((-reach, -reach), (reach, reach))
    found = surface(reference.prepared, moving.prepared, lags, reference.prepared.pixels.size // 4)
    back = (-move[0], -move[1])
    # What lies further away than the reach has nothing in common with the reference.
    before = _score(found, back) if back in lags else 0.0
    after = _score(found, (0, 0))
    noise, peaks = found.noise(), found.peaks()
    if not peaks or not noise or peaks[0].height < _LEAST_HEIGHT * noise:
        return Compared(None, before, after)
    best, second = peaks[0], peaks[1].height if len(peaks) > 1 else 0.0
    at_end = max(map(abs, best.lag)) > reach - _BEYOND_PX
    if at_end or best.height - second < _LEAST_RUNNER_UP * best.height:
        return Compared(None, before, after)
    return Compared(found.vertex(best.lag), before, after)


def _score(found: Surface, lag: tuple[int, int]) -> float:
    """Correlation at a whole lag."""
    y, x = (v - low for v, low in zip(lag, found.lags.low, strict=True))
    return float(found.score[y, x])


def _clear(field: Box, all_fields: Sequence[Box]) -> Box:
    """The part of a field in which no border of another field lies."""
    for other in all_fields:
        shared = field & other
        if shared.empty:
            continue
        shares = [s / n for s, n in zip(shared.shape, field.shape, strict=True)]
        if min(shares) > _SAME_FIELD:
            field = shared  # the same field in another acquisition, or itself
            continue
        axis, start, stop = int(np.argmin(shares)), list(field.start), list(field.stop)
        if shared.start[axis] <= start[axis]:
            start[axis] = shared.stop[axis]
        else:
            stop[axis] = shared.start[axis]
        field = Box(tuple(start), tuple(stop))
    return field.dilated((-_BORDER_PX, -_BORDER_PX))


def _parts(field: Box, side: int, fields: int) -> list[Box]:
    """The parts of a field in which a block is looked for."""
    if min(field.shape) < side:
        return []
    n = min(_PER_SIDE, min(field.shape) // side) if fields * _PER_SIDE**2 <= MOST_BLOCKS else 1
    (top, left), (height, width) = field.start, field.shape
    rows = [top + height * k // n for k in range(n + 1)]
    columns = [left + width * k // n for k in range(n + 1)]
    parts = [
        Box((rows[i], columns[j]), (rows[i + 1], columns[j + 1]))
        for i in range(n)
        for j in range(n)
    ]
    return [part for part in parts if min(part.shape) >= side]


def _best(part: Box, side: int, energy: NDArray[np.float64], factor: tuple[float, float]) -> Box:
    """The block with most structure in a part."""
    starts = [
        np.unique(np.linspace(a, b - side, 5).astype(int))
        for a, b in zip(part.start, part.stop, strict=True)
    ]
    low, high = (
        [
            np.clip(((s + end) / f).astype(int), 0, n - 1)
            for s, f, n in zip(starts, factor, energy.shape, strict=True)
        ]
        for end in (0, side)
    )
    sums = (
        energy[np.ix_(high[0], high[1])]
        - energy[np.ix_(low[0], high[1])]
        - energy[np.ix_(high[0], low[1])]
        + energy[np.ix_(low[0], low[1])]
    )
    i, j = np.unravel_index(int(sums.argmax()), sums.shape)
    top, left = int(starts[0][i]), int(starts[1][j])
    return Box((top, left), (top + side, left + side))
