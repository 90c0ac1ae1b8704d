"""Compositors: compute the pixels of an output region from the views that touch it.

A pixel that one view covers is copied. Only pixels that several views cover are weighted.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import iadd
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.blending import float_dtype
from platefuse.engine.downsample import to_dtype
from platefuse.engine.views import Mask, View
from platefuse.geometry import Box, Pixels


def overlaps(boxes: Sequence[Box]) -> Iterator[tuple[Box, tuple[int, ...]]]:
    """Cells that two or more boxes cover, with the numbers of these boxes.

    Together the cells are all such pixels, each once. A cell belongs to the first box that covers
    it. That box is cut where others begin or end, and only as far as they reach: the work grows
    with the number of neighbours, not with that of all boxes.
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
    """Cells of one box that boxes near it cover as well, but no box before it in the list."""
    uncut = [(boxes[own], near)]
    while uncut:
        cell, near = uncut.pop()
        cuts = [(o, cut) for o in near if (cut := _cut(cell, boxes[o])) is not None]
        if any(o < own and not cut for o, cut in cuts):
            continue
        near = [o for o, _ in cuts]
        first = next((cut for _, cut in cuts if cut), None)
        if first:
            uncut += [(part, near) for part in cell.split(*first)]
        elif near:
            yield cell, (own, *near)


def _cut(cell: Box, box: Box) -> tuple[int, int] | tuple[()] | None:
    """Axis and position at which a box begins or ends in a cell.

    Empty if it covers the whole cell, None if it does not touch it.
    """
    cut: tuple[int, int] | tuple[()] = ()
    for axis, (a, b) in enumerate(zip(cell.start, cell.stop, strict=True)):
        first, last = box.start[axis], box.stop[axis]
        if first >= b or last <= a:
            return None
        if not cut and (a < first or last < b):
            cut = axis, first if a < first else last
    return cut


class Compositor(Protocol):
    """Computes the block of a region from the views that touch it."""

    @property
    def margin_px(self) -> tuple[int, ...]:
        """Pixels around a region that its own pixels depend on, for each of the last axes."""

    @property
    def copies(self) -> bool:
        """Whether a pixel that one view alone covers is always that view's pixel."""

    def compose(
        self, region: Box, views: Sequence[View], dtype: np.dtype[np.generic], reader: Hashable
    ) -> Pixels | None:
        """The pixels of a region; None if all are zero and no view stores any.

        Parameters
        ----------
        region : Box
            The output pixels to compute.
        views : sequence of View
            Views in order; those that do not touch the region are skipped.
        dtype : dtype
            Data type of the result. Integers are rounded to nearest and clipped.
        reader : hashable
            Name of the region for the sources' book-keeping: views are read as
            ``(reader, id(view))``.
        """


@dataclass(frozen=True)
class Contribution:
    """The pixels of one view on the part of a region that it touches.

    Attributes
    ----------
    view : View
        The view.
    box : Box
        The output pixels.
    pixels : ndarray or None
        The view's pixels there; None if all are zero.
    nan_is_missing : bool
        Whether NaN pixels count as not covered.
    """

    view: View
    box: Box
    pixels: Pixels | None
    nan_is_missing: bool = False

    def values(self, cell: Box, dtype: np.dtype[np.generic]) -> Pixels:
        """The pixels of a cell of its box; zeros if none are stored."""
        if self.pixels is None:
            return np.zeros(cell.shape, dtype)
        return self.pixels[cell.within(self.box)]

    def covers(self, cell: Box) -> Mask | None:
        """Which pixels of a cell of its box have data; None: all of them."""
        mask = None if self._mask is None else self._mask[cell.within(self.box)]
        return None if mask is None or mask.all() else mask

    @cached_property
    def _mask(self) -> Mask | None:
        mask = self.view.covers(self.box)
        if not self.nan_is_missing or self.pixels is None:
            return mask
        valid = ~np.isnan(self.pixels)
        return valid if mask is None else mask & valid


