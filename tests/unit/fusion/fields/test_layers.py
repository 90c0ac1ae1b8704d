from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from platefuse import apply_registration_to_image
from platefuse.errors import ConfigError, ImageError, MetadataError, PlateError, ViewError
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.options import FusionOptions
from platefuse.ngff.layout import InputOptions
from platefuse.ngff.metadata import read_attributes, replace_attributes
from platefuse.ngff.plate import Plate
from platefuse.ngff.positions import read_ome_positions
from platefuse.ngff.well import Well
from platefuse.records import RegistrationRecord
from platefuse.storage.files import write_json
from tests.conftest import SMALL, PlateFactory
from tests.fields_plate import PIXEL_UM, SHAPE, STEP, FieldsPlate, write_image, write_ome_xml
from tests.fused import fuse_well
from tests.truth import read_level

FOUR = FieldsPlate({"B/03": {0: 4, 1: 4}})
AUTO = InputOptions()
OPTIONS = FusionOptions(output_chunksize={"z": 1, "y": 64, "x": 64})


def images_of(well: Path) -> Any:
    metadata: Any = read_attributes(well)["well"]
    return metadata["images"]


def well_of(path: Path, name: str = "B/03") -> Well:
    return Plate.open(path).well(*name.split("/"))


def mosaic(
    spec: FieldsPlate, well: str, acquisition: int | None, count: int
) -> np.ndarray[Any, Any]:
    """What the fused image must be: the scene where a field is, 0 elsewhere."""
    scene = spec.pixels(well, acquisition)
    covered = np.zeros(scene.shape, bool)
    for number in range(count):
        y, x = spec.origin(number)
        covered[..., y : y + SHAPE[0], x : x + SHAPE[1]] = True
    ends = [
        int(np.nonzero(covered.any(axis=tuple({0, 1, 2, 3} - {k})))[0].max()) + 1 for k in (2, 3)
    ]
    return np.where(covered, scene, 0)[..., : ends[0], : ends[1]]


def fuse(path: Path, tmp_path: Path, read_as: InputOptions = AUTO) -> Path:
    well = well_of(path)
    fuse_well(well, tmp_path / "fused.zarr", OPTIONS, read_as=read_as)
    return tmp_path / "fused.zarr" / well.name


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_fields_are_fused_at_their_translations(tmp_path: Path, version: str) -> None:
    spec = FieldsPlate({"B/03": {0: 4, 2: 3}}, version=version)
    fused = fuse(spec.write(tmp_path / "p.zarr"), tmp_path)
    np.testing.assert_array_equal(read_level(fused / "0"), mosaic(spec, "B/03", 0, 4))
    np.testing.assert_array_equal(read_level(fused / "2"), mosaic(spec, "B/03", 2, 3))
    images = images_of(fused)
    assert images == [{"path": "0", "acquisition": 0}, {"path": "2", "acquisition": 2}]


def test_fields_without_an_acquisition_are_acquisition_0(tmp_path: Path) -> None:
    spec = FieldsPlate({"B/03": {None: 4}})
    fused = fuse(spec.write(tmp_path / "p.zarr"), tmp_path)
    np.testing.assert_array_equal(read_level(fused / "0"), mosaic(spec, "B/03", None, 4))


@pytest.mark.parametrize(("unit", "factor"), [("µm", 1), ("mm", 1e-3), ("reference frame", 1)])
@pytest.mark.parametrize("samples", [True, False])
@pytest.mark.parametrize("series", [True, False])
def test_positions_come_from_the_ome_xml(
    tmp_path: Path, unit: str, factor: float, samples: bool, series: bool
) -> None:
    spec = FieldsPlate({"A/01": {0: 2}, "B/03": {0: 4, 1: 4}}, translation=False)
    path = spec.write(tmp_path / "p.zarr")
    write_ome_xml(path, spec, unit=unit, factor=factor, samples=samples, series=series)
    fused = fuse(path, tmp_path)
    for number in (0, 1):
        expected = mosaic(spec, "B/03", number, 4)
        np.testing.assert_array_equal(read_level(fused / str(number)), expected)


