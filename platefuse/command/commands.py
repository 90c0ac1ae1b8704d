"""The commands of ``platefuse`` with their help texts."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from textwrap import fill

from platefuse import __version__
from platefuse.command import (
    check,
    clean,
    completion,
    example,
    init,
    report,
    restore,
    run,
    status,
)

_DESCRIPTION = """\
Register and fuse the acquisitions of multiplexed OME-Zarr plates.

A plate of your own, from any folder:
  platefuse init /data/screen.zarr      look at the plate and write screen.yaml
  platefuse check screen.yaml           read everything that the run will read
  platefuse run screen.yaml             register and fuse it; the same command continues

A plate to try it with:
  platefuse example demo.zarr
"""


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes
    ----------
    name, help : str
        What is typed, and a line about it.
    description : str
        What it does, in one paragraph.
    examples : str
        Lines that a user may type, each with a comment.
    add_arguments : callable
        Adds its arguments to its parser.
    suppress : bool
        Whether options that were not given are left out of the arguments.
    """

    name: str
    help: str
    description: str
    examples: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    suppress: bool = False


COMMANDS = (
    Command(
        "init",
        "look at a plate and write a config for it",
        "Look at a plate and write a config for it, with comments: its layout, tables, "
        "acquisitions and channels, and what suits them. Reads metadata only, and never replaces "
        "a file.",
        "  platefuse init /data/screen.zarr\n"
        "  platefuse init /data/screen.zarr --output my_screen.yaml",
        init.add_arguments,
    ),
    Command(
        "check",
        "what a run would do, and what would stop it",
        "Read a config and everything that its jobs will read, as a run does before the first "
        "job. Prints what each plate was taken for, what would be done, and every well that "
        "cannot be processed. Changes nothing. Exit code 1 if the run would stop.",
        "  platefuse check my_screen.yaml",
        check.add_arguments,
    ),
    Command(
        "run",
        "register and fuse the plates of a config",
        "Run the workflow on the plates of a config, and tell in the end what was done and where "
        "it is. Paths in the config start in the folder where you type this. What is done is not "
        "done twice: after an error, Ctrl-C or a power cut, the same command continues. Options "
        "after the config are those of snakemake. The exit code is that of snakemake.",
        "  platefuse run my_screen.yaml                    all cores of this machine\n"
        "  platefuse run my_screen.yaml --cores 4          four of them\n"
        "  platefuse run my_screen.yaml --profile slurm    one Slurm job for each well\n"
        "  platefuse run my_screen.yaml --dry-run          list the jobs, run none\n"
        "  platefuse run my_screen.yaml --unlock           after kill -9 or a power cut",
        run.add_arguments,
    ),
    Command(
        "status",
        "what has been done to a plate",
        "What has been done to every image of a plate, as its folders and records report it. Only "
        "reads, and may be called during a run.",
        "  platefuse status /data/screen.zarr\n"
        "  platefuse status /data/screen.zarr --json > status.json",
        status.add_arguments,
    ),
    Command(
        "restore",
        "put kept originals back in the place of registered images",
        "Put the originals that registration.keep_originals: true has kept back in their place, "
        "and remove the registered images. `platefuse status` shows it, and the next run does "
        "these wells again. Nothing is changed if an original is missing. May be stopped at any "
        "moment and typed again.",
        "  platefuse restore /data/screen.zarr\n"
        "  platefuse restore /data/screen.zarr --well B03 B04\n"
        "  platefuse restore my_screen.yaml",
        restore.add_arguments,
    ),
    Command(
        "clean",
        "remove what killed runs have left, and, if asked to, kept originals",
        "Remove what is left over beside a plate, in it, and in its fused plate: staged images "
        "whose registered image is in its place, temporary files, what was set aside to be "
        "removed, parts of fused wells that are complete, empty folders and locks. Nothing is "
        "removed of which this is not proved; it is listed. May be stopped and typed again.",
        "  platefuse clean /data/screen.zarr --dry-run      list it, remove nothing\n"
        "  platefuse clean /data/screen.zarr\n"
        "  platefuse clean /data/screen.zarr --originals    the kept originals, too",
        clean.add_arguments,
    ),
    Command(
        "report",
        "write the reports of the plates of a config again",
        "Judge the wells of the plates of a config by their figures, and write the tables and the "
        "page of each plate, as the last step of a run does. The wells must have been checked. "
        "For a look at other thresholds, or while a run goes on.",
        "  platefuse report my_screen.yaml\n"
        "  platefuse report my_screen.yaml --output look     into another folder",
        report.add_arguments,
    ),
    Command(
        "example",
        "write an example plate with known shifts",
        "Write an example plate. Without options it is small, and has registered ROI tables. The "
        f"attribute {example.KNOWN_SHIFTS} of its images holds the shifts that registration must "
        "find.",
        "  platefuse example demo.zarr\n"
        "  platefuse example --raw demo.zarr               as a microscope leaves it\n"
        "  platefuse example --wells B/02 B/03 C/02 --acquisitions 4 demo.zarr",
        example.add_arguments,
        suppress=True,
    ),
    Command(
        "completion",
        "let the shell complete commands, options and paths",
        "Print a script with which a shell completes what you type after `platefuse`.",
        '  eval "$(platefuse completion bash)"             in ~/.bashrc\n'
        '  eval "$(platefuse completion zsh)"              in ~/.zshrc\n'
        "  platefuse completion fish | source              in config.fish",
        completion.add_arguments,
    ),
)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="platefuse",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"platefuse {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        own = commands.add_parser(
            command.name,
            help=command.help,
            description=fill(command.description, 80),
            epilog=f"examples:\n{command.examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=argparse.SUPPRESS if command.suppress else None,
        )
        command.add_arguments(own)
    return parser
