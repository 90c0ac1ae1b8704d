from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ome_zarr_models import v04, v05
from scipy import ndimage

from platefuse.errors import ConfigError, PlateError
from platefuse.ngff.plate import Plate
from platefuse.testing import (
    AcquisitionSpec,
    PlateSpec,
    Scene,
    Truth,
    Window,
    make_plate,
)
from platefuse.testing.arrays import Pyramid
from platefuse.testing.camera import add_noise, to_counts
from platefuse.testing.scene import SPACING, scatter
from platefuse.testing.spec import TABLES
from tests.conftest import SMALL, ExamplePlate, PlateFactory
from tests.strategies import AXES, plate_specs
from tests.truth import (
    Array,
    assert_registered,
    assert_same_pixels,
    assert_unregistered,
    read_level,
)

BOXES = [f"{kind}_micrometer" for kind in ("x", "y", "z", "len_x", "len_y", "len_z")]
# Copies of plates in tmp_path are fine for every example: each writes to a folder of its own.
SHARED_FIXTURES = settings(
    max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read_table(path: Path) -> anndata.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return anndata.read_zarr(path)


def attributes(path: Path) -> dict[str, Any]:
    return dict(zarr.open_group(path, mode="r").attrs)


def moved_by_hand(plate: Path, spec: PlateSpec, image: str) -> Array:
    """The definition of registration, spelled out on what is on disk: tables and pixels."""
    tables = [
        read_table(plate / "A/1" / path / "tables/registered_FOV_ROI_table").to_df()[BOXES]
        for path in ("0", image)
    ]
    px = np.array([*spec.pixel_size_um[::-1], *spec.pixel_size_um[::-1]])
    reference, acquisition = (table.to_numpy(float) / px for table in tables)
    pixels = read_level(plate / "A/1" / image)
    new = np.zeros_like(pixels)
    for ref, own in zip(reference, acquisition, strict=True):
        start, size = np.rint(ref[2::-1]).astype(int), np.rint(ref[:2:-1]).astype(int)
        shift = np.rint(ref[2::-1] - own[2::-1]).astype(int)
        target, source = [], []
        for axis in spec.axes:
            if axis in "tc":
                target.append(slice(None))
                source.append(slice(None))
            else:
                i = "zyx".index(axis)
                target.append(slice(start[i], start[i] + size[i]))
                source.append(slice(start[i] - shift[i], start[i] + size[i] - shift[i]))
        new[tuple(target)] = pixels[tuple(source)]
    return new


# The scene.


def test_windows_agree_where_they_overlap() -> None:
    scene = Scene(dataclasses.replace(SMALL, axes="zyx", planes=3), 0)
    whole = Window((0.3, -4.7, 2.45), (60, 70))
    part = Window((0.3, 9.3, 17.45), (30, 40))
    for channel in (0, 1):
        seen = scene.image(whole, channel=channel)[14:44, 15:55]
        np.testing.assert_array_equal(scene.image(part, channel=channel), seen)
    np.testing.assert_array_equal(scene.label(part), scene.label(whole)[14:44, 15:55])


@pytest.mark.parametrize("fraction", [(0.5, 0.0), (0.25, -0.4)])
def test_a_fractional_window_is_the_scene_interpolated(fraction: tuple[float, float]) -> None:
    scene = Scene(dataclasses.replace(SMALL, dtype="float64"), 0)
    whole: Array = scene.image(Window((0, 0, 0), (80, 90)))
    moved: Array = scene.image(Window((0, 20 + fraction[0], 20 + fraction[1]), (40, 50)))
    spline = ndimage.shift(whole, (-fraction[0], -fraction[1]), order=5, mode="nearest")
    contrast = np.ptp(whole)
    assert np.abs(spline[20:60, 20:70] - moved).max() < 0.02 * contrast
    assert np.abs(whole[20:60, 20:70] - moved).max() > 0.05 * contrast


def test_nuclei_have_the_size_that_was_asked_for_and_never_touch() -> None:
    spec = dataclasses.replace(SMALL, field_shape=(400, 400), grid=(1, 1))
    scene = Scene(spec, 0)
    label = scene.label(Window((0, 0, 0), (400, 400)))
    inner = np.setdiff1d(label[20:-20, 20:-20], [0])
    area_um2 = np.bincount(label.ravel())[inner] * 0.65**2
    diameters = 2 * np.sqrt(area_um2 / np.pi)
    assert len(inner) > 50
    assert 0.8 * 14 < np.median(diameters) < 14
    pixels: Array = scene.image(Window((0, 0, 0), (400, 400)))
    assert (pixels[label > 0] > 600).all()
    _, pieces = ndimage.label(label > 0, np.ones((3, 3)))
    assert pieces == len(np.unique(label)) - 1


def test_scattered_places_keep_their_distance() -> None:
    places = scatter(np.array([20.0, 30.0]), np.random.default_rng(0))
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert distance.min() >= SPACING
    assert len(places) > 80


def test_a_nucleus_is_largest_in_its_own_plane() -> None:
    spec = dataclasses.replace(SMALL, planes=5)
    scene = Scene(spec, 0)
    areas = [(scene.label(Window((z, 0, 0), (200, 200))) > 0).sum() for z in range(5)]
    flat = (scene.label(Window((0, 0, 0), (200, 200)), flat=True) > 0).sum()
    assert len(set(areas)) > 1
    assert max(areas) <= flat


def test_noise_is_that_of_a_camera() -> None:
    counts = np.full((300, 300), 1100, np.float32)
    noisy = add_noise(counts, 6, np.random.default_rng(0))
    assert abs(noisy.mean() - 1100) < 1
    assert abs(noisy.std() - np.sqrt(1000 + 36)) < 0.5


@pytest.mark.parametrize("dtype", ["int8", "uint8", ">u2", "uint64", "float16", "float32"])
def test_counts_fit_every_type(dtype: str) -> None:
    counts = np.linspace(100, 5000, 50, dtype=np.float32)
    stored = to_counts(counts, dtype)
    assert stored.dtype == np.dtype(dtype)
    assert np.isfinite(stored).all()
    assert (np.diff(stored.astype(float)) > 0).all()


# The plate.


def test_fields_agree_in_their_overlaps(small_plate: ExamplePlate) -> None:
    pixels = read_level(small_plate.path / "B/02/1")
    height, width = SMALL.field_shape
    for axis, overlap in ((-2, SMALL.overlap_px[0]), (-1, SMALL.overlap_px[1])):
        length = height if axis == -2 else width
        first, second = np.split(pixels, 2, axis=axis)
        end = np.take(first, range(length - overlap, length), axis=axis)
        np.testing.assert_array_equal(end, np.take(second, range(overlap), axis=axis))
        assert np.ptp(end) > 0


@SHARED_FIXTURES
@given(spec=plate_specs())
def test_registered_boxes_show_the_same_tissue(
    spec: PlateSpec, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("plate") / "p.zarr"
    truth = make_plate(path, spec)
    reference = truth.registered("A/1", "0")
    assert (reference > 0).any()
    for acquisition in spec.acquisitions:
        image = acquisition.path
        assert_unregistered(path, truth, "A/1", image)
        moved = moved_by_hand(path, spec, image)
        assert_same_pixels(moved, reference)
        assert_same_pixels(truth.registered("A/1", image), reference)


@SHARED_FIXTURES
@given(spec=plate_specs(fractional=True, whole_pixel_rois=True))
def test_fractional_shifts_are_at_most_half_a_pixel_off(
    spec: PlateSpec, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("plate") / "p.zarr"
    truth = make_plate(path, spec)
    for acquisition in spec.acquisitions:
        expected = truth.registered("A/1", acquisition.path)
        assert_same_pixels(moved_by_hand(path, spec, acquisition.path), expected)
        exact = truth.registered("A/1", acquisition.path, interpolation="linear")
        assert_same_pixels(exact, truth.registered("A/1", "0"))
        drift = truth.shifts_px(acquisition.path) - np.rint(truth.shifts_px(acquisition.path))
        assert (np.abs(drift) <= 0.5).all()


def test_every_field_can_have_a_shift_of_its_own(tmp_path: Path) -> None:
    own = ((1.0, 0.0), (0.0, -2.0))
    moved = AcquisitionSpec(1, (2.0, 1.0), field_shifts_px=own)
    spec = dataclasses.replace(
        SMALL, wells=("A/1",), grid=(1, 2), acquisitions=(AcquisitionSpec(0), moved)
    )
    path = tmp_path / "p.zarr"
    truth = make_plate(path, spec)
    assert truth.shifts_px("1").tolist() == [[0, 3, 1], [0, 2, -1]]
    assert_same_pixels(moved_by_hand(path, spec, "1"), truth.registered("A/1", "0"))


def test_a_well_table_moves_the_whole_array(small_plate: ExamplePlate) -> None:
    truth = small_plate.truth
    moved = truth.registered("B/02", "1", table="registered_well_ROI_table")
    pixels = read_level(small_plate.path / "B/02/1")
    height, width = pixels.shape[-2:]
    np.testing.assert_array_equal(
        moved[..., 3 : height - 2, 4 : width - 5], pixels[..., : height - 5, 9:width]
    )
    assert moved[..., :3, :].max() == moved[..., -5:].max() == 0


@pytest.mark.parametrize("table", ["registered_FOV_ROI_table", None])
def test_the_fused_truth_is_what_the_fields_show(
    small_plate: ExamplePlate, table: str | None
) -> None:
    truth, (height, width) = small_plate.truth, SMALL.field_shape
    fused = truth.fused("B/02", "1", table=table)
    source = truth.registered("B/02", "1") if table else truth.acquired("B/02", "1")
    corner = np.zeros(2, int) if table is None else np.array([3, 4])
    size = np.array([height, width]) - (0 if table is None else np.array([5, 9]))
    pitch = np.array(SMALL.field_shape) - SMALL.overlap_px
    for row, column in np.ndindex(2, 2):
        y, x = corner + np.array([row * height, column * width])
        v, u = pitch * np.array([row, column])
        part = source[..., y : y + size[0], x : x + size[1]]
        np.testing.assert_array_equal(fused.pixels[..., v : v + size[0], u : u + size[1]], part)
    assert fused.covered.all()
    assert fused.pixels.shape[-2:] == tuple(pitch + size)
    origin = np.array(SMALL.stage_origin_um) + corner * 0.65
    assert fused.origin_um == pytest.approx((0, *origin))
    labels = truth.fused_label("B/02", "1", table=table).pixels
    assert (fused.pixels[0][labels > 0] > 600).all()


def test_a_well_table_fuses_a_mosaic_without_overlap() -> None:
    truth = Truth(dataclasses.replace(SMALL, overlap=0))
    fused = truth.fused("B/02", "1", table="registered_well_ROI_table")
    moved = truth.registered("B/02", "1", table="registered_well_ROI_table")
    np.testing.assert_array_equal(moved[..., 3:-2, 4:-5], fused.pixels)
    with pytest.raises(ConfigError, match="mosaic that the stage saw"):
        Truth(SMALL).fused("B/02", "1", table="registered_well_ROI_table")


def test_fields_that_disagree_have_no_fused_truth() -> None:
    moved = AcquisitionSpec(1, (2.0, 1.0), field_shifts_px=((0.3, 0.0), (0.0, -0.2)))
    spec = dataclasses.replace(SMALL, grid=(1, 2), acquisitions=(AcquisitionSpec(0), moved))
    with pytest.raises(ConfigError, match="moved differently"):
        Truth(spec).fused("B/02", "1")
    assert Truth(spec).fused("B/02", "1", interpolation="linear").covered.all()


def test_the_demo_is_registered_up_to_its_noise(demo_plate: ExamplePlate) -> None:
    assert_unregistered(demo_plate.path, demo_plate.truth, "B/03", "2")
    first, second = (read_level(demo_plate.path / "B/03" / image) for image in "02")
    apart = np.corrcoef(first[0, 0, 9:500, 9:600].ravel(), second[0, 0, 9:500, 9:600].ravel())
    together = np.corrcoef(first[0, 0, 9:500, 9:600].ravel(), second[0, 0, 14:505, :591].ravel())
    assert apart[0, 1] < 0.9 < 0.98 < together[0, 1]


def test_a_plate_follows_from_its_seed(tmp_path: Path) -> None:
    spec = dataclasses.replace(SMALL, wells=("A/1",), noise=True, tables=TABLES[:3])
    for name in ("first", "again"):
        make_plate(tmp_path / name, spec)
    make_plate(tmp_path / "other", dataclasses.replace(spec, seed=1))
    files = [p.relative_to(tmp_path / "first") for p in (tmp_path / "first").rglob("*")]
    contents = [
        [
            (tmp_path / name / file).read_bytes()
            for file in files
            if (tmp_path / name / file).is_file()
        ]
        for name in ("first", "again")
    ]
    assert contents[0] == contents[1]
    first, other = (read_level(tmp_path / name / "A/1/0") for name in ("first", "other"))
    assert (first != other).mean() > 0.5


def test_wells_differ(small_plate: ExamplePlate) -> None:
    first, second = (read_level(small_plate.path / well / "0") for well in ("B/02", "B/03"))
    assert (first != second).mean() > 0.5


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "p.zarr").mkdir()
    with pytest.raises(PlateError, match="exists already"):
        make_plate(tmp_path / "p.zarr", SMALL)
    assert not list((tmp_path / "p.zarr").iterdir())


def test_without_pixels_everything_else_is_there(tmp_path: Path) -> None:
    make_plate(tmp_path / "p.zarr", dataclasses.replace(SMALL, pixels=False))
    plate = Plate.open(tmp_path / "p.zarr")
    assert [well.name for well in plate.wells] == ["B/02", "B/03"]
    image = plate.read_wells()[0].path / "2"
    assert not read_level(image).any()
    assert read_table(image / "tables/FOV_ROI_table").shape == (4, 8)
    assert not (image / "0/0").exists()


# The storage.


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", AXES)
def test_every_axis_combination_is_valid_ome_zarr(axes: str, version: str, tmp_path: Path) -> None:
    spec = PlateSpec(
        wells=("A/1", "C/12"),
        axes=axes,
        ngff_version=version,
        timepoints=2 if "t" in axes else 1,
        planes=3 if "z" in axes else 1,
        field_shape=(31, 40),
        levels=2,
        noise=False,
    )
    path = tmp_path / "p.zarr"
    truth = make_plate(path, spec)
    hcs: Any = v04.HCS if version == "0.4" else v05.HCS
    image: Any = v04.Image if version == "0.4" else v05.Image
    label: Any = v04.ImageLabel if version == "0.4" else v05.ImageLabel
    found = hcs.from_zarr(zarr.open_group(path, mode="r")).attributes
    assert [w.path for w in getattr(found, "ome", found).plate.wells] == ["A/1", "C/12"]
    group = zarr.open_group(path / "C/12/2", mode="r")
    found = image.from_zarr(group).attributes
    assert len(getattr(found, "ome", found).multiscales[0].datasets) == 2
    label.from_zarr(zarr.open_group(path / "C/12/2/labels/nuclei", mode="r"))
    assert_unregistered(path, truth, "C/12", "2")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_channels_have_colours_and_windows(version: str, tmp_path: Path) -> None:
    make_plate(tmp_path / "p.zarr", dataclasses.replace(SMALL, ngff_version=version, pixels=False))
    found = attributes(tmp_path / "p.zarr/B/02/0")
    omero = found.get("ome", found)["omero"]
    assert [channel["label"] for channel in omero["channels"]] == ["DAPI", "WGA"]
    assert all(
        set(channel["window"]) == {"min", "max", "start", "end"} for channel in omero["channels"]
    )
    assert all(len(channel["color"]) == 6 for channel in omero["channels"])


def test_arrays_are_stored_as_asked(tmp_path: Path) -> None:
    spec = dataclasses.replace(
        SMALL,
        wells=("A/1",),
        planes=4,
        ngff_version="0.5",
        chunks=(1, 20, 30),
        shards=(2, 40, 60),
        compressor="zstd",
        fill_value=7,
        separator=".",
        level_rounding="ceil",
        coarsening_xy=3,
        coarsening_z=2,
        label_dtype="int64",
        label_axes="yx",
        label_offset=2**24,
        extra_attributes={"lab": {"operator": "me"}},
    )
    make_plate(tmp_path / "p.zarr", spec)
    image = tmp_path / "p.zarr/A/1/0"
    arrays = [zarr.open_array(image / str(level), mode="r") for level in range(3)]
    assert [a.shape for a in arrays] == [(2, 4, 192, 224), (2, 2, 64, 75), (2, 1, 22, 25)]
    document = json.loads((image / "0/zarr.json").read_text())
    assert document["fill_value"] == 7
    assert document["chunk_key_encoding"]["configuration"]["separator"] == "."
    assert arrays[0].shards == (1, 2, 40, 60)
    assert arrays[0].chunks == (1, 1, 20, 30)
    scales = attributes(image)["ome"]["multiscales"][0]["datasets"][1]["coordinateTransformations"]
    assert scales[0]["scale"] == pytest.approx([1, 2, 1.95, 1.95])
    assert attributes(image)["lab"] == {"operator": "me"}
    label = read_level(image / "labels/nuclei")
    assert label.dtype == np.int64
    assert label.shape == (192, 224)
    assert label[label > 0].min() > 2**24


@pytest.mark.parametrize("order", ["C", "F"])
def test_zarr_v2_arrays_look_like_those_of_fractal(order: str, tmp_path: Path) -> None:
    make_plate(tmp_path / "p.zarr", dataclasses.replace(SMALL, order=order, pixels=False))
    document = json.loads((tmp_path / "p.zarr/B/02/0/0/.zarray").read_text())
    assert document["dimension_separator"] == "/"
    assert document["compressor"]["id"] == "blosc"
    assert document["chunks"] == [1, 1, 96, 112]
    assert document["order"] == order


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_byte_orders_other_than_the_machines_are_written(version: str, tmp_path: Path) -> None:
    spec = dataclasses.replace(SMALL, wells=("A/1",), tables=(), dtype=">u2", ngff_version=version)
    truth = make_plate(tmp_path / "p.zarr", spec)
    stored = read_level(tmp_path / "p.zarr/A/1/1")
    np.testing.assert_array_equal(stored, truth.acquired("A/1", "1"))


@pytest.mark.parametrize("rounding", ["floor", "ceil"])
def test_coarser_levels_are_means_and_labels_ids(rounding: str, tmp_path: Path) -> None:
    spec = dataclasses.replace(
        SMALL, axes="yx", field_shape=(7, 9), grid=(1, 1), overlap=0, level_rounding=rounding
    )
    pyramid = Pyramid(spec, "yx", "uint16", is_label=False)
    fine = np.arange(63, dtype=np.uint16).reshape(7, 9) ** 2
    coarse = pyramid.coarsen(fine, pyramid.shapes[1])
    assert coarse.shape == ((3, 4) if rounding == "floor" else (4, 5))
    for y, x in np.ndindex(*coarse.shape):
        block = fine[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        assert abs(coarse[y, x] - block.mean()) <= 0.5
    labels = Pyramid(spec, "yx", "uint16", is_label=True).coarsen(fine, pyramid.shapes[1])
    np.testing.assert_array_equal(labels, fine[::2, ::2][: coarse.shape[0], : coarse.shape[1]])


# The tables.


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_roi_tables_read_back(version: str, tmp_path: Path) -> None:
    spec = dataclasses.replace(SMALL, tables=TABLES[:4], ngff_version=version)
    make_plate(tmp_path / "p.zarr", spec)
    tables = tmp_path / "p.zarr/B/03/1/tables"
    assert attributes(tables)["tables"] == list(TABLES[:4])
    fields = read_table(tables / "FOV_ROI_table")
    assert list(fields.obs_names) == ["FOV_1", "FOV_2", "FOV_3", "FOV_4"]
    assert fields.obs_names.name == "FieldIndex"
    assert list(fields.var_names) == [*BOXES, "x_micrometer_original", "y_micrometer_original"]
    assert fields.X.dtype == np.float32
    frame = fields.to_df()
    np.testing.assert_allclose(frame["x_micrometer"], np.array([0, 112, 0, 112]) * 0.65)
    stage = np.array([0, 0, 86, 86]) * 0.65 - 1250.5
    np.testing.assert_allclose(frame["y_micrometer_original"], stage, rtol=1e-6)
    assert attributes(tables / "FOV_ROI_table")["type"] == "roi_table"
    assert attributes(tables / "FOV_ROI_table")["fractal_table_version"] == "1"
    moved = read_table(tables / "registered_FOV_ROI_table").to_df().iloc[0]
    # Box of the reference from (3, 4); this acquisition moved by (3, -5).
    np.testing.assert_allclose(moved[["y_micrometer", "x_micrometer"]], [0, 9 * 0.65], atol=1e-5)
    well = read_table(tables / "registered_well_ROI_table").to_df().iloc[0]
    np.testing.assert_allclose(well["len_x_micrometer"], (224 - 9) * 0.65, rtol=1e-6)


def files_of(table: Path) -> list[str]:
    """The files of a table. Texts with a mask (pandas 3) count as the array they stand for."""
    groups = [path.parent for path in table.rglob(".zgroup")]
    kinds = {group: attributes(group).get("encoding-type") for group in groups}
    masked = {group for group, kind in kinds.items() if kind == "nullable-string-array"}
    files = {path for path in table.rglob("*") if path.is_file() and path.name != ".zmetadata"}
    files -= {path for path in files if masked.intersection(path.parents)}
    files |= {group / name for group in masked for name in (".zarray", ".zattrs", "0")}
    return sorted(str(path.relative_to(table)) for path in files)


def test_tables_have_the_form_of_the_real_plate(
    real_plate: Path, small_plate: ExamplePlate
) -> None:
    for table in TABLES[:3]:
        real, ours = (plate / "B/03/1/tables" / table for plate in (real_plate, small_plate.path))
        assert attributes(real) == attributes(ours)
        assert files_of(real) == files_of(ours)
        assert list(read_table(real).var_names) == list(read_table(ours).var_names)
        assert read_table(real).obs_names.name == read_table(ours).obs_names.name


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_measured_tables_fit_their_label(version: str, tmp_path: Path) -> None:
    spec = dataclasses.replace(
        SMALL, wells=("A/1",), tables=TABLES[-3:], ngff_version=version, label_offset=1000
    )
    make_plate(tmp_path / "p.zarr", spec)
    image = tmp_path / "p.zarr/A/1/1"
    label, pixels = read_level(image / "labels/nuclei")[0], read_level(image)[0, 0]
    boxes = read_table(image / "tables/nuclei_ROI_table")
    features = read_table(image / "tables/nuclei_features")
    ids = np.setdiff1d(label, [0])
    for table in (boxes, features):
        np.testing.assert_array_equal(table.obs["label"].to_numpy(int), ids)
    for name, kind in (
        ("nuclei_ROI_table", "masking_roi_table"),
        ("nuclei_features", "feature_table"),
    ):
        found = attributes(image / "tables" / name)
        assert found["type"] == kind
        assert found["region"] == {"path": "../labels/nuclei"}
        assert found["instance_key"] == "label"
    chosen = ids[len(ids) // 2]
    rows, columns = np.nonzero(label == chosen)
    box = boxes.to_df()[BOXES].to_numpy()[len(ids) // 2] / np.float32(0.65)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    np.testing.assert_allclose(
        box[[0, 1, 3, 4]], [columns.min(), rows.min(), width, height], rtol=1e-5
    )
    mean = features.to_df()["mean_intensity"].to_numpy()[len(ids) // 2]
    assert mean == pytest.approx(pixels[label == chosen].mean(), rel=1e-5)
    condition = read_table(image / "tables/condition")
    assert condition.obs["drug"].tolist() == ["DMSO"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("backend", ["csv", "json", "parquet"])
def test_other_backends_hold_the_same_rows(backend: str, version: str, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    if backend == "parquet":
        pytest.importorskip("pyarrow")
    spec = dataclasses.replace(SMALL, ngff_version=version)
    make_plate(tmp_path / "p.zarr", spec)
    other = dataclasses.replace(spec, table_backends={"FOV_ROI_table": backend})
    make_plate(tmp_path / "q.zarr", other)
    table = tmp_path / "q.zarr/B/02/1/tables/FOV_ROI_table"
    if backend == "csv":
        rows = pandas.read_csv(table / "table.csv")
    elif backend == "parquet":
        rows = pandas.read_parquet(table / "table.parquet")
    else:
        rows = pandas.DataFrame(attributes(table / "table"))
    found = attributes(table)
    assert found["backend"] == backend
    assert found["type"] == "roi_table"
    rows = rows.set_index(found["index_key"])
    expected = read_table(tmp_path / "p.zarr/B/02/1/tables/FOV_ROI_table").to_df()
    pandas.testing.assert_frame_equal(
        rows, expected, check_dtype=False, check_index_type=False, rtol=1e-6
    )


# The parameters.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wells": ()}, "at least one"),
        ({"wells": ("B03",)}, "B/03"),
        ({"axes": "zcyx"}, "in this order"),
        ({"axes": "yx", "planes": 2}, "an axis for it"),
        ({"dtype": "complex64"}, "an integer or a float"),
        ({"dtype": "what"}, "an integer or a float"),
        ({"label_dtype": "float32"}, "an integer"),
        ({"label_axes": "cyx"}, "without c"),
        ({"overlap": 96}, "less than a field"),
        ({"reference_acquisition": 5}, "one of"),
        ({"reference_acquisition": 1}, "zeros"),
        ({"shards": (200, 200)}, "NGFF 0.5"),
        ({"tables": ("cells",)}, "registered_FOV_ROI_table"),
        ({"table_backends": {"FOV_ROI_table": "xls"}}, "parquet"),
        ({"labels": (), "tables": ("nuclei_features",)}, "a label"),
        ({"acquisitions": (AcquisitionSpec(0), AcquisitionSpec(0))}, "different paths"),
    ],
)
def test_impossible_plates_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SMALL, **changes)


def test_impossible_scenes_are_refused(tmp_path: Path) -> None:
    crowded = dataclasses.replace(SMALL, label_dtype="uint8", nucleus_diameter_um=3)
    with pytest.raises(ConfigError, match="wider type"):
        make_plate(tmp_path / "p.zarr", crowded)
    apart = (AcquisitionSpec(0), AcquisitionSpec(1, (0, 200)))
    with pytest.raises(ConfigError, match="no tissue in common"):
        make_plate(tmp_path / "q.zarr", dataclasses.replace(SMALL, acquisitions=apart))


@given(number=st.integers(0, 5), path=st.sampled_from(["", "0_illum_corr"]))
def test_an_image_is_named_after_its_acquisition(number: int, path: str) -> None:
    assert AcquisitionSpec(number, path=path).path == (path or str(number))


def test_the_small_plate_is_registered_where_it_is_the_reference(
    example_plate: PlateFactory,
) -> None:
    still = dataclasses.replace(SMALL, acquisitions=(AcquisitionSpec(0),))
    plate = example_plate(still)
    assert_registered(plate.path, plate.truth, "B/02", "0")
