from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from platefuse.engine import pyramid, sources
from platefuse.engine.affine import AffineView
from platefuse.engine.compose import Blend, Compositor, Paint
from platefuse.engine.downsample import mean, nearest
from platefuse.engine.sources import Slivers, Source
from platefuse.engine.views import ShiftedView, View
from platefuse.engine.write import Target, ViewLookup, write_views
from platefuse.geometry import Box
from tests.arrays import ArrayLevel, ArrayStore

SHAPE = (2, 40, 46)
SCENE = np.random.default_rng(3).integers(1, 2**16, SHAPE).astype(np.uint16)


@pytest.fixture(autouse=True, scope="module", params=[0, 2**40], ids=["compressed", "as they are"])
def waiting(request: pytest.FixtureRequest) -> Iterator[None]:
    """How pixels of coarse levels wait for their neighbours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "_SMALL_LEVEL", request.param)
        yield


chunks = st.tuples(st.integers(1, 2), st.integers(5, 20), st.integers(5, 20))
hows: st.SearchStrategy[Compositor] = st.sampled_from(
    [Blend(), Blend("mean"), Blend("max"), Paint("first"), Paint("last"), Paint("label")]
)


def targets(
    chunk: tuple[int, ...], dtype: Any = np.uint16, *, zero_is_fill: bool = True
) -> list[ArrayLevel]:
    shapes = [SHAPE, (2, 20, 23), (2, 10, 11)]
    return [ArrayLevel(shape, chunk, np.dtype(dtype), zero_is_fill) for shape in shapes]


def fuse(
    views: list[View],
    how: Compositor,
    chunk: tuple[int, ...],
    *,
    threads: int = 1,
    dtype: Any = np.uint16,
    zero_is_fill: bool = True,
) -> list[ArrayLevel]:
    levels = targets(chunk, dtype, zero_is_fill=zero_is_fill)
    write_views(views, Target(levels, [(1, 2, 2)] * 2, mean), how, threads=threads)
    return levels


@st.composite
def tilings(draw: st.DrawFn) -> list[Box]:
    """Boxes that cover the scene together: a grid with overlaps, whole in the first axis."""
    cuts = []
    for n in SHAPE[1:]:
        edges = sorted({0, n, *draw(st.lists(st.integers(1, n - 1), max_size=2))})
        over = draw(st.integers(0, 6))
        cuts.append([(max(0, a - over), min(n, b + over)) for a, b in itertools.pairwise(edges)])
    return [Box((0, a, c), (SHAPE[0], b, d)) for (a, b), (c, d) in itertools.product(*cuts)]


def side_by_side(
    pixels: NDArray[Any], tiles: list[Box], chunk: tuple[int, ...]
) -> tuple[Source, list[View]]:
    """One array that holds the tiles one after the other, and the views that put them right."""
    deepest = max(t.shape[1] for t in tiles)
    width = sum(t.shape[2] for t in tiles)
    array = np.zeros((SHAPE[0], deepest, width), pixels.dtype)
    source = Source(ArrayStore(array, chunk))
    views: list[View] = []
    at = 0
    for tile in tiles:
        box = Box((0, 0, at), (tile.shape[0], tile.shape[1], at + tile.shape[2]))
        array[box.slices] = pixels[tile.slices]
        shift = [a - b for a, b in zip(tile.start, box.start, strict=True)]
        views.append(ShiftedView.at(source, box, shift, widths_px=(0, 5, 5)))
        at += tile.shape[2]
    return source, views


@settings(max_examples=60)
@given(
    tiles=tilings(),
    how=hows,
    dtype=st.sampled_from(["uint8", "uint16", "int64", "float32"]),
    source_chunk=chunks,
    target_chunk=chunks,
    threads=st.integers(1, 3),
)
def test_any_tiling_of_a_scene_fuses_to_the_scene_with_every_chunk_decoded_once(
    tiles: list[Box],
    how: Compositor,
    dtype: str,
    source_chunk: tuple[int, ...],
    target_chunk: tuple[int, ...],
    threads: int,
) -> None:
    scene = SCENE.astype(dtype)
    source, views = side_by_side(scene, tiles, source_chunk)
    levels = fuse(views, how, target_chunk, threads=threads, dtype=dtype)
    expected = scene
    for level in levels:
        np.testing.assert_array_equal(level.pixels, expected)
        expected = mean(expected, (1, 2, 2), (2, expected.shape[1] // 2, expected.shape[2] // 2))
    held = itertools.product(
        *(range(-(-n // c)) for n, c in zip(source.shape, source.chunk, strict=True))
    )
    used = [
        index
        for index in held
        if any(
            (
                Box(
                    tuple(i * c for i, c in zip(index, source.chunk, strict=True)),
                    tuple((i + 1) * c for i, c in zip(index, source.chunk, strict=True)),
                )
                & v.box
            ).size
            for v in views
        )
    ]
    assert source.decoded == len(used)
    assert not len(source.slivers)


@settings(max_examples=60)
@given(
    shift=st.tuples(st.just(0), *[st.floats(-12, 12).map(lambda v: round(v, 2))] * 2),
    order=st.sampled_from([0, 1, 3]),
    source_chunk=chunks,
    target_chunk=chunks,
    threads=st.integers(1, 3),
    zero_is_fill=st.booleans(),
)
def test_one_moved_view_reads_every_chunk_once_at_most_and_keeps_nothing(
    shift: tuple[float, ...],
    order: int,
    source_chunk: tuple[int, ...],
    target_chunk: tuple[int, ...],
    threads: int,
    zero_is_fill: bool,
) -> None:
    def moved(chunk: tuple[int, ...]) -> ShiftedView:
        source = Source(ArrayStore(SCENE, chunk))
        return ShiftedView.at(source, Box.of_shape(SHAPE), shift, order=order)

    view, plain = moved(source_chunk), moved(SHAPE)
    levels = fuse([view], Blend(), target_chunk, threads=threads, zero_is_fill=zero_is_fill)
    expected = fuse([plain], Blend(), SHAPE)
    for level, wanted in zip(levels, expected, strict=True):
        np.testing.assert_array_equal(level.pixels, wanted.pixels)
    count = np.prod([-(-n // c) for n, c in zip(SHAPE, source_chunk, strict=True)])
    assert view.source.decoded <= count
    assert not len(view.source.slivers)
    box = view.placed & Box.of_shape(SHAPE)
    if order == 0:
        reference = np.zeros_like(SCENE)
        whole = [-int(s) for s in view.shift_px]
        reference[box.slices] = SCENE[box.shifted(whole).slices]
        np.testing.assert_array_equal(levels[0].pixels, reference)


@settings(max_examples=30)
@given(
    how=hows,
    source_chunk=chunks,
    target_chunk=chunks,
    threads=st.integers(1, 3),
    angle=st.sampled_from([0.0, 0.07, -1.3]),
)
def test_the_result_depends_neither_on_chunks_nor_on_threads(
    how: Compositor,
    source_chunk: tuple[int, ...],
    target_chunk: tuple[int, ...],
    threads: int,
    angle: float,
) -> None:
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.array([[c, -s], [s, c]])

    def views(chunk: tuple[int, ...]) -> list[View]:
        left = Source(ArrayStore(SCENE[:, :, :30].astype(np.float32), chunk))
        right = Source(ArrayStore(SCENE[:, :, 16:].astype(np.float32), chunk))
        return [
            ShiftedView.at(
                left, Box.of_shape(left.shape), (0, 0.3, -0.2), order=1, widths_px=(0, 6, 6)
            ),
            AffineView(
                right, Box.of_shape(right.shape), matrix, (1.2, 15.6), Box((0,), (2,)), 1, (6, 6)
            ),
        ]

    got = fuse(views(source_chunk), how, target_chunk, threads=threads, dtype=np.float32)
    expected = fuse(views((2, 50, 50)), how, (2, 40, 46), dtype=np.float32)
    for level, wanted in zip(got, expected, strict=True):
        np.testing.assert_array_equal(level.pixels, wanted.pixels)


def test_blocks_that_no_view_reaches_are_not_written_where_that_reads_as_zero() -> None:
    view = ShiftedView.at(
        Source(ArrayStore(SCENE, (1, 10, 10))), Box((0, 0, 0), (2, 5, 5)), (0, 30, 30)
    )
    levels = fuse([view], Paint(), (2, 10, 10))
    assert levels[0].written == [Box((0, 30, 30), (2, 40, 40))]
    other = fuse([view], Paint(), (2, 10, 10), zero_is_fill=False)
    np.testing.assert_array_equal(other[0].pixels, levels[0].pixels)
    assert sum(box.size for box in other[0].written) == SCENE.size


def test_views_outside_the_output_are_passed_over() -> None:
    source = Source(ArrayStore(SCENE, (1, 10, 10)))
    gone = ShiftedView.at(source, Box.of_shape(SHAPE), (0, 100, 0))
    levels = fuse([gone], Blend(), (1, 10, 10))
    assert not levels[0].written
    assert source.decoded == 0


def test_labels_are_never_invented() -> None:
    labels = np.zeros(SHAPE, np.uint32)
    labels[:, 3:9, 5:11], labels[:, 9:14, 8:20] = 10, 2**24 + 1
    source = Source(ArrayStore(labels, (2, 13, 13)))
    levels = targets((2, 8, 8), np.uint32)
    view = ShiftedView.at(source, Box.of_shape(SHAPE), (0, 2, -1))
    write_views([view], Target(levels, [(1, 2, 2)] * 2, nearest), Paint("label"))
    for level in levels:
        assert set(np.unique(level.pixels)) <= {0, 10, 2**24 + 1}
    assert set(np.unique(levels[0].pixels)) == {0, 10, 2**24 + 1}


def test_slivers_stay_thin_however_large_the_image(monkeypatch: Any) -> None:
    # A strip 30 times longer than a block: what is kept at once does not grow with it.
    take, kept = Slivers.take, [0]

    def watched(self: Slivers, reader: Any, box: Box) -> Any:
        kept[-1] = max(kept[-1], self.nbytes)
        return take(self, reader, box)

    monkeypatch.setattr(Slivers, "take", watched)
    for rows in (64, 1920):
        kept.append(0)
        array = np.ones((rows, 64), np.uint8)
        source = Source(ArrayStore(array, (32, 64)))
        view = ShiftedView.at(source, Box.of_shape(array.shape), (3, 0))
        level = ArrayLevel(array.shape, (32, 64), np.dtype(np.uint8))
        write_views([view], Target([level], [], mean), Paint())
    assert kept[1] == kept[2] == 3 * 64


def test_little_room_for_slivers_costs_decoding_and_changes_nothing(monkeypatch: Any) -> None:
    source, views = side_by_side(SCENE, [Box.of_shape(SHAPE)], (1, 16, 16))
    plenty = fuse(views, Blend(), (1, 10, 10))
    once = source.decoded
    monkeypatch.setattr(sources, "KEPT_BYTES", 300)
    source, views = side_by_side(SCENE, [Box.of_shape(SHAPE)], (1, 16, 16))
    short = fuse(views, Blend(), (1, 10, 10))
    assert source.decoded > once
    np.testing.assert_array_equal(short[0].pixels, plenty[0].pixels)


@given(
    boxes=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=12),
    tile=chunks,
)
def test_the_lookup_finds_all_views_of_a_tile_in_order(
    boxes: list[tuple[int, int]], tile: tuple[int, ...]
) -> None:
    source = Source(ArrayStore(SCENE, (2, 10, 10)))
    views: list[View] = [
        ShiftedView.at(source, Box((0, 0, 0), (2, 9, 9)), (0, y, x)) for y, x in boxes
    ]
    lookup = ViewLookup(views, SHAPE, tile, Paint())
    for index in itertools.product(*(range(-(-n // t)) for n, t in zip(SHAPE, tile, strict=True))):
        start = tuple(i * t for i, t in zip(index, tile, strict=True))
        region = Box(start, tuple(a + t for a, t in zip(start, tile, strict=True)))
        region = region & Box.of_shape(SHAPE)
        expected = [view for view in views if not (view.placed & region).empty]
        assert [v for v in lookup.touching(index) if not (v.placed & region).empty] == expected
