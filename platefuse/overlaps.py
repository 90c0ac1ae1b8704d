"""Where boxes overlap: the cells that several of them cover. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

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
