"""Fuse the fields of one well into the fused plate."""

from typing import Any

import _job
from platefuse.fusion import options as fusion_options
from platefuse.fusion import well as fused_wells
from platefuse.ngff import paths
from platefuse.ngff.plate import Plate
from platefuse.records import FusionReceipt
from platefuse.registration.request import RegistrationRequest


def fuse_well(
    plate: str,
    images: list[str] | None,
    row: str,
    column: str,
    output: str | None,
    options: dict[str, Any],
    request: dict[str, Any] | None,
    scatter: int,
    threads: int,
) -> FusionReceipt:
    """Fuse the well's images; returns the receipt."""
    return fused_wells.fuse_well(
        Plate.open(plate, images).well(row, column),
        paths.fused_plate_path(plate, output),
        fusion_options.FusionOptions(**options),
        registered_copies=bool(request and not RegistrationRequest(**request).overwrite_input),
        scatter=scatter,
        threads=threads,
    )


if __name__ == "__main__":
    _job.run(fuse_well)
