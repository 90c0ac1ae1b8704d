"""Calls of zarr in the thread that makes them, and in zarr's own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from platefuse.geometry import Box
from platefuse.ngff.create import create_image
from platefuse.storage.arrays import StoredArray, get, put
from platefuse.storage.threads import calls_in_this_thread, own_loop, run_tasks

ALL = (slice(0, 8),)


@pytest.fixture
def array(tmp_path: Path) -> zarr.Array[Any]:
    return zarr.create_array(tmp_path / "a", shape=(8,), chunks=(3,), dtype="u2", fill_value=7)


def _write_and_read(array: zarr.Array[Any]) -> None:
    put(array, (slice(3, 6),), np.array([1, 2, 3], np.uint16))
    assert get(array, ALL).tolist() == [7, 7, 7, 1, 2, 3, 7, 7]
    assert get(array, (slice(4, 7),)).tolist() == [2, 3, 7]


def test_pixels_come_back_in_any_thread(array: zarr.Array[Any]) -> None:
    _write_and_read(array)
    with calls_in_this_thread():
        _write_and_read(array)
    _write_and_read(array)


def test_codecs_run_in_the_thread_that_asks(
    array: zarr.Array[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()
    pipeline = type(array.async_array.codec_pipeline)
    read = pipeline.read

    async def watched(*args: Any, **kwargs: Any) -> None:
        threads.add(threading.current_thread())
        await asyncio.to_thread(lambda: threads.add(threading.current_thread()))
        await read(*args, **kwargs)

    monkeypatch.setattr(pipeline, "read", watched)
    with calls_in_this_thread():
        get(array, ALL)
    assert threads == {threading.current_thread()}
    get(array, ALL)
    assert len(threads) > 1


@pytest.mark.parametrize("threads", [1, 2])
def test_tasks_read_and_write_in_their_own_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Fails if a call goes to zarr's event loop: one thread for all would be the bottleneck."""
    zarr.create_array(tmp_path / "a", shape=(8,), chunks=(4,), dtype="u2")
    stored = StoredArray.open(tmp_path / "a", mode="r+")
    pipeline, at_work = type(stored.zarr_array.async_array.codec_pipeline), []

    def watch(name: str) -> None:
        original = getattr(pipeline, name)

        async def watched(*args: Any, **kwargs: Any) -> None:
            at_work.append((name, threading.current_thread()))
            at_work.append((name, await asyncio.to_thread(threading.current_thread)))
            await original(*args, **kwargs)

        monkeypatch.setattr(pipeline, name, watched)

    def work(start: int) -> None:
        box = Box((start,), (start + 4,))
        at_work.clear()
        stored.write(box, np.arange(4, dtype=np.uint16))
        stored.decode(box)
        here = threading.current_thread()
        assert at_work == [("write", here)] * 2 + [("read", here)] * 2

    watch("read")
    watch("write")
    lock = threading.Lock()

    def one_by_one(start: int) -> None:
        with lock:
            work(start)

    run_tasks(iter([partial(one_by_one, 0), partial(one_by_one, 4)]), threads)


def test_errors_come_out_and_the_next_call_works(array: zarr.Array[Any], tmp_path: Path) -> None:
    put(array, ALL, np.arange(8, dtype=np.uint16))
    stored = sorted(p for p in (tmp_path / "a").rglob("*") if p.is_file() and p.suffix != ".json")
    content = stored[0].read_bytes()
    stored[0].write_bytes(b"no chunk")
    with calls_in_this_thread():
        with pytest.raises(Exception, match=r".+"):
            get(array, ALL)
        stored[0].write_bytes(content)
        assert get(array, ALL).tolist() == list(range(8))


def test_many_threads_at_once(array: zarr.Array[Any]) -> None:
    put(array, ALL, np.arange(8, dtype=np.uint16))

    def read(_: int) -> list[int]:
        with calls_in_this_thread():
            return list(get(array, ALL))

    with ThreadPoolExecutor(4) as pool:
        assert all(found == list(range(8)) for found in pool.map(read, range(40)))


def test_within_a_running_event_loop_calls_are_zarrs_own(array: zarr.Array[Any]) -> None:
    async def as_in_a_notebook() -> None:
        with calls_in_this_thread():
            _write_and_read(array)

    asyncio.run(as_in_a_notebook())


def test_one_may_begin_within_another(array: zarr.Array[Any]) -> None:
    with calls_in_this_thread():
        with calls_in_this_thread():
            _write_and_read(array)
        _write_and_read(array)


def test_the_event_loop_of_the_caller_stays_his(array: zarr.Array[Any]) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        with calls_in_this_thread():
            _write_and_read(array)
        assert asyncio.get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_arrays_are_created_and_opened_in_this_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch to zarr's event loop and back takes as long as opening an array."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("this call went to zarr's event loop")

    monkeypatch.setattr("zarr.core.sync.sync", refuse)
    for module in ("zarr.api.synchronous", "zarr.core.array"):
        monkeypatch.setattr(f"{module}.sync", refuse)
    image = create_image(
        tmp_path / "image",
        name="image",
        axes="yx",
        pixel_size=(1.0, 1.0),
        shape=(8, 8),
        dtype=np.dtype(np.uint16),
        chunks=(4, 4),
        shards=None,
        version="0.4",
    )
    assert StoredArray.open(image.level_paths[0]).shape == (8, 8)
    with calls_in_this_thread():
        loop = own_loop()
        assert StoredArray.open(image.level_paths[0]).shape == (8, 8)
        assert own_loop() is loop
