"""Write plates with iohub: one position (image) for each field, with a translation."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from iohub.ngff import TransformationMeta, open_ome_zarr

from tests.writers.scene import CHANNELS, PIXEL_UM, SHAPE, Z_UM, all_fields


def write(path: Path, ngff_version: str) -> None:
    """Write one plate."""
    with open_ome_zarr(
        path, layout="hcs", mode="w-", channel_names=list(CHANNELS), version=ngff_version
    ) as plate:
        for field in all_fields():
            row, column = field.well.split("/")
            position = plate.create_position(
                row, column, str(field.index), acq_index=field.acquisition
            )
            y, x = field.origin_um
            transform = [
                TransformationMeta(type="scale", scale=[1, 1, Z_UM, PIXEL_UM, PIXEL_UM]),
                TransformationMeta(type="translation", translation=[0, 0, 0, y, x]),
            ]
            chunks: dict[str, Any] = {"chunks": (1, 1, 1, *SHAPE)}
            position.create_image("0", field.pixels[None], transform=transform, **chunks)


def main(output: Path) -> None:
    """Write a plate of each NGFF version that this iohub knows."""
    release = version("iohub")
    write(output / f"iohub_{release}_v0.4.zarr", "0.4")
    if not release.startswith("0.2."):
        write(output / f"iohub_{release}_v0.5.zarr", "0.5")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
