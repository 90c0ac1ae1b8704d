"""What a plate was made with: a digest of the options that decide the result, and the command."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from platefuse.records import digest_json

COMMAND = "PLATEFUSE_COMMAND"
"""Environment variable with the command of the run, for the jobs that Snakemake starts."""

NOT_OF_RESULT = (
    "plates",
    "results",
    "wells",
    "on_bad_well",
    "workflow",
    "quality",
    "registration.keep_originals",
    "registration.verify",
    "fusion.output",
    "fusion.scatter",
)
"""Keys of the config that change no pixel and no table of a fused well: where files are, which
wells are processed, what is checked, and how the work is cut into jobs."""


def result_digest(settings: Mapping[str, object]) -> str:
    """SHA-256 of the options of a plate that decide its fused wells.

    Parameters
    ----------
    settings : mapping
        The config of the plate with every default, as `settings_of` gives it.

    Returns
    -------
    str
        The digest of these options as JSON with sorted keys, in which whole numbers have no point.
    """
    return digest_json(_canonical({k: _deciding(k, value) for k, value in settings.items()}))


def _deciding(key: str, value: object) -> object:
    """The value of a key without what does not count; None if it does not count itself."""
    if key in NOT_OF_RESULT:
        return None
    if not isinstance(value, Mapping):
        return value
    return {name: own for name, own in value.items() if f"{key}.{name}" not in NOT_OF_RESULT}


def _canonical(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _canonical(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(own) for own in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def remember_command(arguments: Sequence[str]) -> None:
    """Keep the command of a run for its jobs, unless `platefuse run` has kept its own.

    Parameters
    ----------
    arguments : sequence of str
        Those of the process, the program first.
    """
    program = "snakemake" if arguments[0].endswith("__main__.py") else Path(arguments[0]).name
    os.environ.setdefault(COMMAND, shlex.join([program, *arguments[1:]]))


def command() -> str | None:
    """The command of the run; None if it is not known."""
    return os.environ.get(COMMAND)
