"""What a registration will do, read and checked before a pixel is moved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from platefuse.errors import RecordError
from platefuse.ngff.image import Image, Multiscale, check_axes, foreign_files
from platefuse.ngff.paths import check_tree
from platefuse.ngff.plate import Well
from platefuse.records import RegisteredRoi, RegistrationRecord, TableDigests, digest_tree
from platefuse.registration.request import RegistrationRequest, done_record
from platefuse.registration.rois import Placement, match_rois, place_all
from platefuse.tables.move import check_moves
from platefuse.tables.table import Roi, read_table, table_fates


@dataclass(frozen=True)
class RegistrationPlan:
    """Everything that must be known before a pixel is moved.

    Attributes
    ----------
    image : Path
        The image.
    pairs : list of (Roi, Roi)
        The ROIs of the acquisition and of the reference that show the same tissue.
    placements : list of Placement
        Where the pixels of the image go.
    record : RegistrationRecord
        The record of the new image, without its tables.
    """

    image: Path
    pairs: list[tuple[Roi, Roi]]
    placements: list[Placement]
    record: RegistrationRecord


def plan_registration(well: Well, image: str, request: RegistrationRequest) -> RegistrationPlan:
    """Read and check everything that decides where the pixels of an image go.

    Raises
    ------
    PlatefuseError
        If anything is missing or does not fit. Nothing has been written.
    """
    target = well.image(image)
    reference_image = well.reference_image(image, request.reference_acquisition)
    if not request.overwrite_input:
        well.check_listed(image)
    for each in (target, reference_image):
        each.check_links()
    source, reference = target.live, reference_image.live
    if done_record(source, request) is not None:
        raise RecordError(
            f"{source}: this image has been registered in its place already, and now an image "
            "next to it is requested (overwrite_input: false). Its pixels will not be shifted "
            "twice: restore the original image, or set overwrite_input to true."
        )
    multiscale = Image.read(source)
    check_axes(multiscale, Multiscale.read(reference))
    tables = [read_table(folder, request.roi_table) for folder in (source, reference)]
    labels = list(multiscale.labels.values())
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
    for path in foreign_files(multiscale):
        check_tree(path, well.plate)
    record = RegistrationRecord(
        request=request.identity,
        reference=reference.name,
        digests=TableDigests(*(digest_tree(table.path) for table in tables)),
        axes=axes,
        rois=tuple(RegisteredRoi(p.name, p.shift_px, p.dst.start, p.dst.shape) for p in placements),
    )
    return RegistrationPlan(source, pairs, placements, record)
