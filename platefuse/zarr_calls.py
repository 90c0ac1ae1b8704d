"""Calls of zarr, made in the thread that wants the pixels.

zarr hands every call to an event loop in a thread of its own, and that hands the codecs to further
threads: for each chunk a thread falls asleep and is woken several times, and processors stand idle
meanwhile. A thread that reads and writes many chunks can have an event loop of its own instead,
in which all that a call does is done at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

Pixels = NDArray[Any]
Selection = tuple[slice, ...]

_this_thread = threading.local()


@contextmanager
def calls_in_this_thread() -> Iterator[None]:
    """Within, `get` and `put` of this thread are done in it.

    Where an event loop is running already, as in a notebook, they stay zarr's ordinary calls.
    """
    if _is_in_loop():
        yield
        return
    before = _own_loop()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:  # not the thread's own
        _this_thread.loop = runner.get_loop()
        _this_thread.loop.set_default_executor(_AtOnce(1))
        try:
            yield
        finally:
            _this_thread.loop = before


def get(array: zarr.Array[Any], selection: Selection) -> Pixels:
    """Pixels of a part of an array."""
    loop = _own_loop()
    if loop is None:
        return np.asarray(array[selection])
    return np.asarray(loop.run_until_complete(array.async_array.getitem(selection)))


def put(array: zarr.Array[Any], selection: Selection, pixels: Pixels) -> None:
    """Write a part of an array."""
    loop = _own_loop()
    if loop is None:
        array[selection] = pixels
    else:
        loop.run_until_complete(array.async_array.setitem(selection, pixels))


class _AtOnce(ThreadPoolExecutor):
    """Does what it is given at once, in the thread that gives it."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(function(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done


def _own_loop() -> asyncio.AbstractEventLoop | None:
    return getattr(_this_thread, "loop", None)


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
