"""Merge the labels of overlapping fields: one id for each object.

Fields that are segmented one by one number their objects independently, so equal ids in two fields
mean nothing. Objects of two fields that overlap enough get the same id, and different objects get
different ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.sources import Source
from platefuse.engine.views import Mask, View
from platefuse.errors import ViewError
from platefuse.geometry import Box, Pixels, grid_box, grid_indices

Ids = Pixels
Nodes = NDArray[np.int64]
_Found = TypeVar("_Found")
_Task = TypeVar("_Task")


@dataclass(frozen=True)
class RelabelledView(View):
    """A view of a label whose ids are replaced when it is fetched; attributes of `View`, and these.

    Attributes
    ----------
    view : View
        The view.
    old, new : ndarray, shape (ids,)
        Its ids, ascending, and the ids that replace them, both in the label's dtype. 0 stays 0.
    """

    source: Source = field(init=False)
    box: Box = field(init=False)
    placed: Box = field(init=False)
    view: View
    old: Ids
    new: Ids

    def __post_init__(self) -> None:
        for name in ("source", "box", "placed", "params"):
            object.__setattr__(self, name, getattr(self.view, name))

    @property
    def changes(self) -> bool:
        """Whether any id becomes another."""
        return bool((self.old != self.new).any())

    def request(self, region: Box) -> Box:
        """See `View`."""
        return self.view.request(region)

    def footprint(self, box: Box, tile: Sequence[int]) -> Box:
        """See `View`."""
        return self.view.footprint(box, tile)

    def covers(self, region: Box) -> Mask | None:
        """See `View`."""
        return self.view.covers(region)

    def weights(self, region: Box) -> NDArray[np.float32]:
        """See `View`."""
        return self.view.weights(region)

    def original(self, region: Box) -> Box | None:
        """See `View`."""
        return None if self.changes else self.view.original(region)

    def fetch(self, region: Box, reader: Hashable) -> Pixels | None:
        """See `View`."""
        pixels = self.view.fetch(region, reader)
        if pixels is None or not self.changes:
            return pixels
        pixels = pixels.astype(self.old.dtype, copy=False)
        low, high = min(0, int(self.old[0])), max(0, int(self.old[-1]))
        if high - low < 2 * pixels.size:
            table = np.zeros(high - low + 1, self.new.dtype)
            table[_offset(self.old, low)] = self.new
            return np.asarray(table[_offset(pixels, low)])
        found = np.searchsorted(self.old, pixels).clip(max=len(self.old) - 1)
        return np.asarray(np.where(pixels == 0, self.new.dtype.type(0), self.new[found]))


def merge_labels(
    views: Sequence[View], threshold: float, *, label: str, threads: int = 1
) -> list[RelabelledView]:
    """Give every object an id of its own across all views of a label.

    Two ids of overlapping views are joined if they share at least `threshold` of the pixels of the
    smaller object. Only pixels in the overlap of the two views are counted. Joined objects get the
    smallest of their ids. If objects that are not joined have the same id, the one in the first
    view keeps it, and the others get new ids above the highest one.

    All pixels are read once, chunk by chunk, to find the ids; the overlaps are read a second time.
    Only ids are kept in memory, not pixels.

    Parameters
    ----------
    views : sequence of View
        Views of a label, sampled by the nearest pixel. Nothing else may read from their sources
        meanwhile.
    threshold : float
        Share of the smaller object: above 0, at most 1.
    label : str
        Name of the label, for messages.
    threads : int
        Number of threads.

    Returns
    -------
    list of RelabelledView
        The views with their new ids, in the same order.

    Raises
    ------
    ViewError
        If the dtype is not an integer, or cannot hold the new ids.
    """
    if not views:
        return []
    check_mergeable(views[0].source.dtype, label)
    ids = _ids_of(views, threads)
    first = np.cumsum([0, *map(len, ids)])

    def joined_nodes(pair: tuple[int, int]) -> Nodes:
        i, j = pair
        a, b = _matches(views[i], views[j], ids[i], ids[j], threshold)
        return np.stack([a + first[i], b + first[j]], axis=1)

    neighbours = [(i, j) for i, j in _overlapping(views) if len(ids[i]) and len(ids[j])]
    joined = [np.empty((0, 2), np.int64), *_each(joined_nodes, neighbours, threads)]
    new = consistent_ids(np.concatenate(ids), np.concatenate(joined), label)
    return [
        RelabelledView(view, old, new[a:b])
        for view, old, a, b in zip(views, ids, first[:-1], first[1:], strict=True)
    ]


def check_mergeable(dtype: np.dtype[np.generic], label: str) -> None:
    """Check that labels of this data type can be merged.

    Raises
    ------
    ViewError
        If it is no integer.
    """
    if dtype.kind not in "iu":
        raise ViewError(
            f"label {label!r}: its pixels are {dtype}, and fusion.merge_labels needs integers. "
            "Convert the label, or set fusion.merge_labels: null."
        )


def consistent_ids(ids: Ids, joined: Nodes, label: str) -> Ids:
    """Assign one id to each object. Pure.

    Parameters
    ----------
    ids : ndarray, shape (nodes,)
        The ids of the first view, then those of the second and so on.
    joined : ndarray of int64, shape (pairs, 2)
        Pairs of positions in `ids` that belong to the same object.
    label : str
        Name of the label, for messages.

    Returns
    -------
    ndarray, shape (nodes,), dtype of `ids`
        The new ids.

    Raises
    ------
    ViewError
        If the dtype cannot hold them.

    Examples
    --------
    Two views with the ids 1, 2 and 1, 2, 3. Id 2 of the first and id 1 of the second view are the
    same object:

    >>> ids = np.array([1, 2, 1, 2, 3], np.uint16)
    >>> consistent_ids(ids, np.array([[1, 2]]), "cells").tolist()
    [1, 4, 4, 2, 3]
    """
    if not len(ids):
        return ids
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(ids)
    edges = coo_array((np.ones(len(joined), bool), (joined[:, 0], joined[:, 1])), shape=(n, n))
    count, component = connected_components(edges, directed=False)
    smallest = np.full(count, ids.max(), ids.dtype)
    np.minimum.at(smallest, component, ids)
    begins = np.full(count, n)
    np.minimum.at(begins, component, np.arange(n))
    order = np.lexsort((begins, smallest))
    ranked = smallest[order]
    renumbered = order[1:][ranked[1:] == ranked[:-1]]
    renumbered = renumbered[np.argsort(begins[renumbered])]
    highest, limit = max(0, int(ids.max())), int(np.iinfo(ids.dtype).max)  # 0 is background
    needed = highest + len(renumbered)
    if needed > limit:
        raise ViewError(
            f"label {label!r}: fusion.merge_labels needs ids up to {needed}, but its pixels are "
            f"{ids.dtype}, which holds at most {limit}. Store the label with more bits, or "
            "set fusion.merge_labels: null."
        )
    if len(renumbered):
        above = ids.dtype.type(highest + 1)
        smallest[renumbered] = np.arange(len(renumbered), dtype=ids.dtype) + above
    return np.asarray(smallest[component])


def _ids_of(views: Sequence[View], threads: int) -> list[Ids]:
    """The ids in the box of each view, ascending, without 0. Every chunk is decoded once."""
    views_of_chunk: dict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
    for number, view in enumerate(views):
        for index in grid_indices(view.box, view.source.chunk):
            views_of_chunk[id(view.source), index].append(number)

    def of_chunk(task: tuple[tuple[int, tuple[int, ...]], list[int]]) -> list[tuple[int, Ids]]:
        (_, index), numbers = task
        source = views[numbers[0]].source
        chunk = grid_box(index, source.chunk, source.shape)
        pixels = source.read(chunk, None)
        if pixels is None:
            return []
        return [(n, distinct(pixels[(views[n].box & chunk).within(chunk)])) for n in numbers]

    found = [np.empty(0, view.source.dtype) for view in views]
    for parts in _each(of_chunk, list(views_of_chunk.items()), threads):
        for number, ids in parts:
            found[number] = np.union1d(found[number], ids)
    return found


def distinct(pixels: Pixels) -> Ids:
    """The values of an array, ascending, without 0.

    Examples
    --------
    >>> distinct(np.array([[0, 7, 7], [3, 7, 0]])).tolist()
    [3, 7]
    """
    flat = pixels.ravel()
    if not flat.size:
        return flat
    changed = np.empty(flat.size, bool)  # equal values are in long runs: sort one of each run
    changed[0] = True
    np.not_equal(flat[1:], flat[:-1], out=changed[1:])
    values = np.unique(flat[changed])
    return np.asarray(values[values != 0])


def _overlapping(views: Sequence[View]) -> Iterator[tuple[int, int]]:
    """Pairs of views that overlap."""
    start = np.array([view.placed.start for view in views])
    stop = np.array([view.placed.stop for view in views])
    for i in range(len(views)):
        meets = np.all((start[i + 1 :] < stop[i]) & (stop[i + 1 :] > start[i]), axis=1)
        for j in np.flatnonzero(meets).tolist():
            yield i, i + 1 + j


def _matches(
    one: View, other: View, ids: Ids, other_ids: Ids, threshold: float
) -> tuple[Nodes, Nodes]:
    """Positions in `ids` and in `other_ids` of the pairs of ids that are joined."""
    area, other_area = np.zeros(len(ids), np.int64), np.zeros(len(other_ids), np.int64)
    shared: dict[int, int] = defaultdict(int)
    for block in _blocks(one.placed & other.placed, one.source.chunk):
        a, b = (_labelled(view, block) for view in (one, other))
        if a is None or b is None:  # no id is shared in this block, but its areas count
            for pixels, known, total in ((a, ids, area), (b, other_ids, other_area)):
                if pixels is not None:
                    total += _areas(pixels, known)
            continue
        area += _areas(a, ids)
        other_area += _areas(b, other_ids)
        both = (a != 0) & (b != 0)
        pair = np.searchsorted(ids, a[both]) * len(other_ids) + np.searchsorted(other_ids, b[both])
        for key, n in zip(*np.unique(pair, return_counts=True), strict=True):
            shared[int(key)] += int(n)
    keys, counts = np.array(list(shared), np.int64), np.array(list(shared.values()), np.int64)
    own, other_own = np.divmod(keys, len(other_ids))
    smaller = np.minimum(area[own], other_area[other_own])
    joined = counts >= threshold * smaller
    return own[joined], other_own[joined]


def _labelled(view: View, region: Box) -> Pixels | None:
    """The ids of a view on a region, 0 outside the view; None if all are zero."""
    pixels = view.fetch(region, None)
    if pixels is None:
        return None
    mask = view.covers(region)
    pixels = pixels.astype(view.source.dtype, copy=False)
    return pixels if mask is None else np.where(mask, pixels, 0)


def _areas(pixels: Pixels, ids: Ids) -> Nodes:
    found = np.searchsorted(ids, pixels[pixels != 0])
    return np.bincount(found, minlength=len(ids)).astype(np.int64)


def _blocks(region: Box, unit: Sequence[int]) -> Iterator[Box]:
    """A region in blocks of at most `unit`."""
    for index in grid_indices(Box.of_shape(region.shape), unit):
        yield grid_box(index, unit, region.shape).shifted(region.start)


def _offset(ids: Ids, low: int) -> NDArray[np.intp]:
    return np.asarray(ids.astype(np.intp) - low)


def _each(
    work: Callable[[_Task], _Found], tasks: Sequence[_Task], threads: int
) -> Iterable[_Found]:
    """The results of all tasks, in their order."""
    if threads == 1:
        yield from map(work, tasks)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, tasks)
