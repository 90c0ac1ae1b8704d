"""The command line, ``platefuse``.

The other packages print nothing: everything that a user reads on the terminal is printed here and
in `platefuse.command`. Each command imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from platefuse import __version__
from platefuse.command.commands import COMMANDS, add_command
from platefuse.errors import PlatefuseError

_INTERRUPTED = 130

_DESCRIPTION = """\
Register and fuse the acquisitions of multiplexed OME-Zarr plates.

A plate of your own, from any folder:
  platefuse init /data/screen.zarr      look at the plate and write my_screen.yaml
  platefuse check my_screen.yaml        read everything that the run will read
  platefuse run my_screen.yaml          register and fuse it; the same command continues it

A plate to try it with:
  platefuse example demo.zarr
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process if not given.

    Returns
    -------
    int
        Exit code: 0, 1 for an error that was explained on stderr, 130 for an interrupt; of
        ``platefuse run`` that of Snakemake.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        args = parser().parse_args(argv)
        code = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # `… | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (PlatefuseError, OSError) as error:
        print(f"platefuse: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("platefuse: interrupted", file=sys.stderr)
        return _INTERRUPTED
    else:
        return code or 0
    return 0


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    own = argparse.ArgumentParser(
        prog="platefuse",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own.add_argument("--version", action="version", version=f"platefuse {__version__}")
    commands = own.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        add_command(commands, command)
    return own


if __name__ == "__main__":
    sys.exit(main())
