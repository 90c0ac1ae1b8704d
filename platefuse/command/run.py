"""``platefuse run``: call Snakemake on the workflow."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
from pathlib import Path

from platefuse.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.set_defaults(run=run)
    parser.add_argument("config", type=Path, help="the config of the run, a YAML file")
    options = parser.add_argument(
        "options",
        nargs=argparse.REMAINDER,
        metavar="SNAKEMAKE_OPTION",
        help="options of snakemake, passed on unchanged; `snakemake --help` lists them",
    )
    options.required = False  # argparse says otherwise where the config is missing


def run(args: argparse.Namespace) -> int:
    """Run the workflow.

    Returns
    -------
    int
        The exit code of Snakemake.

    Raises
    ------
    PlatefuseError
        If the config is wrong, or Snakemake is not installed.
    """
    from platefuse.command.options import read_options
    from platefuse.command.shipped import find_workflow
    from platefuse.command.watch import Run
    from platefuse.storage.writable import check_new
    from platefuse.workflow.config.model import read_config
    from platefuse.workflow.config.text import read_yaml

    if importlib.util.find_spec("snakemake") is None:
        raise ConfigError(
            "Snakemake is not installed in this environment, and `platefuse run` needs it. "
            "Type: pip install 'platefuse[workflow]'. In a clone: make setup, and then "
            "source .venv/bin/activate."
        )
    options = read_options(args.config, args.options)
    config = read_config(options.merged(read_yaml(options.config)), [options.config])
    again = f"platefuse run {shlex.join([str(args.config), *args.options])}"
    running = Run(config, again, only_touches=options.only_touches)
    workflow, here = find_workflow(Path(__file__).parents[1]), Path.cwd()
    command = options.command(workflow, keep_going=config.on_bad_well == "skip")
    if options.folder is not None:  # paths of the config start there
        _enter(options.folder)
    check_new(
        Path(".snakemake"),
        "The folder .snakemake, where Snakemake keeps locks and what it has done, cannot be made "
        "where the command was typed (or in --directory)",
        ConfigError,
    )
    code = running.execute(command, here)
    running.end(code)
    return code


def _enter(folder: Path) -> None:
    """Make a folder, if there is none, and go there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
    except OSError as error:
        raise ConfigError(
            f"--directory {folder}: {error.strerror}. Expected a folder, or a path where one can "
            "be made. Correct the path, or check permissions."
        ) from error
