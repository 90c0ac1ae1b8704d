"""The staged image: all pixels of an image and its labels moved onto the reference."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path

from platefuse.engine.compose import Paint
from platefuse.engine.downsample import Downsample, mean, nearest
from platefuse.engine.sources import Source
from platefuse.engine.views import ShiftedView
from platefuse.engine.write import Target, view_tasks
from platefuse.geometry import Box
from platefuse.ngff.create import copy_metadata, copy_metadata_files
from platefuse.ngff.image import Image, Multiscale, foreign_files
from platefuse.ngff.plate import Well
from platefuse.records import ImageReceipt, RegistrationRecord, forget_record
from platefuse.registration.plan import RegistrationPlan, plan_registration
from platefuse.registration.request import ORDERS, RegistrationRequest, done_record
from platefuse.registration.rois import Placement, place_all
from platefuse.registration.swap import put_back
from platefuse.storage.arrays import StoredArray
from platefuse.storage.files import copy_tree, remove_tree
from platefuse.storage.threads import Task, run_tasks

logger = logging.getLogger(__name__)


def register_image(
    well: Well,
    image: str,
    request: RegistrationRequest,
    *,
    threads: int = 1,
    planning: AbstractContextManager[None] | None = None,
) -> ImageReceipt:
    """Write the staged image: all levels and labels, in the reference's pixel grid.

    An image that is registered already, or staged completely, is left as it is.

    Parameters
    ----------
    well : Well
        The well.
    image : str
        Path of the image in the well.
    request : RegistrationRequest
        What is asked.
    threads : int
        Number of threads.
    planning : context manager, optional
        Held while the well is read; for callers whom no workflow keeps apart.

    Returns
    -------
    ImageReceipt
        The record and what was done.

    Raises
    ------
    PlatefuseError
        If the input cannot be used. The plate has not been touched.
    """
    begun = time.perf_counter()
    with planning or nullcontext():
        for listed in well.acquired_images:
            put_back(well, listed.name)
        done = done_record(request.destination(well, image), request)
        plan = None if done is not None else plan_registration(well, image, request)
    if plan is None:
        return ImageReceipt(well=well.name, image=image, action="registered before", record=done)
    staged = well.staging / image
    old = RegistrationRecord.read(staged)
    if old is not None and (old.request, old.digests) == (request.identity, plan.record.digests):
        return ImageReceipt(well=well.name, image=image, action="staged before", record=old)
    for part in Image.read(plan.image).parts:
        StoredArray.open(part.level_paths[0])  # its codecs are known
    remove_tree(staged)
    written = stage_image(plan, staged, ORDERS[request.interpolation], threads)
    plan.record.write(staged)
    logger.info(
        "%s: staged %d ROIs onto image %s",
        plan.image,
        len(plan.placements),
        plan.record.reference,
    )
    return ImageReceipt(
        well=well.name,
        image=image,
        action="staged",
        record=plan.record,
        pixels=written,
        seconds=round(time.perf_counter() - begun, 3),
    )


def stage_image(plan: RegistrationPlan, staged: Path, order: int, threads: int) -> int:
    """Write a registered image with its labels to a new folder; returns its pixels' number."""
    image = Image.read(plan.image)
    copy_metadata(image, staged)
    forget_record(staged)
    moves: list[tuple[Multiscale, Multiscale, list[Placement], Downsample, int]] = [
        (image, image.at(staged), plan.placements, mean, order)
    ]
    if (plan.image / "labels").is_dir():
        copy_metadata_files(plan.image / "labels", staged / "labels")
    for name, label in image.labels.items():
        new = label.at(staged / "labels" / name)
        copy_metadata(label, new.path)
        placements = place_all(plan.pairs, label, where=str(label.path))
        moves.append((label, new, placements, nearest, 0))
    run_tasks(chain.from_iterable(move_tasks(*move, durable=True) for move in moves), threads)
    for path in foreign_files(image):
        copy_tree(path, staged / path.relative_to(plan.image))
    return sum(math.prod(part.shapes[0]) for part in image.parts)


def move_tasks(
    image: Multiscale,
    new: Multiscale,
    placements: Sequence[Placement],
    downsample: Downsample,
    order: int,
    *,
    durable: bool = False,
) -> Iterator[Task]:
    """The work of moving the pixels of one image or label into a new one, all levels.

    The arrays of the new one are there.
    """
    source = Source(StoredArray.open(image.level_paths[0]))
    views = [_view(source, image.axes, p, order) for p in placements if not p.dst.empty]
    levels = [StoredArray.open(p, mode="r+", durable=durable) for p in new.level_paths]
    yield from view_tasks(views, Target(levels, new.factors, downsample), Paint("last"))


def _view(source: Source, axes: str, placement: Placement, order: int) -> ShiftedView:
    """The view of a placement: on axes that are not in space, everything where it is."""
    start, stop = list(Box.of_shape(source.shape).start), list(source.shape)
    to_start, to_stop, shift = list(start), list(stop), [0.0] * len(axes)
    taken = placement.source_box if order else placement.src
    for k, axis in enumerate(a for a in axes if a in "zyx"):
        i = axes.index(axis)
        start[i], stop[i] = taken.start[k], taken.stop[k]
        to_start[i], to_stop[i] = placement.dst.start[k], placement.dst.stop[k]
        shift[i] = placement.shift_px[k] if order else float(to_start[i] - start[i])
    box, placed = Box(tuple(start), tuple(stop)), Box(tuple(to_start), tuple(to_stop))
    return ShiftedView(source, box, placed, tuple(shift), order)
