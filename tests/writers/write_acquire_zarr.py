"""Write a plate with acquire-zarr. It stores no position of a field, so a TSV has to give them."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import acquire_zarr as aqz
import numpy as np

from tests.writers.scene import CHANNELS, PIXEL_UM, PLANES, SHAPE, WELLS, Z_UM, all_fields


def dimensions() -> list[aqz.Dimension]:
    """The axes of a field, t first, chunks of one plane."""
    kinds = aqz.DimensionType
    return [
        aqz.Dimension(
            name=name,
            kind=kind,
            array_size_px=size,
            chunk_size_px=chunk,
            shard_size_chunks=1,
            scale=scale,
            unit=unit,
        )
        for name, kind, size, chunk, scale, unit in (
            ("t", kinds.TIME, 0, 1, 1.0, ""),
            ("c", kinds.CHANNEL, len(CHANNELS), 1, 1.0, ""),
            ("z", kinds.SPACE, PLANES, 1, Z_UM, "micrometer"),
            ("y", kinds.SPACE, SHAPE[0], SHAPE[0], PIXEL_UM, "micrometer"),
            ("x", kinds.SPACE, SHAPE[1], SHAPE[1], PIXEL_UM, "micrometer"),
        )
    ]


def field_of_view(index: int, acquisition: int) -> aqz.FieldOfView:
    """A field of a well."""
    settings = aqz.ArraySettings(dimensions=dimensions(), data_type=np.uint16)
    return aqz.FieldOfView(path=str(index), acquisition_id=acquisition, array_settings=settings)


def main(output: Path) -> None:
    """Write one plate, at the root of its store."""
    taken = list(all_fields())
    wells = []
    for well in WELLS:
        row, column = well.split("/")
        images = [field_of_view(f.index, f.acquisition) for f in taken if f.well == well]
        wells.append(aqz.Well(row_name=row, column_name=column, images=images))
    plate = aqz.Plate(
        path="plate",
        name="plate",
        row_names=sorted({well.split("/")[0] for well in WELLS}),
        column_names=sorted({well.split("/")[1] for well in WELLS}),
        wells=wells,
        acquisitions=[aqz.Acquisition(id=0, name="first"), aqz.Acquisition(id=1, name="second")],
    )
    store = output / f"acquire-zarr_{version('acquire-zarr')}.zarr"
    settings = aqz.StreamSettings(store_path=str(store), hcs_plates=[plate])
    stream = aqz.ZarrStream(settings)
    for field in taken:
        stream.append(field.pixels[None], f"plate/{field.well}/{field.index}")
    stream.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