def table(spec: FieldsPlate, path: Path, change: tuple[str, str] = ("", "")) -> Path:
    lines = ["well\timage\ty_um\tx_um\tacquisition"]
    for name in range(4):
        y, x = (n * PIXEL_UM for n in spec.origin(name % 2))
        lines.append(f"B03\t{name}\t{y}\t{x}\t{5 + name // 2}")
    path.write_text("\n".join(lines).replace(*change) if change[0] else "\n".join(lines))
    return path


def test_a_table_gives_positions_and_acquisitions(tmp_path: Path) -> None:
    spec = FieldsPlate({"B/03": {None: 4}}, translation=False)
    positions = table(spec, tmp_path / "positions.tsv")
    fused = fuse(spec.write(tmp_path / "p.zarr"), tmp_path, InputOptions(positions=str(positions)))
    assert [image["acquisition"] for image in images_of(fused)] == [5, 6]
    scene = spec.pixels("B/03", None)
    height, width = SHAPE[0], STEP[1] + SHAPE[1]
    np.testing.assert_array_equal(read_level(fused / "5"), scene[..., :height, :width])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("y_um", "y"), r"the header is .* and lacks \['y_um'\]"),
        (("B03\t2\t0.0", "B03\t2\tfar"), r"line 4: y_um is 'far'; expected a finite number"),
        (("B03\t3", "B03\t2"), r"line 5: image 2 of well B03 occurs again"),
        (("\t6", "\t-1"), r"line 4: acquisition is '-1'; expected a whole number"),
        (("B03\t3", "B04\t3"), r"no row for the images \['3'\] of well B/03"),
    ],
)
def test_faults_of_a_table_are_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    spec = FieldsPlate({"B/03": {None: 4}}, translation=False)
    positions = table(spec, tmp_path / "positions.tsv", change)
    path = spec.write(tmp_path / "p.zarr")
    reader = LayerReader(OPTIONS, InputOptions(positions=str(positions)))
    with pytest.raises(ConfigError, match=message):
        reader.read(well_of(path))


def same(path: Path, spec: FieldsPlate) -> None:
    write_ome_xml(path, spec, factor=1e-6)


def broken(path: Path, spec: FieldsPlate) -> None:
    write_ome_xml(path, spec)
    file = path / "OME" / "METADATA.ome.xml"
    file.write_text(file.read_text()[:-20])


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda path, spec: None, ViewError, r"not known .*none for any image.*input\.positions"),
        (same, ViewError, r"OME/METADATA\.ome\.xml: all within one pixel"),
        (broken, MetadataError, r"METADATA\.ome\.xml: its positions cannot be read"),
    ],
)
def test_missing_positions_name_the_ways_to_give_them(
    tmp_path: Path,
    damage: Callable[[Path, FieldsPlate], None],
    error: type[Exception],
    message: str,
) -> None:
    spec = FieldsPlate({"B/03": {0: 4}}, translation=False)
    path = spec.write(tmp_path / "p.zarr")
    damage(path, spec)
    with pytest.raises(error, match=message):
        LayerReader(OPTIONS).read(well_of(path))


def test_one_image_without_a_table_is_one_field(tmp_path: Path) -> None:
    spec = FieldsPlate({"B/03": {0: 1, 1: 1}}, translation=False)
    path = spec.write(tmp_path / "p.zarr")
    reader = LayerReader(OPTIONS)
    assert reader.layout(well_of(path)).name == "mosaic"
    fused = fuse(path, tmp_path)
    for number in (0, 1):
        expected = read_level(path / "B" / "03" / str(number))
        np.testing.assert_array_equal(read_level(fused / str(number)), expected)


def test_labels_of_fields_are_fused(tmp_path: Path) -> None:
    spec = FieldsPlate({"B/03": {0: 4}}, labels=True)
    fused = fuse(spec.write(tmp_path / "p.zarr"), tmp_path)
    expected = mosaic(spec, "B/03", 0, 4)[:1] // 1000
    np.testing.assert_array_equal(read_level(fused / "0" / "labels" / "nuclei"), expected)


