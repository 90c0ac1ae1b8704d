"""``platefuse clean``: remove what killed runs have left, and kept originals if asked to."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from platefuse.command.wells import add_wells, chosen_wells


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.set_defaults(run=run)
    parser.add_argument("plate", type=Path, metavar="PLATE", help="folder of the plate")
    add_wells(parser)
    parser.add_argument(
        "--originals",
        action="store_true",
        help="also remove kept originals, after all registered images were checked",
    )
    parser.add_argument("--dry-run", action="store_true", help="list it, and remove nothing")
    parser.add_argument(
        "--fused",
        type=Path,
        metavar="PATH",
        help="the fused plate (default: <plate>_fused.zarr next to the plate)",
    )


def run(args: argparse.Namespace) -> None:
    """Remove what is left over, and print each.

    Raises
    ------
    PlatefuseError
        If something cannot be read, or a registered image whose original would go is not complete.
    """
    from platefuse.ngff.paths import fused_plate_path
    from platefuse.ngff.plate import Plate, WellName
    from platefuse.workflow.cleaning import clean_fused, clean_wells
    from platefuse.workflow.run_lock import plate_lock

    plate = Plate.open(args.plate)
    wells = chosen_wells({"": plate}, args.wells)[""]
    fused = fused_plate_path(plate.path, None if args.fused is None else str(args.fused))
    names = [WellName(well.row, well.column) for well in wells]
    with ExitStack() as locks:
        for folder in () if args.dry_run else (plate.path, fused):
            locks.enter_context(plate_lock(folder))
        left = [
            *clean_wells(plate, wells, originals=args.originals, dry=args.dry_run),
            *clean_fused(fused, names, dry=args.dry_run),
        ]
    removed = stays = 0
    for found in left:
        if found.kind == "stays":
            stays += 1
            print(f"left as it is: {found.path}: {found.why}")
        else:
            removed += 1
            print(f"{'would remove' if args.dry_run else 'removed'}: {found.path}: {found.why}")
    if not removed:
        print(f"{plate.path}: nothing is left over" + (f"; {stays} stay." if stays else "."))
