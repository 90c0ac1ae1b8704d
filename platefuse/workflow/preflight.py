"""Before the first job: everything that decides where pixels go is read and checked."""

from __future__ import annotations

import os
from pathlib import Path

from platefuse.errors import PlateError, SwapError
from platefuse.fusion.fields import Layer
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.stack import frame_for
from platefuse.fusion.well import NOT_OURS, check_fused_well, fused_images
from platefuse.ngff.metadata import is_node
from platefuse.ngff.paths import staging_root
from platefuse.ngff.plate import BACKUP_SUFFIX, Plate, Well
from platefuse.registration.plan import plan_registration
from platefuse.registration.request import RegistrationRequest, done_record
from platefuse.registration.swap import only_backup_left
from platefuse.storage.files import same_filesystem


def check_plate(plate: Plate, request: RegistrationRequest) -> None:
    """Check that every image of a plate can be registered as asked. Writes nothing.

    Parameters
    ----------
    plate : Plate
        The plate.
    request : RegistrationRequest
        What is asked.

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
        return  # the well's first job puts it back; until then its images cannot be read
    for image in well.images:
        if done_record(request.destination(image), request) is None:
            _check_swappable(well.plate)
            plan_registration(image, request)


def check_fused_plate(plate: Plate, fused: Path) -> None:
    """Check that nothing lies where the fused plate goes but what platefuse has fused there.

    Parameters
    ----------
    plate : Plate
        The plate that is to be fused.
    fused : Path
        Folder of the fused plate.

    Raises
    ------
    PlateError
        If something else is there: it would be replaced.
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
    """Check that every well has fields that can be fused as asked. Writes nothing.

    Parameters
    ----------
    plate : Plate
        The plate, registered or not yet.
    options : FusionOptions
        How it is to be fused.

    Raises
    ------
    PlatefuseError
        The first thing that is wrong.
    """
    for well in plate.read_wells():
        layers = [
            Layer.read(image.name, image.acquisition, image.live, options.tile_table)
            for image in well.images
            if not only_backup_left(image)
        ]
        for _, together in fused_images(layers, options):
            frame_for(together, options)


def _check_swappable(plate: Path) -> None:
    for folder in (plate, plate.parent):
        if not os.access(folder, os.W_OK):
            raise PlateError(
                f"{folder} cannot be written to: new images are made beside the plate and then "
                "put into it. Change its permissions, or work on a copy of the plate."
            )
    staging = staging_root(plate)
    if not same_filesystem(plate, staging if staging.exists() else plate.parent):
        raise SwapError(
            f"{plate} and {staging}, where its new images are made, would be on different "
            "filesystems, so one image could not take the other's place in one step. If the plate "
            f"is a link, name the folder that it leads to: {plate.resolve()}."
        )


def _visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}
