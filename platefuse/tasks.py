"""Tasks on several threads: what they do is theirs, that they all run or stop is done here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event, Lock

from platefuse.zarr_calls import calls_in_this_thread

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
