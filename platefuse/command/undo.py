"""``platefuse undo``: put kept originals back in the place of registered images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platefuse.errors import ConfigError, PlateError

if TYPE_CHECKING:
    from platefuse.ngff.plate import Plate, Well


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.set_defaults(run=run)
    parser.add_argument(
        "target",
        type=Path,
        metavar="CONFIG|PLATE",
        help="the config of the run, whose receipts are removed, too; or the folder of a plate",
    )
    parser.add_argument(
        "wells", nargs="*", metavar="ROW/COLUMN", help="wells, for example B/03 (default: all)"
    )


def run(args: argparse.Namespace) -> None:
    """Put originals back.

    Raises
    ------
    PlatefuseError
        If an original was not kept. Wells before it are undone, it and those after it are not.
    """
    from platefuse.ngff.plate import Plate

    if args.target.is_dir():
        plate = Plate.open(args.target)
        _undo(plate, _chosen([plate], args.wells)[0], None)
        print(
            "If receipts of a run are kept, remove those of these wells, or type --forceall in the "
            "next run: results/<plate>/<row>/<column>. `platefuse undo CONFIG` does it."
        )
        return
    from platefuse.workflow.config import read_config
    from platefuse.workflow.config_text import read_yaml
    from platefuse.workflow.plates import open_plates

    config = read_config(read_yaml(args.target), [args.target])
    if Path(".snakemake", "locks").is_dir() and any(Path(".snakemake", "locks").iterdir()):
        raise ConfigError(
            "A run uses this folder, or one was killed in it (.snakemake/locks is not empty). Let "
            f"it end, or remove its lock: platefuse run {args.target} --unlock"
        )
    plates = open_plates(config)
    chosen = _chosen(list(plates.values()), args.wells)
    for (name, plate), wells in zip(plates.items(), chosen, strict=True):
        _undo(plate, wells, Path(config.results, name))


def _chosen(plates: Sequence[Plate], names: Sequence[str]) -> list[list[Well]]:
    """The wells of each plate that were named; all without names."""
    for name in names:
        if not any(name == well.name for plate in plates for well in plate.wells):
            listed = ", ".join(well.name for plate in plates for well in plate.wells[:5])
            raise PlateError(f"There is no well {name}; expected names such as {listed}.")
    return [
        [
            plate.well(well.row, well.column)
            for well in plate.wells
            if (not names or well.name in names) and (plate.path / well.name).is_dir()
        ]
        for plate in plates
    ]


def _undo(plate: Plate, wells: Sequence[Well], results: Path | None) -> None:
    """Undo wells, each after all were checked, so that what cannot be undone stops it before."""
    from platefuse.registration.undo import undo_well
    from platefuse.storage.files import remove_tree

    done = 0
    touched = [well for well in wells if _can_be_undone(well) or well.staging.is_dir()]
    for well in touched:
        if results is not None:
            # First: a receipt without its registered image would end the next run at once.
            remove_tree(results / well.row / well.column)
        if images := undo_well(well):
            done += 1
            print(f"{well.name}: the originals of the images {', '.join(images)} are back")
    if not touched:
        print(f"{plate.path}: no image is registered in its place, so there is nothing to undo.")
        return
    print(
        f"{plate.path}: {done} wells were undone. Fused wells are kept; "
        "a new run replaces those whose pixels change."
    )


def _can_be_undone(well: Well) -> bool:
    """Whether an image of a well is registered; every image is checked."""
    from platefuse.registration.undo import check_undo

    return sum(map(check_undo, well.images)) > 0
