from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from platefuse.engine.affine import AffineView
from platefuse.engine.compose import Paint
from platefuse.engine.downsample import nearest
from platefuse.engine.sources import Source
from platefuse.engine.views import ShiftedView, View
from platefuse.engine.write import Target, write_views
from platefuse.errors import ConfigError, ViewError
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.labels import RelabelledView, consistent_ids, distinct, merge_labels
from platefuse.geometry import Box
from tests.arrays import Array, ArrayLevel, ArrayStore


def field(pixels: Array, at: tuple[int, ...], chunk: tuple[int, ...] = (4, 4)) -> ShiftedView:
    """A whole array as a view, placed at `at`."""
    source = Source(ArrayStore(pixels, chunk))
    return ShiftedView.at(source, Box.of_shape(pixels.shape), at)


def fuse(views: list[View], shape: tuple[int, ...], dtype: Any, threads: int = 1) -> Array:
    level = ArrayLevel(shape, (5, 7), np.dtype(dtype))
    write_views(views, Target([level], [], nearest), Paint("label"), threads=threads)
    return level.pixels


def merged(
    views: list[View], shape: tuple[int, ...], threshold: float = 0.5, threads: int = 1
) -> Array:
    new = list(merge_labels(views, threshold, label="cells", threads=threads))
    return fuse(list(new), shape, views[0].source.dtype, threads)


def row(text: str, dtype: Any = np.uint16) -> Array:
    """A label of one row, written in digits."""
    return np.array([[int(d) for d in text]], dtype)


def shown(pixels: Array) -> str:
    return "".join(map(str, pixels.ravel()))


def test_objects_that_overlap_get_the_smallest_of_their_ids() -> None:
    left, right = row("0110033"), row("2204400")
    views: list[View] = [field(left, (0, 0)), field(right, (0, 5))]
    assert shown(merged(views, (1, 12))) == "011002204400"


def test_ids_of_different_fields_are_independent() -> None:
    """Without an overlap equal ids are two objects, the first of which keeps the id."""
    views: list[View] = [field(row("0110"), (0, 0)), field(row("0110"), (0, 3))]
    assert shown(merged(views, (1, 7))) == "0110220"
    assert shown(fuse(views, (1, 7), np.uint16)) == "0110110"


def test_an_object_across_many_fields_is_one() -> None:
    views: list[View] = [
        field(row(t), (0, 2 * k)) for k, t in enumerate(("9999", "7777", "8888", "0300"))
    ]
    assert shown(merged(views, (1, 10))) == "3333333300"


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.5, "111111000"), (0.6, "111122000"), (1.0, "111122000")],
)
def test_the_threshold_is_a_share_of_the_smaller_object_in_the_overlap(
    threshold: float, expected: str
) -> None:
    # The overlap is four pixels wide; there the objects have 2 and 3 pixels and share 1.
    views: list[View] = [field(row("111100"), (0, 0)), field(row("0222000"), (0, 2))]
    assert shown(merged(views, (1, 9), threshold)) == expected


def test_new_ids_lie_above_the_highest_and_are_given_in_order_of_the_fields() -> None:
    ids = np.array([5, 9, 5, 9, 5], np.int32)
    new = consistent_ids(ids, np.empty((0, 2), np.int64), "cells")
    assert new.tolist() == [5, 9, 10, 11, 12]
    assert new.dtype == np.int32


def test_no_new_id_is_the_background() -> None:
    ids = np.array([-1, -1, -1], np.int16)
    assert consistent_ids(ids, np.empty((0, 2), np.int64), "cells").tolist() == [-1, 1, 2]


def test_a_dtype_without_room_for_new_ids_is_an_error() -> None:
    views: list[View] = [field(np.full((1, 4), 255, np.uint8), (0, x)) for x in (0, 4)]
    with pytest.raises(ViewError, match=r"'cells'.*ids up to 256.*uint8.*merge_labels: null"):
        merge_labels(views, 0.5, label="cells")


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "uint64"])
def test_the_dtype_is_kept_and_high_ids_are_exact(dtype: str) -> None:
    high = np.iinfo(dtype).max - 2
    left, right = np.array([[0, high, high]], dtype), np.array([[high - 1, high - 1, high]], dtype)
    found = merged([field(left, (0, 0)), field(right, (0, 2))], (1, 5))
    assert found.dtype == np.dtype(dtype)
    assert found.tolist() == [[0, high - 1, high - 1, high - 1, high]]


