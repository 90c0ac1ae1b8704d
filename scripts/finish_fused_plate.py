"""Write the plate metadata of the fused plate."""

from typing import Any

import _job
from platefuse import fused_plate, fusion_options, places
from platefuse.plate import Plate


def finish_fused_plate(
    plate: str, images: list[str] | None, output: str | None, options: dict[str, Any]
) -> dict[str, Any]:
    """Make the fused wells a plate; returns the receipt's content."""
    return fused_plate.finish_fused_plate(
        Plate.open(plate, images),
        places.fused_plate_path(plate, output),
        fusion_options.FusionOptions(**options),
    )


if __name__ == "__main__":
    _job.run(finish_fused_plate)
