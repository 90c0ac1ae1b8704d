from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from platefuse.engine.affine import AffineView
from platefuse.engine.compose import Blend, Compositor, Paint
from platefuse.engine.sources import Slivers, Source
from platefuse.engine.views import ShiftedView, View
from platefuse.geometry import Box
from tests.arrays import ArrayStore

SHAPE = (24, 26)
DTYPES = (
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int64",
    "uint64",
    "float32",
    "float64",
)
METHODS: tuple[Compositor, ...] = (
    Blend("weighted_average"),
    Blend("mean"),
    Blend("max"),
    Paint("first"),
    Paint("last"),
    Paint("label"),
)

boxes = st.tuples(
    st.integers(0, 22), st.integers(0, 24), st.integers(1, 20), st.integers(1, 20)
).map(lambda v: Box((v[0], v[1]), (min(v[0] + v[2], 24), min(v[1] + v[3], 26))))


def scene(dtype: str, seed: int = 0) -> NDArray[Any]:
    """Random pixels over the whole range of a dtype."""
    kind = np.dtype(dtype)
    random = np.random.default_rng(seed)
    if kind.kind == "f":
        return (random.normal(size=SHAPE) * 10.0 ** random.integers(-9, 9, SHAPE)).astype(dtype)
    bits = random.integers(0, 256, (*SHAPE, kind.itemsize), np.uint8)
    return bits.view(kind)[..., 0] if dtype != "bool" else bits[..., 0] > 127


def cut_out(
    pixels: NDArray[Any],
    box: Box,
    widths_px: tuple[float, ...] = (),
    chunk: tuple[int, int] = (5, 6),
) -> ShiftedView:
    """A view with an array of its own that shows a box of the scene where it is."""
    source = Source(ArrayStore(np.ascontiguousarray(pixels[box.slices]), chunk))
    return ShiftedView.at(source, Box.of_shape(box.shape), box.start, widths_px=widths_px)


def compose(
    how: Compositor, views: list[View], dtype: str | np.dtype[Any], region: Box | None = None
) -> NDArray[Any] | None:
    return how.compose(region or Box.of_shape(SHAPE), views, np.dtype(dtype), "block")


@pytest.mark.parametrize("how", METHODS, ids=lambda how: f"{type(how).__name__}-{how}")
@settings(max_examples=40)
@given(
    found=st.lists(boxes, min_size=1, max_size=6),
    dtype=st.sampled_from(DTYPES),
    width=st.sampled_from([0.0, 0.5, 3.0, 100.0]),
    seed=st.integers(0, 9),
)
def test_views_that_agree_give_the_scene_to_the_bit(
    found: list[Box], dtype: str, width: float, seed: int, how: Compositor
) -> None:
    pixels = scene(dtype, seed)
    views: list[View] = [cut_out(pixels, box, (width, width)) for box in found]
    expected = np.zeros_like(pixels)
    for box in found:
        expected[box.slices] = pixels[box.slices]
    got = compose(how, views, dtype)
    assert got is not None
    assert got.dtype == pixels.dtype
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("how", METHODS, ids=lambda how: f"{type(how).__name__}-{how}")
@settings(max_examples=30)
@given(
    found=st.lists(boxes, min_size=2, max_size=5),
    dtype=st.sampled_from(["uint8", "uint16", "int64", "float32"]),
    start=st.tuples(st.integers(0, 22), st.integers(0, 24)),
    size=st.tuples(st.integers(1, 15), st.integers(1, 15)),
)
def test_a_block_does_not_depend_on_how_the_output_is_cut(
    found: list[Box], dtype: str, start: tuple[int, int], size: tuple[int, int], how: Compositor
) -> None:
    views: list[View] = [cut_out(scene(dtype, i), box, (4, 4)) for i, box in enumerate(found)]
    stop = tuple(a + n for a, n in zip(start, size, strict=True))
    region = Box(start, stop) & Box.of_shape(SHAPE)
    everything, part = compose(how, views, dtype), compose(how, views, dtype, region)
    assert everything is not None
    if part is None:
        assert not everything[region.slices].any()
    else:
        np.testing.assert_array_equal(part, everything[region.slices])


@settings(max_examples=60)
@given(
    found=st.lists(boxes, min_size=2, max_size=4),
    dtype=st.sampled_from(["uint8", "int16", "uint16", "int32"]),
    method=st.sampled_from(["mean", "max"]),
)
def test_values_that_differ_are_averaged_and_rounded_to_nearest(
    found: list[Box], dtype: str, method: Literal["mean", "max"]
) -> None:
    scenes = [scene(dtype, seed) for seed in range(len(found))]
    views: list[View] = [cut_out(s, box) for s, box in zip(scenes, found, strict=True)]
    got = compose(Blend(method), views, dtype)
    assert got is not None
    for y, x in np.ndindex(SHAPE):
        pixel = Box((y, x), (y + 1, x + 1))
        here = zip(scenes, found, strict=True)
        values = [int(s[y, x]) for s, box in here if box.contains(pixel)] or [0]
        if method == "max":
            assert got[y, x] == max(values)
        else:
            # Halves may go either way: the correction is computed in floats.
            slack = Fraction(1, 10**4) if np.dtype(dtype).itemsize < 4 else 1
            exact = Fraction(sum(values), len(values))
            assert abs(int(got[y, x]) - exact) <= Fraction(1, 2) + slack


