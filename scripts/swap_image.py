"""Put the staged image in the place of the live one."""

from typing import Any

import _job
from platefuse.ngff.plate import Plate
from platefuse.records import ImageReceipt
from platefuse.registration import swap
from platefuse.registration.request import RegistrationRequest


def swap_image(
    plate: str, images: list[str] | None, row: str, column: str, image: str, request: dict[str, Any]
) -> ImageReceipt:
    """Exchange the staged and the live image; returns the receipt."""
    source = Plate.open(plate, images).well(row, column).image(image)
    return swap.swap_image(source, RegistrationRequest(**request))


if __name__ == "__main__":
    _job.run(swap_image)
