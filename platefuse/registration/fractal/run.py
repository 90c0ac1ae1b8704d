"""Run a function as a task of Fractal: arguments from a JSON file, the result into another."""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from platefuse.errors import ConfigError, PlatefuseError
from platefuse.storage.files import read_json, write_json


def run_task(function: Callable[..., Mapping[str, object]], argv: Sequence[str]) -> int:
    """Run a task as the server calls it: ``--args-json FILE --out-json FILE``.

    Parameters
    ----------
    function : callable
        The task. It is called with the arguments by their names, and returns a JSON object.
    argv : sequence of str
        The arguments of the program.

    Returns
    -------
    int
        Exit code: 0, or 1 for an error that was explained on stderr. No result is written then.
    """
    parser = argparse.ArgumentParser(description=inspect.getdoc(function))
    parser.add_argument("--args-json", type=Path, required=True, help="the arguments of the task")
    parser.add_argument("--out-json", type=Path, required=True, help="where the result is written")
    files = parser.parse_args(argv)
    if "FRACTAL_TASK_SKIP_LOG_CONFIG" not in os.environ:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    try:
        if files.out_json.exists():
            raise ConfigError(f"{files.out_json} exists; expected the path of a new file.")
        given = read_json(files.args_json)
        _check_arguments(function, given, files.args_json)
        write_json(files.out_json, function(**given))
    except (PlatefuseError, OSError) as error:
        print(f"{function.__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _check_arguments(
    function: Callable[..., object], given: Mapping[str, object], file: Path
) -> None:
    """Check that a task has the arguments that are given, and all that it needs."""
    known = inspect.signature(function).parameters
    unknown = [name for name in given if name not in known]
    missing = [
        name
        for name, own in known.items()
        if own.default is inspect.Parameter.empty and name not in given
    ]
    if unknown or missing:
        raise ConfigError(
            f"{file}: unknown arguments {unknown}, missing {missing}; {function.__name__} has the "
            f"arguments {json.dumps(list(known))}."
        )
