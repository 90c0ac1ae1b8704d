"""Labels of neighbouring fields joined: one id for an object, however many fields saw it.

Fields that were segmented one by one number their objects each for itself. Here the ids of
different fields are independent: what overlaps enough is one object, and what is not the same
object never shares an id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

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
    """Give every object one id of its own across all views of a label.

    Ids of two views are joined where the pixels that they share are at least `threshold` of
    the smaller of the two, counted where the views overlap. Joined ids become the smallest of
    them. Where objects that are not joined want the same id, the one in the first view keeps
    it and the others get new ids above the highest.

    All pixels are read once, chunk by chunk, to learn which ids there are; the overlaps are
    read once more. What is kept in memory is ids, not pixels.

    Parameters
    ----------
    views : sequence of View
        Views of a label, sampled by the nearest pixel. Nobody reads from them meanwhile.
    threshold : float
        Above 0, at most 1.
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
        If the dtype has no room for the new ids, or is no integer.
    """
    if not views:
        return []
    dtype = views[0].source.dtype
    if dtype.kind not in "iu":
        raise ViewError(
            f"label {label!r}: its pixels are {dtype}, and fusion.merge_labels needs integers. "
            "Convert the label, or set fusion.merge_labels: null."
        )
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


def consistent_ids(ids: Ids, joined: Nodes, label: str) -> Ids:
    """One id for each object. Pure.

    Parameters
    ----------
    ids : ndarray, shape (nodes,)
        The ids of the first view, then those of the second and so on.
    joined : ndarray of int64, shape (pairs, 2)
        Pairs of positions in `ids` that are the same object.
    label : str
        Name of the label, for messages.

    Returns
    -------
    ndarray, shape (nodes,), dtype of `ids`
        The new ids.

    Raises
    ------
    ViewError
        If the dtype has no room for them.

    Examples
    --------
    Two views with the objects 1, 2 and 1, 2, 3; the 2 of the first is the 1 of the second:

    >>> ids = np.array([1, 2, 1, 2, 3], np.uint16)
    >>> consistent_ids(ids, np.array([[1, 2]]), "cells").tolist()
    [1, 4, 4, 2, 3]
    """
    if not len(ids):
        return ids
    n = len(ids)
    edges = coo_array((np.ones(len(joined), bool), (joined[:, 0], joined[:, 1])), shape=(n, n))
    count, component = connected_components(edges, directed=False)
    smallest = np.full(count, ids.max(), ids.dtype)
    np.minimum.at(smallest, component, ids)
    begins = np.full(count, n)
    np.minimum.at(begins, component, np.arange(n))
    order = np.lexsort((begins, smallest))
    ranked = smallest[order]
    late = order[1:][ranked[1:] == ranked[:-1]]
    late = late[np.argsort(begins[late])]
    highest, limit = max(0, int(ids.max())), int(np.iinfo(ids.dtype).max)  # 0 is no object
    if highest + len(late) > limit:
        raise ViewError(
            f"label {label!r}: fusion.merge_labels needs ids up to {highest + len(late)}, but its "
            f"pixels are {ids.dtype} and hold {limit} at most. Store the label with more bits, or "
            "set fusion.merge_labels: null."
        )
    if len(late):
        smallest[late] = np.arange(len(late), dtype=ids.dtype) + ids.dtype.type(highest + 1)
    return np.asarray(smallest[component])


def _ids_of(views: Sequence[View], threads: int) -> list[Ids]:
    """The ids in each view's box but 0, ascending. Every chunk is decoded once."""
    wanted: dict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
    for number, view in enumerate(views):
        for index in grid_indices(view.box, view.source.chunk):
            wanted[id(view.source), index].append(number)

    def of_chunk(task: tuple[tuple[int, tuple[int, ...]], list[int]]) -> list[tuple[int, Ids]]:
        (_, index), numbers = task
        source = views[numbers[0]].source
        chunk = grid_box(index, source.chunk, source.shape)
        pixels = source.read(chunk, None)
        if pixels is None:
            return []
        return [(n, distinct(pixels[(views[n].box & chunk).within(chunk)])) for n in numbers]

    found = [np.empty(0, view.source.dtype) for view in views]
    for parts in _each(of_chunk, list(wanted.items()), threads):
        for number, ids in parts:
            found[number] = np.union1d(found[number], ids)
    return found


def distinct(pixels: Pixels) -> Ids:
    """The values in an array but 0, ascending.

    Examples
    --------
    >>> distinct(np.array([[0, 7, 7], [3, 7, 0]])).tolist()
    [3, 7]
    """
    flat = pixels.ravel()
    if not flat.size:
        return flat
    changed = np.empty(flat.size, bool)  # runs are long: sort one of each
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
    """Positions in `ids` and `other_ids` that are joined."""
    area, other_area = np.zeros(len(ids), np.int64), np.zeros(len(other_ids), np.int64)
    shared: dict[int, int] = defaultdict(int)
    for block in _blocks(one.placed & other.placed, one.source.chunk):
        a, b = (_labelled(view, block) for view in (one, other))
        if a is None or b is None:  # of what the other has here nothing is shared, but it counts
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
    mine, theirs = np.divmod(keys, len(other_ids))
    smaller = np.minimum(area[mine], other_area[theirs])
    joined = counts >= threshold * smaller
    return mine[joined], theirs[joined]


def _labelled(view: View, region: Box) -> Pixels | None:
    """The ids of a view on a region, 0 where it covers nothing; None if there are none."""
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
    """The results of some work, in the order of the tasks."""
    if threads == 1:
        yield from map(work, tasks)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, tasks)
