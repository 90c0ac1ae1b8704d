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
from platefuse.sources import Source
from platefuse.views import View


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


def write_views(
    views: Sequence[View], target: Target, how: Compositor, *, threads: int = 1
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
    """
    finest = target.levels[0]
    tree = TileTree(
        [level.shape for level in target.levels],
        [level.shard for level in target.levels],
        target.factors,
    )
    plan = Plan(views, finest.shape, tree.tiles[0], how)
    writer = PyramidWriter(tree, target.levels, target.downsample)

    def work(index: Index) -> None:
        region = tree.region(0, index)
        block = how.compose(region, plan.touching(index), finest.dtype, index)
        writer.put(index, block)

    run_leaves(work, tree.leaves(), threads)


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
    ) -> None:
        self._shape, self._tile, self._how = shape, tile, how
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
                    tile = self._widened(grid_box(index, self._tile, self._shape))
                    region = view.placed & tile
                    if not region.empty:
                        yield (index, id(view)), view.request(region)

        source.expect(consumers)


def _plane_cells(box: Box, unit: Index) -> Iterable[Index]:
    if box.empty:
        return ()
    return grid_indices(Box(box.start[-2:], box.stop[-2:]), unit[-2:])
