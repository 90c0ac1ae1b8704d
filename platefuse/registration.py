"""Registration: every image and label moved onto the reference, as ROI tables say.

Semantics of ``apply_registration_to_image`` of fractal-tasks-core (BSD-3-Clause, University of
Zurich), with the differences that `docs/design` records.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from platefuse.blocks import Paint
from platefuse.create import derive_pyramid
from platefuse.downsample import Downsample, aggregate, mean, nearest
from platefuse.engine import Target, write_views
from platefuse.errors import ImageError, PlateError
from platefuse.files import copy_tree, remove_tree
from platefuse.geometry import Box, Placement, Roi, match_rois, place
from platefuse.links import check_tree
from platefuse.moved_tables import check_moves
from platefuse.ngff import (
    Multiscale,
    check_axes,
    copy_metadata,
    copy_metadata_files,
    foreign_files,
    label_names,
)
from platefuse.plate import Well
from platefuse.record import digest_tree, read_record, stamp, write_record
from platefuse.request import ORDERS, RegistrationRequest, done_record
from platefuse.sources import Source
from platefuse.store import StoredArray
from platefuse.tables import Table, read_table, table_fates, table_path
from platefuse.views import ShiftedView

logger = logging.getLogger(__name__)

__all__ = [
    "RegistrationPlan",
    "RegistrationRequest",
    "apply_registration_to_image",
    "plan_registration",
    "register_image",
    "write_registered_zarr",
]


@dataclass(frozen=True)
class RegistrationPlan:
    """Everything that must be known before a pixel is moved.

    Attributes
    ----------
    image, reference : Path
        The image and the one it is moved onto.
    pairs : list of (Roi, Roi)
        The ROIs of the acquisition and of the reference that show the same tissue.
    placements : list of Placement
        Where the pixels of the image go.
    record : dict
        The record of the new image, without its tables.
    """

    image: Path
    reference: Path
    pairs: list[tuple[Roi, Roi]]
    placements: list[Placement]
    record: dict[str, Any]


def plan_registration(well: Well, image: str, request: RegistrationRequest) -> RegistrationPlan:
    """Read and check everything that decides where the pixels of an image go.

    Raises
    ------
    PlatefuseError
        If anything is missing or does not fit. Nothing has been written.
    """
    reference_name = well.reference_image(image, request.reference_acquisition)
    if not request.overwrite_input:
        well.check_listed(image)
    for name in (image, reference_name):
        well.check_links(name)
    source, reference = well.image(image), well.image(reference_name)
    multiscale = Multiscale.read(source)
    check_axes(multiscale, Multiscale.read(reference))
    tables = [read_table(folder, request.roi_table) for folder in (source, reference)]
    labels = [Multiscale.read(source / "labels" / name) for name in label_names(source)]
    axes, where = multiscale.spatial, str(tables[0].path)
    # A label of a flat image may have an axis z all the same.
    every = "".join(a for a in "zyx" if any(a in part.spatial for part in (multiscale, *labels)))
    pairs = match_rois(*(table.rois(every) for table in tables), where=where)
    placements = place_all(pairs, multiscale, where=where)
    for label in labels:
        place_all(pairs, label, where=f"{where}, on {label.path}")
    for part in (multiscale, *labels):
        part.check_levels()
    check_moves(table_fates(source, reference), axes)
    for path in foreign_files(source):
        check_tree(path, well.plate)
    record = {
        **stamp(),
        "request": request.identity,
        "reference": reference.name,
        "digests": {
            "acquisition_table": digest_tree(table_path(source, request.roi_table)),
            "reference_table": digest_tree(table_path(reference, request.roi_table)),
        },
        "axes": axes,
        "rois": [
            {
                "name": placement.name,
                "shift_px": list(placement.shift_px),
                "start_px": list(placement.dst.start),
                "size_px": list(placement.dst.shape),
            }
            for placement in placements
        ],
    }
    return RegistrationPlan(source, reference, pairs, placements, record)


def register_image(
    well: Well,
    image: str,
    request: RegistrationRequest,
    *,
    threads: int = 1,
    planning: AbstractContextManager[None] | None = None,
) -> dict[str, Any]:
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
    dict
        The receipt: the record and what was done.

    Raises
    ------
    PlatefuseError
        If the input cannot be used. The plate has not been touched.
    """
    begun = time.perf_counter()
    with planning or nullcontext():
        done = done_record(request.destination(well, image), request)
        plan = None if done is not None else plan_registration(well, image, request)
    if plan is None:
        return {"well": well.name, "image": image, "action": "registered before", "record": done}
    staged = well.staging / image
    found = (read_record(staged) or {}).get("registration", {}) if staged.is_dir() else {}
    if (found.get("request"), found.get("digests")) == (request.identity, plan.record["digests"]):
        return {"well": well.name, "image": image, "action": "staged before", "record": found}
    for part in (plan.image, *(plan.image / "labels" / name for name in label_names(plan.image))):
        StoredArray.open(part / Multiscale.read(part).paths[0])  # its codecs are known
    remove_tree(staged)
    written = stage_image(plan, staged, ORDERS[request.interpolation], threads)
    write_record(staged, {"registration": plan.record})
    logger.info(
        "%s: staged %d ROIs onto image %s",
        plan.image,
        len(plan.placements),
        plan.record["reference"],
    )
    return {
        "well": well.name,
        "image": image,
        "action": "staged",
        "record": plan.record,
        "pixels": written,
        "seconds": round(time.perf_counter() - begun, 3),
    }


