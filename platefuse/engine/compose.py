"""Blocks: the pixels of one region of the output, composed from the views that cover it.

Where one view covers a pixel, the pixel is copied. Only where several do are they weighed.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import iadd
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.blending import float_dtype
from platefuse.engine.downsample import to_dtype
from platefuse.engine.views import Mask, View
from platefuse.geometry import Box


def overlaps(boxes: Sequence[Box]) -> Iterator[tuple[Box, tuple[int, ...]]]:
    """Cells that two or more boxes cover, and which do; together, all such pixels, once.

    Each cell belongs to the first box that covers it, which is cut where others begin or end,
    and only as far as they reach: the work grows with the number of neighbours, not of boxes.
    """
    start = np.array([box.start for box in boxes])
    stop = np.array([box.stop for box in boxes])
    for number, box in enumerate(boxes):
        meets = np.all((start < box.stop) & (stop > box.start), axis=1)
        meets[number] = False
        near: list[int] = np.flatnonzero(meets).tolist()
        if near and near[-1] > number:
            yield from _own_cells(number, boxes, near)


def _own_cells(
    own: int, boxes: Sequence[Box], near: list[int]
) -> Iterator[tuple[Box, tuple[int, ...]]]:
    """Cells of one box that boxes near it cover as well, but none that comes before it."""
    uncut = [(boxes[own], near)]
    while uncut:
        cell, near = uncut.pop()
        found = [(o, cut) for o in near if (cut := _cut(cell, boxes[o])) is not None]
        if any(o < own and not cut for o, cut in found):
            continue
        near = [o for o, _ in found]
        first = next((cut for _, cut in found if cut), None)
        if first:
            uncut += [(part, near) for part in cell.split(*first)]
        elif near:
            yield cell, (own, *near)


def _cut(cell: Box, box: Box) -> tuple[int, int] | tuple[()] | None:
    """Axis and place at which a box begins or ends in a cell.

    Empty if it covers all of the cell, None if nothing of it.
    """
    cut: tuple[int, int] | tuple[()] = ()
    for axis, (a, b) in enumerate(zip(cell.start, cell.stop, strict=True)):
        first, last = box.start[axis], box.stop[axis]
        if first >= b or last <= a:
            return None
        if not cut and (a < first or last < b):
            cut = axis, first if a < first else last
    return cut


Pixels = NDArray[Any]


class Compositor(Protocol):
    """Makes the pixels of a block from the views that touch it."""

    @property
    def margin_px(self) -> tuple[int, ...]:
        """Pixels around a block that its own pixels depend on, for each of the last axes."""

    @property
    def copies(self) -> bool:
        """Whether pixels that one view alone covers are that view's, whatever they are."""

    def compose(
        self, region: Box, views: Sequence[View], dtype: np.dtype[Any], who: Hashable
    ) -> Pixels | None:
        """The pixels of a region; None if all are zero and no view stores any.

        Parameters
        ----------
        region : Box
            The output pixels wanted.
        views : sequence of View
            Views in order; those that do not touch the region are passed over.
        dtype : dtype
            Data type of the result. Integers are rounded to nearest and clipped.
        who : hashable
            Name of the region for the sources' book-keeping: views are read as
            ``(who, id(view))``.
        """


@dataclass(frozen=True)
class Part:
    """What one view has to say on a region: its pixels there, None if all are zero."""

    view: View
    box: Box
    pixels: Pixels | None
    nan_is_missing: bool = False

    def values(self, cell: Box, dtype: np.dtype[Any]) -> Pixels:
        """Its pixels on a part of its box; zeros where it stores none."""
        if self.pixels is None:
            return np.zeros(cell.shape, dtype)
        return self.pixels[cell.within(self.box)]

    def covers(self, cell: Box) -> Mask | None:
        """Where it has data on a part of its box; None: everywhere."""
        mask = None if self._mask is None else self._mask[cell.within(self.box)]
        return None if mask is None or mask.all() else mask

    @cached_property
    def _mask(self) -> Mask | None:
        mask = self.view.covers(self.box)
        if not self.nan_is_missing or self.pixels is None:
            return mask
        there = ~np.isnan(self.pixels)
        return there if mask is None else mask & there


