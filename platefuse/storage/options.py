"""Typed options: a frozen dataclass whose fields carry their check, default and description.

A field's annotation says what its value must be: a string, a boolean, a literal, one of these or
None, or ``Annotated`` with an `Expected`. Nothing is written a second time: the dataclass checks
itself by it, and `platefuse.workflow.config.model` makes the JSON schema, the example config and
the tables of the manual from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache, partial
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Literal,
    SupportsInt,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from platefuse.errors import ConfigError
from platefuse.storage.expected import Expected, Schema, is_flag, one_of, text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

Checks = Mapping[str, tuple[Field[object], Expected]]
"""The options of a class: field and check of each, by name."""


@dataclass(frozen=True)
class Requires:
    """The value of another option that an option needs when it is set.

    Attributes
    ----------
    option : str
        Name of the other option.
    value : object
        The value that it must have.
    why : str
        The reason, for the error message.
    """

    option: str
    value: object
    why: str


def option(
    default: T, description: str, *, comment: str = "", requires: Requires | None = None
) -> T:
    """A field of a dataclass that is an option.

    Parameters
    ----------
    default : object
        Its default. If it is a mapping, it is the default of every key that a value leaves out.
    description : str
        What the option does, in one sentence.
    comment : str
        A few words for the line of the example config.
    requires : Requires, optional
        What another option must be if this one is not None.
    """
    metadata = {"description": description, "comment": comment, "requires": requires}
    if isinstance(default, Mapping):
        return field(default_factory=partial(copy, default), metadata=metadata)
    return field(default=default, metadata=metadata)


def check_options(options: DataclassInstance, section: str) -> None:
    """Check the options of a frozen dataclass, in its ``__post_init__``.

    Mappings are completed by their defaults, and whole numbers become integers (YAML and JSON also
    write them as 2.0).

    Parameters
    ----------
    options : dataclass
        The options. A method ``contradictions`` of theirs may yield further faults.
    section : str
        Its name in the config, with which messages begin.

    Raises
    ------
    ConfigError
        With a message for every option that is wrong or contradicts another.
    """
    every = dict(checks(type(options)))
    faults: list[str] = []
    for name, (own, expected) in every.items():
        wrong = expected.faults(f"{section}.{name}", getattr(options, name))
        faults += [f"{fault} {own.metadata['description']}" for fault in wrong]
    if faults:
        raise ConfigError(*faults)
    for name, (own, expected) in every.items():
        value, default = getattr(options, name), default_of(own)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            value = {**default, **value}
        object.__setattr__(options, name, _exact(expected.schema, value))
    faults += _unmet(options, section, every)
    if faults := [*faults, *getattr(options, "contradictions", list)()]:
        raise ConfigError(*faults)


@cache
def checks(kind: type[DataclassInstance]) -> tuple[tuple[str, tuple[Field[object], Expected]], ...]:
    """Name, field and check of every option of a dataclass, in their order."""
    hints = get_type_hints(kind, include_extras=True)
    own = [f for f in fields(kind) if "description" in f.metadata]
    return tuple((f.name, (f, _expected(hints[f.name]))) for f in own)


def default_of(own: Field[object]) -> object:
    """The default of an option; MISSING if it has none."""
    return own.default if own.default_factory is MISSING else own.default_factory()


def _expected(hint: object) -> Expected:
    """The check for the annotation of an option."""
    if get_origin(hint) is Annotated:
        return next(item for item in get_args(hint) if isinstance(item, Expected))
    if get_origin(hint) is Literal:
        return one_of(*get_args(hint))
    if get_origin(hint) is UnionType or NoneType in get_args(hint):
        kind = next(item for item in get_args(hint) if item is not NoneType)
        return _expected(kind).nullable("null")
    return _BY_TYPE[hint]


def _exact(schema: Schema, value: object) -> object:
    """A value with integers where the schema has them."""
    if isinstance(value, SupportsInt) and "integer" in schema.get("type", ""):
        return int(value)
    if isinstance(value, Mapping) and "properties" in schema:
        return {key: _exact(schema["properties"][key], part) for key, part in value.items()}
    return value


def _unmet(options: DataclassInstance, section: str, every: Checks) -> Iterator[str]:
    for name, (own, _) in every.items():
        value, needs = getattr(options, name), own.metadata["requires"]
        if needs is None or value is None or getattr(options, needs.option) == needs.value:
            continue
        yield (
            f"{section}.{name} is {value!r}, but {section}.{needs.option} is "
            f"{getattr(options, needs.option)!r}: {needs.why}. "
            f'Set {section}.{needs.option}: "{needs.value}" or {section}.{name}: null.'
        )


_TRUE_OR_FALSE = Expected("true or false", is_flag, schema={"type": "boolean"})
_TEXT = text("a text that is not empty")
_BY_TYPE: Mapping[object, Expected] = {bool: _TRUE_OR_FALSE, str: _TEXT}
