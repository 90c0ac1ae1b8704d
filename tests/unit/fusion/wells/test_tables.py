from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import zarr

from platefuse import apply_registration_to_image
from platefuse.fusion.fields.layers import Layer
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.frame import Frame
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.plate import finish_fused_plate
from platefuse.fusion.wells.stack import frame_of
from platefuse.fusion.wells.tables import write_fused_tables
from platefuse.ngff.create import write_group
from platefuse.ngff.metadata import all_attributes
from platefuse.ngff.plate import Plate
from platefuse.ngff.tables.backends import copy_table
from platefuse.ngff.tables.table import read_table, table_names, write_roi_table
from platefuse.records import digest_tree
from platefuse.testing import AcquisitionSpec, PlateSpec
from tests.conftest import ExamplePlate, PlateFactory
from tests.fused import fuse_well
from tests.records import IDENTITY, registration_record
from tests.records import roi as record_roi
from tests.truth import read_level

WELL = "B/03"
SPEC = PlateSpec(
    wells=(WELL,),
    acquisitions=(AcquisitionSpec(0),),
    field_shape=(40, 48),
    overlap=8,
    pixel_size_um=(1.0, 0.5, 0.5),
    nucleus_diameter_um=7.0,
    noise=False,
    levels=1,
    tables=("FOV_ROI_table", "nuclei_ROI_table", "nuclei_features"),
)
BACKENDS = ("anndata", "csv", "json", "parquet")


def with_backend(backend: str, **changes: Any) -> PlateSpec:
    tables = ("nuclei_ROI_table", "nuclei_features")
    return replace(SPEC, table_backends=dict.fromkeys(tables, backend), **changes)


def layers_of(plate: ExamplePlate) -> list[Layer]:
    well = Plate.open(plate.path).read_wells()[0]
    return LayerReader(FusionOptions()).read(well)


def write(
    layers: list[Layer], target: Path, version: str = "0.4", frame: Frame | None = None, **more: Any
) -> dict[str, str]:
    """The tables of what the layers become, without its pixels."""
    size = layers[0].image.pixel_size_um
    frame = frame or frame_of(layers, [size[a] for a in layers[0].image.spatial], "union")
    write_group(target, {"multiscales": []}, version)
    return write_fused_tables(
        layers, target, frame, tile_table="FOV_ROI_table", version=version, **more
    )


@pytest.mark.parametrize(
    ("version", "backend"), list(zip(["0.4", "0.5"] * 2, BACKENDS, strict=True))
)
def test_feature_tables_are_the_same_bytes_and_masks_are_where_objects_are(
    example_plate: PlateFactory, tmp_path: Path, version: str, backend: str
) -> None:
    plate = example_plate(with_backend(backend, ngff_version=version))
    target, source = tmp_path / "new", plate.path / WELL / "0" / "tables"
    assert write(layers_of(plate), target, version) == {}
    assert table_names(target) == [
        "FOV_ROI_table",
        "well_ROI_table",
        "nuclei_ROI_table",
        "nuclei_features",
    ]
    assert digest_tree(target / "tables" / "nuclei_features") == digest_tree(
        source / "nuclei_features"
    )
    assert_masks_hold_their_objects(plate, target)
    keys = ("type", "region", "instance_key")
    for table in ("nuclei_ROI_table", "nuclei_features"):
        old, new = (all_attributes(f / table) for f in (source, target / "tables"))
        assert {k: old[k] for k in keys} == {k: new[k] for k in keys}


def assert_masks_hold_their_objects(plate: ExamplePlate, image: Path) -> None:
    """Every box is in the fused label and holds all pixels of its object."""
    label = plate.truth.fused_label(WELL, "0", table=None).pixels
    table = read_table(image, "nuclei_ROI_table")
    source = read_table(plate.path / WELL / "0", "nuclei_ROI_table")
    size = np.array(plate.truth.spec.pixel_size_um)
    assert table.names == source.names
    for roi in table.rois("zyx"):
        start = np.rint([roi.start_um[a] / s for a, s in zip("zyx", size, strict=True)])
        length = np.rint([roi.length_um[a] / s for a, s in zip("zyx", size, strict=True)])
        assert (start >= 0).all()
        assert (start + length <= label.shape).all()
        places = np.argwhere(label == int(roi.name))
        assert len(places)
        assert (places.min(axis=0) >= start).all()
        assert (places.max(axis=0) < start + length).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("source", "version"), [("0.4", "0.5"), ("0.5", "0.4")])
