"""Check, before a registration begins, that a new image has a place, and can be put there."""

from __future__ import annotations

import errno
from pathlib import Path

from platefuse.errors import RecordError, SwapError
from platefuse.ngff.paths import staging_folder
from platefuse.ngff.well import WellImage
from platefuse.records import RegistrationRecord
from platefuse.registration.request import RegistrationRequest
from platefuse.storage.files import make_folder
from platefuse.storage.filesystems import LAYERED, filesystem_type, same_filesystem
from platefuse.storage.removing import remove_tree
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
        If a name is too long, or a folder cannot be written to or removed; if the image is
        registered in its other place.
    """
    _check_other_place(image, request)
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


def _check_other_place(image: WellImage, request: RegistrationRequest) -> None:
    """Check that an image is not registered in its place, if one beside it is wanted, or reverse.

    Raises
    ------
    RecordError
        If it is.
    """
    other = image.destination(overwrite=not request.overwrite_input)
    if RegistrationRecord.read(other) is None:
        return
    if request.overwrite_input:
        raise RecordError(
            f"{other}: this image has been registered next to its original already "
            "(overwrite_input: false), and now the original is to be registered in its place. The "
            "acquisition would be in the well twice: set overwrite_input to false, or remove this "
            "folder and its entry in the metadata of the well."
        )
    raise RecordError(
        f"{other}: this image has been registered in its place already, and now an image next to "
        "it is requested (overwrite_input: false). Its pixels will not be shifted twice: put the "
        "original back (`platefuse restore PLATE`, if it was kept), or set overwrite_input to true."
    )


def check_filesystem(staged: Path, live: Path) -> None:
    """Check that one folder can replace another in one step.

    Raises
    ------
    SwapError
        If they are on different filesystems.
    """
    if not same_filesystem(staged, live):
        raise SwapError(
            f"{staged} and {live} are on different filesystems, so one cannot replace the other in "
            "one step. Put the plate and the folder next to it on one filesystem."
        )


def check_can_move(live: Path, staged: Path) -> None:
    """Check that the file system can move an image, before its new one is made. Nothing is moved.

    A file system of layers cannot move a folder of a lower layer (EXDEV). A folder is never put in
    the place of one that is not empty, so this is tried, and the reason of the refusal tells.

    Raises
    ------
    SwapError
        If the image could not be moved.
    """
    if filesystem_type(live) not in LAYERED:
        return
    probe = staged.with_name(f".{staged.name}.probe")
    make_folder(probe / "not empty")
    try:
        live.rename(probe)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return
        raise SwapError(
            f"{live}: the file system cannot move this image to {staged.parent} "
            f"({error.strerror}), so no new image can take its place. Copy the plate to a folder "
            "of another file system, or set registration.store to false to fuse it without "
            "changing it."
        ) from error
    finally:
        remove_tree(probe)
