"""Tasks on several threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from functools import partial

import pytest

from platefuse.storage import threads as tasks
from platefuse.storage.threads import Task, run_tasks


def test_several_threads_work_at_once() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def work() -> None:
        meeting.wait()

    run_tasks(iter([work, work]), 2)
    assert not meeting.broken


def test_one_thread_is_the_callers() -> None:
    names: list[str] = []
    run_tasks(iter([lambda: names.append(threading.current_thread().name)]), 1)
    assert names == [threading.current_thread().name]


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_have_the_context_of_the_caller(threads: int) -> None:
    """Files of a well that is flushed in the end are not flushed one by one."""
    setting: ContextVar[str] = ContextVar("setting", default="nothing")
    setting.set("of the caller")
    seen: list[str] = []

    def tasks() -> Iterator[Task]:
        seen.append(setting.get())  # made by one of the threads
        yield lambda: seen.append(setting.get())

    run_tasks(tasks(), threads)
    assert seen == ["of the caller"] * 2


@pytest.mark.parametrize("threads", [1, 3])
def test_all_are_done_once_and_begun_in_their_order(threads: int) -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def tasks() -> Iterator[Task]:
        for number in range(100):
            with lock:
                begun.append(number)
            yield partial(done.append, number)

    done: list[int] = []
    run_tasks(tasks(), threads)
    assert begun == list(range(100))
    assert sorted(done) == begun


@pytest.mark.parametrize("threads", [1, 3])
def test_the_first_error_stops_the_work_and_is_raised(threads: int) -> None:
    done = []

    def work(number: int) -> None:
        done.append(number)
        time.sleep(0.001)
        if number == 5:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_tasks((partial(work, number) for number in range(10_000)), threads)
    assert len(done) < 10_000


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_making_a_task_is_raised(threads: int) -> None:
    def tasks() -> Iterator[Task]:
        yield lambda: None
        raise OSError("cannot be opened")

    with pytest.raises(OSError, match="cannot be opened"):
        run_tasks(tasks(), threads)


def test_an_interrupt_lets_no_further_task_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes to the thread that waits for the others."""
    done: list[int] = []

    def work(number: int) -> None:
        time.sleep(0.01)
        done.append(number)

    def interrupted(*_: object, **__: object) -> None:
        time.sleep(0.1)
        raise KeyboardInterrupt

    monkeypatch.setattr(tasks, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_tasks((partial(work, number) for number in range(400)), 2)
    assert len(done) < 200