def stage_image(plan: RegistrationPlan, staged: Path, order: int, threads: int) -> int:
    """Write a registered image with its labels to a new folder; returns its pixels' number."""
    multiscale = Multiscale.read(plan.image)
    copy_metadata(plan.image, staged, multiscale)
    new = replace(multiscale, path=staged)
    written = write_levels(multiscale, new, plan.placements, mean, order, threads)
    if (plan.image / "labels").is_dir():
        copy_metadata_files(plan.image / "labels", staged / "labels")
    for name in label_names(plan.image):
        label = Multiscale.read(plan.image / "labels" / name)
        new = replace(label, path=staged / "labels" / name)
        copy_metadata(label.path, new.path, label)
        placements = place_all(plan.pairs, label, where=str(label.path))
        written += write_levels(label, new, placements, nearest, 0, threads)
    for path in foreign_files(plan.image):
        copy_tree(path, staged / path.relative_to(plan.image))
    return written


def place_all(
    pairs: Sequence[tuple[Roi, Roi]], multiscale: Multiscale, *, where: str
) -> list[Placement]:
    """Place every pair of ROIs on the pixel grid of an image or a label."""
    axes, size = multiscale.spatial, multiscale.pixel_size_um
    shape = [multiscale.shapes[0][multiscale.axes.index(a)] for a in axes]
    pixel_size = [size[a] for a in axes]
    return [
        place(acquired, reference, axes=axes, pixel_size_um=pixel_size, shape=shape, where=where)
        for acquired, reference in pairs
    ]


def write_levels(
    image: Multiscale,
    new: Multiscale,
    placements: Sequence[Placement],
    downsample: Downsample,
    order: int,
    threads: int,
) -> int:
    """Move the pixels of one image or label into a new one whose arrays are there, all levels.

    Returns
    -------
    int
        Number of pixels of the finest level.
    """
    source = Source(StoredArray.open(image.path / image.paths[0]))
    views = [_view(source, image.axes, p, order) for p in placements if not p.dst.empty]
    levels = [StoredArray.open(new.path / path, mode="r+") for path in new.paths]
    write_views(
        views,
        Target(levels, new.factors, downsample),
        Paint("last"),
        threads=threads,
    )
    return Box.of_shape(levels[0].shape).size


def _view(source: Source, axes: str, placement: Placement, order: int) -> ShiftedView:
    """The view of a placement: on axes that are not in space, everything where it is."""
    start, stop = list(Box.of_shape(source.shape).start), list(source.shape)
    to_start, to_stop, shift = list(start), list(stop), [0.0] * len(axes)
    seen = placement.seen if order else placement.src
    for k, axis in enumerate(a for a in axes if a in "zyx"):
        i = axes.index(axis)
        start[i], stop[i] = seen.start[k], seen.stop[k]
        to_start[i], to_stop[i] = placement.dst.start[k], placement.dst.stop[k]
        shift[i] = placement.shift_px[k] if order else float(to_start[i] - start[i])
    box, placed = Box(tuple(start), tuple(stop)), Box(tuple(to_start), tuple(to_stop))
    return ShiftedView(source, box, placed, tuple(shift), order)


