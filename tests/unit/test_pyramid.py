from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from platefuse.downsample import Downsample, aggregate, mean, nearest
from platefuse.geometry import Box
from platefuse.pyramid import Index, PyramidWriter, TileTree, run_leaves
from tests.arrays import ArrayLevel


@dataclass(frozen=True)
class Pyramid:
    """Shapes, units and factors of a pyramid as images have them."""

    shapes: list[Index]
    units: list[Index]
    factors: list[Index]

    @property
    def tree(self) -> TileTree:
        return TileTree(self.shapes, self.units, self.factors)

    def levels(self, dtype: str = "uint16", *, zero_is_fill: bool = True) -> list[ArrayLevel]:
        return [
            ArrayLevel(shape, unit, np.dtype(dtype), zero_is_fill)
            for shape, unit in zip(self.shapes, self.units, strict=True)
        ]


@st.composite
def pyramids(draw: st.DrawFn) -> Pyramid:
    """Odd shapes, any chunks (shards: multiples of them), factors that differ, floor or ceil."""
    ndim = draw(st.integers(2, 3))
    shapes = [draw(st.tuples(*[st.integers(1, 23)] * ndim))]
    factors = []
    for _ in range(draw(st.integers(0, 3))):
        factor = draw(st.tuples(*[st.sampled_from([1, 2, 2, 3])] * ndim))
        up = draw(st.booleans())
        lengths = zip(shapes[-1], factor, strict=True)
        shapes.append(tuple(-(-n // f) if up else max(1, n // f) for n, f in lengths))
        factors.append(factor)
    # One chunk for all levels, cut to the level or not, or chunks of each level's own.
    common = draw(st.tuples(*[st.integers(1, 9)] * ndim))
    how = draw(st.sampled_from(["same", "cut", "own"]))
    units = []
    for shape in shapes:
        unit = draw(st.tuples(*[st.integers(1, 9)] * ndim)) if how == "own" else common
        cut = how == "cut"
        units.append(tuple(min(u, n) if cut else u for u, n in zip(unit, shape, strict=True)))
    return Pyramid(shapes, units, factors)


def random_pixels(shape: Index, dtype: str = "uint16") -> NDArray[Any]:
    pixels = np.random.default_rng(0).integers(0, 60000, shape)
    return np.where(pixels < 30000, 0, pixels).astype(dtype)


def write(
    pyramid: Pyramid,
    pixels: NDArray[Any],
    downsample: Downsample,
    *,
    threads: int = 1,
    zero_is_fill: bool = True,
) -> list[ArrayLevel]:
    levels = pyramid.levels(str(pixels.dtype), zero_is_fill=zero_is_fill)
    writer = PyramidWriter(pyramid.tree, levels, downsample)

    def work(index: Index) -> None:
        block = pixels[pyramid.tree.region(0, index).slices]
        writer.put(index, block if block.any() else None)

    run_leaves(work, pyramid.tree.leaves(), threads)
    assert not writer._open
    return levels


@given(pyramids())
def test_tiles_of_a_level_are_whole_units_and_cover_it_once(pyramid: Pyramid) -> None:
    tree = pyramid.tree
    for level, (shape, unit) in enumerate(zip(pyramid.shapes, pyramid.units, strict=True)):
        seen = np.zeros(shape, int)
        for index in np.ndindex(*tree.counts[level]):
            region = tree.region(level, index)
            assert not region.empty
            assert all(a % u == 0 for a, u in zip(region.start, unit, strict=True))
            ends = zip(region.stop, unit, shape, strict=True)
            assert all(b % u == 0 or b == n for b, u, n in ends)
            seen[region.slices] += 1
        assert (seen == 1).all()


@given(pyramids())
def test_every_leaf_comes_once_and_every_child_has_the_parent_that_claims_it(
    pyramid: Pyramid,
) -> None:
    tree = pyramid.tree
    leaves = list(tree.leaves())
    assert sorted(leaves) == list(np.ndindex(*tree.counts[0]))
    for level in range(1, len(pyramid.shapes)):
        claimed = []
        for parent in np.ndindex(*tree.counts[level]):
            children = tree.children(level, parent)
            assert children, f"tile {parent} of level {level} would never be finished"
            assert {tree.parent(level - 1, child) for child in children} == {parent}
            claimed += children
        assert sorted(claimed) == list(np.ndindex(*tree.counts[level - 1]))


@given(pyramids())
def test_a_tile_covers_the_groups_of_its_children_whole(pyramid: Pyramid) -> None:
    tree = pyramid.tree
    for level, factors in enumerate(pyramid.factors):
        for parent in np.ndindex(*tree.counts[level + 1]):
            region = tree.region(level + 1, parent)
            wanted = Box(
                tuple(a * f for a, f in zip(region.start, factors, strict=True)),
                tuple(b * f for b, f in zip(region.stop, factors, strict=True)),
            ) & Box.of_shape(pyramid.shapes[level])
            children = [tree.region(level, child) for child in tree.children(level + 1, parent)]
            assert sum((wanted & child).size for child in children) == wanted.size


@given(pyramids())
def test_leaves_come_depth_first_so_that_few_parents_are_open(pyramid: Pyramid) -> None:
    # Leaves of one parent follow each other: at most one open tile for each level.
    tree = pyramid.tree
    for level in range(1, len(pyramid.shapes)):
        ancestors = []
        for leaf in tree.leaves():
            at = leaf
            for below in range(level):
                at = tree.parent(below, at)
            ancestors.append(at)
        changes = sum(a != b for a, b in pairwise(ancestors))
        assert changes == len(set(ancestors)) - 1


@pytest.mark.parametrize("downsample", [mean, nearest, aggregate(np.max)])
@settings(max_examples=50)
@given(
    pyramid=pyramids(),
    threads=st.integers(1, 3),
    dtype=st.sampled_from(["uint16", "int64", "float32"]),
    zero_is_fill=st.booleans(),
)
def test_one_pass_gives_what_level_after_level_would(
    pyramid: Pyramid, threads: int, dtype: str, zero_is_fill: bool, downsample: Downsample
) -> None:
    expected = random_pixels(pyramid.shapes[0], dtype)
    levels = write(pyramid, expected, downsample, threads=threads, zero_is_fill=zero_is_fill)
    for level, written in enumerate(levels):
        if level:
            factors = pyramid.factors[level - 1]
            expected = downsample(expected, factors, pyramid.shapes[level])
        np.testing.assert_array_equal(written.pixels, expected, err_msg=f"level {level}")


def test_tiles_without_pixels_are_left_out_where_that_reads_as_zero() -> None:
    pyramid = Pyramid([(8, 8), (4, 4)], [(4, 4), (4, 4)], [(2, 2)])
    pixels = np.zeros((8, 8), np.uint16)
    pixels[:4, 4:] = 7
    levels = write(pyramid, pixels, mean)
    assert [level.written for level in levels] == [[Box((0, 4), (4, 8))], [Box((0, 0), (4, 4))]]


def test_several_threads_work_at_once() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def work(_: Index) -> None:
        meeting.wait()

    run_leaves(work, iter([(0,), (1,)]), 2)
    assert not meeting.broken


@pytest.mark.parametrize("threads", [1, 3])
def test_the_first_error_stops_the_work_and_is_raised(threads: int) -> None:
    done = []

    def work(index: Index) -> None:
        done.append(index)
        if index == (5,):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_leaves(work, iter([(i,) for i in range(10_000)]), threads)
    assert len(done) < 10_000


def test_what_waits_keeps_its_byte_order() -> None:
    """A level may be made in another byte order than its array has."""
    shapes = [(64, 64), (32, 32), (16, 16), (8, 8)]
    tree = TileTree(shapes, [(8, 8)] * 4, [(2, 2)] * 3)

    def swapped(block: Any, factors: tuple[int, ...], shape: tuple[int, ...]) -> Any:
        return mean(block, factors, shape).astype(">u2")

    class Level(ArrayLevel):
        def write(self, box: Box, pixels: Any) -> None:
            super().write(box, pixels.astype("<u2"))

    levels = [Level(shape, (8, 8), np.dtype("<u2")) for shape in shapes]
    writer = PyramidWriter(tree, levels, swapped)
    for index in tree.leaves():
        writer.put(index, np.full((8, 8), 258, "<u2"))
    assert all((level.pixels == 258).all() for level in levels)
