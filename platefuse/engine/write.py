"""The one engine: place views into blocks, and write the blocks with their pyramid.

Registering and fusing both end here; they differ in their views and in what happens where
several views cover a pixel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from platefuse.engine.compose import Compositor
from platefuse.engine.downsample import Downsample
from platefuse.engine.pyramid import Index, LevelArray, PyramidWriter, TileTree
from platefuse.engine.sources import ChunkStore, Consumers, Slivers
from platefuse.engine.views import View
from platefuse.geometry import Box, grid_box, grid_indices
from platefuse.storage.threads import Task, Turnover, run_tasks

StoredLevels = Sequence[ChunkStore]


@dataclass(frozen=True)
class Target:
    """The arrays of a pyramid that is to be written.

    Attributes
    ----------
    levels : sequence of LevelArray
        One array per level, finest first.
    factors : sequence of tuple of int
        Group size from each level to the next, on every axis; one fewer than levels.
    downsample : Downsample
        Makes a level from the level below.
    """

    levels: Sequence[LevelArray]
    factors: Sequence[tuple[int, ...]]
    downsample: Downsample

    @property
    def tree(self) -> TileTree:
        """The tiles in which it is written."""
        shapes = [level.shape for level in self.levels]
        return TileTree(shapes, [level.shard for level in self.levels], self.factors)


@dataclass(frozen=True)
class Part:
    """One of several disjoint parts of an image, written by a job of its own.

    Attributes
    ----------
    number : int
        Which part, counted from 0.
    of : int
        How many parts there are.
    """

    number: int
    of: int

    def share(self, tiles: Sequence[Index]) -> Sequence[Index]:
        """The part's share of some tiles: neighbours, and every tile in just one part."""
        first, last = (len(tiles) * k // self.of for k in (self.number, self.number + 1))
        return tiles[first:last]


def write_views(
    views: Sequence[View],
    target: Target,
    how: Compositor,
    *,
    threads: int = 1,
    part: Part | None = None,
) -> None:
    """Compose every block from its views and write all levels: see `view_tasks`."""
    run_tasks(view_tasks(views, target, how, part=part), threads)


def view_tasks(
    views: Sequence[View], target: Target, how: Compositor, *, part: Part | None = None
) -> Iterator[Task]:
    """The work of composing every block from its views and writing all levels, block by block.

    Every source chunk is decoded once and every output chunk encoded once, if all tasks are
    begun in their order, on however many threads. The result does not depend on the number of
    threads or on the chunks of sources and target.

    Parameters
    ----------
    views : sequence of View
        Views in order. Each source's `read` may be used by these tasks alone.
    target : Target
        Arrays to write to. Blocks that no view reaches are left unwritten if that reads as 0.
    how : Compositor
        What to do where several views cover a pixel.
    part : Part, optional
        Write just the subtrees of one part, up to their roots; `finish_levels` does the rest.
    """
    finest, tree = target.levels[0], target.tree
    leaves, top, only = tree.leaves(), None, None
    if part is not None:
        top, roots = tree.subtrees(part.of)
        mine = [leaf for root in part.share(roots) for leaf in tree.leaves(top, root)]
        leaves, only = iter(mine), frozenset(mine)
    plan = Plan(views, finest.shape, tree.tiles[0], how)
    plan.share_chunks(tree.path, only)
    writer = PyramidWriter(tree, target.levels, target.downsample, top=top)
    turnover = Turnover()

    def write(index: Index) -> None:
        region = tree.region(0, index)
        touching = plan.touching(index)
        copied = how.copies and _copy_encoded(region, touching, finest)
        writer.put(index, how.compose(region, touching, finest.dtype, index), written=copied)
        turnover.add(region.size * finest.dtype.itemsize)

    yield from (partial(write, leaf) for leaf in leaves)


def finish_levels(written: StoredLevels, target: Target, parts: int, *, threads: int = 1) -> None:
    """Write the levels above the subtrees that parts have written.

    Parameters
    ----------
    written : sequence of readable arrays
        The arrays of `target`, for reading.
    target : Target
        The same arrays.
    parts : int
        How many parts there were.
    threads : int
        Number of threads.
    """
    tree = target.tree
    level, roots = tree.subtrees(parts)
    writer = PyramidWriter(tree, target.levels, target.downsample)

    def pour(index: Index) -> None:
        pixels = written[level].decode(tree.region(level, index))
        writer.put(index, pixels, level, written=True)

    run_tasks((partial(pour, root) for root in roots), threads)


class Plan:
    """Which views a tile is made of, and which tiles a source chunk goes to.

    Views are looked up by the tile or chunk they touch in the plane (the last two axes), so
    the cost for each block does not depend on the number of views.
    """

    def __init__(
        self,
        views: Sequence[View],
        shape: Index,
        tile: Index,
        how: Compositor,
    ) -> None:
        self._shape, self._tile, self._how = shape, tile, how
        self._views = views
        self._by_tile: dict[Index, list[View]] = defaultdict(list)
        for view in views:
            for key in _plane_cells(self._widened(view.placed) & Box.of_shape(shape), tile):
                self._by_tile[key].append(view)

    def share_chunks(
        self, rank: Callable[[Index], Any], only: frozenset[Index] | None = None
    ) -> None:
        """Have chunks decoded once for all tiles: for when each tile is composed once.

        Parameters
        ----------
        rank : callable
            Of the index of a tile: compares as the tiles are composed.
        only : frozenset of tuple of int, optional
            The tiles that are composed; by default all.
        """
        by_source: dict[int, list[View]] = defaultdict(list)
        for view in self._views:
            by_source[id(view.source)].append(view)
        slivers = Slivers()
        for same in by_source.values():
            same[0].source.expect(self._consumers(same, rank, only), slivers)

    def touching(self, index: Index) -> list[View]:
        """The views that a tile is made of, in order."""
        return self._by_tile.get(index[-2:], [])

    def _widened(self, box: Box) -> Box:
        return box.dilated(self._how.margin_px)

    def _consumers(
        self, views: list[View], rank: Callable[[Index], Any], only: frozenset[Index] | None
    ) -> Consumers:
        """Which tiles, by which views of one source, a chunk of it goes to."""
        unit = views[0].source.chunk
        by_chunk: dict[Index, list[View]] = defaultdict(list)
        for view in views:
            for key in _plane_cells(view.box, unit):
                by_chunk[key].append(view)
        widest = self._widened(Box.of_shape(self._tile)).shape

        def consumers(chunk: Box) -> Iterable[tuple[Any, Hashable, Box]]:
            plane = zip(chunk.start[-2:], unit[-2:], strict=True)
            for view in by_chunk.get(tuple(a // u for a, u in plane), ()):
                needed = view.box & chunk
                if needed.empty:
                    continue
                footprint = view.footprint(needed, widest)
                reached = self._widened(footprint) & Box.of_shape(self._shape)
                for index in grid_indices(reached, self._tile):
                    tile = self._widened(grid_box(index, self._tile, self._shape))
                    region = view.placed & tile
                    if not region.empty and (only is None or index in only):
                        yield rank(index), (index, id(view)), view.request(region)

        return consumers


def _copy_encoded(region: Box, views: Sequence[View], level: LevelArray) -> bool:
    """Whether a tile is a chunk of one source as it is stored; then it has been copied.

    It is decoded all the same, for the levels above, but not encoded.
    """
    touching = [view for view in views if not (view.placed & region).empty]
    if len(touching) != 1:
        return False
    original = touching[0].original(region)
    source = touching[0].source.store
    return original is not None and level.take_encoded(source, original, region)


def _plane_cells(box: Box, unit: Index) -> Iterable[Index]:
    if box.empty:
        return ()
    return grid_indices(Box(box.start[-2:], box.stop[-2:]), unit[-2:])
