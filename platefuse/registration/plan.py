"""Read and check everything that decides where the pixels of an image go, before any is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platefuse.errors import TableError, some
from platefuse.illumination.correction import Illumination
from platefuse.ngff.image import (
    Image,
    Multiscale,
    check_axes,
    check_pixel_sizes,
    foreign_files,
)
from platefuse.ngff.labels import ABSENT_LABEL
from platefuse.ngff.metadata import is_node
from platefuse.ngff.paths import check_tree
from platefuse.ngff.scales import warn_of_wrong_scales
from platefuse.ngff.tables.boxes import boxes_in, check_known_size
from platefuse.ngff.tables.table import Table, read_table, table_names, table_path
from platefuse.ngff.well import WellImage
from platefuse.records import RegisteredRoi, RegistrationRecord, TableDigests, digest_tree
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.rois import Placement, match_rois, place_all
from platefuse.registration.tables import check_actions, table_actions
from platefuse.storage.once import reading_once


@dataclass(frozen=True)
class RegistrationPlan:
    """What a registration does to one image, and everything that was read to know it.

    Attributes
    ----------
    target : WellImage
        The image in its well.
    image : Image
        Its metadata, and those of its labels.
    placements : tuple of Placement
        Where the pixels of the image go.
    label_placements : mapping of str to tuple of Placement
        Where the pixels of each label go.
    record : RegistrationRecord
        The record of the new image, without its tables.
    table_folders : mapping of str to Path
        For each table of the new image, the image that it is copied from.
    illumination : Illumination or None
        How the pixels of the image, not of its labels, are corrected.
    """

    target: WellImage
    image: Image
    placements: tuple[Placement, ...]
    label_placements: Mapping[str, tuple[Placement, ...]]
    record: RegistrationRecord
    table_folders: Mapping[str, Path]
    illumination: Illumination | None = None


@reading_once()
def plan_registration(
    image: WellImage, request: RegistrationRequest, illumination: Illumination | None = None
) -> RegistrationPlan:
    """Read and check everything that decides where the pixels of an image go.

    Parameters
    ----------
    image : WellImage
        The image.
    request : RegistrationRequest
        The registration.
    illumination : Illumination, optional
        How the raw pixels are corrected.

    Raises
    ------
    PlatefuseError
        If something is missing or does not fit. Nothing has been written.
    """
    reference = image.well.reference_image(image.name, request.reference_acquisition)
    _check_original(image, reference, request)
    source = Image.read(image.live)
    reference_image = Multiscale.read(reference.live)
    check_axes(source, reference_image)
    for part in source.parts:
        warn_of_wrong_scales(part)
    source.warn_of_labels()
    check_pixel_sizes(source, reference_image)
    if illumination is not None:
        illumination.check_image(source)
    tables = [_read_registered(each, request.roi_table) for each in (image, reference)]
    placements, label_placements = place_image(source, *tables)
    actions = table_actions(image, reference)
    check_actions(actions, image, source.spatial)
    for path in foreign_files(source):
        check_tree(path, image.well.plate)
    record = RegistrationRecord(
        request=request.identity,
        reference=reference.name,
        digests=TableDigests(*(digest_tree(table.path) for table in tables)),
        axes=source.spatial,
        rois=tuple(RegisteredRoi(p.name, p.shift_px, p.dst.start, p.dst.shape) for p in placements),
        illumination=(illumination and illumination.applied(source)) or None,
        labels_left_out=dict.fromkeys(source.absent_labels, ABSENT_LABEL) or None,
    )
    origins = {"image": image.live, "reference": reference.live}
    folders = {name: origins[action.origin] for name, action in actions.items()}
    return RegistrationPlan(
        image, source, placements, label_placements, record, folders, illumination
    )


def _read_registered(image: WellImage, name: str) -> Table:
    """The registered ROI table of an image.

    Raises
    ------
    TableError
        If it is missing or cannot be read.
    """
    if not is_node(table_path(image.live, name)):
        raise TableError(
            f"{image.live}: there is no table {name!r}, expected the registered ROIs in it; its "
            f"tables are {some(sorted(table_names(image.live)))}. Give the name of the registered "
            "table (registration.roi_table in a config), or let a run measure the shifts "
            "(registration.measure.enabled: true)."
        )
    return read_table(image.live, name)


def _check_original(image: WellImage, reference: WellImage, request: RegistrationRequest) -> None:
    """Check that an image is listed if it has to be, and has safe links."""
    if not request.overwrite_input:
        image.well.check_listed(image.name)
    for each in (image, reference):
        each.check_links()


def place_image(
    image: Image, acquired: Table, reference: Table
) -> tuple[tuple[Placement, ...], dict[str, tuple[Placement, ...]]]:
    """Place the ROIs of two tables on the pixel grids of an image and of each of its labels.

    Parameters
    ----------
    image : Image
        The image.
    acquired, reference : Table
        Its registered ROI table, and that of the reference.

    Returns
    -------
    placements : tuple of Placement
        On the image.
    of_labels : dict of str to tuple of Placement
        On each label, by its name.

    Raises
    ------
    TableError
        If the tables do not fit each other or the image.
    ImageError
        If the image or a label has no pixel size, and the ROIs are not in pixels.
    """
    where = str(acquired.path)
    # A label of a flat image may have the axis z. One plane is the whole depth.
    needed = {axis for part in image.parts for axis in part.spatial if axis not in part.flat_axes}
    axes = "".join(axis for axis in "zyx" if axis in needed)
    boxes = boxes_in(image, axes, acquired, reference)
    for part in image.parts:
        check_known_size(part, boxes[1], reference)
    pairs = match_rois(*boxes, where=where)
    placements = tuple(place_all(pairs, image, where=where))
    return placements, {
        name: tuple(place_all(pairs, label, where=f"{where}, on {label.path}"))
        for name, label in image.labels.items()
    }
