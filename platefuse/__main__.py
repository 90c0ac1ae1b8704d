"""The command line, ``platefuse`` or ``python -m platefuse``.

The other packages print nothing: everything that a user reads on the terminal is printed here and
in `platefuse.command`. Each command imports what it needs when it runs.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from platefuse.command.commands import make_parser
from platefuse.command.options import misplaced
from platefuse.errors import NO_MEMORY, PlatefuseError, shortened

_INTERRUPTED = 130


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
    for stream in (sys.stdout, sys.stderr):  # names may hold what the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        parser = make_parser()
        if wrong := misplaced(argv):
            parser.error(wrong)
        args = parser.parse_args(argv)
        code = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # `… | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (PlatefuseError, OSError) as error:
        print(f"platefuse: {shortened(str(error))}", file=sys.stderr)
        return 1
    except MemoryError:
        print(f"platefuse: {NO_MEMORY}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("platefuse: interrupted", file=sys.stderr)
        return _INTERRUPTED
    else:
        return code or 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
