"""Swapping: the staged image takes the place of the live one, and nothing can be lost.

Three folders take part for every image: *live* in the plate, *staged* and *backup* in the
staging folder. Which step was reached is read from the folders and their records alone: only
a registered image carries a record, and it is written last. At every instant the live path is
the whole old image or the whole new one, and calling again completes what was begun.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from platefuse.errors import PlatefuseError, RecordError, SwapError
from platefuse.ngff.image import Image, Multiscale
from platefuse.ngff.metadata import read_attributes, update_attributes
from platefuse.ngff.paths import staging_root
from platefuse.ngff.plate import Well
from platefuse.records import ImageReceipt, WellReceipt
from platefuse.registration.request import RegistrationRequest, done_record
from platefuse.storage.files import (
    exchange,
    flush_filesystem,
    flush_folder,
    make_folder,
    remove_empty_folders,
    remove_tree,
    same_filesystem,
)
from platefuse.tables.table import table_path

logger = logging.getLogger(__name__)


def backup_path(well: Well, image: str) -> Path:
    """Where the old image is kept after the swap."""
    return well.image(image).backup


def is_away(well: Well, image: str) -> bool:
    """Whether an image is in its backup alone: a run was killed between two renames."""
    return backup_path(well, image).exists() and not well.image(image).live.exists()


def put_back(well: Well, image: str) -> None:
    """Put an image that is away back into its place; not while another job swaps it."""
    if is_away(well, image):
        live, backup = well.image(image).live, backup_path(well, image)
        with suppress(FileNotFoundError):  # another job of the well has just done it
            backup.rename(live)
            logger.warning("%s: put back from %s", live, backup)


def swap_image(well: Well, image: str, request: RegistrationRequest) -> ImageReceipt:
    """Put the staged image in the place of the live one; the old image becomes the backup.

    Parameters
    ----------
    well : Well
        The well.
    image : str
        Path of the image in the well.
    request : RegistrationRequest
        What was asked; an image that carries another request is never touched.

    Returns
    -------
    ImageReceipt or WellReceipt
        What was done.

    Raises
    ------
    PlatefuseError
        If there is no complete staged image, or the two are on different filesystems. The
        live image is as it was.
    """
    places = well.image(image)
    live, staged, backup = places.live, places.staged, places.backup
    done = done_record(live, request)
    action = "swapped before"
    if done is None:
        staged_record = done_record(staged, request)
        if staged_record is None:
            put_back(well, image)
            raise RecordError(
                f"{live}: no complete staged image at {staged}. Run `register_image` and "
                "`copy_tables` for this image first (the workflow does)."
            )
        if live.exists() and backup.exists():
            raise SwapError(
                f"{backup}: there is a backup of {live} already, and yet the image is not "
                "registered. If it is the original, put back by copying, remove the backup; if "
                "not, move one of the two away. Then start again: neither is lost."
            )
        _exchange(live, staged, backup)
        done, action = staged_record, "swapped"
        logger.info("%s: swapped; the original is %s", live, backup)
    if staged.exists():
        _keep_or_remove(staged, backup, request)
    return ImageReceipt(well=well.name, image=image, action=action, record=done)


def discard_backup(well: Well, image: str, request: RegistrationRequest) -> None:
    """Check a live registered image, then remove its backup.

    Raises
    ------
    PlatefuseError
        If the image is not registered, or is not as its record says. The backup is kept.
    """
    check_registered(well.image(image).live, request)
    remove_tree(backup_path(well, image))
    remove_tree(well.staging / image)
    remove_empty_folders(well.staging, staging_root(well.plate))


def discard_backups(
    well: Well, request: RegistrationRequest, *, keep_originals: bool = False
) -> WellReceipt:
    """Check every live image of a well, and then remove the backups.

    Parameters
    ----------
    well : Well
        The well; all its images must be swapped.
    request : RegistrationRequest
        What was asked.
    keep_originals : bool
        Whether the backups stay, as ``<plate>.staging/<row>/<column>/<image>.original``.

    Returns
    -------
    ImageReceipt or WellReceipt
        What was done.

    Raises
    ------
    PlatefuseError
        If an image is not registered, or is not as its record says. All backups are kept.
    """
    images = [image.name for image in well.images]
    for image in images:
        check_registered(well.image(image).live, request)
    if not keep_originals:
        for image in images:
            discard_backup(well, image, request)
    kept = [str(backup_path(well, image)) for image in images if backup_path(well, image).exists()]
    return WellReceipt(well=well.name, images=tuple(images), backups_kept=tuple(kept))


def check_registered(image: Path, request: RegistrationRequest) -> None:
    """Check that all parts of a live image are there: record, levels, labels, tables of the record.

    Raises
    ------
    PlatefuseError
        If one is missing.
    """
    record = done_record(image, request)
    if record is None or record.tables is None:
        raise RecordError(f"{image}: not registered yet; its backup is not to be removed.")
    Image.read(image)
    for name in record.tables:
        if not table_path(image, name).is_dir():
            raise RecordError(f"{image}: the table {name!r} of its record is not there.")


def publish_image(well: Well, image: str, request: RegistrationRequest) -> Path:
    """Move a staged image beside the original and enter it in the well's metadata.

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
    target, staged = request.destination(well, image), well.staging / image
    if done_record(target, request) is None:
        if target.exists():
            raise SwapError(
                f"{target} exists and was not made by platefuse. Move it away, or set "
                "`registration.overwrite_input: true`."
            )
        if done_record(staged, request) is None:
            raise RecordError(f"{well.image(image).live}: no complete staged image at {staged}.")
        _check_filesystem(staged, well.path)
        flush_filesystem(staged)
        staged.rename(target)
        flush_folder(well.path)
    _enter_in_well(well, image, target.name)
    remove_tree(staged)
    remove_empty_folders(well.staging, staging_root(well.plate))
    return target


