"""Checks of values: a predicate, the phrase that error messages use for it, and its JSON schema.

The checks accept what Python users pass (NumPy numbers, too), and need no array library.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn, SupportsFloat, TypedDict

from platefuse.errors import ConfigError

_NO_VALUE = "[Nn][Oo][Nn][Ee]|[Nn][Uu][Ll][Ll]"  # without flags: the schemas have it, too


class Schema(TypedDict, total=False):
    """The keywords of JSON schema that checks of values use."""

    description: str
    type: str | list[str]
    enum: list[object]
    pattern: str
    minLength: int
    minimum: float
    maximum: float
    exclusiveMinimum: float
    items: Schema
    minItems: int
    uniqueItems: bool
    required: list[str]
    properties: Mapping[str, Schema]
    propertyNames: Schema
    minProperties: int
    additionalProperties: bool | Schema


@dataclass(frozen=True, eq=False)
class Expected:
    """What a value must be.

    Attributes
    ----------
    words : str
        The phrase for it in error messages.
    holds : callable
        Whether a value is that.
    parts : mapping, optional
        If the value is a dict: the keys that it may have, and what their values must be.
    schema : Schema, optional
        The same as JSON schema, where config files may hold such a value.
    """

    words: str
    holds: Callable[[object], bool]
    parts: Mapping[str, Expected] = field(default_factory=dict)
    schema: Schema = field(default_factory=Schema)

    @property
    def or_none(self) -> Expected:
        """The same, or None."""
        return self.nullable("None")

    def nullable(self, null: str) -> Expected:
        """The same, or None, which error messages call `null`."""
        words = f"{self.words}, or {null}"
        holds = self.holds
        return Expected(words, lambda v: v is None or holds(v), self.parts, _nullable(self.schema))

    def faults(self, name: str, value: object) -> Iterator[str]:
        """Everything that is wrong with a value, each in a sentence that begins with `name`."""
        if not self.holds(value):
            hint = self._as_number(value) or self._as_null(value)
            yield f"{name} is {value!r}; expected {self.words}.{hint}"
            return
        if not self.parts or not isinstance(value, Mapping):
            return
        if unknown := [key for key in value if key not in self.parts]:
            yield f"{name} has unknown keys {unknown}; known are {list(self.parts)}."
        for key, part in value.items():
            if key in self.parts:
                where = f"{name} on {key}" if len(key) == 1 else f"{name}[{key!r}]"
                yield from self.parts[key].faults(where, part)

    def _as_number(self, value: object) -> str:
        """What to write where a text would do as a number: YAML takes 1e2 and "3" for texts."""
        with suppress(ValueError):
            found = float(value) if isinstance(value, str) else math.nan
            if math.isfinite(found):
                plain: float = int(found) if found == int(found) else found
                return f" This is a text; the number is {plain!r}." if self.holds(plain) else ""
        return ""

    def _as_null(self, value: object) -> str:
        """What to write in place of a text that means no value: YAML takes None for a text."""
        if not isinstance(value, str) or not re.fullmatch(f"{_NO_VALUE}|~", value):
            return ""
        if self.holds(None):
            return " This is a text; write null, without quotes."
        return " This is a word for no value, and a value is needed."

    def check(self, name: str, value: object) -> None:
        """Raise a `ConfigError` that names the argument if its value is not as expected."""
        if faults := list(self.faults(name, value)):
            raise ConfigError(*faults)


def refuse(name: str, value: object, expected: str) -> NoReturn:
    """Raise the error for a value that is not what was expected."""
    raise ConfigError(f"{name} is {value!r}; expected {expected}.")


def is_flag(value: object) -> bool:
    """Whether a value is True or False, Python's or NumPy's."""
    return isinstance(value, bool) or str(getattr(value, "dtype", "")) == "bool"


def number(value: object) -> float:
    """A finite number as a float; anything else as NaN."""
    if is_flag(value) or isinstance(value, str | bytes) or not isinstance(value, SupportsFloat):
        return math.nan
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):  # an array of several, for instance
        return math.nan
    return found if math.isfinite(found) else math.nan


def is_whole(value: object, least: float) -> bool:
    """Whether a value is a whole number, `least` or more."""
    found = number(value)
    return found >= least and found == int(found)


def one_of(*values: object) -> Expected:
    """One of some strings or numbers."""
    quoted = all(isinstance(value, str) for value in values)

    def holds(value: object) -> bool:
        return value in values if isinstance(value, str) else number(value) in values

    *others, last = values
    words = f"one of {list(values)}" if quoted else f"{', '.join(map(str, others))} or {last}"
    return Expected(words, holds, schema={"enum": list(values)})


def whole(least: int, most: int | None = None) -> Expected:
    """A whole number within bounds."""
    schema: Schema = {"type": "integer", "minimum": least}
    if most is None:
        words = "a whole number above 0" if least == 1 else f"a whole number of {least} or more"
        return Expected(words, lambda v: is_whole(v, least), schema=schema)
    words = f"a whole number from {least} to {most}"
    schema["maximum"] = most
    return Expected(words, lambda v: is_whole(v, least) and number(v) <= most, schema=schema)


def text(words: str, pattern: str | None = None) -> Expected:
    """A string that is not empty and, if given, in which a regular expression is found."""
    schema: Schema = {"type": "string", "minLength": 1}
    if pattern:
        schema["pattern"] = pattern
    found = re.compile(pattern or ".", re.DOTALL).search
    return Expected(words, lambda v: isinstance(v, str) and bool(v and found(v)), schema=schema)


_CARRIED = r"[^{}<>\u0000-\u001f]+$"  # nor what ends a line or a path


def path_of(what: str, more: str = ".", *, is_carried: bool = False) -> Expected:
    """The path of something, and not a word for no value.

    Parameters
    ----------
    what : str
        What it is the path of, for messages.
    more : str
        A regular expression that holds for the whole path.
    is_carried : bool
        Whether rules carry the path: braces and angles are names to Snakemake.
    """
    words = f"the path of {what}, without ~ at its beginning"
    if is_carried:
        words, more = f"{words} and without {{ }} < and >", _CARRIED
    return text(words, f"^(?!~)(?!({_NO_VALUE})$){more}")


def dict_of(parts: Mapping[str, Expected]) -> Expected:
    """A dict with some of the keys of `parts`."""
    words = f"a dict with some of the keys {list(parts)}"
    return Expected(words, lambda v: isinstance(v, Mapping), parts)


def by_axis(
    part: Expected, axes: str = "tczyx", unit: str = "Units", *, least: int = 0
) -> Expected:
    """A dict with the same kind of value, in some unit, for every axis, or for `least` of them."""
    properties: dict[str, Schema] = {
        a: {"description": f"{unit} along {a}.", **part.schema} for a in axes
    }
    schema: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    if least:
        schema["minProperties"] = least
    words = f"a mapping of axes to {part.words}, such as {{y: 1, x: 1}}"

    def holds(value: object) -> bool:
        return isinstance(value, Mapping) and len(value) >= least

    return Expected(words, holds, dict.fromkeys(axes, part), schema)


def _nullable(schema: Schema) -> Schema:
    nullable = schema.copy()
    if "enum" in schema:
        nullable["enum"] = [*schema["enum"], None]
    elif isinstance(kind := schema.get("type"), str):
        nullable["type"] = [kind, "null"]
    return nullable


POSITIVE = Expected(
    "a finite number above 0",
    lambda v: number(v) > 0,
    schema={"type": "number", "exclusiveMinimum": 0},
)
NOT_NEGATIVE = Expected(
    "a finite number of 0 or more",
    lambda v: number(v) >= 0,
    schema={"type": "number", "minimum": 0},
)
SHARE = Expected(
    "a number from 0 to 1",
    lambda v: 0 <= number(v) <= 1,
    schema={"type": "number", "minimum": 0, "maximum": 1},
)
CHANNEL = text("the label or wavelength_id of a channel").nullable("null")
FINITE = Expected("a finite number", lambda v: math.isfinite(number(v)))
COUNT = whole(1)
ORDER = one_of(0, 1, 3)
FLAG = Expected("True or False", is_flag, schema={"type": "boolean"})
KEYWORDS = Expected(
    "a dict of keyword arguments",
    lambda v: isinstance(v, Mapping) and all(isinstance(key, str) for key in v),
)
