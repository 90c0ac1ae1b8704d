"""Write the staged image: the pixels of an image and its labels, shifted onto the reference."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path

from platefuse.engine.compose import Paint
from platefuse.engine.downsample import Downsample, mean, nearest
from platefuse.engine.flat_field import FlatField
from platefuse.engine.sources import Source
from platefuse.engine.views import ShiftedView
from platefuse.engine.write import Target, view_tasks
from platefuse.geometry import Box
from platefuse.illumination.correction import Illumination, check_registered
from platefuse.ngff.create import copy_metadata, copy_metadata_files
from platefuse.ngff.image import Multiscale
from platefuse.ngff.labels import label_groups
from platefuse.ngff.metadata import update_attributes
from platefuse.ngff.paths import staging_root
from platefuse.ngff.scales import write_true_scales
from platefuse.ngff.well import WellImage
from platefuse.records import ImageReceipt, RegistrationRecord, forget_record
from platefuse.registration.carry import (
    carried_files,
    check_carried,
    check_table_files,
    copy_carried,
)
from platefuse.registration.locks import image_lock
from platefuse.registration.places import check_can_move, check_places
from platefuse.registration.plan import RegistrationPlan, plan_registration
from platefuse.registration.request import ORDERS, RegistrationRequest, done_record
from platefuse.registration.rois import Placement
from platefuse.registration.staged import StagedFrom, is_made_from, pixel_files, staged_record
from platefuse.registration.swap import restore_backup
from platefuse.storage.arrays import StoredArray
from platefuse.storage.files import make_folder
from platefuse.storage.flush import watched_writes
from platefuse.storage.locks import shared_folder
from platefuse.storage.made import move_new, own_folder
from platefuse.storage.removing import remove_tree
from platefuse.storage.threads import Task, run_tasks

logger = logging.getLogger(__name__)


def register_image(
    image: WellImage,
    request: RegistrationRequest,
    *,
    illumination: Illumination | None = None,
    threads: int = 1,
    planning: AbstractContextManager[None] | None = None,
) -> ImageReceipt:
    """Write the staged image: all levels and labels, on the pixel grid of the reference.

    An image that is registered already, or staged completely, is left unchanged.

    Parameters
    ----------
    image : WellImage
        The image.
    request : RegistrationRequest
        The registration.
    illumination : Illumination, optional
        How the raw pixels are corrected.
    threads : int
        Number of threads.
    planning : context manager, optional
        Is held while the well is read: for callers that no workflow keeps apart.

    Returns
    -------
    ImageReceipt
        The record, and what was done.

    Raises
    ------
    PlatefuseError
        If the input cannot be used, or another process works on the image. The plate has not been
        changed.
    """
    done = done_record(request.destination(image), request)
    if done is not None:  # nothing to do, also on a protected disk
        check_registered(request.destination(image), done, illumination)
        return ImageReceipt(
            well=image.well.name, image=image.name, action="registered before", record=done
        )
    with image_lock(image):
        return _register_image(image, request, illumination, threads, planning)


def _register_image(
    image: WellImage,
    request: RegistrationRequest,
    illumination: Illumination | None,
    threads: int,
    planning: AbstractContextManager[None] | None,
) -> ImageReceipt:
    begun = time.perf_counter()
    receipt = ImageReceipt(well=image.well.name, image=image.name, action="registered before")
    with planning or nullcontext():
        for acquired in image.well.acquired_images:
            restore_backup(acquired)
        source = StagedFrom.of(image)  # before anything of it is read
        done = done_record(request.destination(image), request)
        if done is not None:
            check_registered(request.destination(image), done, illumination)
            return replace(receipt, record=done)
        plan = plan_registration(image, request, illumination)
    old = staged_record(image, request)
    if old is not None and is_made_from(image, source) and _deciding(old) == _deciding(plan.record):
        return replace(receipt, action="staged before", record=old)
    carried = _carried(plan)
    check_places(image, request)
    for part in plan.image.parts:
        StoredArray.open(part.level_paths[0])  # raises if its codecs are unknown
    root = staging_root(image.well.plate)
    with shared_folder(root), watched_writes(root) as writes:
        remove_tree(image.staged)
        make_folder(image.staged.parent)
        if request.overwrite_input:
            check_can_move(image.live, image.staged)
        staged = own_folder(image.staged)
        pixels = stage_image(plan, carried, ORDERS[request.interpolation], threads, staged)
        writes.flush(staged)  # on the disk before the record vouches for it
        source.write(image)
        record = replace(plan.record, pixel_files=pixel_files(staged))
        record.write(staged)
        move_new(staged, image.staged)
    reference, rois = plan.record.reference, len(plan.placements)
    logger.info("%s: staged %d ROIs onto image %s", image.live, rois, reference)
    seconds = round(time.perf_counter() - begun, 3)
    return replace(receipt, action="staged", record=record, pixels=pixels, seconds=seconds)


def _deciding(record: RegistrationRecord) -> tuple[object, ...]:
    """What must agree for two staged images to have the same pixels."""
    return record.request, record.digests, record.illumination


def _carried(plan: RegistrationPlan) -> list[Path]:
    """The files of an image that are copied as they are.

    Raises
    ------
    PlatefuseError
        If something in the image can be neither moved nor copied.
    """
    image, well = plan.target, plan.target.well
    check_carried(plan.image)
    replaced = (name for name, origin in plan.table_folders.items() if origin != image.live)
    reference = well.image(plan.record.reference)
    check_table_files(image.live / "tables", reference.live / "tables", replaced)
    return carried_files(plan.image, well.plate)


def stage_image(
    plan: RegistrationPlan, carried: Sequence[Path], order: int, threads: int, staged: Path
) -> int:
    """Write a registered image with its labels to a folder, which must not exist.

    Parameters
    ----------
    plan : RegistrationPlan
        Where the pixels go.
    carried : sequence of Path
        Files and folders in the image that are copied as they are.
    order : int
        Order of the interpolation of intensities.
    threads : int
        Number of threads.
    staged : Path
        The folder.

    Returns
    -------
    int
        Number of pixels of level 0, of the image and its labels.
    """
    image = plan.image
    copy_metadata(image, staged)
    write_true_scales(image, staged)
    forget_record(staged)
    flat_field = None if plan.illumination is None else plan.illumination.flat_field(image)
    tasks = [
        shift_tasks(
            image,
            image.at(staged),
            plan.placements,
            mean,
            order,
            flat_field=flat_field,
            durable=True,
        )
    ]
    if (image.path / "labels").is_dir():
        for group in ("", *label_groups(image.labels)):
            copy_metadata_files(image.path / "labels" / group, staged / "labels" / group)
    if image.absent_labels:
        update_attributes(staged / "labels", {"labels": list(image.labels)})
    for name, label in image.labels.items():
        new = label.at(staged / "labels" / name)
        copy_metadata(label, new.path)
        write_true_scales(label, new.path)
        tasks.append(shift_tasks(label, new, plan.label_placements[name], nearest, 0, durable=True))
    run_tasks(chain.from_iterable(tasks), threads)
    copy_carried(carried, image.path, staged)
    return sum(math.prod(part.shapes[0]) for part in image.parts)


def shift_tasks(
    image: Multiscale,
    new: Multiscale,
    placements: Sequence[Placement],
    downsample: Downsample,
    order: int,
    *,
    flat_field: FlatField | None = None,
    durable: bool = False,
) -> Iterator[Task]:
    """The tasks that write the shifted pixels of one image or label, all levels.

    Parameters
    ----------
    image, new : Multiscale
        The image or label, and the new one. The arrays of the new one exist.
    placements : sequence of Placement
        Where the pixels go; where they overlap, the later one is written.
    downsample : callable
        Makes a level from the one before.
    order : int
        Order of interpolation.
    flat_field : FlatField, optional
        How its pixels are corrected.
    durable : bool
        Whether chunks are flushed to disk while others are written.
    """
    source = Source(StoredArray.open(image.level_paths[0]), flat_field)
    views = [view_of(source, p, order) for p in placements if not p.dst.empty]
    levels = [StoredArray.open(path, mode="r+", durable=durable) for path in new.level_paths]
    return view_tasks(views, Target(levels, new.factors, downsample), Paint("last"))


def view_of(source: Source, placement: Placement, order: int) -> ShiftedView:
    """The view of a placement. It covers everything on axes that are not in space: the first."""
    box, shift_px = placement.src, tuple(map(float, placement.offset_px))
    if order:
        box, shift_px = placement.source_box, placement.shift_px
    rest = Box.of_shape(source.shape[: len(source.shape) - len(shift_px)])

    def on_all_axes(part: Box) -> Box:
        return Box(rest.start + part.start, rest.stop + part.stop)

    shift = (0.0,) * len(rest.start) + shift_px
    return ShiftedView(source, on_all_axes(box), on_all_axes(placement.dst), shift, order)
