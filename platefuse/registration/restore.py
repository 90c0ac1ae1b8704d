"""Put kept originals back in the place of registered images: the swap, backwards.

Each step is the reverse of a step of `platefuse.registration.swap`, so every state that a kill can
leave is one that the swap can leave, too: a second call completes it, and so does a run of the
workflow, in the other direction. At every instant the live path is the whole old image or the whole
new one (without an exchange of the filesystem, it is missing for an instant, and only the original
is in the staging folder).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from platefuse.errors import SwapError
from platefuse.ngff.consolidated import drop_consolidated
from platefuse.ngff.image import Multiscale
from platefuse.ngff.paths import staging_root
from platefuse.ngff.well import Well, WellImage
from platefuse.records import RegistrationRecord
from platefuse.registration.locks import image_locks, well_lock
from platefuse.registration.originals import mark_original, note_restored, was_changed
from platefuse.registration.places import check_filesystem
from platefuse.registration.swap import restore_backup
from platefuse.storage.files import exchange
from platefuse.storage.flush import flush_folder
from platefuse.storage.locks import tidy_shared_folder
from platefuse.storage.removing import remove_tree

logger = logging.getLogger(__name__)


def restore_well(well: Well) -> list[str]:
    """Put the originals of a well back, and remove the registered images.

    When, and in the place of which record, is written beside each: see `restored_original`. A
    registered image that somebody has changed is set aside, as ``<image>.changed``.
    No other program may write to the plate meanwhile. Fused images stay as they are.

    Parameters
    ----------
    well : Well
        The well.

    Returns
    -------
    list of str
        The images whose originals were put back; empty if none is registered in place.

    Raises
    ------
    SwapError
        If the original of a registered image was not kept. The well is unchanged.
    PlatefuseError
        If an image or a record cannot be read. The well is unchanged.
    """
    with image_locks(well.images), well_lock(well):
        images = [image for image in well.images if check_restore(image)]
        for image in images:  # before anything is done: the record goes with its image
            record = RegistrationRecord.read(image.live) or RegistrationRecord.read(image.staged)
            note_restored(image, record)
        for image in images:  # all before the first is removed: so a run can go either way
            _exchange_back(image)
        for image in well.images:
            if not image.staged.exists() or _is_registered(image.staged):
                _remove_registered(image)
                image.staged_from.unlink(missing_ok=True)
            if not image.backup.exists():
                mark_original(image, keep=False)  # it is live
    tidy_shared_folder(staging_root(well.plate))
    return [image.name for image in images]


def _remove_registered(image: WellImage) -> None:
    """Remove the registered image, now in the place of the staged one, or what a kill left of it.

    If somebody has added something to it, or changed it, it is set aside instead.
    """
    if image.staged.exists() and was_changed(image, image.staged):
        aside = next(path for path in _names(image) if not path.exists())
        image.staged.rename(aside)
        logger.warning(
            "%s: the registered image was changed after its well was done (a label, a table, a "
            "note). It is not removed: it is %s. Take out what you need, then remove it.",
            image.live,
            aside,
        )
    remove_tree(image.staged)


def _names(image: WellImage) -> Iterator[Path]:
    """Names for a changed registered image beside its original."""
    name = f"{image.name}.changed"
    yield image.well.staging / name
    yield from (image.well.staging / f"{name}{number}" for number in count(2))


def check_restore(image: WellImage) -> bool:
    """Whether the original of an image is to be put back. Nothing is changed.

    Raises
    ------
    SwapError
        If the image is registered and its original was not kept.
    PlatefuseError
        If the image, its original or its record cannot be read.
    """
    image.check_inside()
    if not image.live.exists():
        if not image.backup.exists() or _is_registered(image.backup):
            raise SwapError(
                f"{image.live}: there is neither the image nor an original in {image.backup}. "
                "Restore the image from a copy of the plate."
            )
        Multiscale.read(image.backup)
        return True
    if not _is_registered(image.live):
        return False
    original = _original(image)
    if original is not None and original != image.backup and image.backup.exists():
        raise SwapError(
            f"{image.backup}: expected the original of {image.live}, and this is a registered "
            "image. Move it away; the well is unchanged."
        )
    if original is None:
        raise SwapError(
            f"{image.live}: the image is registered, and its original was not kept: expected it "
            f"in {image.backup}, which a run with registration.keep_originals: true leaves. "
            "Restore the plate from a copy, if there is one; the well is unchanged."
        )
    Multiscale.read(original)
    check_filesystem(original, image.live)
    return True


def _original(image: WellImage) -> Path | None:
    """Where the original of a registered image is; None if it was not kept.

    A kill may leave it under the name of the staged image; that has no record then.
    """
    for folder in (image.backup, image.staged):
        if folder.is_dir() and not _is_registered(folder):
            return folder
    return None


def _exchange_back(image: WellImage) -> None:
    live, staged, backup = image.live, image.staged, image.backup
    drop_consolidated(live)
    if not live.exists():
        restore_backup(image)
        return
    if _original(image) == backup:
        remove_tree(staged)  # a second new image, or a part of one
        backup.rename(staged)
        flush_folder(staged.parent)
    if not exchange(live, staged):
        logger.warning(
            "%s: this filesystem cannot exchange two folders in one step; renames are used, and "
            "for an instant the image is only in the staging folder",
            live,
        )
        staged.rename(backup)
        live.rename(staged)
        backup.rename(live)
    flush_folder(live.parent)
    flush_folder(staged.parent)
    logger.info("%s: the original is back", live)


def _is_registered(folder: Path) -> bool:
    return RegistrationRecord.read(folder) is not None
