"""Copy the tables of one acquisition into its staged image."""

from typing import Any

import _job
from platefuse.ngff.plate import Plate
from platefuse.records import ImageReceipt
from platefuse.registration import tables
from platefuse.registration.request import RegistrationRequest


def copy_tables(
    plate: str, images: list[str] | None, row: str, column: str, image: str, request: dict[str, Any]
) -> ImageReceipt:
    """Copy the reference's ROI tables and the image's others; returns the receipt."""
    source = Plate.open(plate, images).well(row, column).image(image)
    return tables.copy_tables(source, RegistrationRequest(**request))


if __name__ == "__main__":
    _job.run(copy_tables)
