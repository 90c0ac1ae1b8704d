"""Tables of plates with one image for each field: joined where that is true."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr

from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.options import FusionOptions
from platefuse.ngff.create import write_group
from platefuse.ngff.metadata import all_attributes, replace_attributes
from platefuse.ngff.plate import Plate
from platefuse.ngff.tables.table import STALE, read_table, table_names
from platefuse.records import FusedImageRecord
from tests.fields_plate import FieldsPlate
from tests.fused import fuse_well
from tests.tables import BACKENDS
from tests.unit.ngff.tables.test_masks import assert_boxes_enclose_objects

FOUR = FieldsPlate({"A/01": {0: 4}}, labels=True, tables="anndata", unique_ids=True)
NEW = ["FOV_ROI_table", "well_ROI_table"]


def fuse(folder: Path, plate: FieldsPlate, **options: Any) -> tuple[Path, dict[str, str]]:
    """The fused image of a plate, and the tables that it lacks."""
    if not (folder / "p.zarr").exists():
        plate.write(folder / "p.zarr")
    (well,) = Plate.open(folder / "p.zarr").read_wells()
    assert len(LayerReader(FusionOptions()).read(well)[0].images) == 4
    fuse_well(well, folder / "fused.zarr", FusionOptions(**options))
    image = folder / "fused.zarr" / "A" / "01" / "0"
    record = FusedImageRecord.read(image)
    assert record is not None
    left_out = dict(record.tables_left_out)
    assert left_out.pop("gone") == STALE
    return image, left_out


def obs(image: Path, name: str) -> pd.DataFrame:
    table = anndata.io.read_elem(zarr.open_group(image / "tables" / name, mode="r"))
    frame: pd.DataFrame = table.obs
    return frame


@pytest.mark.parametrize(("backend", "version"), [*((b, "0.4") for b in BACKENDS), ("csv", "0.5")])
def test_tables_of_four_fields(tmp_path: Path, backend: str, version: str) -> None:
    plate = replace(FOUR, tables=backend)
    image, left_out = fuse(tmp_path, plate, ngff_version=version)
    assert left_out == {}
    names = ["regions", "condition", "nuclei_ROI_table", "nuclei_features"]
    assert table_names(image) == [*NEW, *names]

    regions = read_table(image, "regions")
    assert regions.names == tuple(f"{field}_{row}" for field in range(4) for row in "ab")
    for number in range(4):
        y, x = (n * 0.5 for n in plate.origin(number))
        assert regions.column("y_micrometer")[2 * number] == pytest.approx(y + 1)
        assert regions.column("x_micrometer")[2 * number + 1] == pytest.approx(x + 9)
        assert regions.column("len_x_micrometer")[2 * number + 1] == pytest.approx(6.5)

    assert_boxes_enclose_objects(image)
    for name in ("nuclei_ROI_table", "nuclei_features"):
        attributes = all_attributes(image / "tables" / name)
        assert (attributes["instance_key"], attributes["backend"]) == ("label", "anndata")
        assert attributes["region"] == {"path": "../labels/nuclei"}
        rows = obs(image, name)
        assert rows["label"].astype(str).tolist() == list(rows.index)
    rows = obs(image, "nuclei_features")
    assert rows["field"].astype(str).tolist() == [str(n // 100) for n in rows["label"]]
    extra = read_table(image, "nuclei_features").columns["extra"]
    expected = [np.nan if field == "0" else float(field) for field in rows["field"]]
    np.testing.assert_array_equal(extra, expected)


def test_ids_that_two_fields_have_are_not_true(tmp_path: Path) -> None:
    image, left_out = fuse(tmp_path, replace(FOUR, unique_ids=False))
    assert set(left_out) == {"nuclei_ROI_table", "nuclei_features"}
    for reason in left_out.values():
        assert "fields 0 and 1 both have the id 1, which may be two objects" in reason
    assert table_names(image) == [*NEW, "regions", "condition"]


def test_merged_labels_tell(tmp_path: Path) -> None:
    """The fields show one scene: if equal ids are one object, none changes by merging."""
    image, left_out = fuse(tmp_path / "equal", replace(FOUR, unique_ids=False), merge_labels=0.5)
    assert left_out == {}
    assert_boxes_enclose_objects(image)
    assert obs(image, "nuclei_ROI_table")["label"].is_unique
    features = obs(image, "nuclei_features")
    assert list(features.index) == [
        f"{field}_{label}"
        for field, label in zip(features["field"], features["label"], strict=True)
    ]
    _, left_out = fuse(tmp_path / "changed", FOUR, merge_labels=0.5)
    assert set(left_out) == {"nuclei_ROI_table", "nuclei_features"}
    assert all("'nuclei' have changed" in reason for reason in left_out.values())


def test_what_cannot_be_joined_is_left_out_and_stops_nothing(tmp_path: Path) -> None:
    path = FOUR.write(tmp_path / "p.zarr") / "A" / "01"
    for field, backend in (("0", "sqlite_v1"), ("1", "sqlite_v1")):
        write_group(path / field / "tables" / "odd", {"backend": backend}, "0.4")
    other = path / "2" / "tables" / "nuclei_features"
    replace_attributes(other, {**all_attributes(other), "region": "cells"})
    for number in range(4):
        mask = path / str(number) / "tables" / "nuclei_ROI_table"
        own = {k: v for k, v in all_attributes(mask).items() if k != "region"}
        replace_attributes(mask, own)
    (path / "3" / "tables" / "regions" / "X" / ".zarray").write_text("{")
    image, left_out = fuse(tmp_path, FOUR)
    assert set(left_out) == {"odd", "nuclei_features", "nuclei_ROI_table", "regions"}
    assert "'sqlite' is unknown" in left_out["odd"]
    assert "different labels" in left_out["nuclei_features"]
    assert "does not tell of which label" in left_out["nuclei_ROI_table"]
    assert "3/tables/regions" in left_out["regions"]
    assert table_names(image) == [*NEW, "condition"]
