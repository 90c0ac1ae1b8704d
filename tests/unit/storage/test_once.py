from __future__ import annotations

import pytest

from platefuse.storage.once import read_once, reading_once


def counting() -> tuple[list[str], object]:
    calls: list[str] = []

    @read_once
    def read(name: str, *, suffix: str = "") -> str:
        calls.append(name)
        if name == "bad":
            raise ValueError(name)
        return name + suffix

    return calls, read


def test_a_function_runs_once_for_each_set_of_arguments() -> None:
    calls, read = counting()
    assert callable(read)
    with reading_once():
        assert [read("a"), read("a"), read("b"), read("a", suffix="x")] == ["a", "a", "b", "ax"]
    assert calls == ["a", "b", "a"]
    assert read("a") == "a"
    assert calls == ["a", "b", "a", "a"]


def test_nothing_is_kept_from_one_block_to_the_next() -> None:
    calls, read = counting()
    assert callable(read)
    for _ in range(2):
        with reading_once():
            read("a")
    assert calls == ["a", "a"]


def test_errors_are_not_kept() -> None:
    calls, read = counting()
    assert callable(read)
    with reading_once():
        for _ in range(2):
            with pytest.raises(ValueError, match="bad"):
                read("bad")
    assert calls == ["bad", "bad"]
