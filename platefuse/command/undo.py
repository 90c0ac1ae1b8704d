"""``platefuse undo``: put kept originals back in the place of registered images."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platefuse.errors import ConfigError

if TYPE_CHECKING:
    from platefuse.ngff.plate import Plate, Well
    from platefuse.workflow.sections import Subset


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
        "wells",
        nargs="*",
        metavar="WELL",
        help="wells (B03), rows (B), columns (3) or ranges of these (B03:D08); by default all, or "
        "those that the config names",
    )


def run(args: argparse.Namespace) -> None:
    """Put originals back.

    Raises
    ------
    PlatefuseError
        If an original was not kept. Wells before it are undone, it and those after it are not.
    """
    from platefuse.ngff.plate import Plate
    from platefuse.workflow.sections import Subset

    if args.target.is_dir():
        plate = Plate.open(args.target)
        _undo(plate, _chosen({"": plate}, args.wells, Subset())[""], None)
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
    chosen = _chosen(plates, args.wells, config.wells)
    for name, plate in plates.items():
        _undo(plate, chosen[name], Path(config.results, name))


def _chosen(
    plates: Mapping[str, Plate], names: Sequence[str], subset: Subset
) -> dict[str, list[Well]]:
    """The wells of each plate that exist and are named, by the command line or by the config."""
    from platefuse.workflow.plates import present_wells
    from platefuse.workflow.subset import named_wells, select_wells

    listed = {name: plate.wells for name, plate in plates.items()}
    if names:
        keys = named_wells(listed, names, "The command")
    else:
        keys = select_wells(listed, subset.include, subset.exclude)
    chosen: dict[str, list[Well]] = {}
    for name, plate in plates.items():
        present = present_wells(plate)
        chosen[name] = [
            plate.well(well.row, well.column)
            for well in plate.wells
            if well in present and (name, well.row, well.column) in keys
        ]
    return chosen


def _undo(plate: Plate, wells: Sequence[Well], results: Path | None) -> None:
    """Undo wells, each after all were checked, so that what cannot be undone stops it before."""
    from platefuse.workflow.run_lock import plate_lock

    with plate_lock(plate.path):
        _undo_locked(plate, wells, results)


def _undo_locked(plate: Plate, wells: Sequence[Well], results: Path | None) -> None:
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
