from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from platefuse.engine.affine import AffineView
from platefuse.engine.sources import Slivers, Source
from platefuse.engine.views import ShiftedView, View
from platefuse.geometry import Box
from tests.arrays import ArrayStore

ARRAY = np.random.default_rng(1).integers(1, 2**16, (20, 23)).astype(np.uint16)
ORDERS = (0, 1, 3)

shifts = st.tuples(*[st.floats(-30, 30).map(lambda v: round(v, 3))] * 2)
whole_shifts = st.tuples(*[st.integers(-30, 30)] * 2)
inner_boxes = st.tuples(
    st.integers(0, 9), st.integers(0, 9), st.integers(1, 11), st.integers(1, 14)
).map(lambda v: Box((v[0], v[1]), (v[0] + v[2], v[1] + v[3])))


def source_of(array: NDArray[Any] = ARRAY, chunk: tuple[int, ...] = (7, 6)) -> Source:
    return Source(ArrayStore(array, chunk))


def smooth(y: Any, x: Any) -> NDArray[np.float64]:
    """A scene that is known everywhere; its second derivatives are at most 0.1."""
    return np.asarray(1000 + 40 * np.sin(0.05 * y + 0.2) * np.cos(0.04 * x) + 0.3 * x)


def smooth_source(shape: tuple[int, int] = (60, 70), chunk: tuple[int, int] = (16, 17)) -> Source:
    return source_of(smooth(*np.ogrid[: shape[0], : shape[1]]), chunk)


def whole(view: View) -> NDArray[Any]:
    pixels = view.fetch(view.placed, "all")
    assert pixels is not None
    return pixels


def parts_of(box: Box, unit: tuple[int, int]) -> list[Box]:
    """A box cut by a grid that does not begin where the box does."""
    cuts = [
        sorted({a, b, *range(math.ceil(a / u) * u, b, u)})
        for a, b, u in zip(box.start, box.stop, unit, strict=True)
    ]
    return [
        Box(tuple(a for a, _ in cell), tuple(b for _, b in cell))
        for cell in itertools.product(*map(itertools.pairwise, cuts))
    ]


@given(box=inner_boxes, shift=whole_shifts, order=st.sampled_from(ORDERS))
def test_a_view_moved_by_whole_pixels_is_a_copy(
    box: Box, shift: tuple[int, int], order: int
) -> None:
    view = ShiftedView.at(source_of(), box, shift, order=order)
    assert view.is_whole
    assert view.placed == box.shifted(shift)
    got = whole(view)
    assert got.dtype == ARRAY.dtype
    np.testing.assert_array_equal(got, ARRAY[box.slices])


@given(box=inner_boxes, shift=shifts)
def test_order_0_takes_the_nearest_pixels(box: Box, shift: tuple[float, float]) -> None:
    view = ShiftedView.at(source_of(), box, shift, order=0)
    np.testing.assert_array_equal(whole(view), ARRAY[box.slices])
    for placed, first, moved in zip(view.placed.start, box.start, shift, strict=True):
        assert abs(placed - first - moved) <= 0.5


@given(box=inner_boxes, shift=shifts, order=st.sampled_from(ORDERS))
def test_a_view_covers_the_pixels_whose_centres_lie_in_its_moved_box(
    box: Box, shift: tuple[float, float], order: int
) -> None:
    view = ShiftedView.at(source_of(), box, shift, order=order)
    assert view.placed.shape == box.shape
    for axis in range(2):
        low, high = (edge + view.shift_px[axis] - 0.5 for edge in (box.start[axis], box.stop[axis]))
        assert low - 1e-9 <= view.placed.start[axis]
        assert view.placed.stop[axis] - 1 <= high + 1e-9


@example(cut=1, shift=(0.5, 0.5), order=1)
@example(cut=2, shift=(0.5, -1.5), order=1)
@given(cut=st.integers(1, 19), shift=shifts, order=st.sampled_from(ORDERS))
def test_views_that_abut_in_the_source_abut_in_the_output(
    cut: int, shift: tuple[float, float], order: int
) -> None:
    upper = ShiftedView.at(source_of(), Box((0, 0), (cut, 23)), shift, order=order)
    lower = ShiftedView.at(source_of(), Box((cut, 0), (20, 23)), shift, order=order)
    assert upper.placed.stop[0] == lower.placed.start[0]


