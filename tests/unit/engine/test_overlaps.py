from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from platefuse.engine.compose import overlaps
from platefuse.geometry import Box

SHAPE = (4, 24, 26)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    start = [draw(st.integers(0, n - 1)) for n in SHAPE]
    stop = [draw(st.integers(a + 1, n)) for a, n in zip(start, SHAPE, strict=True)]
    return Box(tuple(start), tuple(stop))


@settings(max_examples=150)
@given(st.lists(boxes(), max_size=7))
def test_overlaps_are_the_pixels_with_two_boxes_or_more_once_each(found: list[Box]) -> None:
    seen = np.zeros(SHAPE, int)
    for cell, covering in overlaps(found):
        assert not cell.empty
        assert list(covering) == [i for i, box in enumerate(found) if box.contains(cell)]
        assert len(covering) >= 2
        seen[cell.slices] += 1
    count = np.zeros(SHAPE, int)
    for box in found:
        count[box.slices] += 1
    np.testing.assert_array_equal(seen, count >= 2)


def test_the_work_for_overlaps_grows_with_the_neighbours() -> None:
    # 900 fields in a grid: each meets 8 others, and no more than a few cells come of each.
    tiles = [Box((9 * r, 9 * c), (9 * r + 10, 9 * c + 10)) for r in range(30) for c in range(30)]
    assert sum(1 for _ in overlaps(tiles)) < 6 * len(tiles)


def test_a_field_is_cut_only_by_what_ends_inside_the_cut_part() -> None:
    # Fields a few pixels off their places: all of their edges on one grid make 22 cells of each.
    rng = np.random.default_rng(0)
    corners = [np.array(i) * 90 + rng.integers(-5, 6, 2) for i in np.ndindex(20, 20)]
    tiles = [Box((int(y), int(x)), (int(y) + 100, int(x) + 100)) for y, x in corners]
    assert sum(1 for _ in overlaps(tiles)) < 12 * len(tiles)
