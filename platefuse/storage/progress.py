"""A progress bar for a terminal; nothing is shown elsewhere.

Whoever does long work on a thread pool tells how many tasks there are (`expect`), and the pool
tells when one is done (`step`). Both do nothing unless a caller wants to see it (`shown`).
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Lock
from typing import TextIO

_SECONDS_BETWEEN = 0.1
_SECONDS_BEFORE = 0.5  # what is done sooner needs no bar
_CLEAR_LINE = "\r\x1b[K"


def bar_text(
    label: str, done: int, total: int, seconds: float, *, unit: str = "", columns: int = 80
) -> str:
    """One line: what is done, how fast, and how long the rest takes at this rate.

    Parameters
    ----------
    label : str
        What is being done.
    done, total : int
        Number of things that are done, and of all.
    seconds : float
        Time since the first was begun.
    unit : str
        Name of the things.
    columns : int
        Width of the terminal. The bar gets what the words leave.

    Examples
    --------
    >>> bar_text("fusing", 12, 48, 240, unit="wells", columns=60)
    'fusing [###-----------] 12/48 wells, 3.00/min, 0:12:00 left'
    >>> bar_text("fusing", 0, 48, 3, unit="wells", columns=40)
    'fusing [-------------------] 0/48 wells'
    """
    words = " ".join(filter(None, [f"{done}/{total}", unit]))
    if done and seconds > 0:
        rate = done / seconds
        left = timedelta(seconds=round((total - done) / rate))
        words += f", {_rate_text(rate)}" + (f", {left} left" if done < total else "")
    room = min(columns - len(label) - len(words) - 5, 40)
    if room < 3:
        return f"{label} {words}"[: max(columns - 1, 1)]
    full = room * done // total if total else room
    return f"{label} [{'#' * full}{'-' * (room - full)}] {words}"


def _rate_text(rate: float) -> str:
    number, unit = (rate, "s") if rate >= 1 else (rate * 60, "min")
    if number < 0.1:
        number, unit = rate * 3600, "h"
    return f"{number:.3g}/{unit}" if number >= 10 else f"{number:.2f}/{unit}"


def is_terminal(stream: TextIO) -> bool:
    """Whether a line on this stream can be written again."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Bar:
    """A progress bar on the last line of a terminal. Its methods may be called by all threads.

    Parameters
    ----------
    stream : TextIO
        Where to. Nothing is drawn if that is no terminal.
    label : str
        What is being done.
    total : int
        Number of things to do.
    unit : str
        Name of the things.
    """

    def __init__(self, stream: TextIO, label: str, total: int = 0, unit: str = "") -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, 0
        self._stream, self._lock = stream, Lock()
        self._draws = is_terminal(stream)
        self._begun = time.monotonic()
        self._drawn = self._begun + _SECONDS_BEFORE - _SECONDS_BETWEEN

    def restart(self, label: str, total: int, unit: str) -> None:
        """Begin another kind of work."""
        self.label, self.total, self.unit, self.done = label, total, unit, 0
        self._begun = time.monotonic()

    def expect(self, tasks: int) -> None:
        """Add to the number of things to do."""
        with self._lock:
            self.total += tasks
        self.draw(now=False)

    def step(self) -> None:
        """Count one more thing as done."""
        with self._lock:
            self.done += 1
        self.draw(now=False)

    def draw(self, *, now: bool = True) -> None:
        """Draw the bar, if there is a terminal; unless `now`, at most ten times a second."""
        if not self._draws or not self.total:
            return
        with self._lock:
            time_now = time.monotonic()
            if now or time_now - self._drawn >= _SECONDS_BETWEEN:
                self._drawn = time_now
                columns = shutil.get_terminal_size().columns
                seconds = time_now - self._begun
                text = bar_text(
                    self.label, self.done, self.total, seconds, unit=self.unit, columns=columns
                )
                self._stream.write(f"{_CLEAR_LINE}{text}")
                self._stream.flush()

    def print(self, line: str) -> None:
        """Write a line above the bar."""
        self.clear()
        self._stream.write(f"{line}\n")
        self._stream.flush()
        self.draw()

    def clear(self) -> None:
        """Remove the bar from the terminal."""
        if self._draws:
            with self._lock:
                self._stream.write(_CLEAR_LINE)
                self._stream.flush()


_shown: Bar | None = None
"""The bar of the public function that is being called; the others count for nothing."""


@contextmanager
def shown(label: str, stream: TextIO | None = None) -> Iterator[None]:
    """Within, tasks on thread pools are counted by a bar on stderr, if that is a terminal.

    A call within a call, or in another thread meanwhile, shows no second bar.
    """
    global _shown
    bar = Bar(sys.stderr if stream is None else stream, label)
    if _shown is not None or not is_terminal(bar._stream):
        yield
        return
    _shown = bar
    try:
        yield
    finally:
        _shown = None
        bar.clear()


def expect(tasks: int) -> None:
    """Tell the bar that is shown, if any, how many tasks will be done."""
    if _shown is not None:
        _shown.expect(tasks)


def step() -> None:
    """Tell the bar that is shown, if any, that a task is done."""
    if _shown is not None:
        _shown.step()
