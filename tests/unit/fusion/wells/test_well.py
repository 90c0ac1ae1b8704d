"""Every image, label and table of a fused plate is the truth of the plate it was made from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models import v04, v05

from platefuse.errors import ConfigError, PlatefuseError, ViewError
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.plate import finish_fused_plate
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.ngff.tables.table import read_table, table_names
from platefuse.records import FusedImageRecord, forget_record
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.stage import register_image
from platefuse.registration.swap import publish_registered, swap_image
from platefuse.registration.tables import copy_tables
from platefuse.storage.arrays import StoredArray
from platefuse.storage.files import replaced
from platefuse.storage.removing import set_aside
from platefuse.testing import Truth
from platefuse.workflow.checks.outputs import check_fused_plate
from tests.checks import check_fusion
from tests.conftest import ExamplePlate, PlateFactory
from tests.fused import (
    BARE,
    FIELDS,
    SMALL_CHUNKS,
    TINY,
    WELL,
    everything,
    fuse,
    fuse_well,
    number_fields_one_by_one,
)
from tests.truth import (
    assert_fused,
    assert_registered,
    assert_same_fused,
    assert_same_pixels,
    read_level,
)


def register(plate: Path, request: RegistrationRequest) -> None:
    for well in Plate.open(plate).read_wells():
        for step in (register_image, copy_tables, swap_image):
            for image in well.images if request.overwrite_input or step is not swap_image else ():
                step(image, request)
        if not request.overwrite_input:
            publish_registered(well, request)


def stacked(truth: Truth, images: list[str], **kwargs: Any) -> np.ndarray[Any, Any]:
    return np.concatenate([truth.fused(WELL, i, **kwargs).pixels for i in images], axis=-4)


VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sharded": (
        {"ngff_version": "0.5", "chunks": (20, 24), "shards": (80, 96)},
        {"ngff_version": "0.5", "shards": {"z": 1, "y": 64, "x": 64}},
    ),
    "uneven stage": ({"stage_jitter_px": 3.0, "grid": (2, 3)}, {}),
    "stack": ({"planes": 3, "timepoints": 2, "axes": "tczyx"}, {"method": "mean"}),
    "plane": ({"axes": "yx", "dtype": "float32"}, {"method": "max"}),
    "high ids": ({"label_offset": 2**24 + 1}, {"method": "first"}),
    "labels merged": ({"label_offset": 2**31}, {"merge_labels": 0.5}),
}


@pytest.mark.parametrize(("spec", "options"), VARIANTS.values(), ids=VARIANTS)
def test_fields_that_agree_fuse_to_the_scene(
    example_plate: PlateFactory, spec: dict[str, Any], options: dict[str, Any]
) -> None:
    plate = example_plate(replace(BARE, **spec))
    fused = fuse(plate.path, **options)
    assert_fused(fused, plate.truth, WELL, "0", table=None)
    assert (fused / WELL / "0" / "labels" / "nuclei").is_dir()
    assert_fields_show_what_they_say(fused / WELL / "0")
    if "shards" in options:
        assert StoredArray.open(fused / WELL / "0" / "0").shard == (1, 1, 64, 64)


@pytest.mark.parametrize(("source", "version"), [("0.4", "0.5"), ("0.5", "0.4")])
def test_a_fused_plate_of_another_version_opens_with_the_readers_of_others(
    example_plate: PlateFactory, source: str, version: str
) -> None:
    tables = ("FOV_ROI_table", "nuclei_features")
    plate = example_plate(replace(BARE, ngff_version=source, tables=tables))
    fused = fuse(plate.path, ngff_version=version)
    assert_fused(fused, plate.truth, WELL, "0", table=None)
    assert_valid(fused, version, ["0"])
    assert "nuclei_features" in table_names(fused / WELL / "0")


def assert_valid(fused: Path, version: str, images: list[str]) -> None:
    """The plate opens with the readers of others, and its tables with anndata."""
    module: Any = v04 if version == "0.4" else v05
    module.HCS.from_zarr(zarr.open_group(fused, mode="r"))
    module.Well.from_zarr(zarr.open_group(fused / WELL, mode="r"))
    plate = Plate.open(fused)
    assert [image.name for image in plate.read_wells()[0].images] == images
    for image in images:
        path = fused / WELL / image
        module.Image.from_zarr(zarr.open_group(path, mode="r"))
        shape = Multiscale.read(path).shapes[0]
        location = parse_url(path)
        assert location is not None
        nodes = list(Reader(location)())
        assert nodes[0].data[0].shape == shape
        assert nodes[0].metadata["name"] == f"B03_{image}"  # what napari shows
        assert len(nodes[0].metadata["channel_names"]) == shape[0]
        for level, (scale,) in enumerate(nodes[0].metadata["coordinateTransformations"]):
            y, x = (size * 2**level for size in TINY.pixel_size_um[1:])
            assert scale["scale"] == pytest.approx([1, TINY.pixel_size_um[0], y, x])
        labels: Any = read_attributes(path / "labels")["labels"]
        for name in labels:
            module.ImageLabel.from_zarr(zarr.open_group(path / "labels" / name, mode="r"))
        assert {"FOV_ROI_table", "well_ROI_table"} <= set(table_names(path))
        for name in table_names(path):
            group = zarr.open_group(path / "tables" / name, mode="r")
            assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
            assert anndata.io.read_elem(group).n_obs > 0
        assert_fields_show_what_they_say(path)


def assert_fields_show_what_they_say(image: Path) -> None:
    """Every box of the fused ROI tables lies in the image and, together, they cover it."""
    found = Multiscale.read(image)
    shape = [found.shapes[0][found.axes.index(a)] for a in found.spatial]
    for name in ("FOV_ROI_table", "well_ROI_table"):
        covered = np.zeros(shape, bool)
        for roi in read_table(image, name).rois(found.spatial):
            box = []
            for axis, size in found.pixel_size_um.items():
                start, length = roi.start_um[axis] / size, roi.length_um[axis] / size
                box.append(slice(round(start), round(start + length)))
                assert abs(start - round(start)) < 1e-2
            covered[tuple(box)] = True
        pixels = read_level(image)
        nothing = pixels.reshape(-1, *shape).max(axis=0) == 0
        assert (covered | nothing).all()
        if name == "well_ROI_table":
            assert covered.all()


@pytest.mark.parametrize(("layout", "beside"), [("per_acquisition", True), ("stacked", False)])
def test_registered_plates_fuse_inside_their_rois(
    example_plate: PlateFactory, layout: str, beside: bool
) -> None:
    plate = example_plate(TINY)
    request = RegistrationRequest(FIELDS, overwrite_input=not beside)
    register(plate.path, request)
    fused = fuse(plate.path, request, layout=layout)
    if layout == "per_acquisition":
        for image in ("0", "2"):
            assert_fused(fused, plate.truth, WELL, image)
        return
    expected = stacked(plate.truth, ["0", "2"])
    assert_same_pixels(read_level(fused / WELL / "0"), expected)
    for number in ("0", "2"):
        label = read_level(fused / WELL / "0" / "labels" / f"nuclei_acq{number}")
        assert_same_fused(label, plate.truth.fused_label(WELL, number))
    assert_valid(fused, "0.4", ["0"])
    tables = table_names(fused / WELL / "0")
    assert FIELDS not in tables
    assert "nuclei_features_acq2" in tables


def test_a_well_table_s_one_box_is_where_data_are(example_plate: PlateFactory) -> None:
    table = "registered_well_ROI_table"
    plate = example_plate(replace(TINY, overlap=0, tables=("FOV_ROI_table", table)))
    request = RegistrationRequest(table)
    register(plate.path, request)
    fused = fuse(plate.path, request)
    for image in ("0", "2"):
        assert_fused(fused, plate.truth, WELL, image, table=table)


@pytest.mark.parametrize("factor", [2, 3])
def test_a_pixel_of_another_size(example_plate: PlateFactory, factor: int) -> None:
    """Level 1 is read for a factor of 2; for 3, pixels show exactly every third source pixel."""
    plate, size = example_plate(BARE), 0.65 * factor
    path = fuse(plate.path, output_spacing={"y": size, "x": size}) / WELL / "0"
    every = np.s_[..., ::factor, ::factor]
    expected = plate.truth.fused(WELL, "0", table=None).pixels[every]
    labels = plate.truth.fused_label(WELL, "0", table=None).pixels[every]
    if factor == 2:  # the fields begin at even pixels: level 1 of the mosaic is that of its fields
        whole = fuse(plate.path, output=plate.path.with_name("whole.zarr")) / WELL / "0"
        expected, labels = read_level(whole, 1), read_level(whole / "labels" / "nuclei", 1)
    assert_same_pixels(read_level(path), expected)
    assert_same_pixels(read_level(path / "labels" / "nuclei"), labels)
    assert Multiscale.read(path).pixel_size_um == {"z": 1.0, "y": size, "x": size}
    extent = read_table(path, "well_ROI_table").rois("yx")[0].length_um
    assert extent == pytest.approx({"y": labels.shape[-2] * size, "x": labels.shape[-1] * size})


def test_the_intersection_of_all_fields(example_plate: PlateFactory) -> None:
    plate = example_plate(BARE)
    fused = fuse(plate.path, output_stack_mode="intersection")
    truth = plate.truth.fused(WELL, "0", table=None)
    # Fields of 40 × 48 pixels that overlap by 8.
    crop = np.s_[..., 32:40, 40:48]
    assert_same_pixels(read_level(fused / WELL / "0"), truth.pixels[crop])
    truth = plate.truth.fused_label(WELL, "0", table=None)
    assert_same_pixels(read_level(fused / WELL / "0" / "labels" / "nuclei"), truth.pixels[crop])
    rois = read_table(fused / WELL / "0", "FOV_ROI_table").rois("yx")
    assert len(rois) == 4
    for roi in rois:
        assert roi.start_um == pytest.approx({"y": 0, "x": 0}, abs=1e-3)
        assert roi.length_um == pytest.approx({"y": 5.2, "x": 5.2}, abs=1e-3)


def test_a_sample_is_the_first_plane(example_plate: PlateFactory) -> None:
    plate = example_plate(replace(BARE, planes=3))
    fused = fuse(plate.path, output_stack_mode="sample")
    expected = plate.truth.fused(WELL, "0", table=None).pixels[:, :1]
    assert_same_pixels(read_level(fused / WELL / "0"), expected)


def test_content_based_weights_change_nothing_where_fields_agree(
    example_plate: PlateFactory,
) -> None:
    plate = example_plate(BARE)
    fused = fuse(plate.path, weights="content_based")
    assert_fused(fused, plate.truth, WELL, "0", table=None, tolerance=1)


# Stacks


@pytest.fixture
def unlike(example_plate: PlateFactory) -> Callable[..., ExamplePlate]:
    """Factory: a plate whose image 2 is that of another plate, of the same scene."""

    def make(**changes: Any) -> ExamplePlate:
        few = replace(TINY, tables=BARE.tables)
        plate, other = example_plate(few), example_plate(replace(few, **changes), "other.zarr")
        shutil.rmtree(plate.path / WELL / "2")
        shutil.copytree(other.path / WELL / "2", plate.path / WELL / "2")
        return ExamplePlate(plate.path, other.truth)

    return make


def channels_of(image: Path) -> Any:
    omero: Any = read_attributes(image)["omero"]
    return omero["channels"]


def test_acquisitions_with_other_channels_and_labels_are_stacked(
    unlike: Callable[..., ExamplePlate],
) -> None:
    plate = unlike(channels=("DAPI", "WGA", "Actin"), labels=("nuclei", "cores"))
    fused = fuse(plate.path, layout="stacked")
    first, second = Truth(TINY), plate.truth
    pixels = [t.fused(WELL, i, table=None).pixels for t, i in ((first, "0"), (second, "2"))]
    assert_same_pixels(read_level(fused / WELL / "0"), np.concatenate(pixels))
    channels = channels_of(fused / WELL / "0")
    names = [c["label"] for c in channels]
    assert names == ["DAPI_acq0", "WGA_acq0", "DAPI_acq2", "WGA_acq2", "Actin_acq2"]
    own = [c for image in ("0", "2") for c in channels_of(plate.path / WELL / image)]
    for channel, source in zip(channels, own, strict=True):
        assert channel["color"] == source["color"]
        assert channel["window"] == source["window"]
    labels = read_attributes(fused / WELL / "0" / "labels")["labels"]
    assert labels == ["nuclei_acq0", "nuclei_acq2", "cores"]
    cores = read_level(fused / WELL / "0" / "labels" / "cores")
    assert_same_fused(cores, plate.truth.fused_label(WELL, "2", "cores", table=None))
    assert_valid(fused, "0.4", ["0"])


@pytest.mark.parametrize("axes", ["zyx", "czyx"])
def test_images_without_channels_are_stacked(
    unlike: Callable[..., ExamplePlate], example_plate: PlateFactory, axes: str
) -> None:
    if axes == "zyx":  # of both
        plate = example_plate(replace(TINY, axes=axes, tables=BARE.tables))
        channels = [plate.truth.fused(WELL, i, table=None).pixels for i in ("0", "2")]
    else:  # of the second alone
        plate = unlike(axes="zyx")
        first = Truth(TINY).fused(WELL, "0", table=None).pixels
        channels = [*first, plate.truth.fused(WELL, "2", table=None).pixels]
    fused = fuse(plate.path, layout="stacked")
    assert Multiscale.read(fused / WELL / "0").axes == "czyx"
    assert_same_pixels(read_level(fused / WELL / "0"), np.stack(channels))


def test_channels_of_which_nothing_is_known_get_a_name_and_a_window(
    unlike: Callable[..., ExamplePlate],
) -> None:
    plate = unlike(omero=False)
    fused = fuse(plate.path, layout="stacked")
    channels = channels_of(fused / WELL / "0")
    assert [c["label"] for c in channels[2:]] == ["channel_0_acq2", "channel_1_acq2"]
    assert channels[2]["window"] == {"min": 0, "max": 65535, "start": 0, "end": 65535}
    assert_valid(fused, "0.4", ["0"])


def test_a_well_with_one_acquisition_names_its_channels_as_the_others_do(
    example_plate: PlateFactory,
) -> None:
    plate = example_plate(TINY)
    file = plate.path / WELL / ".zattrs"
    attributes = json.loads(file.read_text())
    attributes["well"]["images"] = [{"path": "2", "acquisition": 2}]
    file.write_text(json.dumps(attributes))
    for layout, suffix in (("stacked", "_acq2"), ("per_acquisition", "")):
        fused = fuse(plate.path, layout=layout)
        channels = channels_of(fused / WELL / "2")
        assert [c["label"] for c in channels] == [f"{n}{suffix}" for n in TINY.channels]


def test_channels_that_are_badly_described_get_names_all_the_same(
    example_plate: PlateFactory,
) -> None:
    plate = example_plate(replace(TINY, tables=BARE.tables))
    file = plate.path / WELL / "0" / ".zattrs"
    channels = ["DAPI", {"label": ["WGA"], "wavelength_id": 3, "color": "00FF00"}]
    attributes = {**json.loads(file.read_text()), "omero": {"channels": channels}}
    file.write_text(json.dumps(attributes))
    fused = fuse(plate.path, layout="stacked")
    found = channels_of(fused / WELL / "0")
    names = [c["label"] for c in found]
    assert names == ["channel_0_acq0", "channel_1_acq0", "DAPI_acq2", "WGA_acq2"]
    assert found[1]["color"] == "00FF00"
    assert "wavelength_id" not in found[1]
    assert_valid(fused, "0.4", ["0"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "uint8"}, "data type is uint8"),
        ({"pixel_size_um": (1.0, 0.5, 0.5)}, "pixel size"),
        ({"axes": "cyx"}, "axes is yx"),
    ],
)
def test_acquisitions_that_cannot_be_stacked(
    unlike: Callable[..., ExamplePlate], changes: dict[str, Any], message: str
) -> None:
    plate = unlike(**changes)
    check_fusion(Plate.open(plate.path), FusionOptions())
    with pytest.raises(ViewError, match=message):  # before the first job
        check_fusion(Plate.open(plate.path), FusionOptions(layout="stacked"))
    with pytest.raises(ViewError, match=message):
        fuse(plate.path, layout="stacked")
    assert not fused_plate_path(plate.path).exists()


# Labels


def test_fields_segmented_one_by_one_become_one_label(example_plate: PlateFactory) -> None:
    plate = example_plate(replace(TINY, acquisitions=TINY.acquisitions[:1]))
    number_fields_one_by_one(plate, "0")
    expected = plate.truth.fused_label(WELL, "0", table=None).pixels
    path = fuse(plate.path, merge_labels=0.5) / WELL / "0"
    got = read_level(path / "labels" / "nuclei")
    assert got.dtype == expected.dtype
    pairs = np.unique(np.stack([expected.ravel(), got.ravel()]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
    assert pairs[:, 0].tolist() == [0, 0]
    # What spoke of the ids that were is left out, and it is said so.
    assert table_names(path) == ["FOV_ROI_table", "well_ROI_table"]
    record = FusedImageRecord.read(path)
    assert record is not None
    assert set(record.tables_left_out) == {"nuclei_ROI_table", "nuclei_features"}


def test_labels_as_they_are_take_the_first_field_that_has_one(example_plate: PlateFactory) -> None:
    plate = example_plate(replace(BARE, grid=(1, 2)))
    number_fields_one_by_one(plate, "0")
    source = read_level(plate.path / WELL / "0" / "labels" / "nuclei")
    got = read_level(fuse(plate.path) / WELL / "0" / "labels" / "nuclei")
    left, right = source[..., :48], source[..., 48:]
    over = np.where(left[..., 40:], left[..., 40:], right[..., :8])
    np.testing.assert_array_equal(got, np.concatenate([left[..., :40], over, right[..., 8:]], -1))


# Wells and plates


def test_a_well_is_fused_anew_only_if_something_changed(example_plate: PlateFactory) -> None:
    plate = example_plate(replace(BARE, tables=("FOV_ROI_table", "nuclei_features")))
    well, fused = Plate.open(plate.path).read_wells()[0], fused_plate_path(plate.path)
    options = FusionOptions(output_chunksize=SMALL_CHUNKS)
    first = fuse_well(well, fused, options)
    assert first.action == "fused"
    again = fuse_well(well, fused, options)
    assert again.action == "fused before"
    assert again.images == first.images
    attributes = plate.path / WELL / "0" / "tables" / "nuclei_features" / ".zattrs"
    attributes.write_text(json.dumps({**json.loads(attributes.read_text()), "note": "new"}))
    assert fuse_well(well, fused, options).action == "fused"
    new = fused / WELL / "0" / "tables" / "nuclei_features" / ".zattrs"
    assert json.loads(new.read_text())["note"] == "new"
    options = replace(options, method="max")
    assert fuse_well(well, fused, options).action == "fused"
    shutil.rmtree(fused / WELL / "0")
    assert fuse_well(well, fused, options).action == "fused"
    attributes = plate.path / WELL / "0" / ".zattrs"
    corrected = attributes.read_text().replace('"DAPI"', '"Hoechst"')
    assert corrected != attributes.read_text()
    attributes.write_text(corrected)
    assert fuse_well(well, fused, options).action == "fused"
    assert not fused.with_name(f"{fused.name}.staging").exists()


def test_a_label_that_is_listed_and_absent_is_left_out(
    example_plate: PlateFactory, caplog: pytest.LogCaptureFixture
) -> None:
    plate = example_plate(replace(TINY, tables=TINY.tables[:1], labels=("nuclei", "cores")))
    shutil.rmtree(plate.path / WELL / "2" / "labels" / "nuclei")
    well, fused = Plate.open(plate.path).read_wells()[0], fused_plate_path(plate.path)
    receipt = fuse_well(well, fused, FusionOptions(output_chunksize=SMALL_CHUNKS))
    reason = {"nuclei": "it is listed, but there is no such label (image 2)"}
    assert receipt.images is not None
    assert [x.labels_left_out for x in receipt.images.values()] == [None, reason]
    record = FusedImageRecord.read(fused / WELL / "2")
    assert record is not None
    assert record.labels_left_out == reason
    assert "2: the label 'nuclei' is left out: it is listed, but" in caplog.text
    labels = [read_attributes(fused / WELL / n / "labels")["labels"] for n in ("0", "2")]
    assert labels == [["nuclei", "cores"], ["cores"]]
    assert fuse_well(well, fused, FusionOptions(output_chunksize=SMALL_CHUNKS)).action != "fused"


@pytest.mark.parametrize(
    ("lost", "content"),
    [
        ("0/1", None),
        ("0/1/.zarray", None),
        ("0/0/.zarray", "{"),
        ("0/.zattrs", "{}"),
        ("0/labels/nuclei/1", None),
        ("0/labels/nuclei", None),
        ("0/labels", None),
        ("0/tables/FOV_ROI_table", None),
        ("0/tables", None),
    ],
)
def test_a_fused_well_that_has_lost_a_part_is_fused_again(
    example_plate: PlateFactory, lost: str, content: str | None
) -> None:
    plate = example_plate(BARE)
    well, fused = Plate.open(plate.path).read_wells()[0], fused_plate_path(plate.path)
    options = FusionOptions(output_chunksize=SMALL_CHUNKS)
    fuse_well(well, fused, options)
    assert fuse_well(well, fused, options).action == "fused before"
    whole = set((fused / WELL).rglob("*"))
    part = fused / WELL / lost
    if content is not None:
        part.write_text(content)
    elif part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink()
    assert fuse_well(well, fused, options).action == "fused"
    assert set((fused / WELL).rglob("*")) == whole
    assert fuse_well(well, fused, options).action == "fused before"


@pytest.mark.parametrize("is_aside", [True, False])
def test_what_was_left_of_a_replaced_well_goes_also_if_nothing_is_fused(
    example_plate: PlateFactory, is_aside: bool
) -> None:
    plate = example_plate(BARE)
    well, fused = Plate.open(plate.path).read_wells()[0], fused_plate_path(plate.path)
    options = FusionOptions(output_chunksize=SMALL_CHUNKS)
    fuse_well(well, fused, options)
    left = replaced(fused / WELL)  # the flush after the second of two renames failed
    if is_aside:
        left = set_aside(left)  # a file in it could not be removed
    (left / "0").mkdir(parents=True)
    assert fuse_well(well, fused, options).action == "fused before"
    assert not left.exists()
    assert not fused.with_name(f"{fused.name}.staging").exists()


def test_a_damaged_fused_well_is_replaced(example_plate: PlateFactory, tmp_path: Path) -> None:
    plate = example_plate(TINY)
    well, fused = Plate.open(plate.path).read_wells()[0], fused_plate_path(plate.path)
    options = FusionOptions(output_chunksize=SMALL_CHUNKS)
    fuse_well(well, fused, options)
    for damaged in ("0/labels", "0/1", "2/0"):
        shutil.rmtree(fused / WELL / damaged)
    (fused / WELL / "2" / ".zattrs").write_text("{")
    assert fuse_well(well, fused, replace(options, method="mean")).action == "fused"
    sound = tmp_path / "sound.zarr"
    fuse_well(well, sound, replace(options, method="mean"))
    assert everything(fused / WELL) == everything(sound / WELL)


def test_an_image_with_an_empty_group_of_labels_is_registered_and_fused(
    example_plate: PlateFactory,
) -> None:
    """It has a ``.zgroup`` and no list of labels."""
    plate = example_plate(replace(TINY, labels=(), tables=("FOV_ROI_table", FIELDS)))
    well, request = Plate.open(plate.path).read_wells()[0], RegistrationRequest(FIELDS)
    for image in well.images:
        (image.live / "labels").mkdir()
        (image.live / "labels" / ".zgroup").write_text('{"zarr_format": 2}')
    for step in (register_image, copy_tables, swap_image):
        for image in well.images:
            step(image, request)
    for image in well.images:
        assert_registered(plate.path, plate.truth, WELL, image.name)
        assert [p.name for p in (image.live / "labels").iterdir()] == [".zgroup"]
    fused = fuse(plate.path)
    for image in well.images:
        assert_fused(fused, plate.truth, WELL, image.name)


@pytest.mark.parametrize("what", ["plate", "file", "folder", "well", "other well"])
def test_what_platefuse_has_not_fused_is_never_replaced(
    example_plate: PlateFactory, tmp_path: Path, what: str
) -> None:
    plate = example_plate(BARE)
    found, fused = Plate.open(plate.path), tmp_path / "fused.zarr"
    well = fused / ("C/05" if what == "other well" else WELL)
    if what == "plate":
        shutil.copytree(plate.path, fused)
    elif what == "file":
        fused.write_text("thesis")
    elif what == "folder":
        (fused / "thesis").mkdir(parents=True)
    else:
        fuse(plate.path, output=fused)
        if what == "other well":
            attributes = json.loads((fused / ".zattrs").read_text())
            attributes["plate"]["wells"].append({"path": "C/05"})
            (fused / ".zattrs").write_text(json.dumps(attributes))
            shutil.copytree(fused / WELL, well)
        forget_record(well)
    before = everything(tmp_path)
    said = r"fused.zarr.* is (not a fused|a file).* [Mm]ove it away"
    with pytest.raises(PlatefuseError, match=said):
        check_fused_plate(found, fused)
    if what in ("plate", "well"):
        with pytest.raises(PlatefuseError, match=r"B/03 exists and is not a fused well"):
            fuse_well(found.read_wells()[0], fused, FusionOptions(method="max"))
    assert everything(tmp_path) == before


def test_what_platefuse_has_fused_may_be_replaced(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(replace(BARE, wells=("B/03", "C/05")))
    found, fused = Plate.open(plate.path), tmp_path / "fused.zarr"
    check_fused_plate(found, fused)
    fuse_well(found.read_wells()[0], fused, FusionOptions())
    check_fused_plate(found, fused)  # of an unfinished run
    fuse(plate.path, output=fused)
    check_fused_plate(found, fused)


@pytest.mark.parametrize("first", ["0.4", "0.5"])
def test_a_plate_that_is_fused_to_another_version_has_one_version(
    example_plate: PlateFactory, tmp_path: Path, first: str
) -> None:
    plate, second = example_plate(BARE), {"0.4": "0.5", "0.5": "0.4"}[first]
    changed = fuse(plate.path, output=tmp_path / "1" / "f.zarr", ngff_version=first)
    fuse(plate.path, output=changed, ngff_version=second)
    expected = fuse(plate.path, output=tmp_path / "2" / "f.zarr", ngff_version=second)
    assert everything(changed).keys() == everything(expected).keys()


def test_a_plate_is_finished_when_all_its_wells_are_there(example_plate: PlateFactory) -> None:
    plate = example_plate(replace(BARE, wells=("B/03", "C/05")))
    found, fused, options = Plate.open(plate.path), fused_plate_path(plate.path), FusionOptions()
    fuse_well(found.read_wells()[0], fused, options)
    with pytest.raises(ViewError, match=r"not fused yet: \['C/05'\]"):
        finish_fused_plate(found, fused, options)
    fuse_well(found.read_wells()[1], fused, options)
    finish_fused_plate(found, fused, options)
    assert_fused(fused, plate.truth, "C/05", "0", table=None)
    assert [well.name for well in Plate.open(fused).wells] == ["B/03", "C/05"]


@pytest.mark.parametrize("layout", ["per_acquisition", "stacked"])
def test_wells_may_lack_acquisitions_or_have_none(example_plate: PlateFactory, layout: str) -> None:
    wells = ("B/03", "B/04", "B/05", "B/06")
    plate = example_plate(replace(TINY, wells=wells, tables=BARE.tables))
    for well, there in (("B/04", ["0"]), ("B/05", ["2"]), ("B/06", [])):
        file = plate.path / well / ".zattrs"
        section = json.loads(file.read_text())["well"]
        section["images"] = [i for i in section["images"] if i["path"] in there]
        file.write_text(json.dumps({"well": section}))
    fused = fuse(plate.path, layout=layout)
    images = [[image.name for image in well.images] for well in Plate.open(fused).read_wells()]
    assert images == [["0", "2"] if layout == "per_acquisition" else ["0"], ["0"], ["2"], []]
    for well, image in (("B/04", "0"), ("B/05", "2")):
        assert_fused(fused, plate.truth, well, image, table=None)


def test_an_image_that_is_listed_twice_is_refused(example_plate: PlateFactory) -> None:
    plate = example_plate(replace(TINY, tables=BARE.tables))
    file = plate.path / WELL / ".zattrs"
    file.write_text(file.read_text().replace('"path": "2"', '"path": "0"'))
    with pytest.raises(PlatefuseError, match=r"B/03: `images` lists \['0'\] more than once"):
        fuse(plate.path)
    assert not fused_plate_path(plate.path).exists()


def test_nothing_is_fused_from_a_table_that_is_not_there(example_plate: PlateFactory) -> None:
    plate = example_plate(replace(TINY, tables=("well_ROI_table",)))
    with pytest.raises(PlatefuseError, match="no table 'mine'"):
        fuse(plate.path, tile_table="mine")
    assert not fused_plate_path(plate.path).exists()


def test_acquisitions_without_a_number(example_plate: PlateFactory) -> None:
    plate = example_plate(replace(TINY, tables=BARE.tables, numbered_acquisitions=False))
    fused = fuse(plate.path, layout="stacked")
    assert read_attributes(fused / WELL / "0" / "labels")["labels"] == ["nuclei_0", "nuclei_2"]


def test_a_spacing_in_another_unit_is_found_before_the_first_job(
    example_plate: PlateFactory,
) -> None:
    plate = Plate.open(example_plate(TINY).path)
    size = Multiscale.read(plate.path / WELL / "0").pixel_size_um["x"]
    check_fusion(plate, FusionOptions(output_spacing={"x": size / 99}))
    with pytest.raises(ConfigError, match=r"output_spacing on x is .*Give it in micrometres"):
        check_fusion(plate, FusionOptions(output_spacing={"x": size / 1e6}))


def test_fields_without_an_intersection_are_found_before_the_first_job(
    example_plate: PlateFactory,
) -> None:
    plate = Plate.open(example_plate(replace(TINY, grid=(1, 3))).path)
    check_fusion(plate, FusionOptions())
    with pytest.raises(ViewError, match="intersection of the views is empty") as raised:
        check_fusion(plate, FusionOptions(output_stack_mode="intersection"))
    assert str(plate.path / WELL / "0") in str(raised.value)


def test_chunks_that_are_flushed_in_the_end_begin_to_be_written_at_once(
    example_plate: PlateFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = example_plate(TINY)
    begun: set[Path] = set()
    monkeypatch.setattr("platefuse.storage.arrays.begin_flush", begun.add)
    well = Plate.open(plate.path).read_wells()[0]
    register_image(well.image("2"), RegistrationRequest(FIELDS))
    staged = well.staging / "2"
    assert any(staged / "0" in path.parents for path in begun)
    assert any(staged / "labels" in path.parents for path in begun)
    begun.clear()
    fuse(plate.path)
    assert begun


def test_the_time_axis_keeps_its_step_and_unit(example_plate: PlateFactory) -> None:
    plate = example_plate(replace(TINY, axes="tczyx"))
    for file in plate.path.glob(f"{WELL}/[0-9]/.zattrs"):
        attributes = json.loads(file.read_text())
        entry = attributes["multiscales"][0]
        entry["axes"][0] = {"name": "t", "type": "time", "unit": "second"}
        for dataset in entry["datasets"]:
            dataset["coordinateTransformations"][0]["scale"][0] = 30.0
        file.write_text(json.dumps(attributes))
    fused = Multiscale.read(fuse(plate.path) / WELL / "0")
    axes: Any = fused.metadata["axes"]
    assert axes[0] == {"name": "t", "type": "time", "unit": "second"}
    assert {scale[0] for scale in fused.scales} == {30.0}
