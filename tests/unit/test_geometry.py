from __future__ import annotations

import math
from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from platefuse.geometry import Box, grid_box, grid_indices, snap


@st.composite
def boxes(draw: st.DrawFn, ndim: int = 2) -> Box:
    start = draw(st.tuples(*[st.integers(-6, 12)] * ndim))
    size = draw(st.tuples(*[st.integers(0, 9)] * ndim))
    return Box(start, tuple(a + n for a, n in zip(start, size, strict=True)))


def pixels(box: Box) -> set[tuple[int, ...]]:
    return set(product(*map(range, box.start, box.stop)))


@given(boxes(), boxes())
def test_boxes_are_sets_of_pixels(one: Box, other: Box) -> None:
    assert pixels(one & other) == pixels(one) & pixels(other)
    assert one.size == len(pixels(one))
    assert one.empty == (not pixels(one))
    if not other.empty:
        assert one.contains(other) == (pixels(other) <= pixels(one))


@given(boxes(), boxes())
def test_a_hull_is_the_smallest_box_that_holds_both(one: Box, other: Box) -> None:
    if one.empty or other.empty:
        return
    hull, both = one.hull(other), pixels(one) | pixels(other)
    assert both <= pixels(hull)
    for axis in range(2):
        held = {pixel[axis] for pixel in both}
        assert (hull.start[axis], hull.stop[axis]) == (min(held), max(held) + 1)


def test_a_hull_with_an_empty_box_is_the_box_itself() -> None:
    assert Box((3, 3), (5, 6)).hull(Box((0, 9), (0, 12))) == Box((3, 3), (5, 6))


@given(boxes())
def test_a_box_contains_itself_and_no_box_that_is_larger(box: Box) -> None:
    assert box.contains(box)
    for axis in range(2):
        margin = [int(axis == k) for k in range(2)]
        assert not box.contains(box.dilated(margin))


@given(boxes(), st.integers(0, 1), st.integers(0, 9))
def test_the_parts_of_a_split_are_apart_and_make_up_the_box(box: Box, axis: int, n: int) -> None:
    below, above = box.split(axis, min(box.start[axis] + n, box.stop[axis]))
    assert pixels(below) | pixels(above) == pixels(box)
    assert below.size + above.size == box.size
    assert below.stop[axis] == above.start[axis]


@given(boxes(ndim=3), st.integers(0, 3), st.integers(0, 3))
def test_a_margin_widens_both_sides_of_the_last_axes(box: Box, y: int, x: int) -> None:
    wide = box.dilated((y, x))
    assert wide.start == (box.start[0], box.start[1] - y, box.start[2] - x)
    assert wide.stop == (box.stop[0], box.stop[1] + y, box.stop[2] + x)
    assert box.dilated((0, y, x)) == wide
    assert box.dilated(()) == box


@given(boxes(), st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
def test_moved_boxes_hold_the_moved_pixels(box: Box, offset: tuple[int, int]) -> None:
    moved = {(y + offset[0], x + offset[1]) for y, x in pixels(box)}
    assert pixels(box.shifted(offset)) == moved


@given(boxes(), st.tuples(st.integers(1, 5), st.integers(1, 5)))
def test_within_indexes_the_part_of_an_array_that_holds_a_box(
    inner: Box, margin: tuple[int, int]
) -> None:
    stop = tuple(b + m for b, m in zip(inner.stop, margin, strict=True))
    outer = Box(tuple(a - m for a, m in zip(inner.start, margin, strict=True)), stop)
    index = np.stack(np.meshgrid(*map(np.arange, outer.start, outer.stop), indexing="ij"), -1)
    found = index[inner.within(outer)].reshape(-1, 2)
    assert {(int(y), int(x)) for y, x in found} == pixels(inner)


@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    boxes(),
)
def test_grid_cells_that_a_box_touches_are_all_and_only_those(
    shape: tuple[int, int], unit: tuple[int, int], box: Box
) -> None:
    box = box & Box.of_shape(shape)
    if box.empty:
        return
    every = product(*(range(-(-n // u)) for n, u in zip(shape, unit, strict=True)))
    touched = {index for index in every if pixels(grid_box(index, unit, shape)) & pixels(box)}
    assert set(grid_indices(box, unit)) == touched


@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
)
def test_grid_cells_cover_an_array_once_and_nothing_beyond(
    shape: tuple[int, int], unit: tuple[int, int]
) -> None:
    whole = Box.of_shape(shape)
    cells = [grid_box(index, unit, shape) for index in grid_indices(whole, unit)]
    assert set().union(*map(pixels, cells)) == pixels(whole)
    assert sum(cell.size for cell in cells) == whole.size


@given(st.integers(-(10**5), 10**5), st.floats(-0.49, 0.49))
def test_snap_moves_only_what_is_a_whole_number_already(whole: int, beside: float) -> None:
    value = whole + beside
    expected = whole if abs(value - whole) <= 1e-3 else value
    assert snap(value) == expected


def test_a_position_as_far_off_as_the_tolerance_is_whole() -> None:
    assert [snap(3.25, 0.25), snap(2.75, 0.25), snap(-3.25, 0.25)] == [3, 3, -3]
    assert snap(3.2501, 0.25) == 3.2501


def test_no_placement_is_lost_to_a_negative_extent() -> None:
    assert Box((5,), (3,)).shape == (0,)
    assert Box((5,), (3,)).size == 0
    assert math.prod(Box((0, 5), (4, 3)).shape) == 0
