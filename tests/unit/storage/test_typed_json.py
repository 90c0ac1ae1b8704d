from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from platefuse.storage.typed_json import UnexpectedJson, from_json, to_json


@dataclass(frozen=True)
class Inner:
    size: tuple[int, ...]
    kind: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if len(self.size) > 2:
            raise ValueError(f"size has {len(self.size)} numbers, expected at most 2")


@dataclass(frozen=True)
class Outer:
    inner: Inner
    many: Mapping[str, Inner]
    origin: str = field(metadata={"key": "from"})
    anything: Mapping[str, Any]
    factor: float
    note: str | None = None
    whole: int | None = None


OUTER = Outer(
    Inner((1, 2)),
    {"one": Inner(()), "two": Inner((3,), "b")},
    "here",
    {"x": None, "y": [1, {"z": (2,)}]},
    2,
    whole=0,
)
JSON = {
    "inner": {"size": [1, 2], "kind": "a"},
    "many": {"one": {"size": [], "kind": "a"}, "two": {"size": [3], "kind": "b"}},
    "from": "here",
    "anything": {"x": None, "y": [1, {"z": [2]}]},
    "factor": 2,
    "whole": 0,
}


def test_keys_are_in_the_order_of_the_fields_and_none_is_left_out() -> None:
    found = to_json(OUTER)
    assert found == JSON
    assert list(found) == list(JSON)


def test_numbers_stay_as_they_are_written() -> None:
    found = from_json(Outer, JSON, "top")
    assert type(found.factor) is int
    assert type(from_json(Outer, {**JSON, "factor": 2.0}, "top").factor) is float
    assert to_json(found) == JSON
    assert found.inner == OUTER.inner
    assert found.many == OUTER.many


def test_unknown_keys_are_ignored_and_optional_ones_may_be_missing() -> None:
    less = {k: v for k, v in JSON.items() if k != "whole"}
    found = from_json(Outer, {**less, "new": 1}, "top")
    assert (found.note, found.whole) == (None, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inner": None}, "`top.inner` is None, expected an object"),
        ({"inner": {}}, "`top.inner.size` is missing"),
        ({"inner": {"size": [1], "kind": None}}, "`top.inner.kind` is None, expected one of"),
        ({"inner": {"size": [1], "kind": "c"}}, "`top.inner.kind` is 'c', expected one of"),
        ({"inner": {"size": [1], "kind": ["a"]}}, r"`top.inner.kind` is \['a'\], expected one of"),
        ({"inner": {"size": (1,)}}, r"`top.inner.size` is \(1,\), expected a list"),
        (
            {"inner": {"size": [1, 2, 3], "kind": "b"}},
            "`top.inner`: size has 3 numbers, expected at most 2",
        ),
        ({"inner": {"size": [1, "2"]}}, r"`top.inner.size\[1\]` is '2', expected an integer"),
        ({"inner": {"size": [False]}}, r"`top.inner.size\[0\]` is False, expected an integer"),
        ({"many": {"one": 1}}, "`top.many.one` is 1, expected an object"),
        ({"many": []}, r"`top.many` is \[\], expected an object"),
        ({"from": 1}, "`top.from` is 1, expected a string"),
        ({"anything": 1}, "`top.anything` is 1, expected an object"),
        ({"factor": "1"}, "`top.factor` is '1', expected a finite number"),
        ({"factor": True}, "`top.factor` is True, expected a finite number"),
        ({"factor": float("inf")}, "`top.factor` is inf, expected a finite number"),
        ({"note": 1}, "`top.note` is 1, expected a string"),
        ({"note": None}, "`top.note` is None, expected a string"),
    ],
)
def test_unexpected_value_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UnexpectedJson, match=f"^{said}"):
        from_json(Outer, {**JSON, **changes}, "top")


def test_what_is_no_object_is_unexpected() -> None:
    with pytest.raises(UnexpectedJson, match=r"^`top` is \[\], expected an object"):
        from_json(Outer, [], "top")


def test_long_values_are_shortened() -> None:
    with pytest.raises(UnexpectedJson) as error:
        from_json(Outer, {**JSON, "factor": "x" * 1000}, "top")
    assert len(str(error.value)) < 100
