"""Boxes of pixels, and where a region of interest lands. Pure: no file, no array library.

Conventions: pixel ``i`` covers the interval ``[i - 1/2, i + 1/2)``; boxes are half-open; axes
are in array order (``"zyx"``, ``"tczyx"``); micrometres are named ``_um`` and pixels ``_px``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from platefuse.errors import TableError

SNAP_PX = 1e-3
"""Positions closer than this to a whole pixel are meant to be whole: tables hold float32."""

_MOST_PX = 2**40


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open box of pixels, ``start <= p < stop`` on every axis.

    Attributes
    ----------
    start, stop : tuple of int
        First pixel, and one past the last, in array axis order.

    Examples
    --------
    >>> Box((0, 0), (4, 6)) & Box((2, 5), (9, 9))
    Box(start=(2, 5), stop=(4, 6))
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @classmethod
    def of_shape(cls, shape: Sequence[int]) -> Box:
        """The box of a whole array."""
        return cls((0,) * len(shape), tuple(shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent on every axis, in pixels; never negative."""
        return tuple(max(0, b - a) for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    @property
    def empty(self) -> bool:
        """Whether it holds no pixel."""
        return any(a >= b for a, b in zip(self.start, self.stop, strict=True))

    @property
    def slices(self) -> tuple[slice, ...]:
        """Index of the box in its array."""
        return tuple(map(slice, self.start, self.stop))

    def __and__(self, other: Box) -> Box:
        """The common part (perhaps empty)."""
        return Box(tuple(map(max, self.start, other.start)), tuple(map(min, self.stop, other.stop)))

    def joined(self, other: Box) -> Box:
        """The smallest box that holds both; this one if the other is empty."""
        if other.empty:
            return self
        return Box(tuple(map(min, self.start, other.start)), tuple(map(max, self.stop, other.stop)))

    def contains(self, other: Box) -> bool:
        """Whether every pixel of `other` is in this box."""
        return all(
            a <= c and d <= b
            for a, b, c, d in zip(self.start, self.stop, other.start, other.stop, strict=True)
        )

    def split(self, axis: int, at: int) -> tuple[Box, Box]:
        """The parts before and from a position on an axis."""
        below, above = list(self.stop), list(self.start)
        below[axis] = above[axis] = at
        return Box(self.start, tuple(below)), Box(tuple(above), self.stop)

    def shifted(self, offset: Sequence[int]) -> Box:
        """The box moved by whole pixels."""
        return Box(
            tuple(a + o for a, o in zip(self.start, offset, strict=True)),
            tuple(b + o for b, o in zip(self.stop, offset, strict=True)),
        )

    def dilated(self, margin: Sequence[int]) -> Box:
        """The box widened by a margin on each of its last axes, as many as there are margins."""
        wide = (0,) * (len(self.start) - len(margin)) + tuple(margin)
        return Box(
            tuple(a - w for a, w in zip(self.start, wide, strict=True)),
            tuple(b + w for b, w in zip(self.stop, wide, strict=True)),
        )

    def within(self, outer: Box) -> tuple[slice, ...]:
        """Index of this box in an array that holds just `outer`."""
        return tuple(
            slice(a - o, b - o) for a, b, o in zip(self.start, self.stop, outer.start, strict=True)
        )


def grid_indices(box: Box, unit: Sequence[int]) -> Iterable[tuple[int, ...]]:
    """Indices of the cells of a regular grid that a box touches.

    Examples
    --------
    >>> list(grid_indices(Box((0, 7), (2, 9)), (4, 4)))
    [(0, 1), (0, 2)]
    """
    return product(
        *(range(a // u, -(-b // u)) for a, b, u in zip(box.start, box.stop, unit, strict=True))
    )


def grid_box(index: Sequence[int], unit: Sequence[int], shape: Sequence[int]) -> Box:
    """The cell of a regular grid, clipped to the array's shape."""
    start = tuple(i * u for i, u in zip(index, unit, strict=True))
    return Box(start, tuple(min(a + u, n) for a, u, n in zip(start, unit, shape, strict=True)))


def snap(value_px: float, tolerance_px: float = SNAP_PX) -> float:
    """`value_px`, or the whole number it was meant to be.

    Examples
    --------
    >>> snap(4.99995), snap(4.9)
    (5.0, 4.9)
    """
    whole = round(value_px)
    return float(whole) if abs(value_px - whole) <= tolerance_px else value_px


@dataclass(frozen=True)
class Roi:
    """A box in micrometres, as a ROI table has it.

    Attributes
    ----------
    name : str
        The row's name.
    start_um, length_um : dict of str to float
        Origin and extent for each of the axes ``z``, ``y``, ``x``, in micrometres.
    """

    name: str
    start_um: dict[str, float]
    length_um: dict[str, float]


@dataclass(frozen=True)
class Placement:
    """Where the pixels of one ROI come from and go to.

    Attributes
    ----------
    name : str
        Name of the ROI.
    src, dst : Box
        Pixels of the acquisition and of the reference, of one size, on the spatial axes.
    seen : Box
        All pixels of the ROI in the acquisition, also those whose place is outside the image:
        between them pixels are interpolated.
    shift_px : tuple of float
        Exact shift that takes the acquisition to the reference, in pixels.
    """

    name: str
    src: Box
    dst: Box
    seen: Box
    shift_px: tuple[float, ...]


def place(
    acquired: Roi,
    reference: Roi,
    *,
    axes: str,
    pixel_size_um: Sequence[float],
    shape: Sequence[int],
    where: str,
) -> Placement:
    """Place a ROI of an acquisition where the reference has it.

    The size is the reference's, rounded once; the target is the reference's start, rounded;
    the source is the target less the rounded shift. A whole-pixel placement is therefore off
    by half a pixel at most, and source and target never differ in size.

    Parameters
    ----------
    acquired, reference : Roi
        The same tissue in the acquisition and in the reference.
    axes : str
        Spatial axes in array order, for example ``"zyx"``.
    pixel_size_um : sequence of float
        Pixel size of each axis, in micrometres.
    shape : sequence of int
        Shape of the image on these axes, in pixels.
    where : str
        Names the table and the image; begins every error message.

    Raises
    ------
    TableError
        If the lengths differ by more than a pixel, a box is shorter than one, or leaves the
        image by more than one.
    """
    size, dst, move, exact = [], [], [], []
    for axis, px in zip(axes, pixel_size_um, strict=True):
        length, expected = acquired.length_um[axis], reference.length_um[axis]
        if abs(length - expected) > px * (1 + SNAP_PX):
            raise TableError(
                f"{where}: ROI {acquired.name!r} is {length:g} µm long in {axis}, but "
                f"{expected:g} µm in the reference (they may differ by one pixel, {px:g} µm). "
                "Compute the registered ROI table again for all acquisitions together."
            )
        _check_sizes(acquired, reference, axis, px, where)
        size.append(round(expected / px))
        dst.append(round(reference.start_um[axis] / px))
        exact.append(snap((reference.start_um[axis] - acquired.start_um[axis]) / px))
        move.append(round(exact[-1]))
    target = Box(tuple(dst), tuple(a + n for a, n in zip(dst, size, strict=True)))
    source = target.shifted([-m for m in move])
    for box, side in ((target, "the reference"), (source, "the acquisition")):
        _check_inside(box, axes, shape, f"{where}: ROI {acquired.name!r} in {side}")
    image = Box.of_shape(shape)
    target = target & image & image.shifted(move)
    taken = target.shifted([-m for m in move])
    return Placement(acquired.name, taken, target, source & image, tuple(exact))


def match_rois(
    acquired: Sequence[Roi], reference: Sequence[Roi], *, where: str
) -> list[tuple[Roi, Roi]]:
    """Pair the ROIs of two tables: by name, in the reference's order; else by order.

    Raises
    ------
    TableError
        If a name stands twice or is in one table only, or if the tables share no name and
        have different lengths.
    """
    for side, rois in (("acquisition", acquired), ("reference", reference)):
        names = [roi.name for roi in rois]
        twice = (
            sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
        )
        if twice:
            raise TableError(
                f"{where}: the {side}'s table names {twice} more than once; "
                "every ROI needs a name of its own."
            )
    by_name = {roi.name: roi for roi in acquired}
    expected = [roi.name for roi in reference]
    if by_name.keys() & set(expected):
        missing = [name for name in expected if name not in by_name]
        extra = [name for name in by_name if name not in set(expected)]
        if missing or extra:
            raise TableError(
                f"{where}: the ROIs differ from the reference's: missing {missing}, "
                f"not in the reference {extra}. Both tables must name the same ROIs."
            )
        return [(by_name[roi.name], roi) for roi in reference]
    if len(acquired) != len(reference):
        raise TableError(
            f"{where}: {len(acquired)} ROIs, but {len(reference)} in the reference, and no name "
            "in common. Both tables must name the same ROIs."
        )
    return list(zip(acquired, reference, strict=True))


def _check_sizes(acquired: Roi, reference: Roi, axis: str, px: float, where: str) -> None:
    """Of a pixel size in another unit come boxes of no pixel, or of more than there are."""
    lengths = (reference.length_um[axis], reference.start_um[axis], acquired.start_um[axis])
    if round(min(lengths[0] / px, 1)) < 1 or max(lengths) / px > _MOST_PX:
        raise TableError(
            f"{where}: ROI {reference.name!r} is {lengths[0]:g} µm long in {axis} and begins at "
            f"{lengths[1]:g} µm (in the acquisition at {lengths[2]:g} µm), but a pixel is {px:g} "
            "µm. Expected at least one pixel, and no place far outside. Check the table and the "
            "pixel size."
        )


def _check_inside(box: Box, axes: str, shape: Sequence[int], what: str) -> None:
    for axis, a, b, n in zip(axes, box.start, box.stop, shape, strict=True):
        if a < -1 or b > n + 1:
            raise TableError(
                f"{what} covers pixels {a} to {b} in {axis}, but the image has {n} (one pixel "
                "beyond is clipped, more is an error). Check the table and the pixel size."
            )
