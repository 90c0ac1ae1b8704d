"""Carrying the tables: into the staged image, which is complete with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from platefuse.errors import RecordError
from platefuse.ngff.image import Multiscale
from platefuse.ngff.plate import Well
from platefuse.records import ImageReceipt, RegisteredTable, RegistrationRecord, digest_tree
from platefuse.registration.request import RegistrationRequest, done_record
from platefuse.tables.move import Piece, move_table
from platefuse.tables.table import TableFate, copy_table_groups, table_fates, table_path


def copy_tables(well: Well, image: str, request: RegistrationRequest) -> ImageReceipt:
    """Carry all tables of an image into its staged image, and complete the record.

    Tables that say where the fields or the well are come from the reference. Other ROI tables
    of the image are moved with its pixels. All others are copied byte for byte.

    Parameters
    ----------
    well : Well
        The well.
    image : str
        Path of the image in the well.
    request : RegistrationRequest
        What is asked.

    Returns
    -------
    ImageReceipt
        What was done to each table.

    Raises
    ------
    PlatefuseError
        If the image is neither staged nor registered, or a listed table is missing.
    """
    done = done_record(request.destination(well, image), request)
    if done is not None:
        return ImageReceipt(
            well=well.name, image=image, action="registered before", tables=done.tables
        )
    staged = well.staging / image
    record = RegistrationRecord.read(staged)
    if record is None:
        raise RecordError(
            f"{well.image(image).live}: there is no staged image at {staged}. Run `register_image` "
            "for this image first (the workflow does)."
        )
    source = well.image(image).live
    reference = well.reference_image(image, request.reference_acquisition).live
    fates = table_fates(source, reference)
    copy_table_groups(fates, source, staged)
    pieces = _moved_regions(record, Multiscale.read(source))
    tables = {
        name: _carried(staged, name, fate, source, pieces, record.axes)
        for name, fate in fates.items()
    }
    replace(record, tables=tables).write(staged)
    return ImageReceipt(well=well.name, image=image, action="carried", tables=tables)


def _moved_regions(record: RegistrationRecord, image: Multiscale) -> list[Piece]:
    """The parts of the acquisition that were moved, by whole pixels as the record has them."""
    size_um = [image.pixel_size_um[a] for a in record.axes]
    return [
        Piece(
            *(
                tuple(px * um for px, um in zip(numbers, size_um, strict=True))
                for numbers in (roi.source_box.start, roi.source_box.stop, roi.offset_px)
            )
        )
        for roi in record.rois
        if not roi.box.empty
    ]


def _carried(
    staged: Path, name: str, fate: TableFate, image: Path, pieces: Sequence[Piece], axes: str
) -> RegisteredTable:
    """What is recorded of a table, after it was moved if that is its fate."""
    return RegisteredTable(
        "image" if fate.origin == image else "reference",
        "moved" if fate.moves else "copied",
        move_table(staged, name, pieces, axes) if fate.moves else None,
        sha256=digest_tree(table_path(staged, name)),
    )
