"""Write the fused plates that other programs read, and what they must find in them.

Plates with one image for each acquisition are registered in place and fused; plates with one image
for each field are fused. What is expected is computed from the parameters of the plates.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from platefuse import fuse
from platefuse.ngff.plate import Plate
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.stage import register_image
from platefuse.registration.swap import swap_image
from platefuse.registration.tables import copy_tables
from platefuse.testing import AcquisitionSpec, PlateSpec, Truth, make_plate
from tests import fields_plate, fused
from tests.fields_plate import FieldsPlate
from tests.readers.expected import (
    SINGLE,
    SINGLE_ORIGIN_UM,
    SINGLE_PIXEL_UM,
    Array,
    Box,
    ExpectedImage,
    ExpectedPlate,
    single_scene,
)

VERSIONS = ("0.4", "0.5")
REGISTERED = "registered_FOV_ROI_table"
# A plate with a gap: two of its four places have no well.
MOSAIC = PlateSpec(
    name="mosaic",
    wells=("B/03", "C/05"),
    acquisitions=(AcquisitionSpec(0), AcquisitionSpec(2, shift_px=(3, -5))),
    field_shape=(44, 52),
    overlap=8,
    planes=2,
    pixel_size_um=(1.5, 0.325, 0.325),
    nucleus_diameter_um=5.0,
    noise=False,
    levels=2,
    tables=(
        *("FOV_ROI_table", "well_ROI_table", REGISTERED),
        *("nuclei_ROI_table", "nuclei_features", "condition"),
    ),
)
# Tables of each backend.
BACKENDS = {
    "0.4": {"condition": "json"},
    "0.5": {"nuclei_features": "csv", "nuclei_ROI_table": "json", "condition": "parquet"},
}
FIELDS = FieldsPlate(
    {"A/01": {0: 4, 1: 4}, "B/02": {0: 4, 1: 4}},
    labels=True,
    planes=2,
    unique_ids=True,
    tables="anndata",
)


def main(folder: Path) -> None:
    """Write all plates."""
    # One table of the plates of fields is listed and does not exist: no news here.
    logging.getLogger("platefuse").setLevel(logging.ERROR)
    for version in VERSIONS:
        with tempfile.TemporaryDirectory(dir=folder) as raw:
            write_mosaic(Path(raw), folder / f"mosaic_v{version}.zarr", version)
            write_fields(Path(raw), folder / f"fields_v{version}.zarr", version)
    for name, version in zip(SINGLE, VERSIONS, strict=True):
        write_single(folder / name, version)


def write_single(output: Path, version: str) -> None:
    """Fuse two overlapping images in memory, far from the origin, into an image with a position."""
    scene, images = single_scene(), []
    for start in (0, 20):
        pixels = scene[None, None, :, start : start + 41]
        (y, x), size = SINGLE_ORIGIN_UM, SINGLE_PIXEL_UM
        axes = {
            "y": y + size * np.arange(pixels.shape[-2]),
            "x": x + size * (start + np.arange(pixels.shape[-1])),
        }
        coordinates = {"t": [0], "c": ["DAPI"], **axes}
        image = xr.DataArray(pixels, dims=list("tcyx"), coords=coordinates)
        names = {"x_in": ["y", "x", "1"], "x_out": ["y", "x", "1"]}
        affine = xr.DataArray(np.eye(3), dims=["x_in", "x_out"], coords=names)
        images.append(image.assign_attrs(transforms={"stage": affine}))
    options: Any = {"ome_zarr": True, "ngff_version": version}
    fuse(images, transform_key="stage", output_zarr_url=str(output), zarr_options=options)


def write_mosaic(raw: Path, output: Path, version: str) -> None:
    """Register and fuse a plate of mosaics."""
    spec = replace(MOSAIC, ngff_version=version, table_backends=BACKENDS[version])
    truth = make_plate(raw / "mosaic.zarr", spec)
    request = RegistrationRequest(REGISTERED)
    for well in Plate.open(raw / "mosaic.zarr").read_wells():
        for step in (register_image, copy_tables, swap_image):
            for source in well.images:
                step(source, request)
    fused.fuse(raw / "mosaic.zarr", request, output=output, ngff_version=version)
    images: list[ExpectedImage] = []
    arrays: dict[str, Array] = {}
    for well_name in spec.wells:
        for acquisition in spec.acquisitions:
            image, pixels = expect_mosaic(truth, well_name, acquisition)
            images.append(image)
            arrays.update({f"{well_name}/{image.path}/{name}": a for name, a in pixels.items()})
    plate = ExpectedPlate(output, version, ("B", "C"), ("03", "05"), tuple(images))
    plate.write(arrays)


def expect_mosaic(
    truth: Truth, well: str, acquisition: AcquisitionSpec
) -> tuple[ExpectedImage, dict[str, Array]]:
    """A fused image of the plate of mosaics, and its arrays."""
    spec, path = truth.spec, acquisition.path
    pixel_um = np.array(spec.pixel_size_um)
    pixels, label = truth.fused(well, path), truth.fused_label(well, path)
    # A field lies where the stage had it, and is cut to its registered box.
    whole, kept = (truth.boxes(t, spec.reference.path) for t in ("FOV_ROI_table", REGISTERED))
    pitch = np.array(spec.field_shape) - np.array(spec.overlap_px)
    places = [(0, *(np.array([row, column]) * pitch)) for row in (0, 1) for column in (0, 1)]
    start = np.array(places) + kept.start_px - whole.start_px
    start -= start.min(axis=0)
    fields = {
        name: um_box(first, size, pixel_um)
        for name, first, size in zip(whole.names, start, kept.size_px, strict=True)
    }
    boxes = {
        "FOV_ROI_table": fields,
        "well_ROI_table": {"well_1": um_box(np.zeros(3), label.pixels.shape, pixel_um)},
        "nuclei_ROI_table": object_boxes(label.pixels, pixel_um),
    }
    image = ExpectedImage(
        well, path, acquisition.number, spec.channels, spec.pixel_size_um, (0.0, 0.0, 0.0),
        boxes, measured(truth, well, path),
    )  # fmt: skip
    return image, {"pixels": pixels.pixels, "nuclei": label.pixels}


def measured(truth: Truth, well: str, path: str) -> dict[str, dict[str, float]]:
    """The features of the objects of an acquisition, as they were measured before registration."""
    ids, pixels = truth.acquired_label(well, path), truth.acquired(well, path)[0]
    _, y, x = truth.spec.pixel_size_um
    found = [int(i) for i in np.unique(ids) if i]
    return {
        "area_um2": {str(i): float((ids == i).sum() * y * x) for i in found},
        "mean_intensity": {str(i): float(pixels[ids == i].mean()) for i in found},
    }


def write_fields(raw: Path, output: Path, version: str) -> None:
    """Fuse a plate with one image for each field."""
    plate = replace(FIELDS, version=version)
    plate.write(raw / "fields.zarr")
    fused.fuse(raw / "fields.zarr", output=output, ngff_version=version)
    images: list[ExpectedImage] = []
    arrays: dict[str, Array] = {}
    for well, acquisitions in plate.wells.items():
        for acquisition in acquisitions:
            assert acquisition is not None
            image, pixels = expect_fields(plate, well, acquisition)
            images.append(image)
            arrays.update({f"{well}/{image.path}/{name}": a for name, a in pixels.items()})
    expected = ExpectedPlate(output, version, ("A", "B"), ("01", "02"), tuple(images))
    expected.write(arrays)


def expect_fields(
    plate: FieldsPlate, well: str, acquisition: int
) -> tuple[ExpectedImage, dict[str, Array]]:
    """A fused image of the plate of fields, and its arrays."""
    pixel_um = np.array([1.0, fields_plate.PIXEL_UM, fields_plate.PIXEL_UM])
    scene, size = plate.pixels(well, acquisition), fields_plate.SHAPE
    last = np.array(plate.origin(3)) + size
    pixels = scene[..., : last[0], : last[1]]
    label = np.zeros(pixels.shape[1:], np.uint32)
    fields: dict[str, Box] = {}
    regions: dict[str, Box] = {}
    areas: dict[str, float] = {}
    before = 4 * list(plate.wells[well]).index(acquisition)
    for number in range(4):
        y, x = plate.origin(number)
        place = np.s_[:, y : y + size[0], x : x + size[1]]
        ids = (pixels[0][place] // 1000).astype(np.uint32)
        ids[ids > 0] += 100 * number
        areas.update({str(i): n + 0.5 for n, i in enumerate(i for i in np.unique(ids) if i)})
        # A pixel has the id of the first field that has one there.
        label[place] = np.where(label[place] > 0, label[place], ids)
        name = str(before + number)
        fields[name] = um_box((0, y, x), (plate.planes, *size), pixel_um)
        start = np.array([0, y, x]) * pixel_um
        regions[f"{name}_a"] = box_of(np.add(start, (0, 1, 2)), (1, 5, 4))
        regions[f"{name}_b"] = box_of(np.add(start, (0, 12, 9)), (1, 3, 6.5))
    boxes = {
        "FOV_ROI_table": fields,
        "well_ROI_table": {"well_1": um_box(np.zeros(3), label.shape, pixel_um)},
        "regions": regions,
        "nuclei_ROI_table": object_boxes(label, pixel_um),
    }
    image = ExpectedImage(
        well, str(acquisition), acquisition, (), (1.0, 0.5, 0.5), (0.0, 0.0, 0.0),
        boxes, {"area": areas},
    )  # fmt: skip
    return image, {"pixels": pixels, "nuclei": label}


def object_boxes(label: Array, pixel_um: Array) -> dict[str, Box]:
    """The box of each object of a label image with axes zyx."""
    boxes = {}
    for i in (i for i in np.unique(label) if i):
        where = np.argwhere(label == i)
        low, high = where.min(axis=0), where.max(axis=0) + 1
        boxes[str(i)] = um_box(low, high - low, pixel_um)
    return boxes


def um_box(start: object, size: object, pixel_um: Array) -> Box:
    """A box in micrometres from one in pixels."""
    return box_of(np.asarray(start) * pixel_um, np.asarray(size) * pixel_um)


def box_of(start: object, size: object) -> Box:
    """A box from its start and its size, axes zyx."""
    z, y, x, depth, height, width = (float(v) for v in (*np.asarray(start), *np.asarray(size)))
    return z, y, x, depth, height, width


if __name__ == "__main__":
    main(Path(sys.argv[1]))
