"""Move the staged images of one well beside the originals and list them in its metadata."""

from typing import Any

import _job
from platefuse.ngff.plate import Plate
from platefuse.records import WellReceipt
from platefuse.registration import swap
from platefuse.registration.request import RegistrationRequest


def publish_registered(
    plate: str, images: list[str] | None, row: str, column: str, request: dict[str, Any]
) -> WellReceipt:
    """Add every `<image>_registered` to the well; returns the receipt."""
    well = Plate.open(plate, images).well(row, column)
    return swap.publish_registered(well, RegistrationRequest(**request))


if __name__ == "__main__":
    _job.run(publish_registered)
