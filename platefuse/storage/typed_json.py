"""Convert frozen dataclasses to JSON values and back, checking every key."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

JsonObject = dict[str, object]
"""A JSON object. Nothing is known of its values: check them before use, or call `from_json`."""

_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a finite number",
    dict: "an object",
}


class UnexpectedJson(ValueError):  # noqa: N818  # the caller raises an error of its own from it
    """A JSON value is not of the type that its key requires."""


def object_to_json(value: DataclassInstance) -> JsonObject:
    """Convert a dataclass to a JSON object with a key for each field, in the order of the fields.

    A field that is None is left out. The metadata of a field may name another key:
    ``{"key": "from"}``.
    """
    named = ((_key(field), getattr(value, field.name)) for field in fields(value))
    return {key: to_json(item) for key, item in named if item is not None}


def to_json(value: object) -> object:
    """Convert a value to what the `json` module writes; dataclasses by `object_to_json`.

    Examples
    --------
    >>> from platefuse.geometry import Box
    >>> to_json({"box": Box((0,), (4,))})
    {'box': {'start': [0], 'stop': [4]}}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return object_to_json(value)
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def from_json(kind: type[T], value: object, where: str) -> T:
    """Convert a JSON value to a dataclass or another type, and check it.

    Keys of an object for which the dataclass has no field are ignored.

    Parameters
    ----------
    kind : type
        A string, integer, number, literal, tuple of any length, mapping from strings, or a
        dataclass. The fields of a dataclass are of these types, or of one of them or None.
    value : object
        The value that the JSON holds.
    where : str
        The value's key, for error messages.

    Raises
    ------
    UnexpectedJson
        If a key is missing or its value is of another type. The message names key, expected and
        got.

    Examples
    --------
    >>> from platefuse.geometry import Box
    >>> from_json(Box, {"start": [0], "stop": [4]}, "box")
    Box(start=(0,), stop=(4,))
    """
    result: T = _convert(kind, value, where)
    return result


def object_of(value: object) -> JsonObject:
    """The value if it is a JSON object; else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[object]:
    """The value if it is a JSON list; else an empty one."""
    return value if isinstance(value, list) else []


def _convert(kind: Any, value: object, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:  # of a type and None: only a key that is missing is None
        return _convert(next(a for a in arguments if a is not NoneType), value, where)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise _unexpected(where, value, f"one of {arguments}")
        return value
    if origin is tuple:
        items = _checked(list, value, where, "a list")
        return tuple(_convert(arguments[0], v, f"{where}[{k}]") for k, v in enumerate(items))
    if is_dataclass(kind):
        return _object(kind, _checked(dict, value, where), where)
    if issubclass(origin or kind, Mapping):
        content = _checked(dict, value, where)
        of = arguments[1] if arguments else object
        if of in (object, Any):
            return content
        return {key: _convert(of, item, f"{where}.{key}") for key, item in content.items()}
    if kind is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value):
            return value
        raise _unexpected(where, value, _NAMES[float])
    return _checked(kind, value, where)


def _object(kind: Any, value: JsonObject, where: str) -> object:
    """A dataclass of an object's values; it may check itself and raise ValueError."""
    hints, given = _hints(kind), {}
    for field in fields(kind):
        key, hint = _key(field), hints[field.name]
        path = f"{where}.{key}"
        if key in value:
            given[field.name] = _convert(hint, value[key], path)
        elif NoneType not in get_args(hint):
            raise UnexpectedJson(f"`{path}` is missing")
    try:
        return kind(**given)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise UnexpectedJson(f"`{where}`: {error}") from error


def _is_finite(value: float) -> bool:
    """Whether a number is one for a float, too: JSON can hold integers of any size."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _checked(kind: type[T], value: object, where: str, name: str = "") -> T:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise _unexpected(where, value, name or _NAMES[kind])
    return value


def _unexpected(where: str, value: object, expected: str) -> UnexpectedJson:
    return UnexpectedJson(f"`{where}` is {reprlib.repr(value)}, expected {expected}")


def _key(field: Field[object]) -> str:
    return str(field.metadata.get("key", field.name))


@cache
def _hints(kind: type) -> Mapping[str, object]:
    return get_type_hints(kind)
