from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given

from platefuse.geometry import Box
from tests.pyramids import Pyramid, pyramids


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
