"""Run tasks on a thread pool, in order, stopping at the first error."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from threading import Event, Lock
from typing import Any, TypeVar

from platefuse.storage import progress

T = TypeVar("T")

Task = Callable[[], object]
"""A function without arguments. What it returns is not used."""


def usable_cores() -> int:
    """Number of cores that this process may use: the default number of threads."""
    return len(os.sched_getaffinity(0))


def run_tasks(tasks: Iterator[Task], threads: int) -> None:
    """Run tasks on several threads, begun in their order, and stop at the first error.

    Tasks are taken one by one, by whichever thread is free: making them may be work as well. All
    threads have the context variables of the caller.
    """
    if threads <= 1:
        with calls_in_this_thread():
            for task in tasks:
                task()
                progress.step()
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
                    progress.step()
            except BaseException:  # also an interrupt stops the other threads
                failed.set()
                raise

    with ThreadPoolExecutor(threads) as pool:
        workers = [pool.submit(copy_context().run, worker) for _ in range(threads)]
        try:
            for future in wait(workers, return_when=FIRST_EXCEPTION).done:
                future.result()
        except BaseException:  # an interrupt as well: the pool waits for what is begun, no more
            failed.set()
            raise


_this_thread = threading.local()


@contextmanager
def calls_in_this_thread() -> Iterator[None]:
    """Within, calls of zarr by `own_loop` run in the thread that makes them.

    Where an event loop is running already, as in a notebook, zarr runs them in a thread of its own.
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


def run_coroutine(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine of Zarr to its end, in this thread and with no other.

    Where an event loop is running already, as in a notebook, it runs in a thread of its own.
    """
    if _is_in_loop():
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: run_coroutine(coroutine)).result()
    with nullcontext() if own_loop() else calls_in_this_thread():
        loop = own_loop()
        assert loop is not None
        return loop.run_until_complete(coroutine)


class InlineExecutor(ThreadPoolExecutor):
    """Runs each function at once, in the thread that submits it."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the function now; the future is done when it is returned."""
        done: Future[Any] = Future()
        try:
            done.set_result(function(*args, **kwargs))
        except BaseException as error:  # the future holds what was raised, whatever it is
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
