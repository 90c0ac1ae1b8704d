"""Exchange the staged image with the live one, publish it next to it, and remove backups.

For every image there are three folders: *live* in the plate, *staged* and *backup* in the staging
folder. Which step was reached is read from the folders and their records only: the record is
written last, so a folder that has one is complete. At every instant the live path is the whole old
image or the whole new one, and a second call completes what the first began.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from platefuse.errors import PlatefuseError, RecordError, SwapError, counted
from platefuse.ngff.consolidated import drop_consolidated, drop_stale
from platefuse.ngff.image import Image
from platefuse.ngff.metadata import read_attributes, update_attributes
from platefuse.ngff.paths import staging_root
from platefuse.ngff.tables.table import table_path
from platefuse.ngff.well import Well, WellImage
from platefuse.records import ImageReceipt, RegistrationRecord, WellReceipt
from platefuse.registration.locks import image_lock, image_locks, well_lock
from platefuse.registration.originals import (
    forget_restored,
    kept_file,
    mark_original,
    note_registered,
)
from platefuse.registration.places import check_filesystem
from platefuse.registration.request import RegistrationRequest, done_record
from platefuse.registration.staged import check_staged
from platefuse.storage.files import exchange
from platefuse.storage.flush import flush_folder
from platefuse.storage.locks import tidy_shared_folder
from platefuse.storage.once import reading_once
from platefuse.storage.permissions import mirror_access
from platefuse.storage.removing import remove_tree
from platefuse.storage.typed_json import list_of, object_of

logger = logging.getLogger(__name__)

Check = Callable[[WellImage, RegistrationRecord], None]
"""Compares a live registered image with its original; raises if they do not agree."""


def only_backup_left(image: WellImage) -> bool:
    """Whether only the backup of an image exists: a run was killed between two renames."""
    return image.backup.exists() and not image.live.exists()


def restore_backup(image: WellImage) -> None:
    """Rename the backup of an image to the live image if that does not exist.

    Waits while another process swaps the image.
    """
    if only_backup_left(image):
        with well_lock(image.well):
            if only_backup_left(image):  # not restored or swapped by another job meanwhile
                image.backup.rename(image.live)
                logger.warning("%s: restored from %s", image.live, image.backup)


def swap_image(
    image: WellImage, request: RegistrationRequest, *, keep_original: bool = False
) -> ImageReceipt:
    """Put the staged image in the place of the live one; the old image becomes the backup.

    Parameters
    ----------
    image : WellImage
        The image.
    request : RegistrationRequest
        The registration. An image that was registered by another one is never changed.
    keep_original : bool
        Whether the backup is to be kept; see `discard_backups`.

    Returns
    -------
    ImageReceipt
        What was done.

    Raises
    ------
    PlatefuseError
        If there is no complete staged image, or the two are on different filesystems; if another
        process works on the image. The live image is unchanged.
    """
    done = done_record(image.live, request)
    if done is not None and not image.staged.exists():  # nothing to do, also on a protected disk
        return ImageReceipt(
            well=image.well.name, image=image.name, action="swapped before", record=done
        )
    with image_lock(image):
        return _swap_image(image, request, keep_original=keep_original)


def _swap_image(
    image: WellImage, request: RegistrationRequest, *, keep_original: bool
) -> ImageReceipt:
    done = done_record(image.live, request)
    action = "swapped before"
    if done is None:
        with well_lock(image.well):  # first: the images are compared right before the exchange
            done, action = _check_swap(image, request), "swapped"
            if not image.backup.exists():  # if it does, this was decided when it was made
                mark_original(image, keep=keep_original)
            _exchange(image)
        logger.info("%s: swapped; the original is %s", image.live, image.backup)
    if image.staged.exists():
        _keep_or_remove_staged(image)
    image.staged_from.unlink(missing_ok=True)
    return ImageReceipt(well=image.well.name, image=image.name, action=action, record=done)


def _check_swap(image: WellImage, request: RegistrationRequest) -> RegistrationRecord:
    """The record of the staged image, if it may take the place of the live one."""
    try:
        record = check_staged(image, request)
    except PlatefuseError:
        restore_backup(image)
        raise
    if image.live.exists() and image.backup.exists():
        raise SwapError(
            f"{image.backup}: there is a backup of {image.live} already, but the image is not "
            "registered. Compare the two, move the one that is not the original to another "
            "folder, do not delete it before you are sure, and start again."
        )
    return record


def discard_backup(
    image: WellImage, request: RegistrationRequest, *, verify: Check | None = None
) -> None:
    """Check a live registered image, then remove its backup, unless a run was told to keep it.

    Parameters
    ----------
    image, request
        See `swap_image`.
    verify : callable, optional
        Called with the image and its record, compares the image with its original; see
        `platefuse.registration.verify`.

    Raises
    ------
    PlatefuseError
        If the image is not registered, or is not as its record has it. The backup is kept.
    """
    with image_lock(image):
        _check(image, request, None if kept_file(image).exists() else verify)
        drop_stale(image.live)
        _remove_or_keep(image)


def discard_backups(
    well: Well,
    request: RegistrationRequest,
    *,
    keep_originals: bool = False,
    verify: Check | None = None,
) -> WellReceipt:
    """Check every live image of a well, and then remove the backups.

    Parameters
    ----------
    well : Well
        The well. All its images must have been swapped.
    request : RegistrationRequest
        The registration.
    keep_originals : bool
        Whether the backups are kept, as ``<plate>.staging/<row>/<column>/<image>.original``. Those
        that were kept once are kept by all later calls: `clean_plate` removes them.
    verify : callable, optional
        See `discard_backup`.

    Returns
    -------
    WellReceipt
        The images, the backups that are left, and those that were removed.

    Raises
    ------
    PlatefuseError
        If an image is not registered, or is not as its record has it. All backups are kept.
    """
    for image in well.images:
        keeps = keep_originals or kept_file(image).exists()
        _check(image, request, None if keeps else verify)
        drop_stale(image.live)
    removed: list[str] = []
    if well.staging.is_dir():
        with image_locks(well.images):
            for image in well.images:
                if keep_originals and image.backup.exists():
                    mark_original(image, keep=True)
                removed += _remove_or_keep(image)
    kept = [str(image.backup) for image in well.images if image.backup.exists()]
    tidy_shared_folder(staging_root(well.plate))
    removed_words = counted(len(removed), "original was", "originals were")
    kept_words = counted(len(kept), "is", "are")
    logger.info("%s: %s removed, %s kept", well.name, removed_words, kept_words)
    if kept and not keep_originals:
        logger.info(
            "%s: kept because a run before was told to. `platefuse clean --originals` removes them",
            well.name,
        )
    return WellReceipt(
        well=well.name,
        images=tuple(image.name for image in well.images),
        backups_kept=tuple(kept),
        backups_removed=tuple(removed),
    )


def check_registered(image: WellImage, request: RegistrationRequest) -> RegistrationRecord:
    """Check that a live image is complete: its record, levels, labels, and the record's tables.

    Returns
    -------
    RegistrationRecord
        Its record.

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
    return record


