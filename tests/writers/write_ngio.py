"""Write plates with ngio: a mosaic with its ROI tables, and one image for each field."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ngio import Roi, RoiTable, create_empty_plate, create_ome_zarr_from_array

from tests.writers.scene import (
    CHANNELS,
    PIXEL_UM,
    PLANES,
    REGISTERED_SHAPE,
    SHAPE,
    WELLS,
    Z_UM,
    Field,
    all_fields,
    fields,
    registered_start,
)


def write_fields(path: Path, ngff_version: str) -> None:
    """Write a plate with one image for each field, with a translation."""
    plate = create_empty_plate(path, path.stem, ngff_version=ngff_version)
    for field in all_fields():
        row, column = field.well.split("/")
        image = plate.add_image(row, column, str(field.index), acquisition_id=field.acquisition)
        create_ome_zarr_from_array(
            path / image,
            field.pixels,
            PIXEL_UM,
            z_spacing=Z_UM,
            levels=2,
            translation=(0, 0, *field.origin_um),
            axes_names="czyx",
            channels_meta=list(CHANNELS),
            ngff_version=ngff_version,
        )


def write_mosaic(path: Path, ngff_version: str, backend: str) -> None:
    """Write a plate with one image for each acquisition, its fields next to each other.

    It has the tables of the Fractal converters, and a registered table, in the first well only:
    there both acquisitions have all fields.
    """
    plate = create_empty_plate(path, path.stem, ngff_version=ngff_version)
    well = next(iter(WELLS))
    for acquisition in WELLS[well]:
        taken = list(fields(well, acquisition))
        name = plate.add_image(*well.split("/"), str(acquisition), acquisition_id=acquisition)
        container = create_ome_zarr_from_array(
            path / name,
            np.concatenate([field.pixels for field in taken], axis=-1),
            PIXEL_UM,
            z_spacing=Z_UM,
            levels=2,
            axes_names="czyx",
            channels_meta=list(CHANNELS),
            ngff_version=ngff_version,
        )
        tables = {
            "FOV_ROI_table": RoiTable(box(field, (0, 0), SHAPE) for field in taken),
            "well_ROI_table": container.build_image_roi_table("well"),
            "registered_FOV_ROI_table": RoiTable(
                box(field, registered_start(acquisition), REGISTERED_SHAPE) for field in taken
            ),
        }
        for table_name, table in tables.items():
            container.add_table(table_name, table, backend=backend)


def box(field: Field, start: tuple[int, int], shape: tuple[int, int]) -> Roi:
    """A box in a field of a mosaic: its first pixel in the field, and its shape."""
    (top, left), (height, width), (y, x) = start, shape, field.origin_um
    left += field.number * SHAPE[1]
    return Roi.from_values(
        {
            "x": (left * PIXEL_UM, width * PIXEL_UM),
            "y": (top * PIXEL_UM, height * PIXEL_UM),
            "z": (0.0, PLANES * Z_UM),
        },
        f"FOV_{field.number + 1}",
        x_micrometer_original=x,
        y_micrometer_original=y,
    )


def main(output: Path) -> None:
    """Write all plates."""
    release = version("ngio")
    write_fields(output / f"ngio_{release}_fields_v0.4.zarr", "0.4")
    write_fields(output / f"ngio_{release}_fields_v0.5.zarr", "0.5")
    write_mosaic(output / f"ngio_{release}_mosaic_v0.4.zarr", "0.4", "anndata")
    write_mosaic(output / f"ngio_{release}_mosaic_v0.5.zarr", "0.5", "csv")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
