from __future__ import annotations

import io

import pytest

from platefuse.storage import progress
from platefuse.storage.progress import Bar, bar_text, shown
from platefuse.storage.threads import run_tasks


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(progress, "_SECONDS_BEFORE", 0.0)
    return Terminal()


@pytest.mark.parametrize(
    ("done", "seconds", "expected"),
    [
        (6, 60, "6/24 wells, 6.00/min, 0:03:00 left"),
        (12, 6, "12/24 wells, 2.00/s, 0:00:06 left"),
        (1, 36_000, "1/24 wells, 0.10/h, 9 days, 14:00:00 left"),
        (24, 60, "24/24 wells, 24/min"),
        (0, 60, "0/24 wells"),
    ],
)
def test_rate_and_time_left(done: int, seconds: float, expected: str) -> None:
    assert bar_text("fusing", done, 24, seconds, unit="wells").endswith(f"] {expected}")


@pytest.mark.parametrize("columns", [10, 30, 40, 60, 80, 200])
@pytest.mark.parametrize("done", [0, 5, 10])
def test_a_bar_is_one_line_and_full_in_proportion(columns: int, done: int) -> None:
    text = bar_text("fusing", done, 10, 100, columns=columns)
    assert len(text) < columns  # in the last column some terminals begin a new line
    if "[" in text:
        inside = text.partition("[")[2].partition("]")[0]
        assert inside.count("#") == len(inside) * done // 10
        assert set(inside) <= set("#-")


@pytest.mark.parametrize("threads", [1, 3])
def test_tasks_are_counted_on_a_terminal(terminal: Terminal, threads: int) -> None:
    with shown("working", terminal):
        progress.expect(5)
        run_tasks(iter([lambda: None] * 5), threads)
    written = terminal.getvalue()
    assert "working [" in written
    assert all(f" {n}/5" in written for n in range(1, 6))
    assert written.endswith("\r\x1b[K")  # the line is free again


def test_nothing_is_shown_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with shown("working", stream):
        progress.expect(2)
        run_tasks(iter([lambda: None] * 2), 1)
    bar = Bar(stream, "working", total=2)
    bar.step()
    bar.draw()
    bar.clear()
    assert stream.getvalue() == ""


def test_a_dumb_terminal_gets_no_bar(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    Bar(terminal, "working", total=2).draw()
    assert terminal.getvalue() == ""


def test_an_inner_call_shows_no_second_bar(terminal: Terminal) -> None:
    inner = Terminal()
    with shown("outer", terminal):
        progress.expect(1)
        with shown("inner", inner):
            progress.step()
    assert inner.getvalue() == ""
    assert "outer" in terminal.getvalue()
    progress.step()  # and none is left
    assert progress._shown is None


def test_an_error_removes_the_bar(terminal: Terminal) -> None:
    def failing() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError), shown("working", terminal):
        run_tasks(iter([failing]), 1)
    assert terminal.getvalue() == "\r\x1b[K"
    assert progress._shown is None


def test_lines_are_written_above_the_bar(terminal: Terminal) -> None:
    bar = Bar(terminal, "working", total=2)
    bar.draw()
    bar.print("B/03 failed")
    assert "\r\x1b[KB/03 failed\n\r\x1b[Kworking" in terminal.getvalue()