def test_the_weighted_average_weighs_by_the_distance_to_the_borders() -> None:
    left, right = np.full(SHAPE, 100.0), np.full(SHAPE, 200.0)
    views: list[View] = [
        cut_out(left, Box((0, 0), (24, 16)), (0, 10)),
        cut_out(right, Box((0, 10), (24, 26)), (0, 10)),
    ]
    got = compose(Blend(), views, "float64")
    assert got is not None
    assert (got[:, :10] == 100).all()
    assert (got[:, 16:] == 200).all()
    ramp = got[3, 10:16]
    assert (np.diff(ramp) > 0).all()
    np.testing.assert_allclose(ramp + ramp[::-1], 300)  # both sides alike
    distance = 0.5 - 0.5 * np.cos(np.pi * (np.arange(6) + 0.5) / 10)
    np.testing.assert_allclose(
        ramp, (100 * distance[::-1] + 200 * distance) / (distance + distance[::-1])
    )


def test_integers_are_rounded_and_not_cut() -> None:
    views: list[View] = [
        cut_out(np.full(SHAPE, value, np.uint16), Box.of_shape(SHAPE))
        for value in (1000, 1001, 1001)
    ]
    got = compose(Blend("mean"), views, "uint16")
    assert got is not None
    assert (got == 1001).all()


@pytest.mark.parametrize(
    ("dtype", "one", "other"),
    [
        ("uint64", 2**63 + 30_000_000, 2**63 + 10_000_000),
        ("uint64", 2**64 - 1, 0),
        ("uint64", 0, 2**64 - 1),
        ("int64", -(2**63), 2**63 - 1),
        ("int64", 2**63 - 1, -(2**63)),
    ],
)
@pytest.mark.parametrize("times", [1, 7])
def test_huge_integers_are_averaged_without_overflow(
    dtype: str, one: int, other: int, times: int
) -> None:
    views: list[View] = [
        cut_out(np.full(SHAPE, value, dtype), Box.of_shape(SHAPE))
        for value in (one, *[other] * times)
    ]
    got = compose(Blend("mean"), views, dtype)
    assert got is not None
    mean = (one + times * other) // (times + 1)
    assert abs(int(got[0, 0]) - mean) <= 2**12  # float64 at 2**63


@pytest.mark.parametrize(("winner", "expected"), [("first", 1), ("last", 3)])
def test_one_view_wins(winner: Literal["first", "last"], expected: int) -> None:
    views: list[View] = [
        cut_out(np.full(SHAPE, value, np.uint8), Box.of_shape(SHAPE)) for value in (1, 2, 3)
    ]
    got = compose(Paint(winner), views, "uint8")
    assert got is not None
    assert (got == expected).all()


def test_labels_take_the_first_id_that_is_there() -> None:
    one, two = np.zeros(SHAPE, np.uint32), np.full(SHAPE, 2**31 + 5, np.uint32)
    one[:4] = 2**24 + 1
    views: list[View] = [cut_out(one, Box.of_shape(SHAPE)), cut_out(two, Box((0, 0), (9, 26)))]
    got = compose(Paint("label"), views, "uint32")
    assert got is not None
    assert (got[:4] == 2**24 + 1).all()
    assert (got[4:9] == 2**31 + 5).all()
    assert (got[9:] == 0).all()


