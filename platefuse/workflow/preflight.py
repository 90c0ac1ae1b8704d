"""Check everything that decides where pixels go, tables included, before the first job.

Nothing here writes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from platefuse.errors import PlateError, SwapError
from platefuse.fusion.layers import LayerReader
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.stack import frame_for
from platefuse.fusion.well import NOT_OURS, check_fused_well, fused_images
from platefuse.ngff.metadata import is_node
from platefuse.ngff.paths import fused_plate_path, staging_root
from platefuse.ngff.plate import BACKUP_SUFFIX, Plate, Well
from platefuse.registration.plan import plan_registration
from platefuse.registration.request import RegistrationRequest, done_record
from platefuse.registration.swap import only_backup_left
from platefuse.storage.files import same_filesystem
from platefuse.workflow.config import Config


def check_inputs(config: Config, plates: Mapping[str, Plate]) -> None:
    """Check every input of every well of a run.

    Parameters
    ----------
    config : Config
        The config.
    plates : mapping of str to Plate
        Its plates, by their names in the config.

    Raises
    ------
    PlatefuseError
        The first thing that is wrong.
    """
    for plate in plates.values():
        if config.registration.enabled:
            check_plate(plate, config.registration.request)
        if config.fusion.enabled:
            check_fusion(plate, config.fusion.options)
            check_fused_plate(plate, fused_plate_path(plate.path, config.fusion.output))


def check_plate(plate: Plate, request: RegistrationRequest) -> None:
    """Check that every image of a plate can be registered.

    Parameters
    ----------
    plate : Plate
        The plate.
    request : RegistrationRequest
        The registration to apply.

    Raises
    ------
    PlatefuseError
        The first thing that is wrong.
    """
    for well in plate.read_wells():
        check_well(well, request)


def check_well(well: Well, request: RegistrationRequest) -> None:
    """Check every image of one well; see `check_plate`."""
    names = {image.name for image in well.listed_images}
    for image in well.images:
        if f"{image.name}{BACKUP_SUFFIX}" in names:
            raise PlateError(
                f"{well.path}: an image is named {image.name}{BACKUP_SUFFIX}, the name that the "
                f"backup of image {image.name} gets. Rename it."
            )
    if any(only_backup_left(image) for image in well.acquired_images):
        return  # the well's first job restores it; until then its images cannot be read
    for image in well.images:
        if done_record(request.destination(image), request) is None:
            _check_swappable(well.plate)
            plan_registration(image, request)


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
        If it holds something else, which would be replaced.
    """
    if not os.path.lexists(fused):
        return
    rows = {well.row for well in plate.wells}
    wells = {(well.row, well.column) for well in plate.wells}
    if is_node(fused):
        wells |= {(well.row, well.column) for well in Plate.open(fused).wells}
    elif not fused.is_dir() or _visible(fused) - rows:
        raise PlateError(f"{fused} is not a fused plate. {NOT_OURS}")
    for row, column in sorted(wells):
        check_fused_well(fused / row / column)


def check_fusion(plate: Plate, options: FusionOptions) -> None:
    """Check that every well has fields that can be fused.

    Parameters
    ----------
    plate : Plate
        The plate, registered or not yet.
    options : FusionOptions
        How to fuse it.

    Raises
    ------
    PlatefuseError
        The first thing that is wrong.
    """
    for well in plate.read_wells():
        if any(only_backup_left(image) for image in well.images):
            continue  # the well's first job restores it; until then its images cannot be read
        layers = LayerReader(options).read(well)
        for _, together in fused_images(layers, options):
            frame_for(together, options)


def _check_swappable(plate: Path) -> None:
    for folder in (plate, plate.parent):
        if not os.access(folder, os.W_OK):
            raise PlateError(
                f"{folder} cannot be written to: new images are written next to the plate and then "
                "moved into it. Change its permissions, or work on a copy of the plate."
            )
    staging = staging_root(plate)
    if not same_filesystem(plate, staging if staging.exists() else plate.parent):
        raise SwapError(
            f"{plate} and {staging}, where its new images are written, would be on different "
            "filesystems, so one image could not replace the other in one step. If the plate "
            f"is a link, give the folder that it leads to: {plate.resolve()}."
        )


def _visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}
