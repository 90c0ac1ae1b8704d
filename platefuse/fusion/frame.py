"""The frame of a fused image: its pixel size, where it begins, how large it is. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platefuse.errors import ViewError

MODES = ("union", "intersection", "sample")
_TOLERANCE_PX = 1e-6
_MOST_PIXELS = 2**44  # more comes of a spacing in the wrong unit
_EXPECTED = {
    "spacing": "finite number above 0",
    "shape": "whole number above 0",
    "origin": "finite number",
}


@dataclass(frozen=True)
class Extent:
    """What one view takes up in the world.

    Attributes
    ----------
    low, high : ndarray of float64, shape (n,)
        Lowest and highest position of its pixels' centres, on axes in space.
    first_plane_high : ndarray of float64, shape (n,)
        Highest position of the pixels of its first plane.
    reach : ndarray of float64, shape (n,), optional
        How far beyond `high` it covers pixels all along its border: half a pixel of its own, or
        nothing at the tip of one that is turned. By default half a pixel of the frame.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    first_plane_high: NDArray[np.float64]
    reach: NDArray[np.float64] | None = None

    def last(self, spacing: NDArray[np.float64], *, sample: bool) -> NDArray[np.float64]:
        """Where the centre of the last pixel lies at most, in a frame of this pixel size."""
        high = self.first_plane_high if sample else self.high
        reach = spacing / 2 if self.reach is None else self.reach
        tolerance = _TOLERANCE_PX * spacing
        return np.asarray(high + np.where(reach > tolerance, reach - tolerance, tolerance))


@dataclass(frozen=True)
class Frame:
    """A grid of pixels in the world.

    Attributes
    ----------
    axes : str
        Its axes in space, in array order.
    spacing, origin : tuple of float
        Pixel size, and position of the first pixel's centre, in world units.
    shape : tuple of int
        Number of pixels.
    """

    axes: str
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        _check("spacing", self.axes, self.spacing, lambda v: v > 0)
        _check("shape", self.axes, self.shape, lambda v: v >= 1)
        _check("origin", self.axes, self.origin, lambda v: True)
        if math.prod(self.shape) > _MOST_PIXELS:
            raise ViewError(
                f"the output would have {' × '.join(map(str, self.shape))} pixels ({self.axes}) at "
                f"spacing {list(self.spacing)}. Check the transforms and the output's properties."
            )

    @classmethod
    def covering(
        cls,
        axes: str,
        extents: Sequence[Extent],
        spacing: Sequence[float],
        *,
        mode: str = "union",
        origin: Sequence[float] | None = None,
        shape: Sequence[float] | None = None,
    ) -> Frame:
        """The frame that views take up.

        Its first pixel lies on the lowest pixel centre; its last one no farther than the views
        reach.

        Parameters
        ----------
        axes : str
            Axes in space.
        extents : sequence of Extent
            What the views take up.
        spacing : sequence of float
            Pixel size.
        mode : str
            ``union`` of all views, their ``intersection``, or ``sample``: the union of their
            first planes.
        origin, shape : sequence, optional
            Asked for in place of what the mode gives.

        Raises
        ------
        ViewError
            If the mode is unknown, the spacing is no number above 0, or nothing is covered.
        """
        if mode not in MODES:
            raise ViewError(f"unknown output_stack_mode {mode!r}; expected one of {list(MODES)}.")
        _check("spacing", axes, spacing, lambda v: v > 0)
        step = np.asarray(spacing, float)
        lows = [e.low for e in extents]
        highs = [e.last(step, sample=mode == "sample") for e in extents]
        pick: tuple[Any, Any] = (np.max, np.min) if mode == "intersection" else (np.min, np.max)
        low, high = pick[0](lows, axis=0), pick[1](highs, axis=0)
        begin = low if origin is None else np.asarray(origin, float)
        if shape is None:
            counts = np.floor((high - low) / step) + 1
            if (counts < 1).any():
                raise ViewError(
                    f"the {mode} of the views is empty: it would begin at {low.tolist()} and "
                    f"end at {high.tolist()} ({axes}). Check where they lie, or use "
                    "output_stack_mode 'union'."
                )
            if not np.isfinite(counts).all():
                raise ViewError(f"the output's spacing {step.tolist()} ({axes}) is too small.")
            shape = counts.tolist()
        _check("shape", axes, shape, lambda v: v >= 1 and v == int(v))
        return cls(axes, tuple(spacing), tuple(begin.tolist()), tuple(int(n) for n in shape))

    def by_axis(self, values: Sequence[float]) -> dict[str, float]:
        """Values by axis."""
        return dict(zip(self.axes, map(float, values), strict=True))


def along(what: str, values: Mapping[str, float] | None, axes: str) -> list[float] | None:
    """Values of an argument in the order of the axes; None if none are given.

    Raises
    ------
    ViewError
        If an axis is missing.
    """
    if values is None:
        return None
    missing = [a for a in axes if a not in values]
    if missing:
        raise ViewError(f"fuse: {what} {dict(values)} lacks {missing}; expected {list(axes)}.")
    return [float(values[a]) for a in axes]


def _check(what: str, axes: str, values: Sequence[float], valid: Callable[[float], bool]) -> None:
    for axis, value in zip(axes, values, strict=True):
        if not (math.isfinite(value) and valid(value)):
            raise ViewError(
                f"the output's {what} on {axis} is {value:g}; expected a {_EXPECTED[what]}."
            )