@settings(max_examples=60)
@given(
    found=st.lists(st.tuples(boxes, st.integers(0, 9)), min_size=1, max_size=6),
    share=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_a_pixel_of_labels_is_that_of_the_first_view_with_an_id(
    found: list[tuple[Box, int]], share: float
) -> None:
    """Computed pixel by pixel here: views overlap in any way, and some are empty."""
    views: list[View] = []
    expected = np.zeros(SHAPE, np.uint16)
    for number, (box, seed) in enumerate(found, 1):
        random = np.random.default_rng(seed)
        ids = np.where(random.random(SHAPE) < share, number * 1000 + random.integers(99), 0)
        views.append(cut_out(ids.astype(np.uint16), box))
        for at in np.ndindex(box.shape):
            place = tuple(a + n for a, n in zip(box.start, at, strict=True))
            if expected[place] == 0:
                expected[place] = ids[place]
    got = compose(Paint("label"), views, "uint16")
    assert got is not None
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("how", METHODS, ids=lambda how: f"{type(how).__name__}-{how}")
def test_zeros_that_are_data_count_and_blocks_without_data_are_none(how: Compositor) -> None:
    full = cut_out(np.full(SHAPE, 50, np.uint8), Box.of_shape(SHAPE))
    holes = frozenset(np.ndindex(5, 5))
    source = Source(ArrayStore(np.zeros(SHAPE, np.uint8), (5, 6), holes))
    source.expect(lambda chunk: (), Slivers())
    empty = ShiftedView.at(source, Box.of_shape(SHAPE), (0, 0))
    assert compose(how, [empty], "uint8") is None
    assert compose(how, [], "uint8") is None
    got = compose(how, [empty, full], "uint8")
    assert got is not None
    mixed = isinstance(how, Blend) and how.method != "max"
    expected = 25 if mixed else 0 if how == Paint("first") else 50
    assert (got == expected).all()


@pytest.mark.parametrize("how", METHODS, ids=lambda how: f"{type(how).__name__}-{how}")
@pytest.mark.parametrize("dtype", ["uint16", "int64", "float32"])
def test_pixels_that_a_turned_view_does_not_cover_are_left_to_the_others(
    how: Compositor, dtype: str
) -> None:
    pixels = np.full(SHAPE, 1000).astype(dtype)
    below = cut_out(pixels, Box((0, 0), (24, 13)))
    source = Source(ArrayStore(pixels, (5, 6)))
    angle = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    turned = AffineView(source, Box((6, 8), (18, 20)), angle, (6.0, -6.0), Box((), ()), 1, (2, 2))
    orders: list[list[View]] = [[below, turned], [turned, below], [turned]]
    for views in orders:
        got = compose(how, views, dtype)
        mask = np.zeros(SHAPE, bool)
        for view in views:
            box = view.placed & Box.of_shape(SHAPE)
            inside = view.covers(box)
            mask[box.slices] |= True if inside is None else inside
        assert got is not None
        assert (got[mask] == 1000).all()
        assert (got[~mask] == 0).all()


@pytest.mark.parametrize("how", METHODS, ids=lambda how: f"{type(how).__name__}-{how}")
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "float32"])
def test_views_on_whole_pixels_and_between_them_mix(how: Compositor, dtype: str) -> None:
    pixels = np.full(SHAPE, 100).astype(dtype)
    source = Source(ArrayStore(pixels, (5, 6)))
    between = ShiftedView.at(source, Box.of_shape(SHAPE), (0.25, -0.4), order=1)
    views: list[View] = [cut_out(pixels, Box((0, 0), (24, 13))), between]
    for order in (views, views[::-1]):
        got = compose(how, order, dtype)
        assert got is not None
        assert got.dtype == pixels.dtype
        assert (got == 100).all()


@pytest.mark.parametrize("how", METHODS, ids=lambda how: f"{type(how).__name__}-{how}")
def test_what_a_turned_view_shows_beside_its_box_counts_for_nothing(how: Compositor) -> None:
    below = cut_out(np.full(SHAPE, 100.0), Box.of_shape(SHAPE))
    source = Source(ArrayStore(np.full(SHAPE, 300.0), (5, 6)))
    angle = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    turned = AffineView(source, Box((6, 8), (18, 20)), angle, (6.0, -6.0), Box((), ()), 1, (2, 2))
    box = turned.placed & Box.of_shape(SHAPE)
    covered = np.zeros(SHAPE, bool)
    inside = turned.covers(box)
    assert inside is not None
    covered[box.slices] = inside
    orders: list[list[View]] = [[below, turned], [turned, below]]
    for views in orders:
        got = compose(how, views, "float64")
        assert got is not None
        assert (got[~covered] == 100).all()
        if isinstance(how, Blend):
            assert (got[covered] > 100).all()
    other = cut_out(np.full(SHAPE, 200.0), Box.of_shape(SHAPE))
    got = compose(Blend("mean"), [below, other, turned], "float64")
    assert got is not None
    assert (got[~covered] == 150).all()
    assert (got[covered] == 200).all()


@given(
    dtype=st.sampled_from(["int64", "uint64"]),
    seeds=st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=5),
    apart=st.sampled_from([10, 2**20, 2**40, 2**64]),
)
def test_large_integers_are_mixed_to_the_last_digit(
    dtype: str, seeds: list[int], apart: int
) -> None:
    lowest, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    values = [lowest + (seeds[0] + (seed - seeds[0]) % apart) % 2**64 for seed in seeds]
    views: list[View] = [
        cut_out(np.full(SHAPE, value, dtype), Box.of_shape(SHAPE)) for value in values
    ]
    got = compose(Blend("mean"), views, dtype)
    assert got is not None
    assert (got == got[0, 0]).all()
    distance = abs(int(got[0, 0]) - Fraction(sum(values), len(values)))
    assert distance <= Fraction(1, 2) + Fraction(max(values) - min(values), 2**50)
    assert lowest <= int(got[0, 0]) <= highest


@pytest.mark.parametrize("values", [(np.inf, 5), (5, np.inf), (-np.inf, 5), (-3e38, 3e38), (2, 4)])
@pytest.mark.parametrize("how", [Blend(fill=0.0), Blend("mean", fill=0.0)])
def test_infinity_stays_and_values_far_apart_have_their_mean(
    values: tuple[float, float], how: Blend
) -> None:
    views: list[View] = [
        cut_out(np.full(SHAPE, value, np.float32), Box.of_shape(SHAPE)) for value in values
    ]
    got = compose(how, views, "float32")
    np.testing.assert_array_equal(got, np.full(SHAPE, np.mean(values), np.float32))
