"""Fuse one of the disjoint parts that a well is scattered over."""

from typing import Any

import _job
from platefuse.fusion import options as fusion_options
from platefuse.fusion import well as fused_wells
from platefuse.ngff import paths
from platefuse.ngff.plate import Plate
from platefuse.records import FusionReceipt
from platefuse.registration.request import RegistrationRequest


def fuse_part(
    plate: str,
    images: list[str] | None,
    row: str,
    column: str,
    part: str,
    output: str | None,
    options: dict[str, Any],
    request: dict[str, Any] | None,
    scatter: int,
    threads: int,
) -> FusionReceipt:
    """Write the part's chunks under staging; returns the receipt."""
    return fused_wells.fuse_well_part(
        Plate.open(plate, images).well(row, column),
        paths.fused_plate_path(plate, output),
        fusion_options.FusionOptions(**options),
        int(part),
        scatter,
        registered_copies=bool(request and not RegistrationRequest(**request).overwrite_input),
        threads=threads,
    )


if __name__ == "__main__":
    _job.run(fuse_part)
