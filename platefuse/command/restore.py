"""``platefuse restore``: put kept originals back in the place of registered images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platefuse.command.wells import add_wells, chosen_wells, read_config_of_no_run
from platefuse.errors import ConfigError, counted

if TYPE_CHECKING:
    from platefuse.ngff.plate import Plate
    from platefuse.ngff.well import Well


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.set_defaults(run=run)
    parser.add_argument(
        "target",
        type=Path,
        metavar="PLATE|CONFIG",
        help="the folder of a plate; or the config of a run, for all of its plates and wells",
    )
    add_wells(parser)


def run(args: argparse.Namespace) -> None:
    """Put originals back.

    Raises
    ------
    PlatefuseError
        If an original was not kept, or there is nothing at the path: nothing is changed then.
    """
    from platefuse.ngff.plate import Plate

    if args.target.is_dir():
        plate = Plate.open(args.target)
        _restore(plate, chosen_wells({"": plate}, args.wells)[""], None)
        return
    if not args.target.exists():
        raise ConfigError(
            f"{args.target}: there is no such plate, and no such config. Check the path."
        )
    from platefuse.workflow.plates import open_plates

    config = read_config_of_no_run(args.target)
    plates = open_plates(config)
    chosen = chosen_wells(plates, args.wells, config)
    for name, plate in plates.items():
        _restore(plate, chosen[name], Path(config.results, name))


def _restore(plate: Plate, wells: Sequence[Well], results: Path | None) -> None:
    """Restore wells, each after all were checked, so that what cannot be restored stops it."""
    from platefuse.workflow.run_lock import plate_lock

    with plate_lock(plate.path):
        _restore_locked(plate, wells, results)


def _restore_locked(plate: Plate, wells: Sequence[Well], results: Path | None) -> None:
    from platefuse.registration.restore import restore_well
    from platefuse.workflow.outdated.restored import remove_receipts

    done = removed = 0
    touched = [well for well in wells if _can_be_restored(well) or well.staging.is_dir()]
    for well in touched:
        if results is not None:
            # First: a receipt without its registered image would end the next run at once.
            remove_receipts(well, results / well.row / well.column)
        staged = [image for image in well.images if image.staged.exists()]
        if images := restore_well(well):
            done += 1
            print(f"{well.name}: the originals of the images {', '.join(images)} are back")
        if gone := [image.name for image in staged if not image.staged.exists()]:
            removed += 1
            print(f"{well.name}: the staged images {', '.join(gone)} were removed")
    if not done:
        print(
            f"{plate.path}: no image is registered in its place, so there is nothing to restore."
            + " The next run stages the removed images again." * (removed > 0)
        )
        return
    print(
        f"{plate.path}: {counted(done, 'well was', 'wells were')} restored; `platefuse status` "
        "shows when. The next run registers again. Fused wells are kept until then."
    )


def _can_be_restored(well: Well) -> bool:
    """Whether an image of a well is registered; every image is checked."""
    from platefuse.registration.restore import check_restore

    return sum(map(check_restore, well.images)) > 0
