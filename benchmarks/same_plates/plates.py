"""The plates that are registered and fused: made once, copied for each case."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from platefuse.testing import AcquisitionSpec, PlateSpec, make_plate
from platefuse.testing.spec import TABLE_BACKENDS
from platefuse.testing.tables import make_table, write_table

# The example plate, small, with camera noise; one acquisition is off by fractions of a pixel.
EXAMPLE = PlateSpec(
    name="example",
    wells=("B/03",),
    acquisitions=(
        AcquisitionSpec(0),
        AcquisitionSpec(1, shift_px=(3, -5)),
        AcquisitionSpec(2, shift_px=(-2.3, 4.6)),
    ),
    field_shape=(96, 112),
    nucleus_diameter_um=10.0,
    levels=3,
    tables=(*PlateSpec().tables, "nuclei_ROI_table", "nuclei_features", "condition"),
)
# All that is unusual at once: see also `_make_odd`.
ODD = PlateSpec(
    name="odd",
    wells=("C/7",),
    acquisitions=(
        AcquisitionSpec(0, path="0_round"),
        AcquisitionSpec(4, shift_px=(1, 2.4, -3.7), path="4_round"),
    ),
    grid=(2, 3),
    field_shape=(75, 91),
    overlap=11,
    stage_jitter_px=2.5,
    whole_pixel_stage=False,
    planes=5,
    dtype="float32",
    nucleus_diameter_um=9.0,
    labels=("nuclei", "cores"),
    label_dtype="uint64",
    label_offset=2**33,
    tables=(
        *("FOV_ROI_table", "well_ROI_table", "registered_FOV_ROI_table"),
        *("FOV_ROI_table_registered", "nuclei_features", "condition"),
    ),
    table_backends={
        "FOV_ROI_table": "csv",
        "well_ROI_table": "json",
        "registered_FOV_ROI_table": "parquet",
        "nuclei_features": "parquet",
        "condition": "json",
    },
    ngff_version="0.5",
    levels=3,
    coarsening_z=2,
    level_rounding="ceil",
    chunks=(1, 32, 40),
    shards=(2, 96, 120),
    compressor="zstd",
    fill_value=7,
    extra_attributes={"other_tool": {"kept": [1, 2.5, None]}},
)
_LABEL_CHUNKS = (2, 25, 31)


def make_plates(folder: Path, real: Path) -> list[str]:
    """Make or copy the plates into a folder, unless they are there.

    Parameters
    ----------
    folder : Path
        The folder.
    real : Path
        The real plate; left out if it is not there.

    Returns
    -------
    list of str
        The plates' names: those of their folders without ``.zarr``.
    """
    makers: dict[str, Callable[[Path], object]] = {
        "example": lambda path: make_plate(path, EXAMPLE),
        "odd": _make_odd,
        "real": lambda path: shutil.copytree(real, path),
    }
    if not real.is_dir():
        del makers["real"]
    for name, make in makers.items():
        path, unfinished = folder / f"{name}.zarr", folder / f"{name}.unfinished"
        if not path.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(path)
    return list(makers)


def _make_odd(path: Path) -> None:
    """Make the odd plate, and in it what no `PlateSpec` asks for.

    Labels with chunks of their own and without shards, a mask table in every backend, a file of
    another tool next to the levels.
    """
    make_plate(path, ODD)
    (well,) = ODD.wells
    for acquisition in ODD.acquisitions:
        image = path / well / acquisition.path
        for label in ODD.labels:
            for level in range(ODD.levels):
                _rechunk(image / "labels" / label / str(level))
        _add_mask_tables(image, well, acquisition)
        (image / "notes.txt").write_text(f"Taken with care, acquisition {acquisition.number}.\n")


def _rechunk(path: Path) -> None:
    import zarr

    old = zarr.open_array(path, mode="r")
    metadata: Any = old.metadata
    pixels, names = np.asarray(old[...]), metadata.dimension_names
    shutil.rmtree(path)
    zarr.create_array(
        store=path,
        data=pixels,
        chunks=tuple(map(min, _LABEL_CHUNKS, pixels.shape)),
        dimension_names=names,
        zarr_format=3,
    )


def _add_mask_tables(image: Path, well: str, acquisition: AcquisitionSpec) -> None:
    import zarr

    group = zarr.open_group(image / "tables", mode="r+")
    table = make_table(ODD, "nuclei_ROI_table", image, well, acquisition)
    names = [f"objects_{backend}" for backend in TABLE_BACKENDS]
    for name, backend in zip(names, TABLE_BACKENDS, strict=True):
        write_table(group, name, table, backend)
    group.attrs["tables"] = [*ODD.tables, *names]