def fetch_parts(
    region: Box, views: Sequence[View], who: Hashable, *, nan_is_missing: bool = False
) -> list[Part]:
    """Read every view that touches a region."""
    boxes = [(view, view.placed & region) for view in views]
    return [
        Part(view, box, view.fetch(box, (who, id(view))), nan_is_missing)
        for view, box in boxes
        if not box.empty
    ]


@dataclass(frozen=True)
class Paint:
    """One view for each pixel: no pixel is mixed from two.

    Attributes
    ----------
    winner : str
        ``last`` or ``first`` of the views' order; ``label``: the first that is not zero.
    nodata : float, optional
        For float images: NaN pixels of a view are no data, and pixels without data get this
        value. By default NaN is a value as any other, and pixels without data are 0.
    """

    winner: Literal["first", "last", "label"] = "last"
    margin_px: ClassVar[tuple[int, ...]] = ()
    nodata: float | None = None

    @property
    def copies(self) -> bool:
        """See `Compositor`."""
        return self.nodata is None

    def compose(
        self, region: Box, views: Sequence[View], dtype: np.dtype[Any], who: Hashable
    ) -> Pixels | None:
        """See `Compositor`."""
        ordered = views if self.winner == "last" else views[::-1]
        parts = fetch_parts(region, ordered, who, nan_is_missing=self.nodata is not None)
        return _paint(region, parts, dtype, skip_zero=self.winner == "label", nodata=self.nodata)


@dataclass(frozen=True)
class Blend:
    """Pixels that several views cover are mixed.

    Attributes
    ----------
    method : str
        ``weighted_average`` by the views' blending weights, ``mean``, or ``max``.
    nodata : float, optional
        As for `Paint`.
    """

    method: Literal["weighted_average", "mean", "max"] = "weighted_average"
    margin_px: ClassVar[tuple[int, ...]] = ()
    nodata: float | None = None

    @property
    def copies(self) -> bool:
        """See `Compositor`."""
        return self.nodata is None

    def compose(
        self, region: Box, views: Sequence[View], dtype: np.dtype[Any], who: Hashable
    ) -> Pixels | None:
        """See `Compositor`."""
        parts = fetch_parts(region, views, who, nan_is_missing=self.nodata is not None)
        block = _paint(region, parts, dtype, nodata=self.nodata)
        if block is None:
            return None
        for cell, covering in overlaps([part.box for part in parts]):
            painted = block[cell.within(region)]
            painted[...] = self._merge([parts[i] for i in covering], cell, painted)
        return block

    def _merge(self, parts: Sequence[Part], cell: Box, painted: Pixels) -> Pixels:
        """One value from several, computed from what the others differ from the first.

        Where all agree every difference is zero and the result is the common value exactly,
        for every dtype and whatever the weights.
        """
        dtype = painted.dtype
        values = [part.values(cell, dtype) for part in parts]
        masks = [part.covers(cell) for part in parts]
        if self.method == "max":
            return _maximum(values, masks, painted)
        kind = float_dtype(dtype)
        weights = [
            self._weights(part, cell, mask, kind) for part, mask in zip(parts, masks, strict=True)
        ]
        weight_sum = reduce(np.add, weights)
        if all(mask is not None for mask in masks):
            weight_sum = np.where(weight_sum == 0, kind.type(1), weight_sum)
        shares = (weight / weight_sum for weight in weights)
        if dtype.kind in "iu" and dtype.itemsize == 8:
            return _mix_large(values, masks, shares, painted)
        base = _first_covering(values, masks, painted)
        origin = base.astype(kind)
        differences = (
            _difference(value, base, origin, mask, share)
            for value, mask, share in zip(values, masks, shares, strict=True)
            if value is not base
        )
        with np.errstate(invalid="ignore", over="ignore"):  # infinities of both signs
            change = reduce(iadd, differences)
            mixed = np.add(origin, change, out=origin)
            if dtype.kind == "f" and not np.isfinite(change).all():  # infinite, or too far apart
                shares = (weight / weight_sum for weight in weights)
                there = (np.where(s > 0, v * s, 0) for v, s in zip(values, shares, strict=True))
                np.copyto(mixed, reduce(iadd, there), where=~np.isfinite(change))
        return to_dtype(mixed, dtype)

    def _weights(
        self, part: Part, cell: Box, mask: Mask | None, kind: np.dtype[Any]
    ) -> NDArray[np.floating[Any]]:
        if self.method == "mean":
            weights = np.ones((1,) * len(cell.start), kind)
        else:
            weights = part.view.weights(cell).astype(kind, copy=False)
        return weights if mask is None else np.where(mask, weights, kind.type(0))


