"""``platefuse init``: look at a plate and write a config for it."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from platefuse.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.set_defaults(run=run)
    parser.add_argument("plate", type=Path, help="folder of the plate")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the config to write (default: the plate's name with .yaml, in this folder)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the config.

    Raises
    ------
    PlatefuseError
        If the plate cannot be used, or the file exists.
    """
    from platefuse.workflow.suggestion import found_in, plate_name, suggested_config
    from platefuse.workflow.survey import survey_plate

    survey = survey_plate(args.plate)
    output = args.output or Path(f"{plate_name(survey)}.yaml")
    if output.is_dir():
        raise ConfigError(f"{output} is a folder. Give the name of a file with --output.")
    if not output.parent.is_dir():
        raise ConfigError(
            f"{output} cannot be written: there is no folder {output.parent}. Make it, or give "
            "another path with --output."
        )
    text = suggested_config(survey, shlex.quote(str(output)))
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(
            f"{output} exists already and is not replaced. Remove it, or write to another file: "
            f"platefuse init {shlex.quote(str(args.plate))} --output other.yaml"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{output} cannot be written ({error.strerror}). Type the command in a folder that you "
            "may write to, or give another path with --output."
        ) from error
    for line in found_in(survey):
        print(line)
    print(f"Wrote {output}. Look at it, and then type:")
    print(f"  platefuse check {shlex.quote(str(output))}")
    print(f"  platefuse run {shlex.quote(str(output))}")
