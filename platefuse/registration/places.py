"""Whether all that a registration writes, renames and removes can be, before it begins."""

from __future__ import annotations

from platefuse.ngff.paths import staging_folder
from platefuse.ngff.plate import WellImage
from platefuse.registration.request import RegistrationRequest
from platefuse.storage.writable import check_new, check_removable, check_writable


def check_places(image: WellImage, request: RegistrationRequest, *, removes: bool = False) -> None:
    """Check that a new image can be made and put in its place.

    Parameters
    ----------
    image : WellImage
        The image.
    request : RegistrationRequest
        The registration.
    removes : bool
        Whether the original is removed in the end: then also each folder in it is looked at.

    Raises
    ------
    PlatefuseError
        If a name is too long, or a folder cannot be written to or removed.
    """
    well = image.well
    staging_folder(well.plate, well.row, well.column)
    what = f"{image.live} cannot be registered"
    check_new(image.staged, what)
    if request.overwrite_input:
        check_new(image.backup, what)
        check_writable(image.live, what)  # a folder that moves to another one is written to
    else:
        check_new(image.registered, what)
    check_writable(well.path, what)
    if removes and request.overwrite_input:
        check_removable(image.live, what)
