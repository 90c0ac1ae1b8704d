"""Read the sections of a config into the dataclasses that declare their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, fields, is_dataclass
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


def read_section(
    kind: type[Section], given: object, name: str, faults: list[str]
) -> Section | None:
    """A section from its keys; None if something is wrong, which is added to `faults`."""
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
        faults.append(f"{name} has unknown keys {unknown}; known are {', '.join(known)}.")
    parts, hints = dict[str, object](), get_type_hints(kind)
    for own in fields(kind):
        inner = hints[own.name]
        before = len(faults)
        if inner in INLINE:
            inside = {key: value for key, value in given.items() if key in keys(inner)}
            part = _made(inner, inside, faults)
        elif isinstance(inner, type) and is_dataclass(inner):
            part = read_section(inner, given.get(own.name, {}), f"{name}.{own.name}", faults)
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