def write_registered_zarr(
    zarr_url: str,
    new_zarr_url: str,
    ROI_table: Any,  # noqa: N803  # the seed's name
    ROI_table_ref: Any,  # noqa: N803
    num_levels: int,
    coarsening_xy: int = 2,
    aggregation_function: Callable[..., Any] = np.mean,
) -> None:
    """Write a registered image or label to a new OME-Zarr group.

    The new image has the shape of the old one. The pixels of each ROI of `ROI_table` are
    written where `ROI_table_ref` has it; all others are 0. Where ROIs overlap the later one
    wins. Signature and meaning as in fractal-tasks-core.

    Parameters
    ----------
    zarr_url : str
        Path of the OME-Zarr image or label, with any axes of OME-NGFF.
    new_zarr_url : str
        Path of the new group. It must not exist.
    ROI_table, ROI_table_ref : anndata.AnnData
        ROI tables of the acquisition and of the reference; boxes in micrometres.
    num_levels : int
        Number of levels of the new pyramid.
    coarsening_xy : int
        Factor between levels in y and x.
    aggregation_function : callable
        Called as ``f(block, axis=axes)`` to make a level from the one below. ``np.mean`` is
        rounded to nearest for integers.

    Raises
    ------
    PlatefuseError
        If the image or the tables cannot be used; there is no new image then.
    """
    source, target = Multiscale.read(Path(zarr_url)), Path(new_zarr_url)
    if target.exists():
        raise ImageError(f"{target} exists already; give the path of a new image or remove it.")
    where = f"{zarr_url}: ROI_table"
    tables = [Table.of_anndata(t, where) for t in (ROI_table, ROI_table_ref)]
    pairs = match_rois(*(table.rois(source.spatial) for table in tables), where=where)
    placements = place_all(pairs, source, where=where)
    try:
        new = derive_pyramid(source, target, num_levels, coarsening_xy)
        write_levels(source, new, placements, aggregate(aggregation_function), 0, 1)
    except BaseException:  # the caller's function, too, may raise what it likes
        remove_tree(target)
        raise


def apply_registration_to_image(
    *,
    zarr_url: str,
    registered_roi_table: str,
    reference_acquisition: int = 0,
    overwrite_input: bool = True,
    interpolation: str = "nearest",
    threads: int = 1,
) -> dict[str, list[dict[str, str]]]:
    """Apply registration to an image by using a registered ROI table.

    Writes the image and all its labels aligned to the reference acquisition, with zeros
    outside the registered ROIs; carries the tables along; puts the new image in the place of
    the old one, or beside it. Does for one image what the workflow does in four rules.

    Safe to call for all images of a well at once, from several processes: the calls take a
    lock for the well (``flock`` on a file in the plate's staging folder) while they change
    it. Calling it again for an image that is registered does nothing.

    Parameters
    ----------
    zarr_url : str
        Path of the image, ``plate.zarr/row/column/image``.
    registered_roi_table : str
        Name of the registered ROI table, in this image and in the reference's.
    reference_acquisition : int
        Acquisition to register to, as the well's metadata numbers it.
    overwrite_input : bool
        Whether the new image takes the place of the old one. If not, it becomes
        ``<image>_registered`` and is entered in the well's metadata.
    interpolation : str
        ``nearest``, ``linear`` or ``cubic``, for intensity images.
    threads : int
        Number of threads.

    Returns
    -------
    dict
        ``{"image_list_updates": [{"zarr_url": …}]}``, with ``origin`` for a new image.

    Raises
    ------
    PlatefuseError
        If the input cannot be used; the plate is as it was.

    Notes
    -----
    Follows the task of the same name of fractal-tasks-core 1.6.
    """
    from platefuse.carry import copy_tables
    from platefuse.swap import (
        discard_backup,
        file_system_errors,
        publish_image,
        swap_image,
        well_lock,
    )

    path = Path(os.path.normpath(Path.cwd() / zarr_url))  # one name, and so one lock, for a well
    well = Well(path.parent.parent.parent, path.parent.parent.name, path.parent.name)
    if not well.path.is_dir():
        raise PlateError(
            f"{zarr_url}: there is no well {well.path}; expected plate/row/column/image."
        )
    request = RegistrationRequest(
        registered_roi_table, reference_acquisition, interpolation, overwrite_input
    )
    with file_system_errors(path):
        register_image(well, path.name, request, threads=threads, planning=well_lock(well))
        with well_lock(well):
            copy_tables(well, path.name, request)
            if not overwrite_input:
                new = Path(zarr_url).with_name(publish_image(well, path.name, request).name)
                return {"image_list_updates": [{"zarr_url": str(new), "origin": zarr_url}]}
            swap_image(well, path.name, request)
            discard_backup(well, path.name, request)
    return {"image_list_updates": [{"zarr_url": zarr_url}]}
