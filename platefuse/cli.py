"""The command line: ``python -m platefuse``, or ``platefuse`` where the package is installed.

The core is silent; what a user reads on the terminal is printed here. Every sub-command imports
what it needs when it runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platefuse import __version__
from platefuse.errors import PlatefuseError
from platefuse.terminal import aligned, shift_text

if TYPE_CHECKING:
    from platefuse.workflow.status import PlateStatus

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
        Exit code: 0, 1 for an error that was explained on stderr, 130 for an interrupt.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        args = _parser(for_example=argv[:1] == ["example"]).parse_args(argv)
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # `… | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (PlatefuseError, OSError) as error:
        print(f"platefuse: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("platefuse: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _parser(*, for_example: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="platefuse",
        description="Register and fuse the acquisitions of multiplexed OME-Zarr plates. The work "
        "itself is started with `snakemake`, in a clone; README.md says how.",
    )
    parser.add_argument("--version", action="version", version=f"platefuse {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="register and fuse an example plate, in a clone")
    demo.set_defaults(run=_demo)

    status = commands.add_parser(
        "status",
        help="what has been done to a plate",
        description="What has been done to every image of a plate, as its folders and records "
        "tell it. Only reads, and may be called while a run is going on.",
    )
    status.add_argument("plate", type=Path, help="folder of the plate")
    status.add_argument("--json", action="store_true", help="everything, for programs")
    status.add_argument(
        "--fused",
        type=Path,
        metavar="PATH",
        help="the fused plate (default: <plate>_fused.zarr beside the plate)",
    )
    status.set_defaults(run=_status)

    example = commands.add_parser("example", help="write an example plate with known shifts")
    example.set_defaults(run=_example)
    if for_example:  # its defaults live in a package that needs numpy
        from platefuse.testing import add_example_arguments

        add_example_arguments(example)
    return parser


def _demo(args: argparse.Namespace) -> None:
    from platefuse.demo import run_demo

    run_demo(sys.stdout)


def _example(args: argparse.Namespace) -> None:
    from platefuse.testing import run_example

    run_example(args)
    print(f"Wrote the example plate {args.path}.")


def _status(args: argparse.Namespace) -> None:
    from platefuse.workflow.status import plate_status

    status = plate_status(args.plate, args.fused)
    if args.json:
        import json

        print(json.dumps(status.as_dict(), indent=2))
    else:
        print("\n".join([*status_table(status), "", status_summary(status)]))


def status_table(status: PlateStatus) -> list[str]:
    """Lines of a table with a row for each image of each well."""
    ranges = [image.shifts for image in status.images if image.shifts]
    along_z = any(r.of_axis("z") not in (None, (0, 0)) for r in ranges)
    axes = "zyx" if along_z else "yx"
    rows = [["well", "image", "acquisition", "state", "backup", "fused"]]
    rows[0] += [f"shift {axis} (px)" for axis in axes]
    for well in status.wells:
        if well.problem is not None:
            rows.append([well.well, "", "", f"unreadable: {well.problem}"])
        for image in well.images:
            acquisition = "–" if image.acquisition is None else str(image.acquisition)
            row = [well.well, image.image, acquisition]
            if image.problem is not None:
                rows.append([*row, f"{image.state}: {image.problem}"])
                continue
            row += [image.state, "kept" if image.backup else "–", "yes" if well.fused else "–"]
            rows.append([*row, *(shift_text(image.shifts, axis) for axis in axes)])
    return aligned(rows)


def status_summary(status: PlateStatus) -> str:
    """One line: how many images are in which state."""
    states = ", ".join(f"{count} {state}" for state, count in status.counts.items())
    text = f"{len(status.images)} images in {len(status.wells)} wells: {states or 'none'}. "
    text += f"{sum(well.fused for well in status.wells)} wells fused in {status.fused_plate}. "
    text += f"{sum(image.backup is not None for image in status.images)} backups."
    unreadable = sum(well.problem is not None for well in status.wells)
    return f"{text} {unreadable} wells cannot be read." if unreadable else text
