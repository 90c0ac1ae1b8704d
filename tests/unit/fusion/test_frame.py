from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platefuse.engine.affine import AffineView
from platefuse.engine.sources import Source
from platefuse.engine.views import ShiftedView
from platefuse.errors import ViewError
from platefuse.fusion.frame import Extent, Frame, PixelMap, along, place_view
from platefuse.geometry import Box
from tests.arrays import ArrayStore


def extent(low: Any, high: Any, front: Any = None, reach: Any = None) -> Extent:
    first = np.array(high if front is None else front, float)
    beyond = np.full(len(low), 0.5) if reach is None else np.array(reach, float)
    return Extent(np.array(low, float), np.array(high, float), first, beyond)


positions = st.integers(-2000, 2000).map(lambda v: v / 16)
lengths = st.integers(1, 60)
steps = st.sampled_from([0.0625, 0.325, 1.0, 2.5])


@given(start=positions, n=lengths, step=steps)
def test_the_frame_of_one_view_is_its_own_grid(start: float, n: int, step: float) -> None:
    view = extent([start], [start + (n - 1) * step], reach=[step / 2])
    frame = Frame.covering("x", [view], [step])
    assert frame.shape == (n,)
    assert frame.origin == (start,)


@given(
    views=st.lists(st.tuples(positions, lengths), min_size=1, max_size=6),
    own=steps,
    step=steps,
)
def test_a_union_holds_every_pixel_that_a_view_covers_and_none_beyond(
    views: list[tuple[float, int]], own: float, step: float
) -> None:
    ends = [(a, a + (n - 1) * own) for a, n in views]
    extents = [extent([a], [b], reach=[own / 2]) for a, b in ends]
    frame = Frame.covering("x", extents, [step])
    first, top = min(a for a, _ in ends), max(b for _, b in ends)
    assert frame.origin == (first,)
    last = first + (frame.shape[0] - 1) * step
    assert last <= top + own / 2
    assert last + step >= top + own / 2 - 2e-6 * step


@given(a=positions, b=positions, n=lengths, m=lengths)
def test_an_intersection_lies_in_both(a: float, b: float, n: int, m: int) -> None:
    ends = [(a, a + n - 1.0), (b, b + m - 1.0)]
    views = [extent([low], [high]) for low, high in ends]
    low, high = max(a, b), min(high for _, high in ends)
    if high + 0.5 - low < 1e-6:
        with pytest.raises(ViewError, match="intersection of the views is empty"):
            Frame.covering("x", views, [1.0], mode="intersection")
        return
    if high < low:  # by less than half a pixel: either is right
        return
    frame = Frame.covering("x", views, [1.0], mode="intersection")
    assert frame.origin == (low,)
    assert frame.shape == (math.ceil(high - low + 0.5 - 1e-6),)


def test_a_sample_holds_the_first_planes() -> None:
    views = [
        extent([0, 0, 0], [9, 5, 5], [0, 5, 5]),
        extent([3, 2, 2], [12, 8, 8], [3, 8, 8]),
    ]
    frame = Frame.covering("zyx", views, [1, 1, 1], mode="sample")
    assert frame.shape == (4, 9, 9)


@pytest.mark.parametrize("noise", [-1e-9, 1e-9])
def test_noise_of_floats_adds_no_row(noise: float) -> None:
    for reach in (None, [0.5], [0.0], [1e-6]):
        view = extent([0.1 + 0.2], [0.1 + 0.2 + 9 + noise], reach=reach)
        assert Frame.covering("x", [view], [1.0]).shape == (10,)


def test_a_pixel_centre_on_the_border_of_a_view_is_outside() -> None:
    frame = Frame.covering("x", [extent([0], [9])], [0.5])
    assert frame.shape == (19,)  # the last one at 9; that at 9.5 would be on the border


def test_float32_positions_are_whole_pixels_from_the_lowest_view() -> None:
    low = 100.0001
    first = replace(extent([low], [low + 9]), precision_px=1e-3)
    second = extent([low + 30.0002], [low + 39.0002])
    for views in ([first, second], [second, first]):
        frame = Frame.covering("x", views, [0.5])
        assert frame.origin == (low,)
        assert frame.shape == (79,)  # the centre at 39.5 would be on the border of the second view


def test_extreme_values_of_a_frame() -> None:
    Frame("yx", (1.0, 1.0), (0.0, 0.0), (2**43, 2))
    with pytest.raises(ViewError, match="the output would have 8796093022209 × 2 pixels"):
        Frame("yx", (1.0, 1.0), (0.0, 0.0), (2**43 + 1, 2))
    with pytest.raises(ViewError, match="spacing on x is 0"):
        Frame("x", (0.0,), (0.0,), (1,))
    with pytest.raises(ViewError, match="shape on x is 0"):
        Frame("x", (1.0,), (0.0,), (0,))
    with pytest.raises(ViewError, match="spacing on x is inf"):
        Frame("x", (math.inf,), (0.0,), (1,))


