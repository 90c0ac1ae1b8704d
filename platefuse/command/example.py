"""``platefuse example``: write an example plate whose shifts are known."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

KNOWN_SHIFTS = "example_known_shifts_px"
"""Attribute of the images of an example plate: the shift (y, x) of each acquisition in pixels, by
path of the image. Registration must find these shifts.
"""

KNOWN_ERRORS = "example_known_stage_errors_px"
"""Attribute of the images of a raw example plate: the error (y, x) of the stage position of each
field in pixels, in the order of the tile table. Measuring must find it, up to a common offset.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.set_defaults(run=run)
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


def run(args: argparse.Namespace) -> None:
    """Write the plate."""
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
