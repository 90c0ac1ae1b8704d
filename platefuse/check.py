"""Before the first job: everything that decides where pixels go is read and checked."""

from __future__ import annotations

from platefuse.errors import PlateError
from platefuse.fusion_options import FusionOptions
from platefuse.layers import Layer, check_stackable
from platefuse.plate import Plate, Well
from platefuse.registration_plan import plan_registration
from platefuse.request import RegistrationRequest, done_record
from platefuse.swap import BACKUP_SUFFIX, backup_path


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
        if done_record(request.destination(well, image.path), request) is not None:
            continue
        if backup_path(well, image.path).exists() and not well.image(image.path).exists():
            continue  # a run was killed between two renames: the swap puts it back
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
        paths = [(image, well.image(image.path)) for image in well.images]
        layers = [
            Layer.read(image.path, image.acquisition, path, options.tile_table)
            for image, path in paths
            if path.exists() or not backup_path(well, image.path).exists()
        ]
        if options.layout == "stacked":
            check_stackable(layers)
