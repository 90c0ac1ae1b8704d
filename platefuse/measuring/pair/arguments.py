"""The arguments of `measure_shift` except the images: they are checked before a pixel is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from platefuse.errors import ImageError
from platefuse.measuring.pair.levels import Levels
from platefuse.measuring.pair.pattern import FixedPattern
from platefuse.storage.expected import SHARE, number


def vector(name: str, value: Any, axes: int) -> tuple[float, ...]:
    """Check that a value is a finite number, or one for each axis; returned for each.

    Parameters
    ----------
    name : str
        What error messages call it.
    value : float, or sequence or array of float
        What the caller gave.
    axes : int
        Number of axes.

    Raises
    ------
    ImageError
        If it is anything else.
    """
    several = value.ndim > 0 if isinstance(value, np.ndarray) else isinstance(value, Sequence)
    numbers = tuple(map(number, value)) if several else (number(value),) * axes
    if len(numbers) != axes or not all(map(math.isfinite, numbers)):
        raise ImageError(f"{name} is {value!r}; expected {axes} finite numbers, one for each axis.")
    return numbers


def largest_shift(value: Any, axes: int) -> tuple[float, ...]:
    """Check `max_shift_px`: see `vector`, and not negative.

    Raises
    ------
    ImageError
        If it is anything else.
    """
    most = vector("max_shift_px", value, axes)
    if min(most) < 0:
        raise ImageError(f"max_shift_px is {value!r}; expected 0 or more on every axis.")
    return most


def least_overlap(value: object) -> float | None:
    """Check `min_overlap`: a share, or None.

    Raises
    ------
    ImageError
        If it is anything else.
    """
    if value is None:
        return None
    if not SHARE.holds(value):
        raise ImageError(f"min_overlap is {value!r}; expected {SHARE.words}, or None.")
    return number(value)


def check_pattern(name: str, pattern: object, levels: Levels, factor: int) -> None:
    """Check that a fixed pattern is one, and that of a camera with as many pixels as the image.

    Parameters
    ----------
    name : str
        What error messages call it.
    pattern : object
        What the caller gave; None is no pattern.
    levels : Levels
        The image it belongs to.
    factor : int
        How much smaller the level of the search is.

    Raises
    ------
    ImageError
        If it is not.
    """
    if pattern is None:
        return
    if not isinstance(pattern, FixedPattern):
        raise ImageError(
            f"{name} is a {type(pattern).__name__}; expected what "
            "platefuse.measuring.pair.pattern.fixed_pattern returns, or None."
        )
    if not pattern.fits(levels.shape, factor):
        got = [n * pattern.factor for n in pattern.coarse.shape]
        raise ImageError(
            f"{name} is of fields of about {got} pixels (y, x), but the {levels.name} image has "
            f"{list(levels.shape)}; expected as many. Make it from whole fields of this camera, "
            "and measure whole fields."
        )