def read_views(
    region: Box, views: Sequence[View], reader: Hashable, *, nan_is_missing: bool = False
) -> list[Contribution]:
    """Read all views that touch a region; `reader` as in `Compositor.compose`."""
    boxes = [(view, view.placed & region) for view in views]
    return [
        Contribution(view, box, view.fetch(box, (reader, id(view))), nan_is_missing)
        for view, box in boxes
        if not box.empty
    ]


@dataclass(frozen=True)
class Paint:
    """Every pixel is that of one view: overwritten, never mixed.

    Attributes
    ----------
    winner : str
        ``last`` or ``first`` in the order of views; ``label``: the first that is not zero.
    fill : float, optional
        For float images: NaN pixels of a view are missing, and pixels without data get this
        value. None: NaN is a value like any other, and pixels without data are 0.
    """

    winner: Literal["first", "last", "label"] = "last"
    margin_px: ClassVar[tuple[int, ...]] = ()
    fill: float | None = None

    @property
    def copies(self) -> bool:
        """See `Compositor`."""
        return self.fill is None

    def compose(
        self, region: Box, views: Sequence[View], dtype: np.dtype[np.generic], reader: Hashable
    ) -> Pixels | None:
        """See `Compositor`."""
        ordered = views if self.winner == "last" else views[::-1]
        inputs = read_views(region, ordered, reader, nan_is_missing=self.fill is not None)
        block = _paint(region, inputs, dtype, fill=self.fill)
        if self.winner == "label" and block is not None:
            for cell, covering in overlaps([one.box for one in inputs]):
                _paint_ids(block[cell.within(region)], [inputs[i] for i in covering], cell)
        return block


@dataclass(frozen=True)
class Blend:
    """Pixels that several views cover are averaged, or their maximum is taken.

    Attributes
    ----------
    method : str
        ``weighted_average`` with the views' blending weights, ``mean``, or ``max``.
    fill : float, optional
        See `Paint`.
    """

    method: Literal["weighted_average", "mean", "max"] = "weighted_average"
    margin_px: ClassVar[tuple[int, ...]] = ()
    fill: float | None = None

    @property
    def copies(self) -> bool:
        """See `Compositor`."""
        return self.fill is None

    def compose(
        self, region: Box, views: Sequence[View], dtype: np.dtype[np.generic], reader: Hashable
    ) -> Pixels | None:
        """See `Compositor`."""
        inputs = read_views(region, views, reader, nan_is_missing=self.fill is not None)
        block = _paint(region, inputs, dtype, fill=self.fill)
        if block is None:
            return None
        for cell, covering in overlaps([one.box for one in inputs]):
            target = block[cell.within(region)]
            target[...] = self._merge([inputs[i] for i in covering], cell, target)
        return block

    def _merge(self, inputs: Sequence[Contribution], cell: Box, overwritten: Pixels) -> Pixels:
        """Weighted mean of overlapping views: first + Σ wᵢ (vᵢ − first).

        Equal views give their value exactly, for every dtype and any weights. `overwritten` holds
        the pixels of the cell after all views were copied into it, one over the other.
        """
        dtype = overwritten.dtype
        values = [one.values(cell, dtype) for one in inputs]
        masks = [one.covers(cell) for one in inputs]
        if self.method == "max":
            return _maximum(values, masks, overwritten)
        kind = float_dtype(dtype)
        weights = [
            self._weights(one, cell, mask, kind) for one, mask in zip(inputs, masks, strict=True)
        ]
        weight_sum = reduce(np.add, weights)
        if all(mask is not None for mask in masks):
            weight_sum = np.where(weight_sum == 0, kind.type(1), weight_sum)
        shares = (weight / weight_sum for weight in weights)
        if dtype.kind in "iu" and dtype.itemsize == 8:
            return _mix_large(values, masks, shares, overwritten)
        base = _first_covering(values, masks, overwritten)
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
                sums = (np.where(s > 0, v * s, 0) for v, s in zip(values, shares, strict=True))
                np.copyto(mixed, reduce(iadd, sums), where=~np.isfinite(change))
        return to_dtype(mixed, dtype)

    def _weights(
        self, one: Contribution, cell: Box, mask: Mask | None, kind: np.dtype[np.floating]
    ) -> NDArray[np.floating]:
        """Weights of a view on a cell; 0 where it has no data."""
        if self.method == "mean":
            weights = np.ones((1,) * len(cell.start), kind)
        else:
            weights = one.view.weights(cell).astype(kind, copy=False)
        return weights if mask is None else np.where(mask, weights, kind.type(0))


