from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Hashable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platefuse.engine import sources
from platefuse.engine.sources import Slivers, Source
from platefuse.geometry import Box, grid_box
from tests.arrays import ArrayStore

SHAPE = (13, 17)
ARRAY = np.arange(1, 13 * 17 + 1, dtype=np.uint16).reshape(SHAPE)


def grid(unit: tuple[int, int]) -> list[Box]:
    cells = product(*(range(-(-n // u)) for n, u in zip(SHAPE, unit, strict=True)))
    return [grid_box(index, unit, SHAPE) for index in cells]


units = st.tuples(st.integers(1, 8), st.integers(1, 8))


@given(
    chunk=units,
    start=st.tuples(st.integers(0, 12), st.integers(0, 16)),
    size=st.tuples(st.integers(1, 13), st.integers(1, 17)),
    seed=st.integers(0, 99),
)
def test_a_box_is_read_across_chunks_and_holes(
    chunk: tuple[int, int], start: tuple[int, int], size: tuple[int, int], seed: int
) -> None:
    box = Box(start, tuple(a + n for a, n in zip(start, size, strict=True))) & Box.of_shape(SHAPE)
    every = [tuple(a // c for a, c in zip(b.start, chunk, strict=True)) for b in grid(chunk)]
    chosen = np.random.default_rng(seed).random(len(every)) < 0.4
    holes = {index for index, hole in zip(every, chosen, strict=True) if hole}
    expected = ARRAY.copy()
    for index in holes:
        expected[grid_box(index, chunk, SHAPE).slices] = 0
    source = Source(ArrayStore(ARRAY, chunk, frozenset(holes)))
    source.expect(lambda _: (), Slivers())
    got = source.read(box, "reader")
    if got is None:
        assert not expected[box.slices].any()
    else:
        np.testing.assert_array_equal(got, expected[box.slices])
        assert expected[box.slices].any()


@settings(max_examples=40)
@given(chunk=units, readers=units, seed=st.integers(0, 99), limit=st.sampled_from([0, 40, 10**9]))
def test_readers_in_any_order_get_their_pixels_and_chunks_are_decoded_once(
    chunk: tuple[int, int], readers: tuple[int, int], seed: int, limit: int
) -> None:
    source, slivers, boxes = Source(ArrayStore(ARRAY, chunk)), Slivers(), grid(readers)
    source.expect(
        lambda part: [(b.start, b.start, b) for b in boxes if not (b & part).empty], slivers
    )
    np.random.default_rng(seed).shuffle(boxes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "KEPT_BYTES", limit)
        for box in boxes:
            got = source.read(box, box.start)
            assert got is not None
            np.testing.assert_array_equal(got, ARRAY[box.slices])
    if limit == 10**9:
        assert source.decoded == len(grid(chunk))
    assert not len(slivers)
    assert not source._waiting
    assert not source._decoding


def test_what_is_needed_last_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "KEPT_BYTES", 2 * 13 * 2)
    source, slivers = Source(ArrayStore(ARRAY, SHAPE)), Slivers()
    columns = [Box((0, x), (13, x + 1)) for x in (3, 2, 0, 1)]
    source.expect(lambda part: [(b.start[1], b.start[1], b) for b in columns], slivers)
    source.read(columns[2], 0)
    assert len(slivers) == 2
    for column in (1, 2):
        assert slivers.take(column, Box((0, column), (13, column + 1))) is not None


def test_there_is_room_before_a_copy_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    slivers, held = Slivers(), []

    class Pixels(np.ndarray[Any, Any]):
        def copy(self, order: Any = "C") -> Any:
            held.append(sum(kept.nbytes for _, kept in slivers._kept.values()))
            return np.array(self)

    monkeypatch.setattr(sources, "KEPT_BYTES", 100)
    pixels = np.zeros(40, "u1").view(Pixels)
    for rank in (3, 2, 1, 4, 0):
        slivers.keep(rank, Box((0,), (40,)), rank, pixels)
    assert held == [0, 40, 40, 40]
    assert {rank for rank, _ in slivers._kept} == {0, 1}
    assert slivers.nbytes == 80


def test_nothing_is_let_go_for_what_does_not_fit_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "KEPT_BYTES", 100)
    slivers = Slivers()
    for rank, size in ((1, 40), (9, 40), (5, 101), (6, 70)):
        slivers.keep(rank, Box((0,), (size,)), rank, np.zeros(size, "u1"))
    assert {rank for rank, _ in slivers._kept} == {1, 9}


def test_a_chunk_that_is_decoded_again_is_decoded_for_all_who_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "KEPT_BYTES", 0)
    source, boxes = Source(ArrayStore(ARRAY, SHAPE)), grid((13, 4))
    source.expect(lambda part: [(b.start, b.start, b) for b in boxes], Slivers())
    source.read(boxes[0], boxes[0].start)
    monkeypatch.setattr(sources, "KEPT_BYTES", 10**9)
    for box in boxes[1:]:
        np.testing.assert_array_equal(source.read(box, box.start), ARRAY[box.slices])
    assert source.decoded == 2


def test_slivers_are_small_copies_and_not_whole_chunks_kept_alive() -> None:
    source = Source(ArrayStore(ARRAY, (13, 17)))
    boxes = [Box((0, 0), (13, 16)), Box((0, 16), (13, 17))]
    slivers = Slivers()
    source.expect(lambda part: [(b.start, b.start, b) for b in boxes], slivers)
    source.read(boxes[0], boxes[0].start)
    sliver = slivers.take(boxes[1].start, boxes[1])
    assert sliver is not None
    assert sliver.base is None
    assert sliver.nbytes == 13 * 2


def test_a_chunk_is_decoded_once_also_if_the_second_reader_overtakes_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Both threads meet at one chunk; the first to ask for it is not the first to get its lock.
    overtaken, asked = threading.Event(), threading.Event()

    class ChunkLock:
        def __init__(self) -> None:
            self._lock = threading.Lock()
            asked.set()

        def __enter__(self) -> None:
            if threading.current_thread().name == "slow":
                overtaken.wait(10)
            self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            self._lock.release()

    source = Source(ArrayStore(ARRAY, SHAPE))
    boxes = {"slow": Box((0, 0), (13, 8)), "fast": Box((0, 8), (13, 17))}
    slivers = Slivers()
    source.expect(lambda part: [(0, *item) for item in boxes.items()], slivers)
    monkeypatch.setattr(sources, "Lock", ChunkLock)
    got: dict[Hashable, Any] = {}
    slow = threading.Thread(
        target=lambda: got.update(slow=source.read(boxes["slow"], "slow")), name="slow"
    )
    slow.start()
    assert asked.wait(10)
    got["fast"] = source.read(boxes["fast"], "fast")
    overtaken.set()
    slow.join()
    for name, box in boxes.items():
        np.testing.assert_array_equal(got[name], ARRAY[box.slices])
    assert source.decoded == 1
    assert not len(slivers)


def test_threads_read_everything_once(thread_switches: None) -> None:
    source = Source(ArrayStore(ARRAY, (3, 4)))
    boxes = grid((2, 5))
    slivers = Slivers()
    source.expect(
        lambda part: [(b.start, b.start, b) for b in boxes if not (b & part).empty], slivers
    )
    waiting = iter(boxes)
    lock = threading.Lock()
    wrong: list[Box] = []

    def work() -> None:
        while True:
            with lock:
                box = next(waiting, None)
            if box is None:
                return
            got = source.read(box, box.start)
            if got is None or (got != ARRAY[box.slices]).any():
                wrong.append(box)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert source.decoded == len(grid((3, 4)))
    assert not len(slivers)


@pytest.fixture
def thread_switches() -> Iterator[None]:
    """Threads take turns as often as the interpreter can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_a_source_that_is_free_is_read_without_book_keeping() -> None:
    source = Source(ArrayStore(ARRAY, (3, 4), is_free=True))
    slivers = Slivers()
    source.expect(lambda part: [(0, "other", part)], slivers)
    got = source.read(Box((1, 2), (9, 11)), "reader")
    np.testing.assert_array_equal(got, ARRAY[1:9, 2:11])
    assert not len(slivers)


def test_a_source_goes_to_another_process_without_locks_and_slivers() -> None:
    source = Source(ArrayStore(ARRAY, (3, 4)))
    slivers = Slivers()
    source.expect(lambda part: [(0, "other", part)], slivers)
    source.read(Box((0, 0), (1, 1)), "reader")
    there = pickle.loads(pickle.dumps(source))
    assert not len(there.slivers)
    np.testing.assert_array_equal(there.read(Box((0, 0), (2, 2)), "reader"), ARRAY[:2, :2])


def test_a_source_that_nobody_planned_for_reads_just_the_box() -> None:
    source = Source(ArrayStore(ARRAY, (3, 4)))
    for _ in range(2):
        got = source.read(Box((2, 3), (9, 8)), "reader")
        np.testing.assert_array_equal(got, ARRAY[2:9, 3:8])
    assert source.decoded == 0