def test_labels_without_a_pixel_size_are_fused_like_their_images(tmp_path: Path) -> None:
    """ome-zarr-py writes labels with a scale of 1 and no unit, whatever the image has."""
    spec = FieldsPlate({"B/03": {0: 4}}, labels=True)
    path = spec.write(tmp_path / "p.zarr")
    for number in range(4):
        label = path / "B" / "03" / str(number) / "labels" / "nuclei"
        attributes: Any = read_attributes(label)
        for axis in attributes["multiscales"][0]["axes"]:
            axis.pop("unit", None)
        for level, dataset in enumerate(attributes["multiscales"][0]["datasets"]):
            scale = [1.0, 1.0, 2.0**level, 2.0**level]
            dataset["coordinateTransformations"] = [{"type": "scale", "scale": scale}]
        replace_attributes(label, attributes)
    expected = mosaic(spec, "B/03", 0, 4)[:1] // 1000
    fused = fuse(path, tmp_path) / "0" / "labels" / "nuclei"
    np.testing.assert_array_equal(read_level(fused), expected)


def test_fields_that_differ_are_refused(tmp_path: Path) -> None:
    path = FOUR.write(tmp_path / "p.zarr")
    image = path / "B" / "03" / "2"
    for level in ("0", "1"):
        (image / level).rename(image / f"old{level}")
    write_image(image, np.zeros((1, 1, *SHAPE), np.uint8), position=[0, 0, 9, 9])
    with pytest.raises(ViewError, match=r"03/2: its data type is uint8, that of image 0 .* uint16"):
        LayerReader(OPTIONS).read(well_of(path))