def publish_image(image: WellImage, request: RegistrationRequest) -> Path:
    """Move a staged image next to the original, and list it in the well's metadata.

    Returns
    -------
    Path
        The new image.

    Raises
    ------
    PlatefuseError
        If there is no complete staged image, or something else has the new name; if another
        process works on the image.
    """
    with image_lock(image):
        return _publish_image(image, request)


def _publish_image(image: WellImage, request: RegistrationRequest) -> Path:
    target, well = request.destination(image), image.well
    if done_record(target, request) is None:
        if target.exists():
            raise SwapError(
                f"{target} exists and was not written by platefuse. Move it away, or let the new "
                "image replace the original (`overwrite_input`)."
            )
        check_staged(image, request)
        check_filesystem(image.staged, well.path)
        mirror_access(image.live, image.staged)
        drop_consolidated(target)
        flush_folder(image.staged)  # the name of its record; all else was flushed before
        image.staged.rename(target)
        flush_folder(well.path)
    with well_lock(well):
        drop_stale(target)
        _list_in_well(image, target.name)
    remove_tree(image.staged)
    image.staged_from.unlink(missing_ok=True)
    return target


def publish_registered(well: Well, request: RegistrationRequest) -> WellReceipt:
    """Publish every staged image of a well; see `publish_image`."""
    paths = [publish_image(image, request) for image in well.images]
    tidy_shared_folder(staging_root(well.plate))
    return WellReceipt(well=well.name, images=tuple(path.name for path in paths))


@reading_once()
def _check(image: WellImage, request: RegistrationRequest, verify: Check | None) -> None:
    record = check_registered(image, request)
    if verify is not None and image.backup.is_dir():
        verify(image, record)


def _remove_or_keep(image: WellImage) -> list[str]:
    """Remove the backup of a checked image, if it is not kept; the backup that was removed."""
    forget_restored(image)  # it is registered again
    if image.staged.exists():
        _keep_or_remove_staged(image)
    remove_tree(image.staged)  # also what a kill has left of it
    image.staged_from.unlink(missing_ok=True)
    if not image.backup.exists():
        mark_original(image, keep=False)  # perhaps somebody has moved it away
        remove_tree(image.backup)
        return []
    if kept_file(image).exists():
        note_registered(image)
        return []
    remove_tree(image.backup)
    return [str(image.backup)]


def _exchange(image: WellImage) -> None:
    live, staged, backup = image.live, image.staged, image.backup
    check_filesystem(staged, live if live.exists() else live.parent)
    for old in (live, backup):
        if old.exists():  # neither is there if both were lost: the staged image is all that is left
            mirror_access(old, staged)
            break
    drop_consolidated(live)
    flush_folder(staged)  # the name of its record; all else was flushed before
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
    image.staged_from.unlink(missing_ok=True)


def _keep_or_remove_staged(image: WellImage) -> None:
    """Handle a staged folder whose live image is registered: the original, or a second new image.

    It is the original if a run was killed between the exchange and the renaming to the backup.
    """
    if not image.backup.exists() and not _has_record(image.staged):
        image.staged.rename(image.backup)
        flush_folder(image.backup.parent)
    else:
        remove_tree(image.staged)


def _has_record(folder: Path) -> bool:
    """Whether a folder is a registered image; an original cannot be one, whatever is wrong with it.

    What cannot be read is kept as if it were an original.
    """
    try:
        return RegistrationRecord.read(folder) is not None
    except (OSError, PlatefuseError):
        return False


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
