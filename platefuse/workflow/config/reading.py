"""Read the sections of a config into the dataclasses that declare their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias, TypeVar, get_type_hints

from platefuse.errors import ConfigError
from platefuse.fusion.options import FusionOptions
from platefuse.measuring.options import MeasureOptions
from platefuse.quality.options import QualityOptions
from platefuse.registration.request import RegistrationRequest
from platefuse.storage.expected import Expected
from platefuse.storage.options import checks

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Section = TypeVar("Section", bound="DataclassInstance")

INLINE = (RegistrationRequest, MeasureOptions, FusionOptions, QualityOptions)
"""Classes whose options are keys of the section that holds them."""

_ALIKE = 0.8
"""Likeness, from 0 to 1, from which on a key is taken for a slip of another."""

Key: TypeAlias = "tuple[Field[object], Expected] | type[DataclassInstance]"
"""A key of the config: field and check of an option, or the class of a section."""


def settings_of(section: DataclassInstance) -> dict[str, object]:
    """A config or a section of it as a file would give it, with every default; JSON values."""
    settings: dict[str, object] = {}
    for own in fields(section):
        value = getattr(section, own.name)
        if isinstance(value, INLINE):
            settings |= settings_of(value)
        elif is_dataclass(value) and not isinstance(value, type):
            settings[own.name] = settings_of(value)
        else:
            settings[own.name] = value
    return settings


def keys(kind: type[DataclassInstance]) -> dict[str, Key]:
    """What every key of a section is."""
    found: dict[str, Key] = {}
    options, hints = dict(checks(kind)), get_type_hints(kind)
    for own in fields(kind):
        if hints[own.name] in INLINE:
            found |= keys(hints[own.name])
        else:
            found[own.name] = options.get(own.name) or hints[own.name]
    return found


def meant_by(
    unknown: Sequence[object], known: Sequence[str], whole: type[DataclassInstance]
) -> str:
    """What was probably meant by keys that a section does not have.

    Parameters
    ----------
    unknown, known : sequence
        The keys that it was given and does not have, and those that it has.
    whole : type
        The class of the whole config: a key may have been written in a wrong column.

    Returns
    -------
    str
        A sentence for each key of which this can be said, with a space before it.
    """
    places = list(_places(whole, "config"))
    said = ""
    for key in unknown:
        if owners := [place for place, own in places if own == key]:
            owner = " and of ".join(owners)
            said += f" {key!r} is a key of {owner}: move it there; indentation tells the section."
        elif close := get_close_matches(str(key), known, n=1, cutoff=_ALIKE):
            said += f" For {key!r} write {close[0]!r}, if that was meant."
    return said


def _places(kind: type[DataclassInstance], name: str) -> Iterator[tuple[str, str]]:
    """Every key of a section and of those in it, each after the name of its section."""
    for key, own in keys(kind).items():
        yield name, key
        if isinstance(own, type):
            yield from _places(own, f"{name}.{key}")


def read_section(
    kind: type[Section],
    given: object,
    name: str,
    faults: list[str],
    whole: type[DataclassInstance] | None = None,
) -> Section | None:
    """A section from its keys; None if something is wrong, which is added to `faults`.

    Parameters
    ----------
    kind : type
        Its class.
    given : object
        What the file has in its place.
    name : str
        Its name for messages.
    faults : list of str
        Gets a sentence for each fault.
    whole : type, optional
        The class of the config that it is a section of; itself by default.
    """
    whole = whole or kind
    known = list(keys(kind))
    if not isinstance(given, Mapping):
        found = "is empty" if given is None else f"is {given!r}"
        is_switch = isinstance(given, bool) and "enabled" in known
        example = f", here {{enabled: {str(given).lower()}}}" if is_switch else ""
        faults.append(
            f"{name} {found}; expected a mapping of some of the keys {known}{example}. Left out, "
            "it has its defaults."
        )
        return None
    if unknown := [key for key in given if key not in known]:
        hint = meant_by(unknown, known, whole)
        faults.append(f"{name} has unknown keys {unknown}; known are {', '.join(known)}.{hint}")
    parts, hints = dict[str, object](), get_type_hints(kind)
    for own in fields(kind):
        inner = hints[own.name]
        before = len(faults)
        if inner in INLINE:
            inside = {key: value for key, value in given.items() if key in keys(inner)}
            part = _made(inner, inside, faults)
        elif isinstance(inner, type) and is_dataclass(inner):
            below = f"{name}.{own.name}"
            part = read_section(inner, given.get(own.name, {}), below, faults, whole)
        elif own.name in given:
            part = given[own.name]
        else:
            continue
        if len(faults) == before:  # else its default takes its place, and the search goes on
            parts[own.name] = part
    return _made(kind, parts, faults)


def _made(
    kind: Callable[..., Section], given: Mapping[str, object], faults: list[str]
) -> Section | None:
    """An instance with these fields; None, and more `faults`, if they are wrong."""
    try:
        return kind(**given)
    except ConfigError as error:
        # The options of a section do not know that it is one of a config.
        faults += [f if f.startswith("config.") else f"config.{f}" for f in error.args]
        return None
