"""Check the folders that a run writes into, before the first job.

They must be writable, and hold nothing of somebody else and no wells of another OME-NGFF version.
Nothing here writes. `platefuse.workflow.checks.preflight` checks what the jobs of a well read, and
whether its images can be replaced.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from platefuse.errors import PlateError
from platefuse.fusion.wells.replace import NOT_OURS, check_fused_well, check_one_version
from platefuse.ngff.metadata import is_node
from platefuse.ngff.paths import (
    check_outside_groups,
    check_own_folders,
    fused_plate_path,
    staging_folder,
    staging_root,
)
from platefuse.ngff.plate import Plate
from platefuse.storage.stray import is_stray
from platefuse.storage.writable import check_new
from platefuse.workflow.config.model import Config
from platefuse.workflow.receipts import WellKey


def check_outputs(config: Config, plates: Mapping[str, Plate]) -> None:
    """Check that a run can write what it makes, and replaces nothing of somebody else.

    Raises
    ------
    PlatefuseError
        The first thing that is wrong.
    """
    for name, plate in plates.items():
        for folder in ("", "logs", "benchmarks"):
            check_new(Path(config.results, folder, name), "config.results")
        fusion = config.by_plate[name].fusion
        if fusion.enabled:
            check_fused_plate(plate, fused_plate_path(plate.path, fusion.output))


def check_versions(config: Config, plates: Mapping[str, Plate], wells: Collection[WellKey]) -> None:
    """Check that no fused plate gets wells of two OME-NGFF versions.

    Raises
    ------
    PlateError
        If one would.
    """
    for name, plate in plates.items():
        fusion = config.by_plate[name].fusion
        if fusion.enabled:
            fused = fused_plate_path(plate.path, fusion.output)
            there = Plate.open(fused).wells if is_node(fused) else ()
            stay = [
                well.name
                for well in dict.fromkeys((*plate.wells, *there))
                if (name, well.row, well.column) not in wells
            ]
            check_one_version(fused, stay, fusion.options.ngff_version)


def check_fused_plate(plate: Plate, fused: Path) -> None:
    """Check that the folder of the fused plate holds nothing but what platefuse has fused.

    Parameters
    ----------
    plate : Plate
        The plate that is to be fused.
    fused : Path
        Folder of the fused plate.

    Raises
    ------
    PlateError
        If it holds something else, which would be replaced; if it lies inside another Zarr group;
        if it, or what is made beside it, is a link.
    """
    check_own_folders(fused)
    check_outside_groups(fused)
    for well in plate.wells:
        staging_folder(fused, well.row, well.column)
    for folder in (fused, staging_root(fused)):
        for below in (Path(), *{Path(well.row) for well in plate.wells}):
            check_new(folder / below, f"the fused plate {fused} (fusion.output) cannot be written")
    if not os.path.lexists(fused):
        return
    rows = {well.row for well in plate.wells}
    wells = {(well.row, well.column) for well in plate.wells}
    if is_node(fused):
        wells |= {(well.row, well.column) for well in Plate.open(fused).wells}
    elif not fused.is_dir() or _visible(fused) - rows:
        raise PlateError(f"{fused} is not a fused plate. {NOT_OURS}")
    for row, column in sorted(wells):
        check_own_folders(fused / row, fused / row / column)
        check_fused_well(fused / row / column)


def _visible(folder: Path) -> set[str]:
    names = {path.name for path in folder.iterdir()}
    return {name for name in names if not (name.startswith(".") or is_stray(name))}