def test_a_frame_that_is_empty_or_endless_on_one_axis_only_is_an_error() -> None:
    views = [extent([0, 0], [9, 9]), extent([0, 20], [9, 29])]
    with pytest.raises(ViewError, match="intersection of the views is empty"):
        Frame.covering("yx", views, [1, 1], mode="intersection")
    too_small = pytest.raises(ViewError, match=r"spacing \[1.0, 5e-324\] \(yx\) is too small")
    with too_small, np.errstate(over="ignore"):
        Frame.covering("yx", views, [1, 5e-324])


def test_asked_origin_and_shape_are_taken() -> None:
    view = extent([0, 0], [9, 9])
    frame = Frame.covering("yx", [view], [1, 1], origin=[2, 3])
    assert (frame.origin, frame.shape) == ((2, 3), (10, 10))
    frame = Frame.covering("yx", [view], [1, 1], origin=[2, 3], shape=[100, 1])
    assert (frame.origin, frame.shape) == ((2, 3), (100, 1))
    assert frame.by_axis(frame.origin) == {"y": 2.0, "x": 3.0}


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"spacing": [0]}, "spacing on x is 0; expected a finite number above 0"),
        ({"spacing": [-1]}, "spacing on x is -1"),
        ({"spacing": [math.nan]}, "spacing on x is nan"),
        ({"shape": [0]}, "shape on x is 0; expected a whole number above 0"),
        ({"shape": [2.5]}, "shape on x is 2.5"),
        ({"origin": [math.inf], "shape": [3]}, "origin on x is inf; expected a finite number"),
        ({"mode": "onion"}, "unknown output_stack_mode 'onion'"),
    ],
)
def test_what_cannot_be_a_frame_says_why(what: dict[str, Any], said: str) -> None:
    given = {"spacing": [1.0], **what}
    with pytest.raises(ViewError) as caught:
        Frame.covering("x", [extent([0], [9])], **given)
    assert said in str(caught.value)


def test_the_corner_is_half_a_pixel_before_the_first_centre() -> None:
    frame = Frame("yx", (2.0, 0.5), (10.0, -3.0), (4, 5))
    assert frame.corner == {"y": 9.0, "x": -3.25}
    assert frame.on_axes("x") == Frame("x", (0.5,), (-3.0,), (5,))


def test_values_are_put_in_the_order_of_axes() -> None:
    assert along("spacing", {"x": 1, "z": 3, "y": 2}, "zyx") == [3, 2, 1]
    assert along("spacing", None, "zyx") is None
    with pytest.raises(ViewError, match=r"lacks \['z'\]"):
        along("spacing", {"x": 1, "y": 2}, "zyx")


SOURCE = Source(ArrayStore(np.zeros((2, 3, 20, 30)), (1, 1, 20, 30)))
FRAME = Frame("yx", (0.5, 2.0), (0.0, 0.0), (100, 100))
WHOLE = Box.of_shape((2, 3, 20, 30))


def test_pixels_that_are_only_shifted_become_a_shifted_view() -> None:
    pixels = PixelMap(np.eye(2), (4.0, -1.5), (0.5, 2.0), is_shift=True)
    view = place_view(SOURCE, WHOLE, pixels, FRAME, order=1, widths={"y": 3.0, "z": 9.0})
    assert isinstance(view, ShiftedView)
    assert view.shift_px == (0.0, 0.0, 4.0, -1.5)
    assert view.widths_px == (0.0, 0.0, 6.0, 0.0)
    later = place_view(SOURCE, WHOLE, pixels, FRAME, order=1, widths={}, leading_shift=[0, 5])
    assert later.placed.start[:2] == (0, 5)


def test_pixels_of_another_size_become_an_affine_view() -> None:
    pixels = PixelMap(np.diag([2.0, 0.5]), (4.0, -1.5), (1.0, 1.0), is_shift=False)
    view = place_view(SOURCE, WHOLE, pixels, FRAME, order=3, widths={"y": 3.0})
    assert isinstance(view, AffineView)
    assert view.offset == (4.0, -1.5)
    assert view.order == 3
    assert view.widths_px == (3.0, 0.0)  # in pixels of the source
    assert view.leading == Box((0, 0), (2, 3))
    later = place_view(SOURCE, WHOLE, pixels, FRAME, order=1, widths={}, leading_shift=[0, 5])
    assert later.placed.start[:2] == (0, 5)
    assert later.placed.stop[:2] == (2, 8)
