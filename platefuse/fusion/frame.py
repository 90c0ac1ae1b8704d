"""The pixel grid of a fused image, and views placed in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.affine import AffineView
from platefuse.engine.sources import Source
from platefuse.engine.views import ShiftedView, View
from platefuse.errors import ViewError
from platefuse.fusion.arguments import MODES
from platefuse.geometry import Box, snap

if TYPE_CHECKING:
    import xarray

Position = NDArray[np.float64]
_TOLERANCE_PX = 1e-6
_MOST_PIXELS = 2**44  # more follow from a spacing in the wrong unit
_EXPECTED = {
    "spacing": "finite number above 0",
    "shape": "whole number above 0",
    "origin": "finite number",
}


@dataclass(frozen=True)
class Extent:
    """The part of the world that one view covers, on the axes in space.

    Attributes
    ----------
    low, high : ndarray of float64, shape (n,)
        Lowest and highest position of its pixels' centres.
    first_plane_high : ndarray of float64, shape (n,)
        Highest position of the pixels of its first plane.
    reach : ndarray of float64, shape (n,)
        How far beyond `high` it covers pixels all along its border: half a pixel of its own, or
        0 at the tip of a rotated view.
    precision_px : float
        Positions closer than this to a whole pixel, counted from the lowest position of all
        views, are on it: tables hold float32. 0: positions are exact.
    """

    low: Position
    high: Position
    first_plane_high: Position
    reach: Position
    precision_px: float = 0.0

    def last(self, spacing: Position, *, sample: bool) -> Position:
        """The highest position that the last pixel of a frame may have, for its pixel size."""
        high = self.first_plane_high if sample else self.high
        tolerance = _TOLERANCE_PX * spacing
        return np.asarray(
            high + np.where(self.reach > tolerance, self.reach - tolerance, tolerance)
        )


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

    Raises
    ------
    ViewError
        If a value is not finite or out of range, or there are too many pixels.
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
        """The frame that covers views.

        Its first pixel is on the lowest pixel centre. Its last pixel is the last one whose centre
        the views reach: see `Extent.reach`.

        Parameters
        ----------
        axes : str
            Axes in space.
        extents : sequence of Extent
            What the views cover.
        spacing : sequence of float
            Pixel size.
        mode : str
            ``union`` of all views, their ``intersection``, or ``sample``: the union of their
            first planes.
        origin, shape : sequence, optional
            Used in place of what the mode gives.

        Raises
        ------
        ViewError
            If the mode is unknown, the spacing is not above 0, or nothing is covered.
        """
        if mode not in MODES:
            raise ViewError(f"unknown output_stack_mode {mode!r}; expected one of {list(MODES)}.")
        _check("spacing", axes, spacing, lambda v: v > 0)
        step = np.asarray(spacing, float)
        low, high = _ends(_on_whole_pixels(extents), step, mode)
        begin = low if origin is None else np.asarray(origin, float)
        if shape is None:
            counts = np.floor((high - low) / step) + 1
            if (counts < 1).any():
                raise ViewError(
                    f"the {mode} of the views is empty: it would begin at {low.tolist()} and "
                    f"end at {high.tolist()} ({axes}). Check their positions, or use "
                    "output_stack_mode 'union'."
                )
            if not np.isfinite(counts).all():
                raise ViewError(f"the output's spacing {step.tolist()} ({axes}) is too small.")
            shape = counts.tolist()
        _check("shape", axes, shape, lambda v: v >= 1 and v == int(v))
        return cls(axes, tuple(spacing), tuple(begin.tolist()), tuple(int(n) for n in shape))

    @property
    def corner(self) -> dict[str, float]:
        """Position of the corner of the first pixel on each axis."""
        axes = zip(self.axes, self.origin, self.spacing, strict=True)
        return {axis: origin - step / 2 for axis, origin, step in axes}

    def dilated(self, pixels: Sequence[int]) -> Frame:
        """The frame with more pixels on both sides of each axis."""
        each = list(zip(self.spacing, self.origin, self.shape, pixels, strict=True))
        origin = tuple(start - more * step for step, start, _, more in each)
        return Frame(self.axes, self.spacing, origin, tuple(n + 2 * more for *_, n, more in each))

    def coarser(self, factors: Sequence[int], shape: Sequence[int]) -> Frame:
        """The frame of as many pixels as given, each made of a group of pixels of this one.

        Parameters
        ----------
        factors : sequence of int
            Pixels in a group, along each axis.
        shape : sequence of int
            Number of pixels along each axis.
        """
        each = list(zip(self.spacing, self.origin, factors, strict=True))
        spacing = tuple(step * factor for step, _, factor in each)
        origin = tuple(start + (factor - 1) / 2 * step for step, start, factor in each)
        return Frame(self.axes, spacing, origin, tuple(shape))

    def by_axis(self, values: Sequence[float]) -> dict[str, float]:
        """Values by axis."""
        return dict(zip(self.axes, map(float, values), strict=True))

    def on_axes(self, axes: str) -> Frame:
        """The frame on some of its axes."""
        pick = [self.axes.index(a) for a in axes]
        spacing, origin = (tuple(v[i] for i in pick) for v in (self.spacing, self.origin))
        return Frame(axes, spacing, origin, tuple(self.shape[i] for i in pick))


@dataclass(frozen=True)
class PixelMap:
    """Affine map from the pixels of an array to those of a frame, on the axes in space.

    Attributes
    ----------
    matrix : ndarray of float64, shape (n, n)
        Linear part.
    offset : tuple of float
        Position in the frame of the array's first pixel.
    pixel_size : tuple of float
        Pixel size of the array in world units.
    is_shift : bool
        Whether the linear part is the identity, as precisely as it is known.
    """

    matrix: NDArray[np.float64]
    offset: tuple[float, ...]
    pixel_size: tuple[float, ...]
    is_shift: bool


def place_view(
    source: Source,
    box: Box,
    pixels: PixelMap,
    frame: Frame,
    *,
    order: int,
    widths: Mapping[str, float],
    leading_shift: Sequence[int] | None = None,
    params: xarray.DataArray | None = None,
) -> View:
    """The view of a box of source pixels in a frame: shifted if possible, else affine.

    Parameters
    ----------
    source : Source
        The array.
    box : Box
        Its pixels that the view may use, on all axes.
    pixels : PixelMap
        Where they are in the frame.
    frame : Frame
        The frame.
    order : int
        Interpolation order: 0, 1 or 3.
    widths : mapping of str to float
        Blending width on each axis in space, in world units; 0 where an axis is missing.
    leading_shift : sequence of int, optional
        Shift on the axes that are not in space; 0 by default.
    params : xarray.DataArray, optional
        The affine as the caller gave it, for plug-ins.
    """
    lead = len(box.start) - len(frame.axes)
    leading = tuple(leading_shift or (0,) * lead)
    world = [widths.get(axis, 0.0) for axis in frame.axes]
    if pixels.is_shift:
        in_frame = [w / s for w, s in zip(world, frame.spacing, strict=True)]
        shift, widths_px = (*leading, *pixels.offset), [0.0] * lead + in_frame
        return ShiftedView.at(source, box, shift, order=order, widths_px=widths_px, params=params)
    in_source = tuple(float(w / s) for w, s in zip(world, pixels.pixel_size, strict=True))
    first = Box(box.start[:lead], box.stop[:lead]).shifted(leading)
    return AffineView(
        source, box, pixels.matrix, pixels.offset, first, order, in_source, params=params
    )


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


def _ends(extents: Sequence[Extent], spacing: Position, mode: str) -> tuple[Position, Position]:
    """Lowest and highest position that pixels may have."""
    lows = [extent.low for extent in extents]
    highs = [extent.last(spacing, sample=mode == "sample") for extent in extents]
    if mode == "intersection":
        return np.max(lows, axis=0), np.min(highs, axis=0)
    return np.min(lows, axis=0), np.max(highs, axis=0)


def _on_whole_pixels(extents: Sequence[Extent]) -> Sequence[Extent]:
    """Extents whose positions are moved to the whole pixels that they mean: see `Extent`."""
    precision = max(extent.precision_px for extent in extents)
    if not precision:
        return extents
    origin = np.min([extent.low for extent in extents], axis=0)
    size = 2 * np.max([extent.reach for extent in extents], axis=0)

    def snapped(position: Position) -> Position:
        steps = [snap(float(step), precision) for step in (position - origin) / size]
        return np.asarray(origin + np.array(steps) * size)

    return [
        replace(
            extent,
            low=snapped(extent.low),
            high=snapped(extent.high),
            first_plane_high=snapped(extent.first_plane_high),
        )
        if extent.reach.all()
        else extent  # it is turned: its tip is at no whole pixel
        for extent in extents
    ]


def _check(what: str, axes: str, values: Sequence[float], valid: Callable[[float], bool]) -> None:
    for axis, value in zip(axes, values, strict=True):
        if not (math.isfinite(value) and valid(value)):
            raise ViewError(
                f"the output's {what} on {axis} is {value:g}; expected a {_EXPECTED[what]}."
            )
