"""Before the first job: everything that decides where pixels go is read and checked."""

from __future__ import annotations

from platefuse.errors import PlateError
from platefuse.fusion_options import FusionOptions
from platefuse.layers import Layer, check_stackable
from platefuse.plate import Plate, Well
from platefuse.registration_plan import plan_registration
from platefuse.request import RegistrationRequest, done_record
from platefuse.swap import BACKUP_SUFFIX, is_away


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
    for well in plate.wells:
        check_well(well, request)


def check_well(well: Well, request: RegistrationRequest) -> None:
    """Check every image of one well; see `check_plate`."""
    names = {image.path for image in well.listed_images}
    for image in well.images:
        if f"{image.path}{BACKUP_SUFFIX}" in names:
            raise PlateError(
                f"{well.path}: an image is named {image.path}{BACKUP_SUFFIX}, the name that the "
                f"backup of image {image.path} gets. Rename it."
            )
    if any(is_away(well, image.path) for image in well.acquired_images):
        return  # the well's first job puts it back; until then its images cannot be read
    for image in well.images:
        if done_record(request.destination(well, image.path), request) is None:
            plan_registration(well, image.path, request)


def check_fusion(plate: Plate, options: FusionOptions) -> None:
    """Check that the fields of every image can be found, and images stacked. Writes nothing.

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
    for well in plate.wells:
        layers = [
            Layer.read(image.path, image.acquisition, well.image(image.path), options.tile_table)
            for image in well.images
            if not is_away(well, image.path)
        ]
        if options.layout == "stacked":
            check_stackable(layers)
