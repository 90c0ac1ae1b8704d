"""Check everything that decides where pixels go, tables included, before the first job.

Nothing here writes. `platefuse.workflow.checks.outputs` checks the folders that a run writes into.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from platefuse.errors import (
    ImageError,
    PlateError,
    PlatefuseError,
    RecordError,
    SwapError,
    TableError,
)
from platefuse.fusion.fields.layers import Layer, pixel_size
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.stack import check_labels, frames_for
from platefuse.fusion.wells.well import check_kept, fused_images
from platefuse.illumination.correction import check_registered
from platefuse.ngff.image import Image, Multiscale
from platefuse.ngff.layout import InputOptions
from platefuse.ngff.paths import fused_plate_path, staging_root
from platefuse.ngff.well import BACKUP_SUFFIX, Well
from platefuse.records import RegistrationRecord
from platefuse.registration.carry import check_carried
from platefuse.registration.places import check_places
from platefuse.registration.plan import RegistrationPlan
from platefuse.registration.request import RegistrationRequest, done_record
from platefuse.registration.swap import only_backup_left
from platefuse.storage.filesystems import same_filesystem
from platefuse.storage.once import reading_once
from platefuse.workflow.checks.channels import illumination_of
from platefuse.workflow.checks.disk import registered_images
from platefuse.workflow.config.model import Config
from platefuse.workflow.description import layout_of
from platefuse.workflow.plates import WellFacts
from platefuse.workflow.sources import (
    FusionSources,
    places_unknown,
    plan_well,
    reader_of_plans,
)


def check_well_inputs(well: Well, config: Config) -> WellFacts | None:
    """Check everything that the jobs of a well will read.

    Returns
    -------
    WellFacts or None
        What was found out; None while the swap of an image is interrupted, or if the images have no
        common layout before they are registered.

    Raises
    ------
    PlatefuseError
        The first thing that is wrong.
    """
    with reading_once():
        if config.registration.writes_images:
            registration = config.registration
            request = registration.request
            check_swaps(well, request, removes=not registration.keep_originals)
            if is_interrupted(well):
                return None  # the first job restores it; until then its images cannot be read
            for image in well.images:
                if done_record(request.destination(image), request) is None:
                    check_carried(Image.read(image.live))
        measured_px, is_moved = _check_well_inputs(well, config)
        # The images as they are now need not agree on a layout: registration gives all of them the
        # tables of the reference.
        with suppress(PlatefuseError):
            stored = config.registration.writes_images
            registered = registered_images(well, config) if stored else set()
            return WellFacts(layout_of(well, config), registered, measured_px, is_moved)
        return None


def _check_well_inputs(well: Well, config: Config) -> tuple[Mapping[str, float], bool | None]:
    """The checks of `check_well_inputs`, with `measured_px` and `is_moved` of `WellFacts`."""
    registration, fusion = config.registration, config.fusion
    check_illumination(well, config)
    if registration.measures:
        measured_px = check_measurable(well, config)
        if fusion.enabled:
            check_fused_work(well, config, may_change=True)
        return measured_px, None
    plans = plan_well(well, registration.request) if registration.enabled else {}
    if fusion.enabled:
        check_well_fusion(well, fusion.options, config.input, plans, is_raw=not registration.store)
        check_fused_work(well, config, may_change=registration.writes_images and bool(plans))
    return {}, _is_moved(plans.values())


def _is_moved(plans: Iterable[RegistrationPlan]) -> bool | None:
    """Whether any image but a reference is moved; None if there is none."""
    own = [plan for plan in plans if plan.target.name != plan.record.reference]
    return any(any(p.shift_px) for plan in own for p in plan.placements) if own else None


def check_fused_work(well: Well, config: Config, *, may_change: bool) -> None:
    """Check that fusing a well again would lose nothing that users keep in the fused well.

    Parameters
    ----------
    well : Well
        The well.
    config : Config
        The config.
    may_change : bool
        Whether jobs of the run register its images, or measure where their fields are.

    Raises
    ------
    PlateError
        If it would.
    """
    fused = fused_plate_path(well.plate, config.fusion.output)
    if not (fused / well.row / well.column).is_dir():
        return
    options, registration = config.fusion.options, config.registration
    if may_change:
        reader = LayerReader(options, config.input)
    else:
        request = registration.request if registration.enabled else None
        illumination = illumination_of(config)
        reader = FusionSources(
            options, config.input, request, registration.store, illumination=illumination
        ).reader(well)
    check_kept(well, fused, reader, may_change=may_change)


def check_illumination(well: Well, config: Config) -> None:
    """Check that the raw images of a well can be corrected, and registered ones were.

    Raises
    ------
    PlatefuseError
        The first thing that is wrong.
    """
    illumination, registration = illumination_of(config), config.registration
    for image in well.images:
        folder = image.live
        if registration.enabled:
            record = done_record(registration.request.destination(image), registration.request)
            folder = folder if record is None else registration.request.destination(image)
        else:
            record = None if illumination is None else RegistrationRecord.read(folder)
        if record is not None:
            check_registered(folder, record, illumination)
        elif illumination is not None:
            illumination.check_image(Multiscale.read(folder))


def check_measurable(well: Well, config: Config) -> Mapping[str, float]:
    """Check that the fields of a well can be measured, and fused where the stage had them.

    Returns the pixel size by axis in micrometres, without axes of one pixel.

    Raises
    ------
    PlatefuseError
        The first thing that is wrong.
    """
    from platefuse.measuring.field_pixels import choose_channel
    from platefuse.measuring.receipt import MeasuredFrom, was_measured
    from platefuse.measuring.registered import check_tables
    from platefuse.measuring.well import check_reference
    from platefuse.measuring.well import is_registered as check_registration

    registration, options = config.registration, config.fusion.options
    layers = LayerReader(options, config.input).read(well)
    check_reference(well, layers, registration.request.reference_acquisition)
    choose_channel(layers, registration.measure.options.channel)
    check_common_pixel(layers)
    (plate,) = config.plates
    receipt = Path(config.results, plate, well.name, "measure_well.json")
    try:
        is_done = check_registration(well, layers)
    except RecordError:
        if not was_measured(well, receipt):
            raise  # else a run has registered some of its images, and goes on
    else:
        if is_done and config.fusion.enabled and not MeasuredFrom.read(receipt).has_fields:
            raise places_unknown(well, receipt)
    if registration.store:
        check_tables(well, registration.request)
        check_tile_tables(layers, options.tile_table)
    _check_fused(fused_images(layers, options), options)
    sizes = ((layer.image.flat_axes, layer.image.pixel_size_um) for layer in layers)
    return {axis: um for flat, own in sizes for axis, um in own.items() if axis not in flat}


def check_tile_tables(layers: Sequence[Layer], tile_table: str) -> None:
    """Check that measured shifts can be written into the images: as boxes like the tile table's.

    Raises
    ------
    TableError
        If an image that is not registered yet has no tile table.
    """
    parts = [part for layer in layers for part in layer.images]
    without = [part for part in parts if not part.has_table and part.source.record is None]
    if without:
        raise TableError(
            f"{without[0].image.path}: it has no table {tile_table!r}, so its measured shift "
            "cannot be written as a registered ROI table. Set registration.store: false to fuse it "
            "straight from the raw images, or write the table."
        )


def check_common_pixel(layers: Sequence[Layer]) -> None:
    """Check that the acquisitions of a well have the same pixel size.

    Raises
    ------
    ImageError
        If not.
    """
    sizes = {layer.name: pixel_size(layer.image) for layer in layers}
    if len({tuple(size) for size in sizes.values()}) > 1:
        raise ImageError(
            f"{layers[0].image.path}: the acquisitions have the pixel sizes {sizes} µm. Shifts are "
            "measured between images with the same pixels: resample them, or name the images to "
            "process under `images`."
        )


def is_interrupted(well: Well) -> bool:
    """Whether a swap was interrupted between its two steps, so that an image is a backup only."""
    return any(only_backup_left(image) for image in well.acquired_images)


def check_swaps(well: Well, request: RegistrationRequest, *, removes: bool = False) -> None:
    """Check that the images of a well can be replaced by their registered ones.

    Parameters
    ----------
    well : Well
        The well.
    request : RegistrationRequest
        The registration.
    removes : bool
        Whether the originals are removed in the end.

    Raises
    ------
    PlatefuseError
        If not.
    """
    names = {image.name for image in well.listed_images}
    for image in well.images:
        if f"{image.name}{BACKUP_SUFFIX}" in names:
            raise PlateError(
                f"{well.path}: an image is named {image.name}{BACKUP_SUFFIX}, the name that the "
                f"backup of image {image.name} gets. Rename it."
            )
    if is_interrupted(well):
        return
    left = [i for i in well.images if done_record(request.destination(i), request) is None]
    if left:
        _check_swappable(well.plate)
    for image in left:
        if image.live.is_dir():  # else it is said that it is missing
            check_places(image, request, removes=removes)


def check_well_fusion(
    well: Well,
    options: FusionOptions,
    read_as: InputOptions | None = None,
    plans: Mapping[str, RegistrationPlan] | None = None,
    *,
    is_raw: bool = False,
) -> None:
    """Check that a well has fields that can be fused.

    Parameters
    ----------
    well : Well
        The well, registered or not yet.
    options : FusionOptions
        How to fuse it.
    read_as : InputOptions, optional
        How it is read.
    plans : mapping of str to RegistrationPlan, optional
        What registration will do to its images, by their paths.
    is_raw : bool
        Whether these images are fused as they are.

    Raises
    ------
    PlatefuseError
        The first thing that is wrong.
    """
    reader = reader_of_plans(options, read_as or InputOptions(), plans or {}, is_raw=is_raw)
    _check_fused(fused_images(reader.read(well), options), options)


def _check_fused(images: Sequence[tuple[str, Sequence[Layer]]], options: FusionOptions) -> None:
    """Check that images can be fused, with their labels."""
    frames_for([layers for _, layers in images], options)
    for _, layers in images:
        check_labels(layers, options.merge_labels)


def _check_swappable(plate: Path) -> None:
    for folder in (plate, plate.parent):
        if not os.access(folder, os.W_OK):
            raise PlateError(
                f"{folder} cannot be written to: new images are written next to the plate and then "
                "moved into it. Change its permissions, or set registration.store: false, which "
                "changes nothing in the plate; then fusion.output says where the fused plate goes."
            )
    staging = staging_root(plate)
    if not same_filesystem(plate, staging if staging.exists() else plate.parent):
        raise SwapError(
            f"{plate} and {staging}, where its new images are written, would be on different "
            "filesystems, so one image could not replace the other in one step. If the plate "
            f"is a link, give the folder that it leads to: {plate.resolve()}."
        )
