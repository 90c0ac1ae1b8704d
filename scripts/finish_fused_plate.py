"""Write the plate metadata of the fused plate."""

from typing import Any

import _job
from platefuse.fusion import options as fusion_options
from platefuse.fusion import well as fused_wells
from platefuse.ngff import paths
from platefuse.ngff.plate import Plate
from platefuse.records import PlateReceipt


def finish_fused_plate(
    plate: str, images: list[str] | None, output: str | None, options: dict[str, Any]
) -> PlateReceipt:
    """Make the fused wells a plate; returns the receipt."""
    return fused_wells.finish_fused_plate(
        Plate.open(plate, images),
        paths.fused_plate_path(plate, output),
        fusion_options.FusionOptions(**options),
    )


if __name__ == "__main__":
    _job.run(finish_fused_plate)
