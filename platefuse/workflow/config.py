"""The config: every key with its check, default and description, and the reading of a config.

The JSON schema, the example config and the table of keys in the manual are made from these classes
by `platefuse.workflow.config_files`. Snakemake imports this module in every process, so it imports
nothing that works on pixels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, TypeVar, get_type_hints

from platefuse.errors import ConfigError
from platefuse.fusion.options import FusionOptions
from platefuse.illumination.option import ILLUMINATION
from platefuse.measuring.options import MeasureOptions
from platefuse.ngff.layout import InputOptions
from platefuse.quality.options import QualityOptions
from platefuse.registration.request import RegistrationRequest
from platefuse.storage.expected import Expected, text
from platefuse.storage.options import check_options, checks, option
from platefuse.workflow.config_text import check_size, repeated_keys
from platefuse.workflow.sections import Fusion, Quality, Registration, Subset, Workflow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Section = TypeVar("Section", bound="DataclassInstance")

_NAME = r"^(?!(logs|benchmarks)$)[A-Za-z0-9][A-Za-z0-9_.+=-]*$"
_NAME_WORDS = (
    "letters, digits and _ . + = -, beginning with a letter or digit, and not logs or benchmarks, "
    "because the name becomes a folder of results"
)


class _Plates(Expected):
    """Paths of plates by their names."""

    def faults(self, name: str, value: object) -> Iterator[str]:
        if not isinstance(value, Mapping) or not value:
            yield from super().faults(name, value)
            return
        for plate, path in value.items():
            if not isinstance(plate, str):
                yield (
                    f"{name} has the name {plate!r}, which YAML does not read as text. Write it in "
                    f"quotes: '{plate}'."
                )
            elif not re.search(_NAME, plate):
                yield f"{name} has the name {plate!r}; expected {_NAME_WORDS}."
            yield from _PATH.faults(f"{name}.{plate}", path)


_PATH = text(
    "the path of a plate, for example example/demo.zarr, without ~ at its beginning", r"^(?!~)."
)
_PLATES = _Plates(
    "the name and path of at least one plate, for example {demo: example/demo.zarr}",
    lambda v: isinstance(v, Mapping) and bool(v),
    schema={
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"description": f"Expected {_NAME_WORDS}.", "pattern": _NAME},
        "additionalProperties": {"description": f"Expected {_PATH.words}.", **_PATH.schema},
    },
)
_IMAGES = Expected(
    'a list of different paths, for example ["0", "1"], or null',
    lambda v: (
        v is None
        or (
            isinstance(v, list)
            and bool(v)
            and all(isinstance(path, str) and path for path in v)
            and len(set(v)) == len(v)
        )
    ),
    schema={
        "type": ["array", "null"],
        "minItems": 1,
        "uniqueItems": True,
        "items": {"type": "string", "minLength": 1},
    },
)
_RESULTS = text(
    "the path of a folder, without ~ at its beginning and without { } < and >", r"^(?!~)[^{}<>]+$"
)


@dataclass(frozen=True)
class Config:
    """The plates to register and fuse, and how. config/README.md is the manual of these keys."""

    plates: Annotated[Mapping[str, str], _PLATES] = option(
        {},
        "The plates; `name: path` of an OME-Zarr HCS plate (NGFF 0.4 or 0.5). A relative path "
        "starts at the working directory.",
        comment="name: path of an OME-Zarr HCS plate (0.4 or 0.5)",
    )
    results: Annotated[str, _RESULTS] = option(
        "results",
        "Folder for receipts, logs and benchmarks. It must not be in a plate, and its path must "
        "not hold { } < or >.",
    )
    images: Annotated[list[str] | None, _IMAGES] = option(
        None,
        'Paths of the images to process in every well, for example ["0", "1"]; null: all.',
        comment='null: all; or for example ["0_illum", "1_illum"]',
    )
    wells: Subset = field(default_factory=Subset)
    input: InputOptions = field(default_factory=InputOptions)
    on_bad_well: Literal["stop", "skip"] = option(
        "stop",
        "What happens if a well cannot be processed. stop: nothing begins, and all such wells are "
        "listed; skip: the other wells are processed, and <results>/<plate>/skipped.tsv lists what "
        "was left out.",
    )
    illumination: Annotated[Mapping[str, Mapping[str, str | float]] | None, ILLUMINATION] = option(
        None,
        "Flat-field profiles by channel: raw pixels of a camera field become (raw - dark) / flat "
        "when they are read; null: no correction.",
        comment="null | {DAPI: {flat: flat_DAPI.tif, dark: 100}}",
    )
    registration: Registration = field(default_factory=Registration)
    fusion: Fusion = field(default_factory=Fusion)
    quality: Quality = field(default_factory=Quality)
    workflow: Workflow = field(default_factory=Workflow)

    def __post_init__(self) -> None:
        check_options(self, "config")

    @property
    def checks_wells(self) -> bool:
        """Whether fused wells are checked, and reported."""
        return self.quality.enabled and self.fusion.enabled

    @property
    def checked_channel(self) -> str | None:
        """The channel by which acquisitions are compared; None: the first that all have."""
        return self.quality.options.channel or self.registration.measure.options.channel

    def contradictions(self) -> Iterator[str]:
        """Sentences for keys that contradict each other."""
        if not (self.registration.enabled or self.fusion.enabled):
            yield (
                "config.registration.enabled and config.fusion.enabled are both false, so there is "
                "nothing to do. Set one of them to true."
            )
        if self.registration.enabled and not self.registration.store:
            if not self.fusion.enabled:
                yield (
                    "config.registration.store and config.fusion.enabled are both false, so the "
                    "registration would have no result. Set one of them to true."
                )
            if not self.registration.request.overwrite_input:
                yield (
                    "config.registration.store and config.registration.overwrite_input are both "
                    "false: no registered image is written, also not next to the originals. Leave "
                    "out one of them."
                )
        is_rigid = self.registration.measure.options.model == "rigid"
        if self.registration.measures and self.registration.store and is_rigid:
            yield (
                "config.registration.measure.model is rigid and config.registration.store is true: "
                "registered images are shifted, not turned. Set store: false, or model: "
                "translation."
            )
        if self.fusion.output is not None and len(self.plates) > 1:
            yield (
                f"config.fusion.output names one plate, {self.fusion.output!r}, for the "
                f"{len(self.plates)} under plates. Set it to null: each gets its own."
            )


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


def read_config(given: Mapping[str, object], files: Iterable[str | Path] = ()) -> Config:
    """Check a config and complete it by its defaults.

    Parameters
    ----------
    given : mapping
        What Snakemake read from the config files.
    files : iterable of path, optional
        These files, to find keys that occur twice.

    Raises
    ------
    ConfigError
        With a message for everything that is wrong.
    """
    check_size(given, "The config")
    faults = [fault for file in files for fault in repeated_keys(file)]
    config = _read(Config, given, "config", faults)
    if faults:
        raise ConfigError(*faults)
    assert config is not None
    return config


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


def _read(kind: type[Section], given: object, name: str, faults: list[str]) -> Section | None:
    """A section from its keys; None if something is wrong, which is added to `faults`."""
    known = list(keys(kind))
    if not isinstance(given, Mapping):
        faults.append(f"{name} is {given!r}; expected a mapping of some of the keys {known}.")
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
            part = _read(inner, given.get(own.name, {}), f"{name}.{own.name}", faults)
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
        prefix = "" if kind is Config else "config."
        faults += [f"{prefix}{fault}" for fault in error.args]
        return None
