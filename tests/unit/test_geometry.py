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


@given(st.integers(-(10**5), 10**5), st.floats(-0.49, 0.49))
def test_snap_moves_only_what_is_a_whole_number_already(whole: int, beside: float) -> None:
    value = whole + beside
    expected = whole if abs(value - whole) <= 1e-3 else value
    assert snap(value) == expected


def test_no_placement_is_lost_to_a_negative_extent() -> None:
    assert Box((5,), (3,)).shape == (0,)
    assert Box((5,), (3,)).size == 0
    assert math.prod(Box((0, 5), (4, 3)).shape) == 0
