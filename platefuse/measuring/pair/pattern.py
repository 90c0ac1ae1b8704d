"""The fixed pattern of a camera: dust, sensor and shading, which do not move with the tissue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from platefuse.errors import ImageError
from platefuse.geometry import Box
from platefuse.measuring.pair.levels import Levels
from platefuse.measuring.pair.prepare import MARGIN_PX, Tone, prepare
from platefuse.measuring.pair.regions import brightest, search_factor

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_FIELDS = 64

_SIGNIFICANT = 2.0
"""Medians below so many standard errors become 0."""

_MOST_BYTES = 128 * 2**20
"""Prepared pixels of all fields that are held at once."""


@dataclass(frozen=True, eq=False)
class FixedPattern:
    """What all fields of a camera have in common, in prepared values.

    Attributes
    ----------
    factor : int
        How much smaller `coarse` is than the fields.
    coarse : ndarray of float32, axes yx
        The pattern at the level of the search.
    full : ndarray of float32, axes yx, or None
        The pattern at full resolution.
    """

    factor: int
    coarse: NDArray[np.float32]
    full: NDArray[np.float32] | None

    def fits(self, shape: Sequence[int], factor: int) -> bool:
        """Whether it is a pattern of fields of a shape (y, x), searched at a level `factor`."""
        return self.factor == factor and self.coarse.shape == tuple(n // factor for n in shape)


def fixed_pattern(fields: Sequence[Any], *, full: bool = True) -> FixedPattern:
    """The fixed pattern of an acquisition and channel: what its prepared fields share.

    Parameters
    ----------
    fields : sequence of array-like or of sequences of array-like
        Fields that show different tissue, as `measure_shift` takes them; all of the same shape.
        With more than 64 fields, 64 at equal distances are used. With few fields the tissue does
        not average out: use 8 at least. For the two images of a pair use different fields: what
        chance leaves in a pattern must not be the same on both sides.
    full : bool
        Whether the pattern is made at full resolution too, which means to read every field
        completely; it is then done in strips, so that at most 128 MB of pixels are held. Without,
        the pattern is subtracted in the search only.

    Returns
    -------
    FixedPattern

    Raises
    ------
    ImageError
        If there are no fields, or their shapes differ.
    """
    step = max(1, -(-len(fields) // MOST_FIELDS))
    chosen = [Levels.of(field, f"field {n}") for n, field in enumerate(fields)][::step]
    if not chosen:
        raise ImageError("A fixed pattern is made from fields, and none is given.")
    shapes = {levels.shape for levels in chosen}
    if len(shapes) > 1:
        raise ImageError(
            f"A fixed pattern is made from fields of one shape, got {sorted(shapes)}: use the "
            "fields of one acquisition."
        )
    (shape,) = shapes
    factor = search_factor(shape[0] * shape[1])
    tones = [_tone(levels, factor) for levels in chosen]
    coarse = _common(chosen, tones, factor)
    if not full:
        return FixedPattern(factor, coarse, None)
    return FixedPattern(factor, coarse, _common(chosen, tones, 1) if factor > 1 else coarse)


def _tone(levels: Levels, factor: int) -> Tone:
    return Tone.of(brightest(levels, Box((0, 0), levels.shape), factor), levels.dtype)


def _common(fields: list[Levels], tones: list[Tone], factor: int) -> NDArray[np.float32]:
    """What the prepared fields have in common, strip by strip."""
    height, width = (n // factor for n in fields[0].shape)
    rows = max(1, min(height, _MOST_BYTES // (4 * width * len(fields))))
    result = np.empty((height, width), np.float32)
    for first in range(0, height, rows):
        last = min(height, first + rows)
        top, bottom = max(0, first - MARGIN_PX), min(height, last + MARGIN_PX)
        box = Box((top * factor, 0), (bottom * factor, width * factor))
        strips = np.empty((len(fields), last - first, width), np.float32)
        for strip, levels, tone in zip(strips, fields, tones, strict=True):
            prepared = prepare(brightest(levels, box, factor), tone)
            strip[:] = prepared[first - top : last - top]
        result[first:last] = significant(strips)
    return result


def significant(fields: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median of fields, shrunk where it may be chance.

    Parameters
    ----------
    fields : ndarray of float32, shape (fields, y, x)
        Prepared fields. They are overwritten.

    Returns
    -------
    ndarray of float32, shape (y, x)
        The non-negative garrote of the median (Breiman 1995, 10.1080/00401706.1995.10484371): what
        chance and the tissue of a few fields leave in a median would else be subtracted from both
        images of a pair, which then correlate by it.
    """
    middle = np.median(fields, axis=0)
    np.abs(np.subtract(fields, middle, out=fields), out=fields)
    error = np.median(fields, axis=0, overwrite_input=True)
    error *= np.float32(1.4826 * np.sqrt(np.pi / 2 / len(fields)) * _SIGNIFICANT)
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = np.maximum(0, 1 - np.square(error / middle))
    return np.where(middle == 0, np.float32(0), middle * kept)
