"""The one engine: place views into blocks, and write the blocks with their pyramid.

Registering and fusing both end here; they differ in their views and in what happens where
several views cover a pixel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from platefuse.blocks import Compositor
from platefuse.downsample import Downsample
from platefuse.geometry import Box, grid_box, grid_indices
from platefuse.pyramid import Index, LevelArray, PyramidWriter, TileTree, run_leaves
from platefuse.sources import ChunkStore, Source
from platefuse.views import View

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
    """Compose every block from its views and write all levels.

    Every source chunk is decoded once and every output chunk encoded once. The result does
    not depend on the number of threads or on the chunks of sources and target.

    Parameters
    ----------
    views : sequence of View
        Views in order. Each source's `read` may be used by this call alone.
    target : Target
        Arrays to write to. Blocks that no view reaches are left unwritten if that reads as 0.
    how : Compositor
        What to do where several views cover a pixel.
    threads : int
        Number of threads.
    part : Part, optional
        Write just the subtrees of one part, up to their roots; `finish_levels` does the rest.
    """
    finest, tree = target.levels[0], target.tree
    leaves, top, only = tree.leaves(), None, None
    if part is not None:
        top, roots = tree.subtrees(part.of)
        mine = [leaf for root in part.share(roots) for leaf in tree.leaves(top, root)]
        leaves, only = iter(mine), frozenset(mine)
    plan = Plan(views, finest.shape, tree.tiles[0], how, only=only)
    writer = PyramidWriter(tree, target.levels, target.downsample, top=top)

    def work(index: Index) -> None:
        region = tree.region(0, index)
        block = how.compose(region, plan.touching(index), finest.dtype, index)
        writer.put(index, block)

    run_leaves(work, leaves, threads)


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

    def work(index: Index) -> None:
        writer.pass_on(index, written[level].decode(tree.region(level, index)), level)

    run_leaves(work, iter(roots), threads)


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
        *,
        keep: bool = True,
        only: frozenset[Index] | None = None,
    ) -> None:
        self._shape, self._tile, self._how = shape, tile, how
        self._only = only
        self._by_tile: dict[Index, list[View]] = defaultdict(list)
        for view in views:
            for key in _plane_cells(self._widened(view.placed) & Box.of_shape(shape), tile):
                self._by_tile[key].append(view)
        if not keep:  # blocks are asked for in any order, perhaps again: nothing can be kept
            return
        by_source: dict[int, list[View]] = defaultdict(list)
        for view in views:
            by_source[id(view.source)].append(view)
        for same in by_source.values():
            self._expect(same[0].source, same)

    def touching(self, index: Index) -> list[View]:
        """The views that a tile is made of, in order."""
        return self._by_tile.get(index[-2:], [])

    def _widened(self, box: Box) -> Box:
        return box.dilated(self._how.margin_px)

    def _expect(self, source: Source, views: list[View]) -> None:
        by_chunk: dict[Index, list[View]] = defaultdict(list)
        for view in views:
            for key in _plane_cells(view.box, source.chunk):
                by_chunk[key].append(view)

        def consumers(chunk: Box) -> Iterable[tuple[Hashable, Box]]:
            plane = zip(chunk.start[-2:], source.chunk[-2:], strict=True)
            for view in by_chunk.get(tuple(a // u for a, u in plane), ()):
                needed = view.box & chunk
                if needed.empty:
                    continue
                reached = self._widened(view.footprint(needed)) & Box.of_shape(self._shape)
                for index in grid_indices(reached, self._tile):
                    if self._only is not None and index not in self._only:
                        continue
                    tile = self._widened(grid_box(index, self._tile, self._shape))
                    region = view.placed & tile
                    if not region.empty:
                        yield (index, id(view)), view.request(region)

        source.expect(consumers)


def _plane_cells(box: Box, unit: Index) -> Iterable[Index]:
    if box.empty:
        return ()
    return grid_indices(Box(box.start[-2:], box.stop[-2:]), unit[-2:])
