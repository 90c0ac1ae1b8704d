"""The box of an object holds the pixels of the object, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr

from platefuse import apply_registration_to_image
from platefuse.fusion.options import FusionOptions
from platefuse.geometry import Box
from platefuse.ngff.create import write_group
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import all_attributes, replace_attributes
from platefuse.ngff.plate import Plate
from platefuse.ngff.tables.masks import has_ids, ids_of, object_boxes, region_of
from platefuse.ngff.tables.table import read_table
from platefuse.records import RegistrationRecord
from platefuse.testing import AcquisitionSpec, PlateSpec
from tests.conftest import PlateFactory
from tests.fields_plate import write_image
from tests.fused import fuse_well
from tests.tables import BACKENDS, BOX, write_table

WELL = "A/01"
SPEC = PlateSpec(
    wells=(WELL,),
    acquisitions=(AcquisitionSpec(0), AcquisitionSpec(1, shift_px=(5, -3))),
    grid=(2, 2),
    field_shape=(72, 80),
    overlap=12,
    pixel_size_um=(1.0, 0.5, 0.5),
    nucleus_diameter_um=7.0,
    noise=False,
    levels=3,
    tables=("FOV_ROI_table", "registered_FOV_ROI_table", "nuclei_ROI_table"),
)


def coarsen(label: Path, levels: int) -> None:
    """Let a label begin with a coarser level: its pixels are larger than those of the image."""
    attributes = all_attributes(label)
    ome: Any = attributes.get("ome", attributes)
    del ome["multiscales"][0]["datasets"][:levels]
    replace_attributes(label, attributes)


def assert_boxes_enclose_objects(image: Path, table: str = "nuclei_ROI_table") -> set[int]:
    """Every box is that of its object; returns the ids of the rows."""
    label = Multiscale.read(image / "labels" / "nuclei")
    pixels = np.asarray(zarr.open_array(label.level_paths[0], mode="r")[...])
    rows = read_table(image, table)
    ids = ids_of(rows.path, rows.names)
    assert ids is not None
    for row, number in enumerate(ids):
        where = np.argwhere(pixels == number)[:, -2:]
        assert len(where)
        for k, axis in enumerate("yx"):
            start = rows.column(f"{axis}_micrometer")[row]
            length = rows.column(f"len_{axis}_micrometer")[row]
            size = label.pixel_size_um[axis]
            assert start == pytest.approx(where[:, k].min() * size, abs=1e-3)
            assert start + length == pytest.approx((where[:, k].max() + 1) * size, abs=1e-3)
    assert set(ids) == set(np.unique(pixels).tolist()) - {0}
    return set(ids)


@pytest.mark.parametrize(
    ("backend", "levels", "version"),
    [("anndata", 0, "0.4"), ("anndata", 2, "0.5"), ("csv", 1, "0.4"), ("parquet", 2, "0.4"),
     ("json", 1, "0.5")],
)  # fmt: skip
def test_boxes_after_registering_and_after_fusing(
    example_plate: PlateFactory, tmp_path: Path, backend: str, levels: int, version: str
) -> None:
    backends = {"nuclei_ROI_table": backend}
    plate = example_plate(replace(SPEC, table_backends=backends, ngff_version=version))
    images = [plate.path / WELL / name for name in ("0", "1")]
    for image in images:
        coarsen(image / "labels" / "nuclei", levels)
    _fuse(plate.path, tmp_path / "raw.zarr")
    for image in images:
        assert_boxes_enclose_objects(tmp_path / "raw.zarr" / WELL / image.name)
    for image in reversed(images):
        apply_registration_to_image(
            zarr_url=str(image), registered_roi_table="registered_FOV_ROI_table"
        )
    for image in images:
        kept = assert_boxes_enclose_objects(image)
        record = RegistrationRecord.read(image)
        assert record is not None
        assert record.tables is not None
        dropped = record.tables["nuclei_ROI_table"].rows_dropped
        assert dropped is not None
        assert len(kept) > 20
    _fuse(plate.path, tmp_path / "fused.zarr")
    for image in images:
        assert_boxes_enclose_objects(tmp_path / "fused.zarr" / WELL / image.name)


def _fuse(plate: Path, target: Path) -> None:
    (well,) = Plate.open(plate).read_wells()
    fuse_well(well, target, FusionOptions())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64"])
@pytest.mark.parametrize("spread", [1, 7, 50_021])
def test_boxes_are_those_of_the_pixels(tmp_path: Path, dtype: str, spread: int) -> None:
    """Across chunks, with ids far apart, and with a time axis, an id in several planes."""
    random = np.random.default_rng(3)
    ids = random.choice([0, 0, 0, 1, 2, 3, 4], size=(1, 2, 70, 75))
    if np.iinfo(dtype).max < 4 * spread:
        spread = 1
    pixels = (ids * spread).astype(dtype)
    pixels[0, 0, :3, :3] = 0
    pixels[0, 0, 40, 50] = 5 * spread
    write_image(tmp_path / "label", pixels)
    boxes = object_boxes(Multiscale.read(tmp_path / "label"))
    assert boxes[5 * spread] == Box((0, 40, 50), (1, 41, 51))
    expected = {}
    for number in np.unique(pixels[pixels != 0]).tolist():
        where = np.argwhere(pixels[0] == number)
        low, high = where.min(axis=0).tolist(), (where.max(axis=0) + 1).tolist()
        expected[number] = Box(tuple(low), tuple(high))
    assert boxes == expected


@pytest.mark.parametrize(
    "region",
    ["nuclei", "nuclei/", "../labels/nuclei", "labels/nuclei/", "0/labels/nuclei", " nuclei "],
)
@pytest.mark.parametrize("wrap", [str, lambda path: {"path": path}])
def test_a_region_in_any_spelling(
    tmp_path: Path, region: str, wrap: Callable[[str], object]
) -> None:
    write_group(tmp_path / "t", {"region": wrap(region)}, "0.4")
    assert region_of(tmp_path / "t") == region_of(tmp_path / "t", ["cells", "nuclei"]) == "nuclei"


def test_a_region_that_is_a_nested_label(tmp_path: Path) -> None:
    write_group(tmp_path / "t", {"region": {"path": "../labels/original/0"}}, "0.4")
    assert region_of(tmp_path / "t", ["0", "original/0"]) == "original/0"
    write_group(tmp_path / "none", {"region": {"name": "nuclei"}}, "0.4")
    assert region_of(tmp_path / "none", ["nuclei"]) == ""


@pytest.mark.parametrize("backend", BACKENDS)
def test_ids_of_the_rows(tmp_path: Path, backend: str) -> None:
    folder = tmp_path / "tables"
    write_group(folder, {}, "0.4")
    frame = pd.DataFrame(1.0, index=["7", "12"], columns=BOX)
    for name, table, expected in (
        ("by_name", frame, [7, 12]),
        ("by_column", frame.assign(label=[3.0, 4.0]), [3, 4]),
        ("counted", frame.set_axis(["0", "1"]), None),
        ("named", frame.set_axis(["a", "b"]), None),
        ("no_ids", frame.assign(label=[0.5, 1.5]), None),
    ):
        write_table(folder / name, backend, table, "masking_roi_table")
        assert ids_of(folder / name, table.index) == expected
    write_table(folder / "boxes", backend, frame, "roi_table")
    write_table(folder / "with_label", backend, frame.assign(label=[3.0, 4.0]), "roi_table")
    assert [has_ids(folder / name) for name in ("by_name", "boxes", "with_label")] == [
        True,
        False,
        True,
    ]
