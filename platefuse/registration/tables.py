"""Copy the tables of an image into its staged image, and move boxes with their pixels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from platefuse.errors import RecordError
from platefuse.ngff.create import copy_metadata_files
from platefuse.ngff.image import Multiscale, others
from platefuse.ngff.metadata import is_node
from platefuse.ngff.tables.masks import ids_of
from platefuse.ngff.tables.move import MovedRegion, check_boxes, label_of, move_planes, move_table
from platefuse.ngff.tables.table import (
    STALE,
    has_boxes,
    is_standard_name,
    read_table,
    stale_names,
    table_names,
    table_path,
    table_type,
    why_not_moved,
    write_table_list,
)
from platefuse.ngff.well import WellImage
from platefuse.records import ImageReceipt, RegisteredTable, RegistrationRecord, digest_tree
from platefuse.registration.carry import carry_table_files, remove_stray_files
from platefuse.registration.locks import image_lock
from platefuse.registration.request import RegistrationRequest, done_record
from platefuse.registration.staged import STAGE_AGAIN, StagedFrom, is_made_from, staged_record
from platefuse.storage.files import copy_tree
from platefuse.storage.flush import watched_writes
from platefuse.storage.once import reading_once
from platefuse.storage.removing import remove_tree

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableAction:
    """What happens to a table when its image is registered.

    Attributes
    ----------
    origin : str
        The image that it comes from: the acquisition's own or its reference.
    moves : bool
        Whether its boxes are moved with the pixels of the image.
    """

    origin: Literal["image", "reference"]
    moves: bool


def table_actions(image: WellImage, reference: WellImage) -> dict[str, TableAction]:
    """What happens to each table of an image, and to the tables of its reference.

    Standard ROI tables describe the position of the fields or of the well. In a registered image
    these are the positions in the reference. A table is standard by its name (the rule of Fractal
    1.x), or if it is of type ``roi_table`` and the reference has one with the same rows (as in
    Fractal 2.x). Any other ROI table of the image is moved with its pixels. All others are copied.

    Tables that can neither be moved nor copied are left out: see `tables_left_out`.

    Raises
    ------
    TableError
        If the attributes of a table are broken.
    """
    # The reference's own tables come from itself, and its record says so.
    origin: Literal["image", "reference"] = "image" if image.name == reference.name else "reference"
    own = table_names(image.live)
    actions = {
        name: TableAction("image", has_boxes(image.live, name))
        for name in own
        if not _is_stuck(image, name)
    }
    for name in table_names(reference.live):
        if is_standard_name(name) or (
            table_type(reference.live, name) == "roi_table"
            and (name not in own or _same_rows(image, reference, name))
        ):
            actions[name] = TableAction(origin, moves=False)
    return actions


def tables_left_out(image: WellImage, reference: WellImage) -> dict[str, str]:
    """Tables that a registered image will not have, and why.

    These are names in its list without a table, and boxes of a backend that is unknown.
    """
    kept = table_actions(image, reference)
    stale = stale_names(image.live) + stale_names(reference.live)
    reasons = dict.fromkeys(stale, STALE)
    for name in table_names(image.live):
        if _is_stuck(image, name):
            reasons[name] = str(why_not_moved(image.live, name))
    return {name: reason for name, reason in reasons.items() if name not in kept}


def _is_stuck(image: WellImage, name: str) -> bool:
    """Whether a table has boxes that cannot be moved."""
    return has_boxes(image.live, name) and why_not_moved(image.live, name) is not None


def check_actions(actions: Mapping[str, TableAction], image: WellImage, axes: str) -> None:
    """Check that the boxes of every table that is to be moved can be moved.

    Parameters
    ----------
    actions : mapping of str to TableAction
        What happens to each table.
    image : WellImage
        The image.
    axes : str
        Its axes in space.

    Raises
    ------
    TableError
        If a table cannot be read, lacks a column, or has a number that is not finite.
    """
    for name, action in actions.items():
        if action.moves:
            check_boxes(read_table(image.live, name), axes)


def copy_tables(image: WellImage, request: RegistrationRequest) -> ImageReceipt:
    """Copy the tables of an image into its staged image, and complete the record of that.

    Tables that describe the position of the fields or of the well come from the reference. Other
    ROI tables of the image are moved with its pixels, as the record of the staged image has them.
    All others are copied byte for byte.

    Parameters
    ----------
    image : WellImage
        The image.
    request : RegistrationRequest
        The registration.

    Returns
    -------
    ImageReceipt
        What was done to each table.

    Raises
    ------
    PlatefuseError
        If the image is neither staged nor registered, or a listed table is missing; if another
        process works on the image.
    """
    if done_record(request.destination(image), request) is not None:
        return _copy_tables(image, request)  # nothing to do, also on a protected disk
    with image_lock(image):
        return _copy_tables(image, request)


def _copy_tables(image: WellImage, request: RegistrationRequest) -> ImageReceipt:
    well, name = image.well.name, image.name
    done = done_record(request.destination(image), request)
    if done is not None:
        return ImageReceipt(well=well, image=name, action="registered before", tables=done.tables)
    source = StagedFrom.of(image, tables=True)  # before the tables are read
    record = staged_record(image, request)
    if record is None or not is_made_from(image, source):
        raise RecordError(
            f"{image.live}: there is no staged image of this registration ({request.identity}) at "
            f"{image.staged}, made from the image as it is now. Run `register_image` for this "
            f"image first (the workflow does). {STAGE_AGAIN}"
        )
    with watched_writes(image.staged) as writes:
        tables, left_out = write_tables(image, record, image.staged)
        new = image.staged / "tables"
        writes.flush(new if new.is_dir() else image.staged)
    source.write(image)
    replace(record, tables=tables, tables_left_out=left_out or None).write(image.staged)
    return ImageReceipt(
        well=well, image=name, action="carried", tables=tables, tables_left_out=left_out or None
    )


def write_tables(
    image: WellImage,
    record: RegistrationRecord,
    target: Path,
    *,
    is_needed: Callable[[Path, str], bool] = lambda image, name: True,
) -> tuple[dict[str, RegisteredTable], dict[str, str]]:
    """Write the tables that an image has after its registration.

    Parameters
    ----------
    image : WellImage
        The image.
    record : RegistrationRecord
        How it is registered.
    target : Path
        The image whose ``tables`` are written. Boxes of the objects of a label are computed from
        the label's pixels in it. If it has no labels, these boxes are moved only on the axes that
        the label's pixels do not tell: z, if it has one plane.
    is_needed : callable
        Called with the folder of an image and the name of a table in it; says whether the table is
        written. By default, all are.

    Returns
    -------
    tables : dict of str to RegisteredTable
        What was done to each table.
    left_out : dict of str to str
        Tables that cannot be carried, and why.

    Raises
    ------
    PlatefuseError
        If a listed table is missing.
    """
    reference = image.well.image(record.reference)
    origins = {"image": image.live, "reference": reference.live}
    with reading_once():
        known = table_actions(image, reference)
        left_out = tables_left_out(image, reference)
    actions = {n: own for n, own in known.items() if is_needed(origins[own.origin], n)}
    for table, reason in left_out.items():
        logger.warning("%s: the table %r is left out: %s", image.live, table, reason)
    copy_table_groups(actions, image, reference, target, {*left_out, *known})
    regions = moved_regions(record, Multiscale.read(image.live))
    tables = {
        table: _finish_table(image, target, table, action, regions, record.axes)
        for table, action in actions.items()
    }
    return tables, left_out


def copy_table_groups(
    actions: Mapping[str, TableAction],
    image: WellImage,
    reference: WellImage,
    target: Path,
    left_out: Collection[str] = (),
) -> None:
    """Write the ``tables`` group of a new image: each table byte for byte from its origin.

    Parameters
    ----------
    actions : mapping of str to TableAction
        Where each table comes from, in the order of the new list.
    image : WellImage
        The image, whose group metadata is kept.
    reference : WellImage
        Its reference.
    target : Path
        The new image.
    left_out : collection of str
        Tables that are not copied.
    """
    folders = {"image": image.live / "tables", "reference": reference.live / "tables"}
    own, new = folders["image"], target / "tables"
    remove_tree(new)
    if not actions and not own.is_dir():
        return
    model = own if is_node(own) or not actions else folders[next(iter(actions.values())).origin]
    copy_metadata_files(model, new)
    for path in others(own, (*actions, *left_out)):
        copy_tree(path, new / path.name)
    for name, action in actions.items():
        copy_tree(folders[action.origin] / name, new / name)
    write_table_list(new, list(actions))


def moved_regions(record: RegistrationRecord, image: Multiscale) -> list[MovedRegion]:
    """The parts of an acquisition that were moved, by whole pixels as the record has them.

    Parameters
    ----------
    record : RegistrationRecord
        Record of the staged image.
    image : Multiscale
        The image, for its pixel size.
    """
    size_um = [image.pixel_size_um[a] for a in record.axes]

    def in_um(numbers: Sequence[int]) -> tuple[float, ...]:
        return tuple(n * um for n, um in zip(numbers, size_um, strict=True))

    return [
        MovedRegion(in_um(roi.source_box.start), in_um(roi.source_box.stop), in_um(roi.offset_px))
        for roi in record.rois
        if not roi.box.empty
    ]


def _finish_table(
    image: WellImage,
    target: Path,
    name: str,
    action: TableAction,
    regions: Sequence[MovedRegion],
    axes: str,
) -> RegisteredTable:
    """Move the boxes of a table that was copied, if it is to be moved, and record what was done."""
    dropped, label, objects = None, label_of(target, name), None
    if action.moves:
        remove_stray_files(table_path(target, name))  # libraries warn of them, or remove them
        objects = _label_of_objects(image, target, name) if label is None else None
    moves = action.moves and objects is None
    if objects is not None:
        move_planes(target, name, regions, axes, objects)
    elif moves:
        enclose = label_of(image.live, name) is not None
        dropped = move_table(target, name, regions, axes, enclose=enclose, label=label)
    if action.moves or action.origin == "reference":
        carry_table_files(table_path(image.live, name), table_path(target, name))
    return RegisteredTable(
        action.origin,
        "moved" if moves else "copied",
        dropped,
        sha256=digest_tree(table_path(target, name)),
    )


def _label_of_objects(image: WellImage, target: Path, name: str) -> Multiscale | None:
    """The label whose objects the rows of a table are, by their ids; None if they are none."""
    label = label_of(image.live, name)
    if label is None:
        return None
    table = read_table(target, name)
    return label if ids_of(table.path, table.names) is not None else None


def _same_rows(image: WellImage, reference: WellImage, name: str) -> bool:
    if image.name == reference.name:
        return True
    if any(why_not_moved(each.live, name) is not None for each in (image, reference)):
        return False
    return read_table(image.live, name).names == read_table(reference.live, name).names