def _paint(
    region: Box,
    inputs: Sequence[Contribution],
    dtype: np.dtype[np.generic],
    *,
    fill: float | None = None,
) -> Pixels | None:
    """The block of a region: each view overwrites those before it."""
    if (fill is None or not math.isnan(fill)) and all(one.pixels is None for one in inputs):
        return None
    if len(inputs) == 1 and inputs[0].box == region and inputs[0].covers(region) is None:
        return to_dtype(inputs[0].values(region, dtype), dtype)
    whole = any(one.box == region and one.covers(region) is None for one in inputs)
    if whole:
        block = np.empty(region.shape, dtype)
    else:
        block = np.full(region.shape, 0 if fill is None else fill, dtype)
    for one in inputs:
        target = block[one.box.within(region)]
        values = to_dtype(one.values(one.box, dtype), dtype)
        mask = one.covers(one.box)
        np.copyto(target, values, where=True if mask is None else mask)
    return block


def _paint_ids(target: Pixels, inputs: Sequence[Contribution], cell: Box) -> None:
    """Paint a cell that several views of a label cover again, so that 0 hides no id."""
    target[...] = 0
    for one in inputs:
        if one.pixels is not None:
            values = to_dtype(one.values(cell, target.dtype), target.dtype)
            mask = one.covers(cell)
            is_id = values != 0 if mask is None else mask & (values != 0)
            np.copyto(target, values, where=is_id)


def _difference(
    value: Pixels,
    base: Pixels,
    origin: NDArray[np.floating],
    mask: Mask | None,
    share: NDArray[np.floating],
) -> NDArray[np.floating]:
    """The difference of a value from the base, times its share; 0 where it has no data.

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
    values: Sequence[Pixels], masks: Sequence[Mask | None], overwritten: Pixels
) -> Pixels:
    if masks[0] is None:
        return values[0]
    base = overwritten.astype(np.result_type(*values))
    for value, mask in zip(values[::-1], masks[::-1], strict=True):
        np.copyto(base, value, where=True if mask is None else mask)
    return base


def _maximum(values: Sequence[Pixels], masks: Sequence[Mask | None], overwritten: Pixels) -> Pixels:
    values = [to_dtype(value, overwritten.dtype) for value in values]  # rounding keeps the order
    highest = _first_covering(values, masks, overwritten).copy()
    for value, mask in zip(values, masks, strict=True):
        np.maximum(highest, value, out=highest, where=True if mask is None else mask)
    return highest


def _mix_large(
    values: Sequence[Pixels],
    masks: Sequence[Mask | None],
    shares: Iterable[NDArray[np.floating]],
    overwritten: Pixels,
) -> Pixels:
    """Weighted mean of 64-bit integers, whose last digits a float does not hold.

    Computed from differences, as for other dtypes, but these are taken and added as integers.
    Interpolated views are floats, with their precision.
    """
    dtype = overwritten.dtype
    base = _first_covering([to_dtype(value, dtype) for value in values], masks, overwritten)
    bits, total = base.astype(np.uint64), np.zeros(base.shape)
    for value, mask, share in zip(values, masks, shares, strict=True):
        if value.dtype.kind == "f":
            difference = value - base.astype(np.float64)
        else:  # unsigned differences wrap around: they are distances
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
