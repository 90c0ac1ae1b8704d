"""Boxes of pixels and regular grids of them. Pure: no file, no array library.

Conventions: pixel ``i`` covers the interval ``[i - 1/2, i + 1/2)``; boxes are half-open; axes
are in array order (``"zyx"``, ``"tczyx"``); micrometres are named ``_um`` and pixels ``_px``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pixels: TypeAlias = "NDArray[Any]"
"""Pixels of a box: an array of any data type.

Declared once, with `Any`, because type checkers know no arithmetic of an `NDArray[np.generic]`.
"""

SNAP_PX = 1e-3
"""Positions closer than this to a whole pixel are meant to be whole: tables hold float32."""


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

    def hull(self, other: Box) -> Box:
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

    def scaled(self, factors: Sequence[int]) -> Box:
        """The box of the finer pixels that its pixels group, `factors` of them on each axis."""
        return Box(
            tuple(a * f for a, f in zip(self.start, factors, strict=True)),
            tuple(b * f for b, f in zip(self.stop, factors, strict=True)),
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