def _paint(
    region: Box,
    parts: Sequence[Part],
    dtype: np.dtype[Any],
    *,
    skip_zero: bool = False,
    nodata: float | None = None,
) -> Pixels | None:
    """Each part over those before it."""
    if not nodata and all(part.pixels is None for part in parts):
        return None
    if len(parts) == 1 and parts[0].box == region and parts[0].covers(region) is None:
        return to_dtype(parts[0].values(region, dtype), dtype)
    whole = any(part.box == region and part.covers(region) is None for part in parts)
    if whole and not skip_zero:
        block = np.empty(region.shape, dtype)
    else:
        block = np.full(region.shape, nodata or 0, dtype)
    for part in parts:
        if part.pixels is None and skip_zero:
            continue
        target = block[part.box.within(region)]
        values = to_dtype(part.values(part.box, dtype), dtype)
        mask = part.covers(part.box)
        if skip_zero:
            mask = values != 0 if mask is None else mask & (values != 0)
        np.copyto(target, values, where=True if mask is None else mask)
    return block


def _difference(
    value: Pixels,
    base: Pixels,
    origin: NDArray[np.floating[Any]],
    mask: Mask | None,
    share: NDArray[np.floating[Any]],
) -> NDArray[np.floating[Any]]:
    """What a value adds to the base by its share; nothing where it is equal or has no data.

    `origin` is the base as float, in which the difference is computed.
    """
    difference = value.astype(origin.dtype)
    with np.errstate(invalid="ignore"):  # infinity minus infinity, and NaN
        difference -= origin
    if difference.dtype == value.dtype:
        np.copyto(difference, 0, where=value == base)
    if mask is not None:
        np.copyto(difference, 0, where=~mask)
    difference *= share
    return difference


def _first_covering(
    values: Sequence[Pixels], masks: Sequence[Mask | None], painted: Pixels
) -> Pixels:
    if masks[0] is None:
        return values[0]
    base = painted.astype(np.result_type(*values))
    for value, mask in zip(values[::-1], masks[::-1], strict=True):
        np.copyto(base, value, where=True if mask is None else mask)
    return base


def _maximum(values: Sequence[Pixels], masks: Sequence[Mask | None], painted: Pixels) -> Pixels:
    values = [to_dtype(value, painted.dtype) for value in values]  # rounding keeps the order
    highest = _first_covering(values, masks, painted).copy()
    for value, mask in zip(values, masks, strict=True):
        np.maximum(highest, value, out=highest, where=True if mask is None else mask)
    return highest


def _mix_large(
    values: Sequence[Pixels],
    masks: Sequence[Mask | None],
    shares: Iterable[NDArray[np.floating[Any]]],
    painted: Pixels,
) -> Pixels:
    """The weighted mean of integers of 64 bits, of which a float does not hold the last digits.

    They are mixed as the others are, from what they differ from the first, but differences are
    taken, and added, as integers. Views that were interpolated are floats, with their precision.
    """
    dtype = painted.dtype
    base = _first_covering([to_dtype(value, dtype) for value in values], masks, painted)
    bits, total = base.astype(np.uint64), np.zeros(base.shape)
    for value, mask, share in zip(values, masks, shares, strict=True):
        if value.dtype.kind == "f":
            difference = value - base.astype(np.float64)
        else:  # unsigned: it wraps around to the distance
            more = value.astype(np.uint64) - bits
            difference = np.where(
                value >= base, more.astype(np.float64), -(np.uint64(0) - more).astype(np.float64)
            )
        difference *= share
        total += difference if mask is None else np.where(mask, difference, 0)
    lowest, highest = (np.uint64(n % 2**64) for n in (np.iinfo(dtype).min, np.iinfo(dtype).max))
    step = np.minimum(np.abs(np.rint(total)), math.nextafter(2**64, 0)).astype(np.uint64)
    up, down = np.minimum(step, highest - bits), np.minimum(step, bits - lowest)
    return np.asarray(np.where(total >= 0, bits + up, bits - down)).astype(dtype)
