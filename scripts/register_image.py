"""Make the new image of one acquisition under staging: all levels, all labels."""

from typing import Any

import _job
from platefuse.ngff.plate import Plate
from platefuse.records import ImageReceipt
from platefuse.registration import stage
from platefuse.registration.request import RegistrationRequest


def register_image(
    plate: str,
    images: list[str] | None,
    row: str,
    column: str,
    image: str,
    request: dict[str, Any],
    threads: int,
) -> ImageReceipt:
    """Stage the registered image; returns the receipt."""
    source = Plate.open(plate, images).well(row, column).image(image)
    asked = RegistrationRequest(**request)
    return stage.register_image(source, asked, threads=threads)


if __name__ == "__main__":
    _job.run(register_image)
