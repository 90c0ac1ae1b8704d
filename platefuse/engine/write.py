"""Compose the tiles of an image from its views and write them with their pyramid.

Registration and fusion both use it; they differ in their views and in their compositor.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from platefuse.engine.compose import Compositor
from platefuse.engine.downsample import Downsample
from platefuse.engine.pyramid import Index, LevelArray, PyramidWriter, TileTree
from platefuse.engine.sources import ChunkStore, Consumers, Rank, Slivers
from platefuse.engine.views import View
from platefuse.geometry import Box, grid_box, grid_indices
from platefuse.storage import progress
from platefuse.storage.memory import MemoryTrimmer
from platefuse.storage.threads import Task, run_tasks

StoredLevels = Sequence[ChunkStore]


@dataclass(frozen=True)
class Target:
    """The arrays that a pyramid is written to.

    Attributes
    ----------
    levels : sequence of LevelArray
        One array per level, finest first.
    factors : sequence of tuple of int
        Group size from each level to the next, on every axis; one fewer than levels.
    downsample : Downsample
        Computes a level from the level below.
    """

    levels: Sequence[LevelArray]
    factors: Sequence[tuple[int, ...]]
    downsample: Downsample

    @property
    def tree(self) -> TileTree:
        """The tiles of all levels."""
        shapes = [level.shape for level in self.levels]
        return TileTree(shapes, [level.shard for level in self.levels], self.factors)


@dataclass(frozen=True)
class Part:
    """One of several disjoint parts of an image, each written by a job of its own.

    Attributes
    ----------
    number : int
        Index of the part, from 0.
    of : int
        Number of parts.
    """

    number: int
    of: int

    def share(self, tiles: Sequence[Index]) -> Sequence[Index]:
        """The tiles of this part: neighbours; every tile is in exactly one part."""
        first, last = (len(tiles) * k // self.of for k in (self.number, self.number + 1))
        return tiles[first:last]


def write_views(
    views: Sequence[View],
    target: Target,
    compositor: Compositor,
    *,
    threads: int = 1,
) -> None:
    """Compose all tiles from their views and write all levels: see `view_tasks`."""
    run_tasks(view_tasks(views, target, compositor), threads)


def view_tasks(
    views: Sequence[View], target: Target, compositor: Compositor, *, part: Part | None = None
) -> Iterator[Task]:
    """Tasks that compose all tiles from their views and write all levels, tile by tile.

    Every source chunk is decoded once and every output shard encoded once if all tasks are
    started in their order, on any number of threads. The result does not depend on the number of
    threads or on the chunks of sources and target.

    Parameters
    ----------
    views : sequence of View
        Views in order. Nothing else may read from their sources meanwhile.
    target : Target
        Arrays to write to. Tiles that no view reaches are not written if that reads as 0.
    compositor : Compositor
        Computes the pixels of a tile.
    part : Part, optional
        Write only the subtrees of one part, up to their roots; `finish_tasks` does the rest.
    """
    if part is None:
        progress.expect(math.prod(target.tree.counts[0]))
    return _view_tasks(views, target, compositor, part)


def _view_tasks(
    views: Sequence[View], target: Target, compositor: Compositor, part: Part | None
) -> Iterator[Task]:
    finest, tree = target.levels[0], target.tree
    leaves, top, tiles = tree.leaves(), None, None
    if part is not None:
        top, roots = tree.subtrees(part.of)
        own = [leaf for root in part.share(roots) for leaf in tree.leaves(top, root)]
        leaves, tiles = iter(own), frozenset(own)
    lookup = ViewLookup(views, finest.shape, tree.tiles[0], compositor)
    lookup.share_chunks(tree.path, tiles)
    writer = PyramidWriter(tree, target.levels, target.downsample, top=top)
    trimmer = MemoryTrimmer()

    def write(index: Index) -> None:
        region = tree.region(0, index)
        touching = lookup.touching(index)
        copied = compositor.copies and _copy_encoded(region, touching, finest)
        block = compositor.compose(region, touching, finest.dtype, index)
        writer.put(index, block, written=copied)
        trimmer.add(region.size * finest.dtype.itemsize)

    yield from (partial(write, leaf) for leaf in leaves)


def finish_tasks(written: StoredLevels, target: Target, parts: int) -> Iterator[Task]:
    """Tasks that write the levels above the subtrees that parts have written.

    Parameters
    ----------
    written : sequence of readable arrays
        The arrays of `target`, for reading.
    target : Target
        The same arrays.
    parts : int
        Number of parts.
    """
    tree = target.tree
    level, roots = tree.subtrees(parts)
    writer = PyramidWriter(tree, target.levels, target.downsample)

    def put(index: Index) -> None:
        pixels = written[level].decode(tree.region(level, index))
        writer.put(index, pixels, level, written=True)

    return (partial(put, root) for root in roots)


class ViewLookup:
    """Finds the views of a tile, and the tiles that read a source chunk.

    Views are looked up by the tiles and chunks that they touch in the plane (the last two axes),
    so the cost for each tile does not depend on the number of views.

    Parameters
    ----------
    views : sequence of View
        The views, in order.
    shape : tuple of int
        Shape of the output, in pixels.
    tile : tuple of int
        Shape of a tile, in pixels.
    compositor : Compositor
        Its margin is added around each tile.
    """

    def __init__(
        self,
        views: Sequence[View],
        shape: Index,
        tile: Index,
        compositor: Compositor,
    ) -> None:
        self._shape, self._tile, self._margin = shape, tile, compositor.margin_px
        self._views = views
        self._by_tile: dict[Index, list[View]] = defaultdict(list)
        for view in views:
            for key in _in_plane(self._widened(view.placed) & Box.of_shape(shape), tile):
                self._by_tile[key].append(view)

    def share_chunks(
        self, rank: Callable[[Index], Rank], tiles: frozenset[Index] | None = None
    ) -> None:
        """Tell the sources which tiles read which chunk, so that a chunk is decoded once.

        Parameters
        ----------
        rank : callable
            Called with the index of a tile; ranks sort in the order in which tiles are composed.
        tiles : frozenset of tuple of int, optional
            The tiles that are composed, each once; by default all.
        """
        by_source: dict[int, list[View]] = defaultdict(list)
        for view in self._views:
            by_source[id(view.source)].append(view)
        slivers = Slivers()
        for same in by_source.values():
            same[0].source.expect(self._consumers(same, rank, tiles), slivers)

    def touching(self, index: Index) -> list[View]:
        """The views that may touch a tile or its margin, in order."""
        return self._by_tile.get(index[-2:], [])

    def _widened(self, box: Box) -> Box:
        return box.dilated(self._margin)

    def _consumers(
        self, views: list[View], rank: Callable[[Index], Rank], tiles: frozenset[Index] | None
    ) -> Consumers:
        """For a chunk of one source: the tiles that read it, and by which views."""
        size = views[0].source.chunk
        by_chunk: dict[Index, list[View]] = defaultdict(list)
        for view in views:
            for key in _in_plane(view.box, size):
                by_chunk[key].append(view)
        widest = self._widened(Box.of_shape(self._tile)).shape

        def consumers(chunk: Box) -> Iterable[tuple[Rank, Hashable, Box]]:
            plane = zip(chunk.start[-2:], size[-2:], strict=True)
            for view in by_chunk.get(tuple(a // n for a, n in plane), ()):
                needed = view.box & chunk
                if needed.empty:
                    continue
                footprint = view.footprint(needed, widest)
                reached = self._widened(footprint) & Box.of_shape(self._shape)
                for index in grid_indices(reached, self._tile):
                    tile = self._widened(grid_box(index, self._tile, self._shape))
                    region = view.placed & tile
                    if not region.empty and (tiles is None or index in tiles):
                        yield rank(index), (index, id(view)), view.request(region)

        return consumers


def _copy_encoded(region: Box, views: Sequence[View], level: LevelArray) -> bool:
    """Copy a tile that is a stored shard of one source; whether it is one.

    It is decoded nevertheless, for the levels above, but not encoded.
    """
    touching = [view for view in views if not (view.placed & region).empty]
    if len(touching) != 1:
        return False
    original = touching[0].original(region)
    source = touching[0].source.store
    return original is not None and level.copy_encoded_from(source, original, region)


def _in_plane(box: Box, size: Index) -> Iterable[Index]:
    """Indices in the plane of the tiles or chunks that a box touches."""
    if box.empty:
        return ()
    return grid_indices(Box(box.start[-2:], box.stop[-2:]), size[-2:])
