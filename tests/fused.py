"""Small plates for tests of fusion, and a function that fuses them without Snakemake."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells import well as fusion
from platefuse.fusion.wells.plate import finish_fused_plate
from platefuse.illumination.correction import Illumination
from platefuse.ngff.layout import InputOptions
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.records import FusionReceipt
from platefuse.registration.request import RegistrationRequest
from platefuse.testing import AcquisitionSpec, PlateSpec
from platefuse.workflow.sources import FusionSources
from tests.conftest import ExamplePlate

FIELDS = "registered_FOV_ROI_table"
TINY = PlateSpec(
    name="tiny",
    wells=("B/03",),
    acquisitions=(AcquisitionSpec(0), AcquisitionSpec(2, shift_px=(3, -5))),
    field_shape=(40, 48),
    overlap=8,
    nucleus_diameter_um=9.0,
    noise=False,
    levels=2,
    tables=("FOV_ROI_table", "well_ROI_table", FIELDS, "nuclei_ROI_table", "nuclei_features"),
)
SMALL_CHUNKS = {"z": 1, "y": 32, "x": 64}
WELL = "B/03"
# One acquisition and the one table that fusion needs, for tests that do not need more.
BARE = replace(TINY, acquisitions=TINY.acquisitions[:1], tables=TINY.tables[:1])


AUTO = InputOptions()


def fuse(
    plate: Path,
    request: RegistrationRequest | None = None,
    *,
    scatter: int = 1,
    output: Path | None = None,
    store: bool = True,
    read_as: InputOptions = AUTO,
    illumination: Illumination | None = None,
    **options: Any,
) -> Path:
    """Fuse a whole plate as the workflow does; parts of a scattered well in any order."""
    wanted = FusionOptions(**{"output_chunksize": SMALL_CHUNKS, **options})
    sources = FusionSources(wanted, read_as, request, store, illumination=illumination)
    found, fused = Plate.open(plate), output or fused_plate_path(plate)
    for well in found.read_wells():
        for part in reversed(range(scatter if scatter > 1 else 0)):
            fusion.fuse_well_part(well, fused, sources.reader(well), part, scatter)
        with sources.whole_reader(well, fused) as reader:
            fusion.fuse_well(well, fused, reader, scatter=scatter)
    finish_fused_plate(found, fused, wanted)
    return fused


def fuse_well(
    well: Well,
    fused: Path,
    options: FusionOptions,
    *,
    request: RegistrationRequest | None = None,
    read_as: InputOptions = AUTO,
    scatter: int = 1,
    threads: int = 1,
) -> FusionReceipt:
    """Fuse a well as it is, or as it is registered in its plate."""
    reader = FusionSources(options, read_as, request).reader(well)
    return fusion.fuse_well(well, fused, reader, scatter=scatter, threads=threads)


def fuse_well_part(
    well: Well,
    fused: Path,
    options: FusionOptions,
    number: int,
    of: int,
    *,
    request: RegistrationRequest | None = None,
) -> FusionReceipt:
    """Fuse a part of a well as it is, or as it is registered in its plate."""
    reader = FusionSources(options, AUTO, request).reader(well)
    return fusion.fuse_well_part(well, fused, reader, number, of)


def number_fields_one_by_one(plate: ExamplePlate, image: str) -> None:
    """Renumber labels as if every field had been segmented separately: 1, 2, 3, ... in each."""
    spec = plate.truth.spec
    height, width = spec.field_shape
    label = plate.path / WELL / image / "labels" / "nuclei"
    for level in range(spec.levels):
        array = zarr.open_array(label / str(level), mode="r+")
        pixels = np.asarray(array[...])
        h, w = height >> level, width >> level
        for row in range(spec.grid[0]):
            for column in range(spec.grid[1]):
                place = np.s_[..., row * h : (row + 1) * h, column * w : (column + 1) * w]
                found = np.unique(pixels[place], return_inverse=True)[1]
                pixels[place] = found.reshape(pixels[place].shape)
        array[...] = pixels


def everything(folder: Path) -> dict[Path, Any]:
    """Return the content of every file; records without their times."""
    found: dict[Path, Any] = {}
    for file in (file for file in folder.rglob("*") if file.is_file()):
        found[file.relative_to(folder)] = file.read_bytes()
        if file.name in (".zattrs", "zarr.json"):
            content = json.loads(file.read_text())
            record = content.get("platefuse", content.get("attributes", {}).get("platefuse", {}))
            for section in record.values():
                section.pop("time", None)
                section.get("written", {}).pop("newest_ns", None)
            found[file.relative_to(folder)] = content
    return found
