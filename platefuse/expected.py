"""What values must be: said in words by errors, and tested."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, SupportsFloat

import numpy as np

from platefuse.errors import ConfigError


@dataclass(frozen=True)
class Expected:
    """What an argument must be.

    Attributes
    ----------
    words : str
        How an error says it.
    holds : callable
        Whether a value is that.
    parts : mapping, optional
        If the value is a dict: which keys it may have, and what their values must be.
    """

    words: str
    holds: Callable[[Any], bool]
    parts: Mapping[str, Expected] = field(default_factory=dict)

    @property
    def or_none(self) -> Expected:
        """The same, or None."""
        return Expected(f"{self.words}, or None", lambda v: v is None or self.holds(v), self.parts)

    def check(self, name: str, value: Any) -> None:
        """Raise a `ConfigError` that names the argument if its value is not as expected."""
        if not self.holds(value):
            refuse(name, value, self.words)
        if not self.parts or not isinstance(value, Mapping):
            return
        if unknown := [key for key in value if key not in self.parts]:
            raise ConfigError(f"{name} has unknown keys {unknown}; known are {list(self.parts)}.")
        for key, part in value.items():
            where = f"{name} on {key}" if len(key) == 1 else f"{name}[{key!r}]"
            self.parts[key].check(where, part)


def refuse(name: str, value: Any, expected: str) -> NoReturn:
    """Raise the error that a value is not what was expected of it."""
    raise ConfigError(f"{name} is {value!r}; expected {expected}.")


def number(value: Any) -> float:
    """A finite number as such, all else as NaN."""
    if isinstance(value, str | bytes | bool | np.bool_) or not isinstance(value, SupportsFloat):
        return math.nan
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):  # an array of several, for instance
        return math.nan
    return found if math.isfinite(found) else math.nan


def is_whole(value: Any, least: int) -> bool:
    """Whether a value is a whole number, `least` or more."""
    found = number(value)
    return found >= least and found == int(found)


def one_of(*values: str) -> Expected:
    """One of some words."""
    return Expected(f"one of {list(values)}", lambda v: isinstance(v, str) and v in values)


def dict_of(parts: Mapping[str, Expected]) -> Expected:
    """A dict with some of the keys of `parts`."""
    words = f"a dict with some of the keys {list(parts)}"
    return Expected(words, lambda v: isinstance(v, Mapping), parts)


def by_axis(part: Expected, axes: str = "tczyx") -> Expected:
    """A dict with the same kind of value for every axis."""
    words = f"a dict of {part.words} for each axis"
    return Expected(words, lambda v: isinstance(v, Mapping), dict.fromkeys(axes, part))


def lengths(name: str, given: Any, ndim: int) -> tuple[int, ...]:
    """A length for each axis of an array."""
    if (
        not isinstance(given, Sequence | np.ndarray)
        or len(given) != ndim
        or not all(is_whole(n, 1) for n in given)
    ):
        refuse(name, given, f"a whole number above 0 for each of the {ndim} axes")
    return tuple(int(n) for n in given)


POSITIVE = Expected("a finite number above 0", lambda v: number(v) > 0)
NOT_NEGATIVE = Expected("a finite number of 0 or more", lambda v: number(v) >= 0)
FINITE = Expected("a finite number", lambda v: math.isfinite(number(v)))
COUNT = Expected("a whole number above 0", lambda v: is_whole(v, 1))
ORDER = Expected("0, 1 or 3", lambda v: number(v) in (0, 1, 3))
FLAG = Expected("True or False", lambda v: isinstance(v, bool | np.bool_))
FUNCTION = Expected("a function, such as those of platefuse.methods", callable)
KEYWORDS = Expected(
    "a dict of keyword arguments",
    lambda v: isinstance(v, Mapping) and all(isinstance(key, str) for key in v),
)
