"""What is accepted, and that the JSON schema accepts the same."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import jsonschema
import numpy as np
import pytest

from platefuse.errors import ConfigError
from platefuse.storage.expected import (
    COUNT,
    FINITE,
    FLAG,
    NOT_NEGATIVE,
    ORDER,
    POSITIVE,
    Expected,
    by_axis,
    one_of,
    path_of,
    text,
    whole,
)

CHECKS = {
    "count": COUNT,
    "from 0": whole(0),
    "1 to 3": whole(1, 3),
    "positive": POSITIVE,
    "not negative": NOT_NEGATIVE,
    "order": ORDER,
    "flag": FLAG,
    "word": one_of("a", "1"),
    "word or null": one_of("a", "1").nullable("null"),
    "text": text("a text"),
    "no a": text("a text without a", "^[^a]+$"),
    "by axis": by_axis(COUNT, "yx"),
    "by axis or null": by_axis(POSITIVE, "yx").or_none,
    "one axis or more": by_axis(POSITIVE, "yx", least=1),
}  # fmt: skip
VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 4, -0.5, 0.5, 1.0, 2.5, "", "a", "1", "b", "a\nb", "\n", [],
    [1], {}, {"y": 1}, {"y": 0}, {"y": 1.5, "x": -1}, {"z": 1}, {"y": "1"}, {"y": None},
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_check_and_schema_accept_the_same(check: Expected) -> None:
    valid = jsonschema.Draft202012Validator(dict(check.schema)).is_valid
    accepted = [value for value in VALUES if not list(check.faults("it", value))]
    assert accepted == [value for value in VALUES if valid(value)]
    assert 0 < len(accepted) < len(VALUES)


@pytest.mark.parametrize("value", [np.int64(2), np.float32(2), 2.0])
def test_numbers_of_numpy_are_numbers(value: Any) -> None:
    COUNT.check("it", value)
    whole(2, 2).check("it", value)
    FINITE.check("it", value)


@pytest.mark.parametrize("value", [np.bool_(True), np.zeros(2), float("nan"), float("inf"), "2"])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(ConfigError, match="it is "):
        FINITE.check("it", value)


def test_a_flag_of_numpy_is_a_flag() -> None:
    FLAG.check("it", np.bool_(False))
    assert list(FLAG.faults("it", np.int8(1))) == [f"it is {np.int8(1)!r}; expected True or False."]


@pytest.mark.parametrize(
    ("check", "value", "hint"),
    [
        (POSITIVE, "1e2", " This is a text; the number is 100."),  # so does YAML
        (whole(0), "3", " This is a text; the number is 3."),
        (POSITIVE, "2.5", " This is a text; the number is 2.5."),
        (whole(0), "2.5", ""),
        (POSITIVE, "-1", ""),
        (POSITIVE, "inf", ""),
        (POSITIVE, "many", ""),
    ],
)
def test_a_number_in_quotes_is_told_as_such(check: Expected, value: str, hint: str) -> None:
    (fault,) = check.faults("width", value)
    assert fault == f"width is {value!r}; expected {check.words}.{hint}"


@pytest.mark.parametrize(
    ("check", "value", "hint"),
    [
        (
            path_of("a file").nullable("null"),
            "None",
            " This is a text; write null, without quotes.",
        ),
        (path_of("a file").nullable("null"), "~", " This is a text; write null, without quotes."),
        (COUNT.nullable("null"), "null", " This is a text; write null, without quotes."),
        (path_of("a file"), "none", " This is a word for no value, and a value is needed."),
        (path_of("a file"), "~/none", ""),
    ],
)
def test_a_word_for_no_value_is_told_as_such(check: Expected, value: str, hint: str) -> None:
    assert list(check.faults("it", value)) == [f"it is {value!r}; expected {check.words}.{hint}"]


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        by_axis(COUNT, "yx").check("size", {"y": 0, "q": 1, "x": 1.5})
    assert error.value.args == (
        "size has unknown keys ['q']; known are ['y', 'x'].",
        "size on y is 0; expected a whole number above 0.",
        "size on x is 1.5; expected a whole number above 0.",
    )
    assert str(error.value).splitlines() == list(error.value.args)


def test_the_checks_need_no_array_library() -> None:
    code = "import platefuse.storage.options, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
