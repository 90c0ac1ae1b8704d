"""Decoded chunks of many arrays, within one limit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platefuse.geometry import Box, Pixels
from platefuse.measuring.decoded_chunks import DecodedChunks

CHUNK = Box((0,), (10,))
"""A chunk of ten pixels of one byte."""


class Numbered:
    """An array of one byte for each pixel, which counts how often a chunk is decoded."""

    shape, dtype, chunk, is_free = (100,), np.dtype(np.uint8), (10,), False

    def __init__(self, value: int = 1) -> None:
        self.value, self.decoded = value, 0

    def is_empty(self, index: tuple[int, ...]) -> bool:
        """No chunk is empty."""
        return False

    def decode(self, box: Box) -> Pixels:
        """Pixels with the array's value."""
        self.decoded += 1
        return np.full(box.shape, self.value, np.uint8)


@given(st.integers(1, 60), st.lists(st.integers(0, 7), max_size=60))
def test_most_bytes_are_never_exceeded_by_any_number_of_arrays(most: int, reads: list[int]) -> None:
    """A chunk is kept if those that were used since then are within the limit."""
    arrays, chunks = [Numbered(value) for value in range(8)], DecodedChunks(most)
    recent: list[int] = []  # the last to be used is the last
    for number in reads:
        before = arrays[number].decoded
        assert (chunks.of(arrays[number], CHUNK) == number).all()
        kept = recent[-max(1, most // 10) :]
        assert (arrays[number].decoded == before) == (number in kept)
        recent = [other for other in recent if other != number] + [number]
        assert chunks.kept_bytes <= max(most, 10)
    assert chunks.nbytes == 10 * sum(array.decoded for array in arrays)


def test_a_chunk_that_two_threads_need_is_decoded_once() -> None:
    """The second one waits for the first, and others do not wait for either."""
    started, go_on = Event(), Event()

    class Slow(Numbered):
        def decode(self, box: Box) -> Pixels:
            started.set()
            assert go_on.wait(30)
            return super().decode(box)

    chunks, slow = DecodedChunks(), Slow()
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(chunks.of, slow, CHUNK) for _ in range(2)]
        assert started.wait(30)
        assert (chunks.of(Numbered(2), CHUNK) == 2).all()
        go_on.set()
        assert all((each.result() == 1).all() for each in both)
    assert slow.decoded == 1


def test_an_error_reaches_every_thread_and_is_not_kept() -> None:
    """What could not be read is read again when it is needed again."""
    together = Barrier(2, timeout=30)

    class Broken(Numbered):
        def decode(self, box: Box) -> Pixels:
            self.decoded += 1
            raise OSError(f"attempt {self.decoded}")

    chunks, broken = DecodedChunks(), Broken()

    def read() -> Any:
        together.wait()
        return chunks.of(broken, CHUNK)

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(read) for _ in range(2)]:
            with pytest.raises(OSError, match="attempt"):
                each.result()
    before = broken.decoded
    with pytest.raises(OSError, match=f"attempt {before + 1}"):
        chunks.of(broken, CHUNK)
    assert chunks.nbytes == 0
