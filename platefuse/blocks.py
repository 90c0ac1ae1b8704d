"""Blocks: the pixels of one region of the output, composed from the views that cover it.

Where one view covers a pixel, the pixel is copied. Only where several do are they weighed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platefuse.blending import float_dtype
from platefuse.downsample import to_dtype
from platefuse.geometry import Box
from platefuse.views import View

Pixels = NDArray[Any]
METHODS = ("weighted_average", "mean", "max", "first", "last")


@dataclass(frozen=True)
class Composition:
    """How views that cover the same pixel make one value.

    Attributes
    ----------
    method : str
        ``weighted_average``, ``mean``, ``max``, ``first`` or ``last`` (of the views' order).
    widths_px : tuple of float
        Blending width on each axis, in pixels, for ``weighted_average``.
    """

    method: str
    widths_px: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}; expected one of {METHODS}")


def compose(
    region: Box, views: Sequence[View], how: Composition, dtype: np.dtype[Any], who: Hashable
) -> Pixels | None:
    """The pixels of a region; None if all are zero and no view stores any.

    Parameters
    ----------
    region : Box
        The output pixels wanted.
    views : sequence of View
        Views in order; those that do not touch the region are passed over.
    how : Composition
        What to do where several views cover a pixel.
    dtype : dtype
        Data type of the result. Integers are rounded to nearest and clipped.
    who : hashable
        Name of the region for the sources' book-keeping; views are read as ``(who, number)``.
    """
    if how.method == "first":
        views = views[::-1]
    touching = [(n, v, v.placed & region) for n, v in enumerate(views)]
    touching = [(n, v, part) for n, v, part in touching if not part.empty]
    pixels = [v.fetch(part, (who, id(v))) for n, v, part in touching]
    if all(p is None for p in pixels):
        return None
    if len(touching) == 1 and touching[0][2] == region and pixels[0] is not None:
        return to_dtype(pixels[0], dtype)
    block = np.zeros(region.shape, dtype)
    for (_, _, part), values in zip(touching, pixels, strict=True):
        block[part.within(region)] = 0 if values is None else to_dtype(values, dtype)
    if how.method in ("weighted_average", "mean", "max"):
        parts = [part for _, _, part in touching]
        for cell, covering in overlaps(parts):
            found = [pixels[i] for i in covering]
            values = [
                np.zeros(cell.shape, dtype) if p is None else p[cell.within(parts[i])]
                for i, p in zip(covering, found, strict=True)
            ]
            covers = [touching[i][1] for i in covering]
            block[cell.within(region)] = _merge(values, covers, cell, how, dtype)
    return block


def overlaps(parts: Sequence[Box]) -> Iterator[tuple[Box, tuple[int, ...]]]:
    """Cells that two or more boxes cover, and which do; together, all such pixels, once.

    Each cell belongs to the first box that covers it, which is cut where others begin or end:
    the work grows with the number of neighbours, not with the number of boxes.
    """
    if len(parts) < 2:
        return
    start = np.array([p.start for p in parts])
    stop = np.array([p.stop for p in parts])
    for i, own in enumerate(parts):
        meets = np.all((start < own.stop) & (stop > own.start), axis=1)
        meets[i] = False
        others = np.flatnonzero(meets)
        if not len(others) or others[-1] < i:
            continue
        cuts = [
            sorted(
                {own.start[d], own.stop[d]}
                | {c for o in others for c in (int(start[o, d]), int(stop[o, d])) if own.start[d] < c < own.stop[d]}
            )
            for d in range(len(own.start))
        ]
        for cell in product(*map(pairwise, cuts)):
            box = Box(tuple(a for a, _ in cell), tuple(b for _, b in cell))
            covering = [int(o) for o in others if parts[o].contains(box)]
            if covering and covering[0] > i:
                yield box, (i, *covering)


def _merge(
    values: list[Pixels], views: list[View], cell: Box, how: Composition, dtype: np.dtype[Any]
) -> Pixels:
    """One value from several, computed from what the others differ from the first.

    Where all agree every difference is zero and the result is the common value exactly, for
    every dtype and whatever the weights.
    """
    if how.method == "max":
        return to_dtype(np.maximum.reduce(values), dtype)
    kind = float_dtype(dtype)
    total = np.zeros(cell.shape, kind)
    weight_sum: Any = 0.0
    base = values[0]
    for value, view in zip(values, views, strict=True):
        weight = view.weights(cell, how.widths_px) if how.method == "weighted_average" else 1.0
        weight_sum = weight_sum + weight
        if value is not base:
            total += (value.astype(kind) - base.astype(kind)) * np.asarray(weight, kind)
    total /= np.asarray(weight_sum, kind)
    if dtype.kind not in "iu" or base.dtype.kind == "f":
        return to_dtype(base + total, dtype)
    if dtype.itemsize < 8:
        return to_dtype(base.astype(kind) + total, dtype)
    return base + np.rint(total).astype(np.int64).astype(dtype)
