"""Registered ROI tables of a measured plate, for the registration of its images in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from platefuse.measuring.model import PlacedField
from platefuse.measuring.roi_tables import (
    own_digest,
    registered_rois,
    translation_um,
    write_registered_table,
)
from platefuse.ngff.image import Multiscale
from platefuse.ngff.paths import staging_folder
from platefuse.ngff.plate import Plate
from platefuse.ngff.tables.table import Roi, read_table, table_path
from platefuse.ngff.well import Well, WellImage
from platefuse.registration.locks import image_lock
from platefuse.registration.request import RegistrationRequest, done_record
from platefuse.storage.removing import remove_tree

Places = Mapping[tuple[str, str], Mapping[str, PlacedField]]
"""Fields by their names, by well and image."""


def write_registered_tables(
    plate: Plate, places: Sequence[PlacedField], request: RegistrationRequest, tile_table: str
) -> list[str]:
    """Write the measured places as registered ROI tables into the images of a plate.

    Images that are registered already are left alone.

    Parameters
    ----------
    plate : Plate
        The plate, in the layout ``mosaic``.
    places : sequence of PlacedField
        The places of the fields of some wells.
    request : RegistrationRequest
        The registration that will read the tables.
    tile_table : str
        Name of the table with the fields of each image.

    Returns
    -------
    list of str
        The images into which a table was written.

    Raises
    ------
    PlatefuseError
        If a table cannot be used, too little of a ROI would be left, or another program wrote a
        table of that name. All of this is checked in all wells before the first table is written.
    """
    by_image: dict[tuple[str, str], dict[str, PlacedField]] = {}
    for placed in places:
        key = placed.field.key
        by_image.setdefault((key.well, key.image), {})[key.field] = placed
    wells = [plate.well(*name.split("/")) for name in dict.fromkeys(well for well, _ in by_image)]
    found = []
    for well in wells:
        check_tables(well, request)
        found.append(_rois_of(well, by_image, request.reference_acquisition, tile_table))
    written = []
    for well, rois in zip(wells, found, strict=True):
        for image in well.images:
            if done_record(request.destination(image), request) is not None:
                continue
            if _write(image, rois[image.number], request.roi_table, tile_table):
                written.append(f"{well.name}/{image.name}")
    return written


def check_tables(well: Well, request: RegistrationRequest) -> None:
    """Check that the tables of a well that would be replaced are platefuse's own.

    Raises
    ------
    TableError
        If another program wrote one.
    """
    for image in well.images:
        if done_record(request.destination(image), request) is None:
            own_digest(table_path(image.live, request.roi_table))


def _rois_of(well: Well, places: Places, reference: int, tile_table: str) -> dict[int, list[Roi]]:
    """The registered boxes of each acquisition of a well."""
    rois, moves = {}, {}
    for image in well.images:
        multiscale = Multiscale.read(image.live)
        axes = "".join(a for a in multiscale.spatial if a not in multiscale.flat_axes)
        rois[image.number] = read_table(image.live, tile_table).rois(axes)
        moves[image.number] = _translations(well, image, places, reference)
    return registered_rois(rois, moves, where=str(well.path))


def _translations(
    well: Well, image: WellImage, places: Places, reference: int
) -> dict[str, dict[str, float]]:
    still = places.get((well.name, well.reference_image(image.name, reference).name), {})
    own = places.get((well.name, image.name), {})
    return {name: translation_um(own[name], still[name]) for name in own if name in still}


def _write(image: WellImage, rois: Sequence[Roi], name: str, tile_table: str) -> bool:
    well = image.well
    folder = staging_folder(well.plate, well.row, well.column) / f"{image.name}.measured"
    with image_lock(image):
        try:
            return write_registered_table(
                image.live, name, tile_table, rois, "measured", staging=folder
            )
        finally:
            remove_tree(folder)
