"""Exchange the staged image with the live one, publish it next to it, and remove backups.

For every image there are three folders: *live* in the plate, *staged* and *backup* in the staging
folder. Which step was reached is read from the folders and their records only: the record is
written last, so a folder that has one is complete. At every instant the live path is the whole old
image or the whole new one, and a second call completes what the first began.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from platefuse.errors import PlatefuseError, RecordError, SwapError
from platefuse.ngff.consolidated import drop_consolidated, drop_stale
from platefuse.ngff.image import Image, Multiscale
from platefuse.ngff.metadata import read_attributes, update_attributes
from platefuse.ngff.paths import staging_root
from platefuse.ngff.plate import Well, WellImage
from platefuse.records import ImageReceipt, WellReceipt
from platefuse.registration.request import RegistrationRequest, done_record
from platefuse.storage.files import (
    exchange,
    flush_filesystem,
    flush_folder,
    remove_tree,
    same_filesystem,
)
from platefuse.storage.locks import exclusive_lock, shared_folder, tidy_shared_folder
from platefuse.storage.typed_json import list_of, object_of
from platefuse.tables.table import table_path

logger = logging.getLogger(__name__)


def only_backup_left(image: WellImage) -> bool:
    """Whether only the backup of an image exists: a run was killed between two renames."""
    return image.backup.exists() and not image.live.exists()


def restore_backup(image: WellImage) -> None:
    """Rename the backup of an image to the live image if that does not exist.

    Not to be called while another job swaps the image.
    """
    if only_backup_left(image):
        with suppress(FileNotFoundError):  # another job of the well has just restored it
            image.backup.rename(image.live)
            logger.warning("%s: restored from %s", image.live, image.backup)


def swap_image(image: WellImage, request: RegistrationRequest) -> ImageReceipt:
    """Put the staged image in the place of the live one; the old image becomes the backup.

    Parameters
    ----------
    image : WellImage
        The image.
    request : RegistrationRequest
        The registration. An image that was registered by another one is never changed.

    Returns
    -------
    ImageReceipt
        What was done.

    Raises
    ------
    PlatefuseError
        If there is no complete staged image, or the two are on different filesystems. The live
        image is unchanged.
    """
    done = done_record(image.live, request)
    action = "swapped before"
    if done is None:
        done, action = done_record(image.staged, request), "swapped"
        if done is None:
            restore_backup(image)
            raise RecordError(
                f"{image.live}: no complete staged image at {image.staged}. Run `register_image` "
                "and `copy_tables` for this image first (the workflow does)."
            )
        if image.live.exists() and image.backup.exists():
            raise SwapError(
                f"{image.backup}: there is a backup of {image.live} already, but the image is not "
                "registered. If it is the original, restored as a copy, remove the backup; if not, "
                "move one of the two away. Then start again: neither is lost."
            )
        with shared_folder(staging_root(image.well.plate)):
            _exchange(image)
        logger.info("%s: swapped; the original is %s", image.live, image.backup)
    if image.staged.exists():
        _keep_or_remove_staged(image, request)
    return ImageReceipt(well=image.well.name, image=image.name, action=action, record=done)


def discard_backup(image: WellImage, request: RegistrationRequest) -> None:
    """Check a live registered image, then remove its backup.

    Raises
    ------
    PlatefuseError
        If the image is not registered, or is not as its record has it. The backup is kept.
    """
    check_registered(image, request)
    drop_stale(image.live)
    _remove_backup(image)


def discard_backups(
    well: Well, request: RegistrationRequest, *, keep_originals: bool = False
) -> WellReceipt:
    """Check every live image of a well, and then remove the backups.

    Parameters
    ----------
    well : Well
        The well. All its images must have been swapped.
    request : RegistrationRequest
        The registration.
    keep_originals : bool
        Whether the backups are kept, as ``<plate>.staging/<row>/<column>/<image>.original``.

    Returns
    -------
    WellReceipt
        The images, and the backups that are left.

    Raises
    ------
    PlatefuseError
        If an image is not registered, or is not as its record has it. All backups are kept.
    """
    for image in well.images:
        check_registered(image, request)
        drop_stale(image.live)
    if not keep_originals:
        for image in well.images:
            _remove_backup(image)
    kept = tuple(str(image.backup) for image in well.images if image.backup.exists())
    tidy_shared_folder(staging_root(well.plate))
    names = tuple(image.name for image in well.images)
    return WellReceipt(well=well.name, images=names, backups_kept=kept)


def check_registered(image: WellImage, request: RegistrationRequest) -> None:
    """Check that a live image is complete: its record, levels, labels, and the record's tables.

    Raises
    ------
    PlatefuseError
        If one is missing.
    """
    record = done_record(image.live, request)
    if record is None or record.tables is None:
        raise RecordError(
            f"{image.live}: this image is not registered yet, so its backup is not removed."
        )
    for name in Image.read(image.live).absent_labels:
        raise RecordError(f"{image.live}: the label {name!r}, which the image lists, is missing.")
    for name in record.tables:
        if not table_path(image.live, name).is_dir():
            raise RecordError(f"{image.live}: the table {name!r} of its record does not exist.")


def publish_image(image: WellImage, request: RegistrationRequest) -> Path:
    """Move a staged image next to the original, and list it in the well's metadata.

    One caller at a time for each well: the metadata of the well is read and written.

    Returns
    -------
    Path
        The new image.

    Raises
    ------
    PlatefuseError
        If there is no complete staged image, or something else has the new name.
    """
    target, well = request.destination(image), image.well
    if done_record(target, request) is None:
        if target.exists():
            raise SwapError(
                f"{target} exists and was not written by platefuse. Move it away, or let the new "
                "image replace the original (`overwrite_input`)."
            )
        if done_record(image.staged, request) is None:
            raise RecordError(
                f"{image.live}: no complete staged image at {image.staged}. Run `register_image` "
                "and `copy_tables` for this image first (the workflow does)."
            )
        check_filesystem(image.staged, well.path)
        drop_consolidated(target)
        flush_filesystem(image.staged)
        image.staged.rename(target)
        flush_folder(well.path)
    drop_stale(target)
    _list_in_well(image, target.name)
    remove_tree(image.staged)
    return target


def publish_registered(well: Well, request: RegistrationRequest) -> WellReceipt:
    """Publish every staged image of a well; see `publish_image`."""
    paths = [publish_image(image, request) for image in well.images]
    tidy_shared_folder(staging_root(well.plate))
    return WellReceipt(well=well.name, images=tuple(path.name for path in paths))


@contextmanager
def well_lock(well: Well) -> Iterator[None]:
    """Hold the well's lock: a ``flock`` on a file in the plate's staging folder."""
    root = staging_root(well.plate)
    with shared_folder(root), exclusive_lock(root / f".{well.row}_{well.column}.lock"):
        yield


def _remove_backup(image: WellImage) -> None:
    remove_tree(image.backup)
    remove_tree(image.staged)


def _exchange(image: WellImage) -> None:
    live, staged, backup = image.live, image.staged, image.backup
    check_filesystem(staged, live if live.exists() else live.parent)
    drop_consolidated(live)  # before the flush: on disk before the image is
    flush_filesystem(staged)
    if live.exists() and exchange(live, staged):
        staged.rename(backup)
    else:
        if live.exists():
            logger.warning(
                "%s: this filesystem cannot exchange two folders in one step; two renames are "
                "used, and between them the image is only in the staging folder",
                live,
            )
            live.rename(backup)
        staged.rename(live)
    flush_folder(live.parent)
    flush_folder(backup.parent)


def _keep_or_remove_staged(image: WellImage, request: RegistrationRequest) -> None:
    """Handle a staged folder whose live image is registered: the original, or a second new image.

    It is the original if a run was killed between the exchange and the renaming to the backup.
    """
    is_new = done_record(image.staged, request) is not None
    if not is_new and not image.backup.exists() and _is_image(image.staged):
        image.staged.rename(image.backup)
    else:
        remove_tree(image.staged)


def _is_image(folder: Path) -> bool:
    try:
        Multiscale.read(folder)
    except PlatefuseError:
        return False
    return True


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


def _list_in_well(image: WellImage, new: str) -> None:
    well = image.well
    if any(name == new for name, _ in well.read_again().listed):
        return
    drop_consolidated(well.path / new)
    section = object_of(read_attributes(well.path)["well"])
    images = [object_of(entry) for entry in list_of(section["images"])]
    own = next(entry for entry in images if entry["path"] == image.name)
    listed = [*images, {**own, "path": new}]
    update_attributes(well.path, {"well": {**section, "images": listed}})