@settings(max_examples=40)
@given(shift=shifts, order=st.sampled_from(ORDERS))
def test_a_smooth_scene_is_found_where_the_shift_takes_it(
    shift: tuple[float, float], order: int
) -> None:
    view = ShiftedView.at(smooth_source(), Box((4, 5), (55, 60)), shift, order=order)
    y, x = np.ogrid[view.placed.slices]
    expected = smooth(y - shift[0], x - shift[1])
    off = np.abs(whole(view) - expected)
    allowed = {0: 2.0, 1: 0.05, 3: 0.002}[order]
    # Within a kernel of its border a view goes on with its border pixels.
    assert off[2:-2, 2:-2].max() <= allowed
    assert off.max() <= 2.0


@settings(max_examples=30)
@given(
    shift=shifts,
    order=st.sampled_from(ORDERS),
    unit=st.tuples(st.integers(4, 11), st.integers(4, 11)),
    turned=st.sampled_from([0.0, 0.1, -0.7]),
)
def test_a_pixel_does_not_depend_on_the_region_it_is_asked_for_with(
    shift: tuple[float, float], order: int, unit: tuple[int, int], turned: float
) -> None:
    box = Box((1, 2), (18, 22))
    view: View = ShiftedView.at(source_of(), box, shift, order=order, widths_px=(3, 4))
    if turned:
        view = turned_view(source_of(), box, turned, shift, order=order, widths_px=(3, 4))
    pixels, covered = whole(view), covering(view, view.placed)
    weights = np.broadcast_to(view.weights(view.placed), view.placed.shape)
    for part in parts_of(view.placed, unit):
        index = part.within(view.placed)
        got = view.fetch(part, part)
        np.testing.assert_array_equal(covering(view, part), covered[index])
        assert got is not None or not covered[index].any()
        if got is not None:
            np.testing.assert_array_equal(got[covered[index]], pixels[index][covered[index]])
        some = np.broadcast_to(view.weights(part), part.shape)
        np.testing.assert_array_equal(some[covered[index]], weights[index][covered[index]])


def covering(view: View, region: Box) -> NDArray[np.bool_]:
    mask = view.covers(region)
    return np.ones(region.shape, bool) if mask is None else mask


def rotation(angle: float) -> NDArray[np.float64]:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s], [s, c]])


def turned_view(
    source: Source, box: Box, angle: float, offset: tuple[float, float], **options: Any
) -> AffineView:
    return AffineView(source, box, rotation(angle), offset, Box((), ()), **options)


def plain_affine(
    source: Source, box: Box, shift: tuple[float, float], **options: Any
) -> AffineView:
    return AffineView(source, box, np.eye(2), shift, Box((), ()), **options)


@settings(max_examples=60)
@given(box=inner_boxes, shift=shifts, order=st.sampled_from(ORDERS))
def test_an_affine_without_a_turn_is_a_shift(
    box: Box, shift: tuple[float, float], order: int
) -> None:
    # Exact halves may go either way: at whole pixels both borders are as near.
    shift = tuple(s + 0.001 if s % 1 == 0.5 else s for s in shift)  # type: ignore[assignment]
    affine = plain_affine(source_of(), box, shift, order=order, widths_px=(3.0, 4.0))
    moved = ShiftedView.at(source_of(), box, shift, order=order, widths_px=(3.0, 4.0))
    common = affine.placed & moved.placed
    mask = covering(affine, common)
    assert mask.all()
    assert covering(affine, affine.placed).sum() == box.size
    got = whole(affine)[common.within(affine.placed)]
    expected = whole(moved)[common.within(moved.placed)]
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=0.02)
    if order:
        weights = np.broadcast_to(moved.weights(common), common.shape)
        np.testing.assert_allclose(affine.weights(common), weights, atol=1e-6)


@settings(max_examples=40)
@given(
    angle=st.floats(-3.2, 3.2),
    scale=st.tuples(*[st.floats(0.6, 1.7)] * 2),
    shear=st.floats(-0.4, 0.4),
    offset=shifts,
    order=st.sampled_from(ORDERS),
)
def test_a_turned_scaled_and_sheared_view_shows_the_scene_where_the_map_takes_it(
    angle: float,
    scale: tuple[float, float],
    shear: float,
    offset: tuple[float, float],
    order: int,
) -> None:
    matrix = rotation(angle) @ np.array([[1, shear], [0, 1]]) @ np.diag(scale)
    box = Box((4, 5), (55, 60))
    view = AffineView(smooth_source(), box, matrix, offset, Box((), ()), order)
    grid = np.stack(
        np.meshgrid(*map(np.arange, view.placed.start, view.placed.stop), indexing="ij")
    )
    at = np.einsum("ij,jyx->iyx", np.linalg.inv(matrix), grid - np.reshape(offset, (2, 1, 1)))
    edges = zip(at, box.start, box.stop, strict=True)
    distance = np.min([np.minimum(p - (a - 0.5), (b - 0.5) - p) for p, a, b in edges], axis=0)
    mask = covering(view, view.placed)
    assert mask[distance > 1e-5].all(), "pixels inside the view are not covered"
    assert not mask[distance < -1e-5].any(), "pixels outside the view are covered"
    off = np.abs(whole(view) - smooth(*at))
    allowed = {0: 2.5, 1: 0.06, 3: 0.003}[order]
    assert off[distance > 2.5].max(initial=0) <= allowed
    assert off[mask].max(initial=0) <= 2.5


