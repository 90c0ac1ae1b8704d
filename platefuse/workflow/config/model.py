"""The config: every key with its check, default and description, and the reading of a config.

The JSON schema, the example config and the table of keys in the manual are made from these classes
by `platefuse.workflow.config.files`. Snakemake imports this module in every process, so it imports
nothing that works on pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from platefuse.errors import ConfigError
from platefuse.illumination.option import ILLUMINATION
from platefuse.ngff.layout import InputOptions
from platefuse.storage.expected import Expected, path_of, text
from platefuse.storage.options import check_options, option
from platefuse.workflow.config.own_options import has_key, located, merged, own_faults
from platefuse.workflow.config.reading import read_section, settings_of
from platefuse.workflow.config.sections import Fusion, Quality, Registration, Subset, Workflow
from platefuse.workflow.config.text import check_size, misread

_NAME = r"^(?!(logs|benchmarks)$)[A-Za-z0-9][A-Za-z0-9_.+=-]*$"
_NAME_WORDS = (
    "letters, digits and _ . + = -, beginning with a letter or digit, and not logs or benchmarks, "
    "because the name becomes a folder of results"
)


class _Plates(Expected):
    """Paths of plates by their names; or a path with options, which `Config.by_plate` checks."""

    def faults(self, name: str, value: object) -> Iterator[str]:
        if not isinstance(value, Mapping) or not value:
            found = f"is {value!r}" if value else "is missing or empty"
            yield f"{name} {found}; expected {self.words}.{_spaced(value)}"
            return
        for plate, given in value.items():
            if not isinstance(plate, str):
                yield (
                    f"{name} has the name {plate!r}, which YAML does not read as text. Write it in "
                    f"quotes: '{plate}'."
                )
            elif not re.search(_NAME, plate):
                yield f"{name} has the name {plate!r}; expected {_NAME_WORDS}.{_spaced(plate)}"
            if isinstance(given, Mapping) and "path" not in given:
                yield f"{name}.{plate} lacks the key path; its keys are {list(given)}."
            elif isinstance(given, Mapping):
                yield from _PATH.faults(f"{name}.{plate}.path", given["path"])
            else:
                yield from _ENTRY.faults(f"{name}.{plate}", given)


def _spaced(text: object) -> str:
    """A hint where a text holds a colon: YAML takes `name:path` for one word."""
    return " Write a space after the colon." if isinstance(text, str) and ":" in text else ""


_PATH = path_of("a plate, for example example/demo.zarr")
_ENTRY = text(
    f"{_PATH.words}, or a mapping of path and options for this plate", _PATH.schema["pattern"]
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
_RESULTS = path_of("a folder", is_carried=True)


@dataclass(frozen=True)
class Config:
    """The plates to register and fuse, and how. config/README.md is the manual of these keys."""

    plates: Annotated[Mapping[str, str | Mapping[str, object]], _PLATES] = option(
        {},
        "The plates; `name: path` of an OME-Zarr HCS plate (NGFF 0.4 or 0.5), or `name: {path: …}` "
        "with options of this plate over the common ones. A relative path starts at the working "
        "directory.",
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

    @cached_property
    def by_plate(self) -> Mapping[str, Config]:
        """The config of each plate alone: its own options over the common ones.

        Raises
        ------
        ConfigError
            With a message for every option of a plate that is wrong.
        """
        found: dict[str, Config] = {}
        faults: list[str] = []
        for plate, path in self.paths.items():
            own = self.own(plate)
            if not own:
                found[plate] = replace(self, plates={plate: path})
                continue
            if misplaced := list(own_faults(Config, plate, own)):
                faults += misplaced
                continue
            given = merged(Config, {**settings_of(self), "plates": {plate: path}}, own)
            wrong: list[str] = []
            config = read_section(Config, given, "config", wrong)
            faults += [located(fault, plate, own) for fault in wrong]
            if config is not None:
                found[plate] = config
        if faults:
            raise ConfigError(*faults)
        return found

    @property
    def paths(self) -> dict[str, str]:
        """Path of each plate."""
        return {
            plate: str(given["path"] if isinstance(given, Mapping) else given)
            for plate, given in self.plates.items()
        }

    def own(self, plate: str) -> dict[str, object]:
        """The options of a plate as the config gives them over the common ones."""
        given = self.plates[plate]
        return {k: v for k, v in given.items() if k != "path"} if isinstance(given, Mapping) else {}

    def located(self, plate: str, text: str) -> str:
        """A message about a plate, in which its own options have their place in the config."""
        return located(text, plate, self.own(plate))

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
        sharing = [name for name in self.plates if not has_key(self.own(name), "fusion.output")]
        if self.fusion.output is not None and len(sharing) > 1:
            yield (
                f"config.fusion.output names one plate, {self.fusion.output!r}, for the "
                f"{len(sharing)} under plates. Set it to null: each gets its own."
            )


def read_config(given: Mapping[str, object], files: Iterable[str | Path] = ()) -> Config:
    """Check a config and complete it by its defaults.

    Parameters
    ----------
    given : mapping
        What Snakemake read from the config files.
    files : iterable of path, optional
        These files, to find what YAML reads as something else: keys that occur twice, 010.

    Raises
    ------
    ConfigError
        With a message for everything that is wrong.
    """
    check_size(given, "The config")
    faults = [fault for file in files for fault in misread(file)]
    config = read_section(Config, given, "config", faults)
    if config is not None:
        try:
            _ = config.by_plate  # checks the options of single plates
        except ConfigError as error:
            faults += error.args
    if faults:
        raise ConfigError(*faults)
    assert config is not None
    return config
