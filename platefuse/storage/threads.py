"""Tasks on several threads: what they do is theirs, that they all run or stop is done here."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Event, Lock
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST = 32 * 2**20  # glibc takes no more
_KEPT = 512 * 2**20  # all of it: `MemoryTrimmer` returns what is free
_TURNOVER = 512 * 2**20


def reuse_blocks() -> None:
    """Make the allocator of this process use freed blocks again: one arena, little returned.

    For processes of our own, and before they start a thread: it holds for all of the process.
    Where the C library is not glibc, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


class MemoryTrimmer:
    """Counts bytes that were worked on, and now and then returns what is free to the system."""

    def __init__(self) -> None:
        self._lock, self._nbytes = Lock(), 0

    def add(self, nbytes: int) -> None:
        """So many bytes are done with."""
        with self._lock:
            self._nbytes += nbytes
            if self._nbytes < _TURNOVER:
                return
            self._nbytes = 0
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


Task = Callable[[], object]
"""What it returns is let go."""


def run_tasks(tasks: Iterator[Task], threads: int) -> None:
    """Run tasks on several threads, begun in their order, and stop at the first error.

    Tasks are taken one by one, by whichever thread is free: making them may be work as well.
    """
    if threads <= 1:
        with calls_in_this_thread():
            for task in tasks:
                task()
        return
    lock, failed = Lock(), Event()

    def worker() -> None:
        with calls_in_this_thread():
            try:
                while not failed.is_set():
                    with lock:
                        task = next(tasks, None)
                    if task is None:
                        return
                    task()
            except BaseException:
                failed.set()
                raise

    with ThreadPoolExecutor(threads) as pool:
        workers = [pool.submit(worker) for _ in range(threads)]
        try:
            for future in wait(workers, return_when=FIRST_EXCEPTION).done:
                future.result()
        except BaseException:  # an interrupt as well: the pool waits for what is begun, no more
            failed.set()
            raise


_this_thread = threading.local()


@contextmanager
def calls_in_this_thread() -> Iterator[None]:
    """Within, `get` and `put` of this thread are done in it.

    Where an event loop is running already, as in a notebook, they stay zarr's ordinary calls.
    """
    if _is_in_loop():
        yield
        return
    before = own_loop()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:  # not the thread's own
        _this_thread.loop = runner.get_loop()
        _this_thread.loop.set_default_executor(InlineExecutor(1))
        try:
            yield
        finally:
            _this_thread.loop = before


class InlineExecutor(ThreadPoolExecutor):
    """Runs each function at once, in the thread that submits it."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the function now; the future is done when it is returned."""
        done: Future[Any] = Future()
        try:
            done.set_result(function(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done


def own_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that this thread's calls of zarr are done in; None: zarr's own."""
    return getattr(_this_thread, "loop", None)


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
