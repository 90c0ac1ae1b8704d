"""Carrying the tables: into the staged image, which is complete with them."""

from __future__ import annotations

from typing import Any

from platefuse.errors import RecordError
from platefuse.plate import Well
from platefuse.record import digest_tree, read_record, write_record
from platefuse.registration import RegistrationRequest, done_record
from platefuse.tables import copy_table_groups, table_path, table_sources


def copy_tables(well: Well, image: str, request: RegistrationRequest) -> dict[str, Any]:
    """Copy all tables of an image into its staged image, and complete the record.

    Standard ROI tables come from the reference, all others from the image itself.

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
    dict
        The receipt: each table's origin and digest.

    Raises
    ------
    PlatefuseError
        If the image is neither staged nor registered, or a listed table is missing.
    """
    receipt = {"well": well.name, "image": image}
    done = done_record(request.destination(well, image), request)
    if done is not None:
        return {**receipt, "action": "registered before", "tables": done["tables"]}
    staged = well.staging / image
    record = read_record(staged) if staged.is_dir() else None
    if record is None:
        raise RecordError(
            f"{well.image(image)}: there is no staged image at {staged}. Run `register_image` "
            "for this image first (the workflow does)."
        )
    source = well.image(image)
    reference = well.image(well.reference_image(image, request.reference_acquisition))
    sources = table_sources(source, reference)
    copy_table_groups(sources, source, staged)
    tables = {
        name: {
            "from": "image" if origin == source else "reference",
            "sha256": digest_tree(table_path(staged, name)),
        }
        for name, origin in sources.items()
    }
    registration = {**record["registration"], "tables": tables}
    write_record(staged, {**record, "registration": registration})
    return {**receipt, "action": "copied", "tables": tables}