@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_labels_that_are_no_integers_cannot_be_merged(dtype: str) -> None:
    views: list[View] = [field(np.ones((1, 4), dtype), (0, x)) for x in (0, 2)]
    with pytest.raises(ViewError, match=f"'cells'.*{dtype}.*integers.*merge_labels: null"):
        merge_labels(views, 0.5, label="cells")


def test_nothing_to_merge() -> None:
    assert merge_labels([], 0.5, label="cells") == []
    empty: list[View] = [field(row("000"), (0, 0)), field(row("0000"), (0, 2))]
    (one, other) = merge_labels(empty, 0.5, label="cells")
    assert not one.changes
    assert not other.changes
    assert shown(merged(empty, (1, 6))) == "000000"


def test_ids_that_are_consistent_already_stay_as_they_are() -> None:
    views: list[View] = [field(row("012233"), (0, 0)), field(row("3344"), (0, 4))]
    assert not any(view.changes for view in merge_labels(views, 0.5, label="cells"))


def test_a_view_that_is_scaled_is_merged_where_it_lies_in_the_output() -> None:
    source = Source(ArrayStore(row("1122"), (1, 4)))
    scaled = AffineView(
        source, Box.of_shape((1, 4)), np.diag([1.0, 2.0]), (0.0, 0.5), Box((), ()), order=0
    )
    views: list[View] = [scaled, field(row("3333"), (0, 6))]
    assert shown(merged(views, (1, 10))) == "1111222222"


def test_chunks_are_decoded_once_for_their_ids_and_empty_ones_are_nothing() -> None:
    store = CountingStore(np.arange(64).reshape(8, 8).astype(np.int32), (4, 4), frozenset({(0, 1)}))
    source = Source(store)
    boxes = [Box((0, 0), (8, 4)), Box((0, 4), (8, 8))]
    views = [ShiftedView.at(source, box, (0.0, 20.0 * k)) for k, box in enumerate(boxes)]
    new = merge_labels(views, 0.5, label="cells")
    assert sorted(store.decoded) == [(0, 0), (0, 4), (4, 0), (4, 4)]
    assert [len(view.old) for view in new] == [31, 32]


class CountingStore(ArrayStore):
    """Remembers what was decoded."""

    def __init__(self, array: Array, chunk: tuple[int, ...], holes: Any) -> None:
        super().__init__(array, chunk, holes)
        self.decoded: list[tuple[int, ...]] = []

    def decode(self, box: Box) -> Array:
        self.decoded.append(box.start)
        return super().decode(box)


@given(
    hnp.arrays(
        np.uint16, st.tuples(st.integers(1, 9), st.integers(6, 9)), elements=st.integers(0, 9)
    ),
    st.integers(1, 5),
)
def test_the_same_pixels_by_table_and_by_search(pixels: Array, stride: int) -> None:
    """Ids that lie close together go through a table, those far apart through a search."""
    ids = distinct(pixels)
    new = ids * 3 + 1
    view = field(pixels, (0, 0))
    far = pixels.astype(np.int64) * 10**6
    close, wide = (
        RelabelledView(view, ids, new),
        RelabelledView(field(far, (0, 0)), distinct(far), distinct(far) * 3 + 1),
    )
    got = close.fetch(view.placed, "me")
    got_wide = wide.fetch(view.placed, "me")
    assert got is not None
    assert got_wide is not None
    np.testing.assert_array_equal(got, np.where(pixels, pixels * 3 + 1, 0))
    np.testing.assert_array_equal(got_wide, np.where(far, far * 3 + 1, 0))


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Array, list[tuple[Box, dict[int, int]]]]:
    """Square cells, and fields that cover the scene, each numbering its own cells as it likes."""
    cells, side = draw(st.integers(2, 4)), 6
    scene = np.kron(np.arange(cells * cells).reshape(cells, cells) + 1, np.ones((side, side)))
    scene = scene.astype(np.uint32)
    scene[::side] = scene[:, ::side] = 0
    n = cells * side
    cut = draw(st.integers(6, n - 4))
    overlap = draw(st.integers(2, 4))
    parts = [(0, cut), (cut - overlap, n)]
    fields = []
    for low, high in parts:
        for left, right in parts:
            box = Box((low, left), (high, right))
            own = distinct(scene[box.slices]).tolist()
            new = draw(
                st.lists(st.integers(1, 60), min_size=len(own), max_size=len(own), unique=True)
            )
            fields.append((box, dict(zip(own, new, strict=True))))
    return scene, fields


