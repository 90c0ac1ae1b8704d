"""The options of ``platefuse run``: what it must know of them, and the command that it starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from platefuse.command.shipped import Workflow
from platefuse.errors import ConfigError

_CONFIG = ("--config", "-C")
_CONFIGFILE = ("--configfile", "--configfiles")
_DIRECTORY = ("--directory", "-d")
_PROFILE = ("--profile",)
_LOGGER = ("--logger",)
_TOUCH = ("--touch", "-t")
_OWN_DEFAULTS = ("--workflow-profile",)


@dataclass(frozen=True)
class RunOptions:
    """What was typed.

    Attributes
    ----------
    config : Path
        The config, absolute.
    folder : Path or None
        The working directory that was asked for; Snakemake is told, too.
    options : tuple of str
        Options for Snakemake, without those that are said here in another way.
    changes : mapping of str to object
        What ``--config`` changes in the config.
    loggers : tuple of str
        Logger plug-ins that the user wants besides.
    """

    config: Path
    folder: Path | None
    options: tuple[str, ...]
    changes: Mapping[str, object]
    loggers: tuple[str, ...] = ()

    @property
    def only_touches(self) -> bool:
        """Whether Snakemake is to set the times of what is there, and to run no job."""
        return any(name in _TOUCH for name, _ in _options(self.options))

    def merged(self, given: Mapping[str, object]) -> Mapping[str, object]:
        """A config with the changes, as Snakemake makes them."""
        return _updated(given, self.changes)

    def command(self, workflow: Workflow, *, keep_going: bool = False) -> list[str]:
        """The command that runs the workflow; `keep_going` also after a job has failed."""
        has_profile = any(name in _OWN_DEFAULTS for name, _ in _options(self.options))
        default = [] if has_profile else ["--workflow-profile", str(workflow.default_profile)]
        # An option that takes one value comes last before the user's, who may begin with targets.
        return [
            *(sys.executable, "-m", "platefuse.command.child"),
            *("--configfile", str(self.config)),
            *default,
            *(("--keep-going",) if keep_going else ()),
            *("--snakefile", str(workflow.snakefile)),
            *_with_profiles(self.options, workflow),
            *("--logger", *self.loggers, "platefuse"),
        ]


def misplaced(argv: Sequence[str]) -> str | None:
    """What is wrong with a command line that has an option in the place of the config.

    Examples
    --------
    >>> misplaced(["run", "--cores", "2", "my.yaml"])
    'the config comes first, and then --cores: platefuse run my_screen.yaml --cores …'
    """
    command, first, *_ = (*argv, "", "")
    if command != "run" or not first.startswith("-") or first in ("-h", "--help"):
        return None
    return f"the config comes first, and then {first}: platefuse run my_screen.yaml {first} …"


def read_options(config: Path, options: Sequence[str]) -> RunOptions:
    """What was typed after ``platefuse run``.

    Raises
    ------
    ConfigError
        If an option contradicts the command.
    """
    kept: list[str] = []
    changes: dict[str, object] = {}
    loggers: list[str] = []
    folder: Path | None = None
    for name, words in _options(options):
        values = words[1:] if "=" not in words[0] else [words[0].partition("=")[2], *words[1:]]
        if not name and Path(words[0]).suffix in (".yaml", ".yml"):
            raise ConfigError(f"{config} and {words[0]}: one run has one config. Give one of them.")
        if name in _CONFIGFILE:
            raise ConfigError(
                f"{name}: `platefuse run` has its config already, {config}. Give one config."
            )
        if name in _DIRECTORY:
            folder = Path(values[0]) if values else None
        elif name in _LOGGER:
            loggers, words = values, []
        elif name in _CONFIG:
            changes = dict(_updated(changes, _changes(values)))
        kept += words
    return RunOptions(config.absolute(), folder, tuple(kept), changes, tuple(loggers))


def _options(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each option's name, and its words; targets before the first one have an empty name."""
    found: list[str] = []
    for word in words:
        if word.startswith("-") and found:
            yield _name(found[0]), found
            found = []
        found.append(word)
    if found:
        yield _name(found[0]), found


def _name(word: str) -> str:
    return word.partition("=")[0] if word.startswith("-") else ""


def _with_profiles(options: Sequence[str], workflow: Workflow) -> Iterator[str]:
    for name, words in _options(options):
        if name not in _PROFILE:
            yield from words
        elif "=" in words[0]:
            yield f"{name}={workflow.profile(words[0].partition('=')[2])}"
            yield from words[1:]
        else:
            yield name
            yield from map(workflow.profile, words[1:])


def _changes(words: Sequence[str]) -> dict[str, object]:
    changes: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"--config {word}: expected key=value.")
        try:
            found, as_text = yaml.safe_load(value), yaml.load(value, yaml.BaseLoader)
        except yaml.YAMLError as error:
            raise ConfigError(f"--config {word}: {error}") from error
        if isinstance(found, Mapping | list) and found != as_text:
            raise ConfigError(
                f"--config {word}: Snakemake reads everything below a top-level key as text; "
                f"expected texts only. Write `{key}` into the config instead."
            )
        changes[key] = found
    return changes


def _updated(old: Mapping[str, object], new: Mapping[str, object]) -> Mapping[str, object]:
    """A mapping in which others replace values, and update mappings."""
    result = dict(old)
    for key, value in new.items():
        before = result.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = _updated(before, value)
        result[key] = value
    return result