def publish_registered(well: Well, request: RegistrationRequest) -> WellReceipt:
    """Publish every staged image of a well; see `publish_image`."""
    paths = [publish_image(well, image.name, request) for image in well.images]
    return WellReceipt(well=well.name, images=tuple(path.name for path in paths))


@contextmanager
def well_lock(well: Well) -> Iterator[None]:
    """Hold the well's lock: a ``flock`` on a file in the plate's staging folder."""
    root = well.staging.parent.parent
    while True:
        make_folder(root)
        path = root / f".{well.row}_{well.column}.lock"
        try:
            file = path.open("w")
        except FileNotFoundError:
            continue  # its last holder has just removed the folder: make it again
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_same_file(file, path):  # its last holder removed it: this lock is void
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
                remove_empty_folders(root, root)
            return


def _exchange(live: Path, staged: Path, backup: Path) -> None:
    _check_filesystem(staged, live if live.exists() else live.parent)
    flush_filesystem(staged)
    if live.exists() and exchange(live, staged):
        staged.rename(backup)
    else:
        if live.exists():
            logger.warning(
                "%s: this filesystem cannot exchange folders in one step; two renames are "
                "used, and for an instant the image is only in the staging folder",
                live,
            )
            live.rename(backup)
        staged.rename(live)
    flush_folder(live.parent)
    flush_folder(backup.parent)


def _keep_or_remove(staged: Path, backup: Path, request: RegistrationRequest) -> None:
    """Tidy a staged folder whose live image is registered: the old image, or a second new one."""
    if done_record(staged, request) is None and not backup.exists() and _is_image(staged):
        staged.rename(backup)
    else:
        remove_tree(staged)


def _is_image(folder: Path) -> bool:
    try:
        Multiscale.read(folder)
    except PlatefuseError:
        return False
    return True


def _is_same_file(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _check_filesystem(staged: Path, live: Path) -> None:
    if not same_filesystem(staged, live):
        raise SwapError(
            f"{staged} and {live} are on different filesystems, so one cannot take the other's "
            "place in one step. Put the plate and the folder beside it on one filesystem."
        )


def _enter_in_well(well: Well, image: str, new: str) -> None:
    if any(name == new for name, _ in well.read_again().listed):
        return
    section = read_attributes(well.path)["well"]
    entry = next(e for e in section["images"] if e["path"] == image)
    images = [*section["images"], {**entry, "path": new}]
    update_attributes(well.path, {"well": {**section, "images": images}})
