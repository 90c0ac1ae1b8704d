"""Tests of functions of the rules: they are the methods, and know their signature."""

from __future__ import annotations

from inspect import signature

from platefuse.workflow.rule_functions import rule_function


class Counter:
    """Something with a method that a rule calls."""

    def many(self, wildcards: str, attempt: int, threads: int = 1) -> list[str]:
        """As often as the attempt says."""
        return [wildcards] * attempt * threads


def test_function_has_the_parameters_of_the_method() -> None:
    function = rule_function(Counter().many)
    assert signature(function) == signature(Counter().many)
    assert list(signature(function).parameters) == ["wildcards", "attempt", "threads"]


def test_signature_is_not_computed_again() -> None:
    function = rule_function(Counter().many)
    assert signature(function) is signature(function)


def test_function_calls_the_method() -> None:
    function = rule_function(Counter().many)
    assert function("A", attempt=2) == ["A", "A"]
    assert function.__name__ == "many"