@settings(max_examples=25)
@given(scenes(), st.sampled_from([0.1, 0.5, 1.0]), st.tuples(st.integers(2, 9), st.integers(2, 9)))
def test_any_numbering_of_the_fields_fuses_to_the_same_objects(
    given_scene: tuple[Array, list[tuple[Box, dict[int, int]]]],
    threshold: float,
    chunk: tuple[int, int],
) -> None:
    scene, fields = given_scene

    def views() -> list[View]:
        found: list[View] = []
        for box, numbering in fields:
            table = np.zeros(int(scene.max()) + 1, np.uint32)
            table[list(numbering)] = list(numbering.values())
            found.append(field(table[scene[box.slices]], box.start, chunk))
        return found

    got = merged(views(), scene.shape, threshold)
    np.testing.assert_array_equal(got, merged(views(), scene.shape, threshold, threads=3))
    np.testing.assert_array_equal(got == 0, scene == 0)
    seen = {tuple(map(int, pair)) for pair in np.stack([scene.ravel(), got.ravel()], axis=1)}
    by_cell: dict[int, set[int]] = {}
    for cell, new in seen - {(0, 0)}:
        by_cell.setdefault(cell, set()).add(new)
    assert all(len(new) == 1 for new in by_cell.values()), "an object in pieces"
    assert len({min(new) for new in by_cell.values()}) == len(by_cell), "two objects in one"
    highest = max(max(numbering.values(), default=0) for _, numbering in fields)
    for cell, ids in by_cell.items():
        own = {numbering[cell] for _, numbering in fields if cell in numbering}
        assert ids == {min(own)} or min(ids) > highest


@given(
    st.lists(st.lists(st.integers(1, 5), max_size=4, unique=True), min_size=1, max_size=5),
    st.data(),
)
def test_ids_are_the_same_where_objects_are_and_nowhere_else(
    lists: list[list[int]], data: st.DataObject
) -> None:
    ids = np.array([i for own in lists for i in sorted(own)], np.int64)
    pairs = st.tuples(*[st.integers(0, max(0, len(ids) - 1))] * 2)
    chosen = data.draw(st.lists(pairs, max_size=4)) if len(ids) else []
    joined = np.array(chosen, np.int64).reshape(-1, 2)
    new = consistent_ids(ids, joined, "cells")
    group = list(range(len(ids)))
    for a, b in chosen:
        group = [group[a] if g == group[b] else g for g in group]
    for a in range(len(ids)):
        for b in range(len(ids)):
            assert (new[a] == new[b]) == (group[a] == group[b])
    wanted = {int(min(ids[k] for k in range(len(ids)) if group[k] == g)) for g in group}
    assert set(new.tolist()) & set(ids.tolist()) == wanted
    invented = sorted(set(new.tolist()) - set(ids.tolist()))
    assert invented == [
        *range(int(ids.max(initial=0)) + 1, int(ids.max(initial=0)) + 1 + len(invented))
    ]


@pytest.mark.parametrize("value", [0, -0.1, 1.01, float("nan")])
def test_a_threshold_that_is_none(value: float) -> None:
    with pytest.raises(ConfigError, match="merge_labels"):
        replace(FusionOptions(), merge_labels=value)
