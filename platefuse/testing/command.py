"""``platefuse example``: what the command line offers of example plates."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from platefuse.errors import ConfigError
from platefuse.testing.plate import make_plate
from platefuse.testing.spec import AcquisitionSpec, PlateSpec

if TYPE_CHECKING:
    import argparse

_LOG = logging.getLogger(__name__)


def add_example_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``platefuse example`` to a parser.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of the sub-command.
    """
    demo = PlateSpec()
    parser.add_argument("path", type=Path, help="folder of the new plate, something.zarr")
    parser.add_argument(
        "--wells", nargs="+", default=list(demo.wells), metavar="ROW/COLUMN", help="wells to write"
    )
    parser.add_argument(
        "--acquisitions",
        type=int,
        default=len(demo.acquisitions),
        metavar="N",
        help="number of acquisitions; the first is the reference (default: %(default)s)",
    )
    parser.add_argument(
        "--grid", type=int, nargs=2, default=demo.grid, metavar=("ROWS", "COLUMNS"), help="fields"
    )
    parser.add_argument(
        "--field-shape", type=int, nargs=2, default=demo.field_shape, metavar=("Y", "X"),
        help="pixels of a field",
    )  # fmt: skip
    parser.add_argument("--planes", type=int, default=demo.planes, help="z planes")
    parser.add_argument("--ngff-version", default=demo.ngff_version, choices=("0.4", "0.5"))
    parser.add_argument("--noise-free", action="store_true", help="a camera without noise")
    parser.add_argument("--fractional", action="store_true", help="shifts of fractions of a pixel")
    parser.add_argument("--seed", type=int, default=demo.seed, help="another seed, another plate")


def run_example(args: argparse.Namespace) -> None:
    """Write the plate that the arguments ask for.

    Parameters
    ----------
    args : argparse.Namespace
        What a parser with `add_example_arguments` made of the command line.

    Raises
    ------
    PlatefuseError
        If the arguments do not fit together or the path exists.
    """
    spec = PlateSpec(
        wells=tuple(args.wells),
        acquisitions=demo_acquisitions(args.acquisitions, fractional=args.fractional),
        grid=(args.grid[0], args.grid[1]),
        field_shape=(args.field_shape[0], args.field_shape[1]),
        planes=args.planes,
        ngff_version=args.ngff_version,
        noise=not args.noise_free,
        seed=args.seed,
    )
    make_plate(args.path, replace(spec, name=args.path.stem))
    _LOG.info("wrote the example plate %s", args.path)


def demo_acquisitions(count: int, *, fractional: bool = False) -> tuple[AcquisitionSpec, ...]:
    """The demo's acquisitions, and more of the kind.

    Parameters
    ----------
    count : int
        How many, the reference included.
    fractional : bool
        Whether the plate moves by fractions of a pixel.

    Returns
    -------
    tuple of AcquisitionSpec
        Shifts of at most 14 pixels, repeating after 25.

    Examples
    --------
    >>> [a.shift_px for a in demo_acquisitions(3)]
    [(0.0, 0.0), (7.0, -12.0), (-5.0, 9.0)]
    """
    if count < 1:
        raise ConfigError(f"An example plate cannot have {count} acquisitions: expected 1 or more.")
    shifts = [(0.0, 0.0)]
    for number in range(1, count):
        y, x = (13 * number + 7) % 25 - 13, (21 * number + 5) % 25 - 13
        shifts.append((float(y), float(x)))
    if fractional:
        shifts[1:] = [(y + 0.3, x - 0.4) for y, x in shifts[1:]]
    return tuple(AcquisitionSpec(number, shift) for number, shift in enumerate(shifts))