@settings(max_examples=60)
@given(
    shift=shifts,
    order=st.sampled_from(ORDERS),
    turn=st.none() | st.sampled_from([0.0, 0.02, 0.4, 0.8, 2.0]),
    scale=st.sampled_from([0.5, 1.0, 1.7]),
    chunk=st.tuples(st.integers(4, 12), st.integers(4, 12)),
    unit=st.tuples(st.integers(4, 12), st.integers(4, 12)),
)
def test_what_is_asked_for_lies_in_the_box_and_in_the_footprint_of_its_chunk(
    shift: tuple[float, float],
    order: int,
    turn: float | None,
    scale: float,
    chunk: tuple[int, int],
    unit: tuple[int, int],
) -> None:
    """The plan hands slivers to the readers that footprints name: none may be left out."""
    box = Box((1, 2), (18, 22))
    view: View = ShiftedView.at(source_of(), box, shift, order=order)
    if turn is not None:
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), scale * np.cos(turn)]])
        if abs(np.linalg.det(matrix)) < 0.1:
            return
        view = AffineView(source_of(), box, matrix, shift, Box((), ()), order)
    for region in parts_of(view.placed, unit):
        request = view.request(region)
        if request.empty:
            assert not covering(view, region).any()
            continue
        assert box.contains(request)
        if covering(view, region).any():
            for part in parts_of(request, chunk):
                assert not (view.footprint(part, unit) & region).empty


def test_axes_before_space_are_copied_by_an_affine_view() -> None:
    stack = np.stack([ARRAY, ARRAY // 2, ARRAY // 3])
    box = Box((1, 0, 0), (3, 20, 23))
    source = source_of(stack, (1, 7, 6))
    view = AffineView(source, box, np.eye(2), (0.0, 0.0), Box((5,), (7,)), 1)
    assert view.placed == Box((5, 0, 0), (7, 20, 23))
    got = view.fetch(Box((6, 0, 0), (7, 20, 23)), "one")
    assert got is not None
    np.testing.assert_allclose(got[0], ARRAY // 3, atol=1e-2)


@pytest.mark.parametrize("order", ORDERS)
def test_a_stack_turned_in_the_plane_asks_for_no_other_planes(order: int) -> None:
    """Its z is whole: a neighbour there would be decoded and not used."""
    stack = Source(ArrayStore(np.stack([ARRAY] * 5), (1, 7, 6)))
    matrix = np.eye(3)
    matrix[1:, 1:] = rotation(0.02)
    view = AffineView(
        stack, Box((0, 0, 0), (5, 20, 23)), matrix, (1.0, 0.3, 0.4), Box((), ()), order
    )
    request = view.request(Box((3, 5, 5), (4, 12, 12)))
    assert (request.start[0], request.stop[0]) == (2, 3)
    half = replace(view, offset=(1.5, 0.3, 0.4)).request(Box((3, 5, 5), (4, 12, 12)))
    assert half.stop[0] - half.start[0] > 1


def test_nothing_stored_is_nothing_fetched() -> None:
    holes = frozenset(itertools.product(range(3), range(4)))
    empty = Source(ArrayStore(ARRAY * 0, (7, 6), holes))
    empty.expect(lambda chunk: (), Slivers())
    for view in (
        ShiftedView.at(empty, Box((0, 0), (20, 23)), (0.5, 0.5), order=1),
        plain_affine(empty, Box((0, 0), (20, 23)), (0.5, 0.5)),
    ):
        assert view.fetch(view.placed, "all") is None


@pytest.mark.parametrize("order", ORDERS)
def test_weights_of_a_shifted_view_belong_to_source_positions(order: int) -> None:
    view = ShiftedView.at(
        source_of(), Box((0, 0), (20, 23)), (3.25, 0), order=order, widths_px=(4, 0)
    )
    weights = view.weights(view.placed)
    assert weights.shape == (20, 1)
    whole_shift = ShiftedView.at(source_of(), Box((0, 0), (20, 23)), (3, 0), widths_px=(4, 0))
    if order:
        assert weights[0] < whole_shift.weights(whole_shift.placed)[0]
    assert (weights > 0).all()