def test_tables_are_written_in_the_format_of_the_fused_plate(
    example_plate: PlateFactory, tmp_path: Path, source: str, version: str, backend: str
) -> None:
    plate = example_plate(with_backend(backend, ngff_version=source))
    target, image = tmp_path / "new", plate.path / WELL / "0"
    assert write(layers_of(plate), target, version) == {}
    for name in table_names(target):
        group = zarr.open_group(target / "tables" / name, mode="r")
        assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
        other = ("zarr.json",) if version == "0.4" else (".zgroup", ".zattrs", ".zarray")
        assert not [f for f in (target / "tables" / name).rglob("*") if f.name in other]
    assert_masks_hold_their_objects(plate, target)
    old, new = (read_table(i, "nuclei_features") for i in (image, target))
    assert (old.names, old.columns) == (new.names, new.columns)
    attributes = [all_attributes(i / "tables" / "nuclei_features") for i in (image, target)]
    assert attributes[0] == attributes[1]
    if backend == "anndata":
        tables = [
            anndata.io.read_elem(zarr.open_group(i / "tables" / "nuclei_features", mode="r"))
            for i in (image, target)
        ]
        assert tables[0].obs.equals(tables[1].obs)


def test_what_cannot_be_written_in_another_format_is_left_out_and_named(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(SPEC)
    group = zarr.open_group(plate.path / WELL / "0" / "tables", mode="r+").create_group("odd")
    group.attrs["type"] = "odd_table"
    group.create_array("values", shape=(3,), dtype="f4")
    left_out = write(layers_of(plate), tmp_path / "new", "0.5")
    assert list(left_out) == ["odd"]
    assert "unknown" in left_out["odd"]
    assert write(layers_of(plate), tmp_path / "same") == {}
    assert "odd" in table_names(tmp_path / "same")


def test_tables_of_ids_that_have_changed_are_left_out(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(SPEC)
    left_out = write(layers_of(plate), tmp_path / "new", renumbered=["nuclei"])
    assert set(left_out) == {"nuclei_ROI_table", "nuclei_features"}
    assert table_names(tmp_path / "new") == ["FOV_ROI_table", "well_ROI_table"]


def roi(x: float, y: float, width: float, height: float) -> dict[str, float]:
    return {
        "x_micrometer": x,
        "y_micrometer": y,
        "z_micrometer": 0.0,
        "len_x_micrometer": width,
        "len_y_micrometer": height,
        "len_z_micrometer": 1.0,
    }


@pytest.fixture
def with_custom_rois(example_plate: PlateFactory) -> ExamplePlate:
    """Fields of 24 × 20 µm that overlap by 4; ROIs in the first and in the last."""
    plate = example_plate(replace(SPEC, tables=("FOV_ROI_table",)))
    rows = {"first": roi(2, 3, 5, 6), "last": roi(26, 22, 4, 8), "both": roi(20, 5, 10, 5)}
    write_roi_table(plate.path / WELL / "0", "regions", rows)
    return plate


def test_custom_rois_go_with_the_field_that_holds_most_of_them(
    with_custom_rois: ExamplePlate, tmp_path: Path
) -> None:
    write(layers_of(with_custom_rois), tmp_path / "new")
    first, last, both = read_table(tmp_path / "new", "regions").rois("yx")
    assert first.start_um == pytest.approx({"y": 3, "x": 2}, abs=1e-3)
    assert first.length_um == pytest.approx({"y": 6, "x": 5}, abs=1e-3)
    assert last.start_um == pytest.approx({"y": 18, "x": 22}, abs=1e-3)
    assert both.start_um == pytest.approx({"y": 5, "x": 20}, abs=1e-3)  # 24 less the overlap
    assert both.length_um == pytest.approx({"y": 5, "x": 6}, abs=1e-3)  # of 10, cut to the field


def test_boxes_are_cut_to_the_fused_image_and_dropped_outside(
    with_custom_rois: ExamplePlate, tmp_path: Path
) -> None:
    layers = layers_of(with_custom_rois)
    whole = frame_of(layers, [1.0, 0.5, 0.5], "union")
    left = replace(whole, shape=(1, 10, 10))  # the first 5 × 5 µm
    write(layers, tmp_path / "new", frame=left)
    (first,) = read_table(tmp_path / "new", "regions").rois("yx")
    assert first.start_um == pytest.approx({"y": 3, "x": 2}, abs=1e-3)
    assert first.length_um == pytest.approx({"y": 2, "x": 3}, abs=1e-3)
    (field,) = read_table(tmp_path / "new", "FOV_ROI_table").rois("yx")
    assert (field.name, field.length_um) == ("FOV_1", {"y": 5.0, "x": 5.0})


def test_boxes_are_cut_where_the_fused_image_begins(
    with_custom_rois: ExamplePlate, tmp_path: Path
) -> None:
    layers = layers_of(with_custom_rois)
    whole = frame_of(layers, [1.0, 0.5, 0.5], "union")
    z, y, x = whole.origin
    write(layers, tmp_path / "new", frame=replace(whole, origin=(z, y + 4, x + 3)))
    first = read_table(tmp_path / "new", "regions").rois("yx")[0]
    assert first.start_um == pytest.approx({"y": 0, "x": 0}, abs=1e-3)
    assert first.length_um == pytest.approx({"y": 5, "x": 4}, abs=1e-3)
    field = read_table(tmp_path / "new", "FOV_ROI_table").rois("yx")[0]
    assert (field.name, field.start_um) == ("FOV_1", {"y": 0.0, "x": 0.0})
    assert field.length_um == {"y": 16.0, "x": 21.0}


def test_a_field_that_only_touches_the_fused_image_is_not_listed(
    with_custom_rois: ExamplePlate, tmp_path: Path
) -> None:
    layers = layers_of(with_custom_rois)
    whole = frame_of(layers, [1.0, 0.5, 0.5], "union")
    for width, names in ((40, ("FOV_1",)), (41, ("FOV_1", "FOV_2"))):  # the second begins at 40
        target = tmp_path / str(width)
        write(layers, target, frame=replace(whole, shape=(1, 32, width)))
        assert read_table(target, "FOV_ROI_table").names == names


def test_stage_positions_stay_with_the_fields(example_plate: PlateFactory, tmp_path: Path) -> None:
    plate = example_plate(SPEC)
    write(layers_of(plate), tmp_path / "new")
    table = read_table(tmp_path / "new", "FOV_ROI_table")
    assert table.names == ("FOV_1", "FOV_2", "FOV_3", "FOV_4")
    old = read_table(plate.path / WELL / "0", "FOV_ROI_table")
    for axis, there in (("y", -1250.5), ("x", 840.25)):
        original = table.column(f"{axis}_micrometer_original")
        assert original == old.column(f"{axis}_micrometer_original")
        here = np.add(table.column(f"{axis}_micrometer"), there)
        np.testing.assert_allclose(here, original, atol=1e-3)


def test_tables_of_stacked_acquisitions_are_told_apart(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    two = (AcquisitionSpec(0), AcquisitionSpec(3, shift_px=(2, 2)))
    tables = ("FOV_ROI_table", "nuclei_features", "condition")
    plate = example_plate(replace(SPEC, acquisitions=two, tables=tables))
    write(layers_of(plate), tmp_path / "new")
    assert table_names(tmp_path / "new") == [
        "FOV_ROI_table",
        "well_ROI_table",
        "nuclei_features_acq0",
        "condition",  # the same in both: once
        "nuclei_features_acq3",
    ]
    for number in (0, 3):
        attributes = all_attributes(tmp_path / "new" / "tables" / f"nuclei_features_acq{number}")
        assert attributes["region"] == {"path": f"../labels/nuclei_acq{number}"}
        assert attributes["instance_key"] == "label"


def test_equal_boxes_of_two_acquisitions_are_both_kept(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    two = (AcquisitionSpec(0), AcquisitionSpec(3, shift_px=(2, 2)))
    plate = example_plate(replace(SPEC, acquisitions=two, tables=("FOV_ROI_table",)))
    for image in ("0", "3"):
        write_roi_table(plate.path / WELL / image, "regions", {"a": roi(2, 3, 5, 6)})
    write(layers_of(plate), tmp_path / "new")
    assert table_names(tmp_path / "new")[2:] == ["regions_acq0", "regions_acq3"]


@pytest.mark.parametrize("registered", ["tiles", "registered"])
def test_boxes_of_fields_and_registered_ones_do_not_describe_the_fused_image(
    with_custom_rois: ExamplePlate, tmp_path: Path, registered: str
) -> None:
    image = with_custom_rois.path / WELL / "0"
    tiles = read_table(image, "FOV_ROI_table")
    rows = {
        name: {column: values[k] for column, values in tiles.columns.items()}
        for k, name in enumerate(tiles.names)
    }
    for name in ("tiles", "registered", "old_FOV_ROI_table", "well_ROI_table"):
        write_roi_table(image, name, rows)
    field = record_roi("FOV_1", (0.0,) * 3, (0, 0, 0), (1, 40, 48))
    identity = replace(IDENTITY, roi_table=registered)
    registration_record(field, axes="zyx", identity=identity).write(image)
    layers = LayerReader(FusionOptions(tile_table="tiles")).read(
        Plate.open(with_custom_rois.path).read_wells()[0]
    )
    frame = frame_of(layers, [1.0, 0.5, 0.5], "union")
    write_group(tmp_path / "new", {"multiscales": []}, "0.4")
    write_fused_tables(layers, tmp_path / "new", frame, tile_table="tiles", version="0.4")
    left = [] if registered == "registered" else ["registered"]
    assert table_names(tmp_path / "new") == ["FOV_ROI_table", "well_ROI_table", "regions", *left]


def test_a_table_of_one_acquisition_alone_keeps_its_name_and_follows_its_label(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    two = (AcquisitionSpec(0), AcquisitionSpec(3, shift_px=(2, 2)))
    tables = ("FOV_ROI_table", "nuclei_features")
    plate = example_plate(replace(SPEC, acquisitions=two, tables=tables))
    folder = plate.path / WELL / "0" / "tables"
    shutil.rmtree(folder / "nuclei_features")
    (folder / ".zattrs").write_text(json.dumps({"tables": ["FOV_ROI_table"]}))
    write(layers_of(plate), tmp_path / "new")
    carried = ["FOV_ROI_table", "well_ROI_table", "nuclei_features"]
    assert table_names(tmp_path / "new") == carried
    attributes = all_attributes(tmp_path / "new" / "tables" / "nuclei_features")
    assert attributes["region"] == {"path": "../labels/nuclei_acq3"}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_broken_anndata_table_is_an_error_that_names_it(tmp_path: Path, version: str) -> None:
    source = tmp_path / "broken"
    write_group(source, {}, "0.5" if version == "0.4" else "0.4")
    attributes = {"encoding-type": "anndata", "encoding-version": "0.1.0"}
    if version == "0.5":
        (source / ".zattrs").write_text(json.dumps(attributes))
    else:
        content = json.loads((source / "zarr.json").read_text())
        (source / "zarr.json").write_text(json.dumps({**content, "attributes": attributes}))
    (source / "X").mkdir()
    (source / "X" / (".zarray" if version == "0.5" else "zarr.json")).write_text("{")
    with pytest.raises(ValueError, match="broken: the table cannot be written as Zarr v"):
        copy_table(source, tmp_path / "new", version)


SPELLINGS: tuple[object, ...] = (
    "nuclei",
    "nuclei/",
    "../labels/nuclei",
    "labels/nuclei",
    {"path": "../labels/nuclei"},
    {"path": "../labels/nuclei/"},
    None,
)


@pytest.mark.parametrize("region", SPELLINGS, ids=str)
def test_tables_of_changed_ids_are_left_out_whatever_the_spelling(
    example_plate: PlateFactory, tmp_path: Path, region: object
) -> None:
    plate = example_plate(SPEC)
    tables = plate.path / WELL / "0" / "tables"
    for name in ("nuclei_ROI_table", "nuclei_features"):
        attributes = {**all_attributes(tables / name), "region": region}
        if region is None:
            del attributes["region"]
        (tables / name / ".zattrs").write_text(json.dumps(attributes))
    left_out = write(layers_of(plate), tmp_path / "new", renumbered=["nuclei"])
    assert set(left_out) == {"nuclei_ROI_table", "nuclei_features"}
    assert all("'nuclei' have changed" in reason for reason in left_out.values())
    if region is None:
        assert all("it has no region" in reason for reason in left_out.values())
    assert table_names(tmp_path / "new") == ["FOV_ROI_table", "well_ROI_table"]
    assert write(layers_of(plate), tmp_path / "kept") == {}


def test_a_table_with_a_column_of_labels_and_nothing_else_is_left_out(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(replace(SPEC, tables=("FOV_ROI_table", "nuclei_features", "condition")))
    table = plate.path / WELL / "0" / "tables" / "nuclei_features"
    own = {k: v for k, v in all_attributes(table).items() if k not in ("region", "instance_key")}
    (table / ".zattrs").write_text(json.dumps(own))
    left_out = write(layers_of(plate), tmp_path / "new", renumbered=["cells"])
    assert set(left_out) == {"nuclei_features"}
    assert "condition" in table_names(tmp_path / "new")


@pytest.mark.parametrize("stage", [(0.0, 0.0), (0.21, -0.13), (0.25, 0.25)])
@pytest.mark.parametrize("spacing", [None, {"y": 0.8, "x": 0.7}])
@pytest.mark.parametrize("layout", ["registered", "raw"])
def test_a_fused_plate_fused_again_is_the_same(
    example_plate: PlateFactory,
    tmp_path: Path,
    stage: tuple[float, float],
    spacing: dict[str, float] | None,
    layout: str,
) -> None:
    two = (AcquisitionSpec(0), AcquisitionSpec(1, shift_px=(4, -3)))
    tables = ("FOV_ROI_table", "registered_FOV_ROI_table")
    plate = example_plate(replace(SPEC, acquisitions=two, tables=tables))
    for name in ("0", "1"):
        move_a_field(plate.path / WELL / name, "FOV_4", stage)
    if layout == "registered":
        image = plate.path / WELL / "1"
        apply_registration_to_image(zarr_url=str(image), registered_roi_table=tables[1])
    options = FusionOptions(output_spacing=spacing)
    (well,) = Plate.open(plate.path).read_wells()
    fuse_well(well, tmp_path / "one.zarr", options)
    finish_fused_plate(Plate.open(plate.path), tmp_path / "one.zarr", options)
    (fused,) = Plate.open(tmp_path / "one.zarr").read_wells()
    fuse_well(fused, tmp_path / "two.zarr", FusionOptions())
    for name in ("0", "1"):
        one, two_ = (tmp_path / f"{n}.zarr" / WELL / name for n in ("one", "two"))
        for part in ("0", "labels/nuclei/0"):
            first, again = (read_level((i / part).parent) for i in (one, two_))
            np.testing.assert_array_equal(first, again)
        fields = [read_table(i, "FOV_ROI_table") for i in (one, two_)]
        assert fields[0].names == fields[1].names
        for column, values in fields[0].columns.items():
            np.testing.assert_allclose(values, fields[1].columns[column], atol=2e-4)


def move_a_field(image: Path, field: str, by_um: tuple[float, float]) -> None:
    """Move the stage position of one field."""
    table = read_table(image, "FOV_ROI_table")
    rows = {n: {c: v[i] for c, v in table.columns.items()} for i, n in enumerate(table.names)}
    for axis, um in zip("yx", by_um, strict=True):
        rows[field][f"{axis}_micrometer_original"] += um
    write_roi_table(image, "FOV_ROI_table", rows)
