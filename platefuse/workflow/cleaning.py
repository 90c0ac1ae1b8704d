"""Clean a plate and its fused plate of what killed runs have left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from platefuse.ngff.metadata import is_node
from platefuse.ngff.paths import staging_folder, staging_root
from platefuse.ngff.plate import Plate, WellName
from platefuse.ngff.well import Well
from platefuse.records import RegistrationRecord
from platefuse.registration.locks import well_lock
from platefuse.registration.verify import verify_image
from platefuse.storage.files import entries
from platefuse.storage.locks import shared_folder, tidy_shared_folder
from platefuse.workflow.leftovers import Found, in_fused_staging, in_plate, in_staging


def clean_wells(
    plate: Plate, wells: Sequence[Well], *, originals: bool = False, dry: bool = False
) -> Iterator[Found]:
    """Remove what is left over of wells of a plate, in its staging folder and in the plate.

    Parameters
    ----------
    plate : Plate
        The plate.
    wells : sequence of Well
        The wells.
    originals : bool
        Whether kept originals are removed. All live images are checked before the first goes.
    dry : bool
        Whether nothing is removed, and no lock is taken.

    Yields
    ------
    Found
        What was removed, or would be, and what stays.

    Raises
    ------
    PlatefuseError
        If an image or a record cannot be read, or an original is to be removed and its live image
        is not complete. Of the wells before it, what is left over has been removed; no original.
    """
    if originals:
        for well in wells:
            _check_originals(well)
    for well in wells:
        with ExitStack() as stack:
            if well.staging.is_dir():
                if not dry:
                    stack.enter_context(well_lock(well))
                yield from _cleaned(list(in_staging(well, originals=originals)), dry=dry)
            top = (plate.path, well.path.parent)
            yield from _cleaned(list(in_plate(well, top)), dry=dry)
    yield from _tidied(staging_root(plate.path), dry=dry)


def _check_originals(well: Well) -> None:
    """Check every registered image of a well, and compare it with its original, as a run does."""
    for found in list(in_staging(well, originals=True)):  # raises if an image is not complete
        for image in well.listed_images:
            if found.path == image.backup and found.kind != "stays":
                record = RegistrationRecord.read(image.live)
                assert record is not None
                verify_image(image, record, "sample")


def clean_fused(fused: Path, wells: Sequence[WellName], *, dry: bool = False) -> Iterator[Found]:
    """Remove what is left over of wells of a fused plate; see `clean_wells`.

    Parameters
    ----------
    fused : Path
        The fused plate.
    wells : sequence of WellName
        The wells.
    dry : bool
        Whether nothing is removed, and no lock is taken.
    """
    root = staging_root(fused)
    if not root.is_dir() and not fused.is_dir():
        return
    with ExitStack() as stack:
        if not dry and root.is_dir():
            stack.enter_context(shared_folder(root))
        for well in wells:
            target = fused / well.row / well.column
            staged = staging_folder(fused, well.row, well.column)
            yield from _cleaned(list(in_fused_staging(target, staged)), dry=dry)
            if is_node(target):
                listed = Well.read(fused, well.row, well.column)
                yield from _cleaned(list(in_plate(listed, (fused, target.parent))), dry=dry)
    yield from _tidied(root, dry=dry)


def _cleaned(found: Sequence[Found], *, dry: bool) -> Iterator[Found]:
    for each in dict.fromkeys(found):
        shown = Found(each.shown, each.why, each.kind)
        if each.kind == "stays" or dry or each.remove():
            yield shown
        else:
            yield Found(each.shown, "a program holds it open, or it belongs to others", "stays")


def _tidied(root: Path, *, dry: bool) -> Iterator[Found]:
    """Remove empty folders and lock files of a staging folder, if nobody uses it."""
    if not root.is_dir():
        return
    if not dry:
        tidy_shared_folder(root)
    if not root.is_dir():
        yield Found(root, "nothing is in it any more")
        return
    rows = [Path(entry.path) for entry in entries(root) if entry.is_dir(follow_symlinks=False)]
    columns = [Path(e.path) for row in rows for e in entries(row) if e.is_dir()]
    if dry:
        yield from (Found(folder, "empty") for folder in columns if not entries(folder))