def named(image: Path, *channels: dict[str, str]) -> None:
    """Give an image the names of its channels."""
    attributes = json.loads((image / ".zattrs").read_text())
    write_json(image / ".zattrs", {**attributes, "omero": {"channels": list(channels)}})


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        (("GFP", "DAPI"), "channel 0 is GFP, that of image 0 .* is w0 DAPI"),
        (("DAPI", "Cy5"), "channel 1 is Cy5, that of image 1 .* is GFP"),
    ],
)
def test_fields_with_other_channels_are_refused(
    channels: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    path = FieldsPlate({"B/03": {0: 4}}).write(tmp_path / "p.zarr") / "B" / "03"
    named(path / "0", {"label": "DAPI", "wavelength_id": "w0"}, {})  # one of them may be unknown
    named(path / "1", {"label": "dapi", "wavelength_id": "w0"}, {"label": "GFP"})
    fuse(path.parents[1], tmp_path)  # the other two have no names at all
    named(path / "3", *({"label": name} for name in channels))
    with pytest.raises(ViewError, match=f"03/3: its {words}.*must agree"):
        LayerReader(OPTIONS).read(well_of(path.parents[1]))


def test_channels_are_named_by_the_first_field_that_names_them(tmp_path: Path) -> None:
    path = FieldsPlate({"B/03": {0: 2}}).write(tmp_path / "p.zarr")
    named(path / "B" / "03" / "1", {"label": "DAPI"}, {"label": "GFP"})
    fused: Any = read_attributes(fuse(path, tmp_path) / "0")["omero"]
    assert [channel["label"] for channel in fused["channels"]] == ["DAPI", "GFP"]


@pytest.mark.parametrize("lengths", [(1, 3), (3, 1)])
def test_a_field_with_more_time_points_keeps_all_of_them(
    lengths: tuple[int, int], tmp_path: Path
) -> None:
    spec = FieldsPlate({"B/03": {0: 2}}, labels=True, version="0.5")
    path = spec.write(tmp_path / "p.zarr")
    for number, length in enumerate(lengths):
        for image in (path / "B/03" / str(number), path / "B/03" / str(number) / "labels/nuclei"):
            add_time(image, length)
    fused = fuse(path, tmp_path)
    for image, expected in (
        (fused / "0", mosaic(spec, "B/03", 0, 2)),
        (fused / "0/labels/nuclei", mosaic(spec, "B/03", 0, 2)[:1] // 1000),
    ):
        got = read_level(image)
        assert len(got) == 3
        np.testing.assert_array_equal(got[0], expected)
        only = slice(STEP[1], None) if lengths[1] == 3 else slice(SHAPE[1])
        covered = np.zeros_like(expected)
        covered[..., only] = expected[..., only]
        np.testing.assert_array_equal(got[2], covered)


def add_time(image: Path, length: int) -> None:
    """Make a `czyx` image a `tczyx` image, the same at all time points."""
    pixels = read_level(image)
    old: Any = read_attributes(image)
    for level in image.iterdir():
        if level.is_dir() and level.name.isdigit():
            shutil.rmtree(level)
    entry = old["multiscales"][0]
    entry["axes"].insert(0, {"name": "t", "type": "time"})
    del entry["datasets"][1:]
    for transform in entry["datasets"][0]["coordinateTransformations"]:
        for key, value in (("scale", 1.0), ("translation", 0.0)):
            if key in transform:
                transform[key].insert(0, value)
    replace_attributes(image, old)
    zarr.create_array(image / "0", data=np.stack([pixels] * length), chunks=(1, 1, 1, 32, 32))


def test_byte_order_makes_no_difference(tmp_path: Path) -> None:
    spec = FieldsPlate({"B/03": {0: 2}})
    path = spec.write(tmp_path / "p.zarr")
    image = path / "B" / "03" / "1"
    pixels = read_level(image)
    for level in ("0", "1"):
        (image / level).rename(image / f"old{level}")
    write_image(image, pixels.astype(">u2"), position=[0, 0, 0, STEP[1] * PIXEL_UM])
    fused = fuse(path, tmp_path)
    np.testing.assert_array_equal(read_level(fused / "0"), mosaic(spec, "B/03", 0, 2))


def test_a_well_with_and_without_tile_tables_is_refused(tmp_path: Path) -> None:
    path = FOUR.write(tmp_path / "p.zarr")
    table = path / "B" / "03" / "1" / "tables" / "FOV_ROI_table"
    table.mkdir(parents=True)
    write_json(table / ".zgroup", {"zarr_format": 2})
    for read_as in (AUTO, InputOptions(layout="mosaic")):
        with pytest.raises(PlateError, match=r"images \['1'\] have a table 'FOV_ROI_table'.*input"):
            LayerReader(OPTIONS, read_as).read(well_of(path))
    shutil.rmtree(path / "B" / "03" / "0")
    with pytest.raises(PlateError, match=r"B/03/0: no such folder"):
        LayerReader(OPTIONS, AUTO).read(well_of(path))


@pytest.mark.parametrize("value", [float("nan"), "far", None, [1]])
def test_a_translation_that_is_no_position_is_refused(tmp_path: Path, value: Any) -> None:
    path = FieldsPlate({"B/03": {0: 2}}).write(tmp_path / "p.zarr")
    file = path / "B" / "03" / "1" / ".zattrs"
    attributes = json.loads(file.read_text())
    transforms = attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    transforms[1]["translation"][2] = value
    file.write_text(json.dumps(attributes))
    with pytest.raises(ImageError, match=r"B/03/1: the translation is .*expected finite numbers"):
        LayerReader(OPTIONS).read(well_of(path))


def test_a_unit_of_the_ome_xml_that_is_no_length_is_refused(tmp_path: Path) -> None:
    spec = FieldsPlate({"B/03": {0: 4}}, translation=False)
    path = spec.write(tmp_path / "p.zarr")
    write_ome_xml(path, spec, unit="furlong")
    with pytest.raises(MetadataError, match=r"PositionYUnit is 'furlong', which is not a length"):
        LayerReader(OPTIONS).read(well_of(path))


def test_positions_in_pixels_need_a_pixel_size(tmp_path: Path) -> None:
    """A pixel was taken for a micrometre, and fields were placed too far apart."""
    spec = FieldsPlate({"B/03": {0: 4}}, translation=False)
    path = spec.write(tmp_path / "p.zarr")
    write_ome_xml(path, spec, unit="pixel", factor=1 / PIXEL_UM)
    with pytest.raises(MetadataError, match=r"PositionYUnit is 'pixel', and .* no PhysicalSizeY"):
        LayerReader(OPTIONS).read(well_of(path))
    file = path / "OME" / "METADATA.ome.xml"
    sizes = f'<Pixels PhysicalSizeY="{PIXEL_UM}" PhysicalSizeX="{PIXEL_UM}">'
    file.write_text(file.read_text().replace("<Pixels>", sizes))
    read_ome_positions.cache_clear()
    np.testing.assert_array_equal(
        read_level(fuse(path, tmp_path) / "0"), mosaic(spec, "B/03", 0, 4)
    )


def test_the_focus_of_flat_fields_is_no_place(tmp_path: Path) -> None:
    path = FieldsPlate({"B/03": {0: 2}}).write(tmp_path / "p.zarr")
    well = well_of(path)
    for image, z in zip(well.images, (0.0, 7.5), strict=True):
        attributes: Any = read_attributes(image.live)
        for dataset in attributes["multiscales"][0]["datasets"]:
            dataset["coordinateTransformations"][1]["translation"][1] = z
        write_json(image.live / ".zattrs", attributes)
    assert read_level(fuse(path, tmp_path) / "0").shape[1] == 1


def test_a_well_registered_by_its_well_table_is_one_field(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    """Without a tile table, what registration masked is not data of the fused image."""
    spec = replace(SMALL, tables=("well_ROI_table", "registered_well_ROI_table"), noise=False)
    plate = example_plate(spec)
    for name in "012":
        apply_registration_to_image(
            zarr_url=str(plate.path / "B" / "02" / name),
            registered_roi_table="registered_well_ROI_table",
        )
    well = well_of(plate.path, "B/02")
    fuse_well(well, tmp_path / "fused.zarr", OPTIONS)
    for image in well.images:
        record = RegistrationRecord.read(image.live)
        assert record is not None
        (roi,) = record.rois
        inside: Any = (
            ...,
            *(slice(a, b) for a, b in zip(roi.box.start, roi.box.stop, strict=True)),
        )
        fused = read_level(tmp_path / "fused.zarr" / "B" / "02" / image.name)
        np.testing.assert_array_equal(fused, read_level(image.live)[inside])


def change_level_0(plate: Path) -> None:
    """Give all pixels of level 0 another value: what is made from level 1 stays the same."""
    for level in plate.glob("*/*/*/0"):
        zarr.open_array(level, mode="r+")[...] = 7


@pytest.mark.parametrize(("factor", "level"), [(2.0, 1), (3.0, 0), (1.5, 0)])
def test_a_stored_level_is_read_if_it_has_the_output_s_spacing(
    tmp_path: Path, factor: float, level: int
) -> None:
    path = FOUR.write(tmp_path / "p.zarr")
    spacing = {"y": factor * PIXEL_UM, "x": factor * PIXEL_UM}
    options = replace(OPTIONS, output_spacing=spacing)
    well = well_of(path)
    fuse_well(well, tmp_path / "whole.zarr", options)
    change_level_0(path)
    fuse_well(well, tmp_path / "coarse.zarr", options)
    whole, coarse = (
        read_level(tmp_path / name / "B" / "03" / "0") for name in ("whole.zarr", "coarse.zarr")
    )
    assert np.array_equal(whole, coarse) is (level > 0)
    if level:  # fields begin at even pixels: the fused image is the mosaic of the levels
        scene = mosaic(FOUR, "B/03", 0, 4)[..., ::2, ::2]
        np.testing.assert_array_equal(whole, scene)


@pytest.mark.parametrize(("scale", "spacing"), [(1.5, 2.0), (3.0, 3.0), (4.0, 4.0)])
def test_a_level_that_does_not_group_whole_pixels_is_not_read(
    tmp_path: Path, scale: float, spacing: float
) -> None:
    """By its scale, or by its shape: the level has half as many pixels, whatever its scale says."""
    path = FOUR.write(tmp_path / "p.zarr")
    for file in path.glob("B/03/*/.zattrs"):
        attributes = json.loads(file.read_text())
        datasets = attributes["multiscales"][0]["datasets"]
        datasets[1]["coordinateTransformations"][0]["scale"][2:] = [scale * PIXEL_UM] * 2
        file.write_text(json.dumps(attributes))
    options = replace(OPTIONS, output_spacing={"y": spacing * PIXEL_UM, "x": spacing * PIXEL_UM})
    fuse_well(well_of(path), tmp_path / "fused.zarr", options)
    before = read_level(tmp_path / "fused.zarr" / "B" / "03" / "0")
    change_level_0(path)
    fuse_well(well_of(path), tmp_path / "again.zarr", options)
    assert before.max() > 7
    assert read_level(tmp_path / "again.zarr" / "B" / "03" / "0").max() == 7
