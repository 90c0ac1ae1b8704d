"""The command line, ``platefuse``.

The other packages print nothing: everything that a user reads on the terminal is printed here.
Each command imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platefuse import __version__
from platefuse.errors import PlatefuseError

if TYPE_CHECKING:
    from platefuse.workflow.status import ImageStatus, PlateStatus, ShiftRange

_MANY = 8
"""So many images of a well without an acquisition are fields."""

# Attribute of the images of an example plate: the shift (y, x) of each acquisition in pixels, by
# path of the image. Registration must find these shifts.
KNOWN_SHIFTS = "example_known_shifts_px"

# Attribute of the images of a raw example plate: the error (y, x) of the stage position of each
# field in pixels, in the order of the tile table. Measuring must find it, up to a common offset.
KNOWN_ERRORS = "example_known_stage_errors_px"

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
        args = _parser().parse_args(argv)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="platefuse",
        description="Register and fuse the acquisitions of multiplexed OME-Zarr plates. The work "
        "itself is started with `snakemake`, in a clone; README.md says how.",
    )
    parser.add_argument("--version", action="version", version=f"platefuse {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_check(commands.add_parser(
        "check",
        help="what a run would do, and what would stop it",
        description="Read a config and everything that its jobs will read, as `snakemake` does "
        "before the first job. Prints what each plate was taken for, what would be done, and every "
        "well that cannot be processed. Changes nothing. Exit code 1 if the run would stop.",
    ))  # fmt: skip
    _add_status(commands.add_parser(
        "status",
        help="what has been done to a plate",
        description="What has been done to every image of a plate, as its folders and records "
        "report it. Only reads, and may be called during a run.",
    ))  # fmt: skip
    _add_example(commands.add_parser(
        "example",
        help="write an example plate with known shifts",
        description="Write an example plate. Without options it is the plate of `make demo`. The "
        f"attribute {KNOWN_SHIFTS} of its images holds the shifts that registration must find.",
        argument_default=argparse.SUPPRESS,
    ))  # fmt: skip
    return parser


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_check)
    parser.add_argument("config", type=Path, help="the config of the run, a YAML file")


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_status)
    parser.add_argument("plate", type=Path, help="folder of the plate")
    parser.add_argument("--json", action="store_true", help="everything, for programs")
    parser.add_argument(
        "--fused",
        type=Path,
        metavar="PATH",
        help="the fused plate (default: <plate>_fused.zarr next to the plate)",
    )


def _add_example(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_example)
    parser.add_argument("path", type=Path, help="folder of the new plate, something.zarr")
    parser.add_argument("--wells", nargs="+", metavar="ROW/COLUMN", help="wells to write")
    parser.add_argument(
        "--acquisitions",
        type=int,
        metavar="N",
        help="number of acquisitions; the first is the reference",
    )
    parser.add_argument(
        "--grid", type=int, nargs=2, metavar=("ROWS", "COLUMNS"), help="fields of each well"
    )
    parser.add_argument(
        "--field-shape", type=int, nargs=2, metavar=("Y", "X"), help="pixels of a field"
    )
    parser.add_argument("--planes", type=int, help="z planes")
    parser.add_argument("--ngff-version", choices=("0.4", "0.5"))
    parser.add_argument(
        "--raw",
        action="store_true",
        help="as a microscope leaves it: no registered tables, stage positions a little off, and "
        "the last well empty",
    )
    parser.add_argument("--noise-free", action="store_true", help="a camera without noise")
    parser.add_argument(
        "--fractional", action="store_true", help="shifts that are not whole pixels"
    )
    parser.add_argument("--seed", type=int, help="another seed gives another plate")


def _example(args: argparse.Namespace) -> None:
    from platefuse.testing import PlateSpec, example_acquisitions, make_plate, stage_errors

    options: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in vars(args).items()
        if key not in ("run", "path")
    }
    acquisitions = example_acquisitions(
        options.pop("acquisitions", len(PlateSpec().acquisitions)),
        fractional=options.pop("fractional", False),
    )
    if options.pop("raw", False):
        options = {"wells": ("B/02", "B/03", "B/04"), **options}
        options |= {
            "empty_wells": options["wells"][1:][-1:],
            "stage_error_px": 2.0,
            "tables": ("FOV_ROI_table", "well_ROI_table"),
        }
    noise = not options.pop("noise_free", False)
    spec = PlateSpec(name=args.path.stem, acquisitions=acquisitions, noise=noise, **options)
    known = {
        KNOWN_SHIFTS: {a.path: list(a.shift_px) for a in acquisitions},
        **({KNOWN_ERRORS: stage_errors(spec).tolist()} if spec.stage_error_px else {}),
    }
    make_plate(args.path, replace(spec, extra_attributes=known))
    print(f"Wrote the example plate {args.path}.")


def _check(args: argparse.Namespace) -> None:
    from platefuse.workflow.planning import check_config

    for line in check_config(args.config):
        print(line)


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
        for image in together(well.images):
            acquisition = "–" if image.acquisition is None else str(image.acquisition)
            row = [well.well, image.image, acquisition]
            if image.problem is not None:
                rows.append([*row, f"{image.state}: {image.problem}"])
                continue
            row += [image.state, "kept" if image.backup else "–", "yes" if image.fused else "–"]
            rows.append([*row, *(shift_text(image.shifts, axis) for axis in axes)])
    return aligned(rows)


def together(images: Sequence[ImageStatus]) -> Iterator[ImageStatus]:
    """Images of one acquisition and state as one, with the range of their shifts.

    A well that has one image for each field may have hundreds of them.
    """
    groups: dict[object, list[ImageStatus]] = {}
    for image in images:
        is_one = image.acquisition is None and len(images) < _MANY
        alone = image.image if image.problem is not None or image.backup or is_one else ""
        key = (alone, image.acquisition, image.state, image.fused, image.shifts is None)
        groups.setdefault(key, []).append(image)
    for first, *more in groups.values():
        shifts = first.shifts
        for other in more:
            if shifts is not None and other.shifts is not None:
                shifts = shifts.joined(other.shifts)
        name = f"{first.image} … {more[-1].image} ({len(more) + 1})" if more else first.image
        yield replace(first, image=name, shifts=shifts)


def status_summary(status: PlateStatus) -> str:
    """One line: how many images are in which state."""
    states = ", ".join(f"{count} {state}" for state, count in status.counts.items())
    text = f"{len(status.images)} images in {len(status.wells)} wells: {states or 'none'}. "
    text += f"{sum(well.fused for well in status.wells)} wells fused in {status.fused_plate}. "
    text += f"{sum(image.backup is not None for image in status.images)} backups."
    if status.absent:
        text += f" {len(status.absent)} wells are listed and absent."
    unreadable = sum(well.problem is not None for well in status.wells)
    return f"{text} {unreadable} wells cannot be read." if unreadable else text


def shift_text(shifts: ShiftRange | None, axis: str) -> str:
    """Lowest and highest shift along one axis; only one number if they are the same.

    Examples
    --------
    >>> from platefuse.workflow.status import ShiftRange
    >>> shift_text(ShiftRange("yx", (7.0, -2.5), (7.0, -2.25), rois=4), "x")
    '-2.5 … -2.25'
    """
    ends = None if shifts is None else shifts.of_axis(axis)
    return "–" if ends is None else " … ".join(dict.fromkeys(map(signed, ends)))


def signed(shift_px: float) -> str:
    """A shift to a hundredth of a pixel, with its sign.

    Examples
    --------
    >>> signed(7.0), signed(-2.375), signed(-0.001)
    ('+7', '-2.38', '0')
    """
    rounded = round(shift_px, 2)
    return f"{rounded:+g}" if rounded else "0"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the cells of `rows` under each other; a short row's last cell may overhang.

    Examples
    --------
    >>> aligned([["well", "state"], ["B/03", "raw"]])
    ['well  state', 'B/03  raw']
    """
    full = [row for row in rows if len(row) == max(map(len, rows))]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    lines = []
    for row in rows:
        cells = ["".join(c if c.isprintable() else "?" for c in cell) for cell in row]
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
        lines.append("  ".join(padded).rstrip())
    return lines


if __name__ == "__main__":
    sys.exit(main())
