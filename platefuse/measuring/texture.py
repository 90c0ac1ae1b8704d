"""Whether a field has anything to measure by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from platefuse.geometry import Box
from platefuse.measuring.levels import Levels
from platefuse.measuring.pair import LEAST_TEXTURE
from platefuse.measuring.prepare import Tone, prepare, texture
from platefuse.measuring.search import brightest, search_factor


def field_texture(levels: Sequence[Any]) -> float:
    """Share of the variance of a field that is more than noise; 0 if it is too little.

    Parameters
    ----------
    levels : sequence of array-like
        The field and its pyramid, axes yx or zyx. The level of the search is read.
    """
    field = Levels.of(list(levels), "field")
    height, width = field.shape
    factor = search_factor(height * width)
    pixels = brightest(field, Box((0, 0), (height, width)), factor)
    tone = Tone.of(pixels, field.dtype)
    found = texture(pixels, tone, prepare(pixels, tone))
    return found if found >= LEAST_TEXTURE else 0.0
