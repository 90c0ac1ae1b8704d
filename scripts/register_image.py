"""Make the new image of one acquisition under staging: all levels, all labels."""

from typing import Any

import _job
from platefuse.ngff.plate import Plate
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
) -> dict[str, Any]:
    """Stage the registered image; returns the receipt's content."""
    well = Plate.open(plate, images).well(row, column)
    asked = RegistrationRequest(**request)
    return stage.register_image(well, image, asked, threads=threads)


if __name__ == "__main__":
    _job.run(register_image)
