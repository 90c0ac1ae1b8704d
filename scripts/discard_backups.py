"""Check the live images of one well, then remove their backups."""

from typing import Any

import _job
from platefuse.ngff.plate import Plate
from platefuse.records import WellReceipt
from platefuse.registration import swap
from platefuse.registration.request import RegistrationRequest


def discard_backups(
    plate: str,
    images: list[str] | None,
    row: str,
    column: str,
    request: dict[str, Any],
    keep_originals: bool,
) -> WellReceipt:
    """Remove what the swaps left in staging; returns the receipt."""
    well = Plate.open(plate, images).well(row, column)
    asked = RegistrationRequest(**request)
    return swap.discard_backups(well, asked, keep_originals=keep_originals)


if __name__ == "__main__":
    _job.run(discard_backups)
