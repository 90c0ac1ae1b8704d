"""Write plates with ome-zarr-py: one image for each field, with a translation."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from ome_zarr.format import Format, FormatV04, FormatV05
from ome_zarr.writer import write_multiscale, write_plate_metadata, write_well_metadata

from tests.writers.scene import PIXEL_UM, WELLS, Z_UM, Field, all_fields

AXES: list[dict[str, str]] = [
    {"name": "t", "type": "time"},
    {"name": "c", "type": "channel"},
    *({"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"),
]


def write(path: Path, fmt: Format) -> None:
    """Write one plate."""
    plate = zarr.open_group(path, mode="w", zarr_format=fmt.zarr_format)
    rows = sorted({well.split("/")[0] for well in WELLS})
    columns = sorted({well.split("/")[1] for well in WELLS})
    acquisitions = [{"id": 0}, {"id": 1}]
    write_plate_metadata(plate, rows, columns, list(WELLS), fmt, acquisitions, field_count=8)
    for well in WELLS:
        group = plate.require_group(well)
        taken = [field for field in all_fields() if field.well == well]
        images: list[str | dict[str, Any]] = [
            {"path": str(field.index), "acquisition": field.acquisition} for field in taken
        ]
        write_well_metadata(group, images, fmt)
        for field in taken:
            write_field(group.require_group(str(field.index)), field, fmt)


def write_field(group: zarr.Group, field: Field, fmt: Format) -> None:
    """Write one field with two levels.

    `write_image` of 0.18 takes no translation any more, so the levels are given.
    """
    transforms = []
    for level in range(2):
        pixel = PIXEL_UM * 2**level
        transforms.append(
            [
                {"type": "scale", "scale": [1.0, 1.0, Z_UM, pixel, pixel]},
                {"type": "translation", "translation": [0.0, 0.0, 0.0, *field.origin_um]},
            ]
        )
    pixels = field.pixels[None]
    pyramid = [pixels, np.ascontiguousarray(pixels[..., ::2, ::2])]
    write_multiscale(pyramid, group, fmt, axes=AXES, coordinate_transformations=transforms)


def main(output: Path) -> None:
    """Write a plate of each NGFF version."""
    name = f"ome-zarr_{version('ome-zarr')}"
    write(output / f"{name}_v0.4.zarr", FormatV04())
    write(output / f"{name}_v0.5.zarr", FormatV05())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
