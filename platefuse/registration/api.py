"""The public functions of registration: shift images and labels as registered ROI tables have it.

Semantics of ``apply_registration_to_image`` of fractal-tasks-core (BSD-3-Clause, University of
Zurich), with the differences that `docs/design` records.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import numpy as np

from platefuse.engine.downsample import aggregate
from platefuse.errors import ConfigError, ImageError, PlateError, SwapError
from platefuse.ngff.consolidated import drop_consolidated
from platefuse.ngff.create import derive_pyramid
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import find_attributes
from platefuse.ngff.paths import real_plate
from platefuse.ngff.tables.boxes import boxes_in
from platefuse.ngff.tables.table import Table
from platefuse.ngff.well import Well, WellImage
from platefuse.records import forget_record
from platefuse.registration.locks import image_lock, well_lock
from platefuse.registration.places import check_places
from platefuse.registration.request import Interpolation, RegistrationRequest, done_record
from platefuse.registration.rois import match_rois, place_all
from platefuse.registration.signatures import AggregationFunction, RegistrationResult, RoiTable
from platefuse.registration.stage import register_image, shift_tasks
from platefuse.registration.swap import (
    discard_backup,
    publish_image,
    swap_image,
)
from platefuse.registration.tables import copy_tables
from platefuse.registration.verify import verify_image
from platefuse.storage.expected import COUNT, Expected
from platefuse.storage.files import make_folder, system_errors
from platefuse.storage.made import made_alone, move_new, output_lock
from platefuse.storage.progress import shown
from platefuse.storage.threads import run_tasks, usable_cores
from platefuse.storage.writable import check_new

_PATH = Expected(
    "the path of a local folder, as a string or pathlib.Path",
    lambda v: isinstance(v, str | os.PathLike) and not re.search("://|\0", str(v)),
)
_AGGREGATION = Expected("a function such as numpy.mean", callable)


def write_registered_zarr(
    zarr_url: str | os.PathLike[str],
    new_zarr_url: str | os.PathLike[str],
    ROI_table: RoiTable,  # noqa: N803  # the seed's name
    ROI_table_ref: RoiTable,  # noqa: N803  # the seed's name
    num_levels: int,
    coarsening_xy: int = 2,
    aggregation_function: AggregationFunction = np.mean,
) -> None:
    """Write a registered image or label to a new OME-Zarr group.

    The new image has the shape of the old one. The pixels of each ROI of `ROI_table` are
    written where `ROI_table_ref` has it; all others are 0. Where ROIs overlap, the later one is
    written. Signature and meaning as in fractal-tasks-core.

    Parameters
    ----------
    zarr_url : str or path
        Path of the OME-Zarr image or label, with any axes of OME-NGFF.
    new_zarr_url : str or path
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
        If the image or the tables cannot be used, or another process writes the new image. No new
        image is left.
    """
    for name, value in (("zarr_url", zarr_url), ("new_zarr_url", new_zarr_url)):
        _PATH.check(name, value)
    _AGGREGATION.check("aggregation_function", aggregation_function)
    source, target = Multiscale.read(Path(zarr_url)), Path(os.path.realpath(new_zarr_url))
    check_new(target, f"{new_zarr_url} cannot be written", ImageError)
    _check_new(target, source.path)
    where = f"{zarr_url}: ROI_table"
    tables = [Table.of_anndata(t, where) for t in (ROI_table, ROI_table_ref)]
    axes = "".join(axis for axis in source.spatial if axis not in source.flat_axes)
    pairs = match_rois(*boxes_in(source, axes, *tables), where=where)
    placements = place_all(pairs, source, where=where)
    remedy = "Check the path, free space and permissions."
    with system_errors(ImageError, f"{target}: the file system refused", remedy):
        make_folder(target.parent)
        with output_lock(target), made_alone(target.with_name(f".{target.name}.partial")) as made:
            _check_new(target, source.path)
            drop_consolidated(target)
            new = derive_pyramid(source, made, num_levels, coarsening_xy)
            forget_record(made)
            with shown(f"registering {source.path.name}"):
                tasks = shift_tasks(source, new, placements, aggregate(aggregation_function), 0)
                run_tasks(tasks, threads=usable_cores())
            move_new(made, target)


def _check_new(target: Path, source: Path) -> None:
    if target.is_relative_to(os.path.realpath(source)):
        raise ImageError(
            f"{target} lies in the image that is read, {source}, and would become a part of it. "
            "Give a path outside of it."
        )
    if os.path.lexists(target):
        raise ImageError(f"{target} exists already; give the path of a new image or remove it.")


def apply_registration_to_image(
    *,
    zarr_url: str | os.PathLike[str],
    registered_roi_table: str,
    reference_acquisition: int = 0,
    overwrite_input: bool = True,
    interpolation: Interpolation = "nearest",
    threads: int | None = None,
) -> RegistrationResult:
    """Apply registration to an image by using a registered ROI table.

    Writes the image and all its labels aligned to the reference acquisition, with zeros outside
    the registered ROIs; copies the tables; replaces the old image by the new one, or puts the new
    one next to it. Does for one image what the workflow does in four rules.

    Several processes may call it for different images of a well at the same time: they wait for
    each other while they change the well. A second call for the same image stops at once. Both is
    done by locks (``flock`` on files in the plate's staging folder). For an image that is
    registered already it does nothing.

    Parameters
    ----------
    zarr_url : str or path
        Path of the image, ``plate.zarr/row/column/image``.
    registered_roi_table : str
        Name of the registered ROI table, in this image and in the reference's.
    reference_acquisition : int
        Acquisition to register to, by its number in the well's metadata.
    overwrite_input : bool
        Whether the new image replaces the old one. If not, it becomes ``<image>_registered`` and
        is listed in the well's metadata.
    interpolation : str
        ``nearest``, ``linear`` or ``cubic``, for intensity images.
    threads : int, optional
        Number of threads; by default one for each core.

    Returns
    -------
    dict
        ``{"image_list_updates": [{"zarr_url": …}]}``, with ``origin`` for a new image.

    Raises
    ------
    PlatefuseError
        If the input cannot be used, or another process works on the image. The plate is unchanged.

    Notes
    -----
    Follows the task of the same name of fractal-tasks-core 1.6.
    """
    _PATH.check("zarr_url", zarr_url)
    COUNT.or_none.check("threads", threads)
    zarr_url = os.fspath(zarr_url)
    path = Path.cwd() / zarr_url
    if ".." in path.parts:  # with links on the way, only the system knows where that leads
        path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise PlateError(
            f"{zarr_url}: there is no well {path.parent}; expected plate/row/column/image."
        )
    if "well" not in (find_attributes(path.parent) or {}):
        raise PlateError(
            f"{zarr_url}: {path.parent} is no well (it has no `well` metadata); expected the path "
            "of an image in a plate, plate/row/column/image."
        )
    plate = real_plate(path.parent.parent.parent)
    well = Well.read(plate, path.parent.parent.name, path.parent.name)
    well.check_inside()
    image = well.image(path.name)
    request = _request(registered_roi_table, reference_acquisition, interpolation, overwrite_input)
    remedy = "No image is lost: check free space and permissions, then call again to go on."
    with system_errors(SwapError, f"{path}: the file system refused", remedy):
        _apply(image, request, usable_cores() if threads is None else int(threads))
    if overwrite_input:
        return {"image_list_updates": [{"zarr_url": zarr_url}]}
    new = Path(zarr_url).with_name(image.registered.name)
    return {"image_list_updates": [{"zarr_url": str(new), "origin": zarr_url}]}


def _apply(image: WellImage, request: RegistrationRequest, threads: int) -> None:
    """All steps for one image, under its lock; the well is read and changed under its own."""
    if done_record(request.destination(image), request) is None and image.live.is_dir():
        check_places(image, request, removes=True)
    with image_lock(image):
        with shown(f"registering {image.name}"):
            register_image(image, request, threads=threads, planning=well_lock(image.well))
        with well_lock(image.well):
            copy_tables(image, request)
            if request.overwrite_input:
                swap_image(image, request)
                discard_backup(image, request, verify=partial(verify_image, verify="sample"))
            else:
                publish_image(image, request)


def _request(
    registered_roi_table: str,
    reference_acquisition: int,
    interpolation: Interpolation,
    overwrite_input: bool,
) -> RegistrationRequest:
    """The request of a call: what is wrong with it is said of arguments, not of keys of a config.

    Raises
    ------
    ConfigError
        If a value cannot be used.
    """
    try:
        return RegistrationRequest(
            registered_roi_table, reference_acquisition, interpolation, overwrite_input
        )
    except ConfigError as error:
        faults = [
            fault.replace("registration.roi_table", "registered_roi_table", 1)
            for fault in map(str, error.args)
        ]
        raise ConfigError(*(fault.removeprefix("registration.") for fault in faults)) from None
