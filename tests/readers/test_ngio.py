"""ngio finds plate, wells, images, labels and tables of a fused plate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.readers.expected import (
    SINGLE,
    SINGLE_ORIGIN_UM,
    ExpectedImage,
    ExpectedPlate,
    assert_levels,
    folder_of_plates,
    plates,
    single_scene,
)

ngio = pytest.importorskip("ngio")
PLATES = plates()
IMAGES = [(plate, image) for plate in PLATES for image in plate.images]
every_plate = pytest.mark.parametrize("plate", PLATES, ids=lambda p: p.path.stem)
every_image = pytest.mark.parametrize(
    ("plate", "image"), IMAGES, ids=[f"{p.path.stem}/{i.well}/{i.path}" for p, i in IMAGES]
)


def box_of(roi: Any) -> list[float]:
    slices = [roi[axis] for axis in "zyx"]
    return [s.start for s in slices] + [s.length for s in slices]


@every_plate
def test_plate_wells_and_acquisitions(plate: ExpectedPlate) -> None:
    found = ngio.open_ome_zarr_plate(plate.path)
    assert (tuple(found.rows), tuple(found.columns)) == (plate.rows, plate.columns)
    assert sorted(found.wells_paths()) == plate.wells
    assert sorted(found.images_paths()) == sorted(f"{i.well}/{i.path}" for i in plate.images)
    for image in plate.images:
        row, column = image.well.split("/")
        assert found.get_image_acquisition_id(row, column, image.path) == image.acquisition


@every_image
def test_image(plate: ExpectedPlate, image: ExpectedImage) -> None:
    container = ngio.open_ome_zarr_container(plate.folder(image))
    levels = [container.get_image(path=path) for path in container.level_paths]
    assert_levels([level.get_as_numpy() for level in levels], plate.pixels(image))
    for number, level in enumerate(levels):
        z, y, x = image.pixel_size_um
        expected = (z, y * 2**number, x * 2**number)
        size = level.pixel_size
        np.testing.assert_allclose((size.z, size.y, size.x), expected)
        assert (level.axes, level.space_unit) == (("c", "z", "y", "x"), "micrometer")
        np.testing.assert_allclose(level.dataset.translation[-3:], image.origin_um)
    assert container.meta.name == f"{image.well.replace('/', '')}_{image.path}"
    if image.channels:
        assert tuple(container.channel_labels) == image.channels


@every_image
def test_label(plate: ExpectedPlate, image: ExpectedImage) -> None:
    container = ngio.open_ome_zarr_container(plate.folder(image))
    assert container.list_labels() == ["nuclei"]
    label = container.get_label("nuclei")
    expected = plate.label(image)  # labels of the fields have an axis c of length 1
    np.testing.assert_array_equal(label.get_as_numpy().reshape(expected.shape), expected)
    size = label.pixel_size
    np.testing.assert_allclose((size.z, size.y, size.x), image.pixel_size_um)


@every_image
def test_boxes_in_micrometres(plate: ExpectedPlate, image: ExpectedImage) -> None:
    container = ngio.open_ome_zarr_container(plate.folder(image))
    assert {*image.boxes} <= {*container.list_tables()}
    for name, boxes in image.boxes.items():
        rois = {roi.get_name(): box_of(roi) for roi in container.get_table(name).rois()}
        assert {*rois} == {*boxes}
        for row, box in boxes.items():
            np.testing.assert_allclose(rois[row], box, rtol=1e-5, atol=1e-4, err_msg=row)


@every_image
def test_a_field_s_box_selects_its_pixels(plate: ExpectedPlate, image: ExpectedImage) -> None:
    container = ngio.open_ome_zarr_container(plate.folder(image))
    sizes = np.array(image.pixel_size_um)
    for roi in container.get_table("FOV_ROI_table").rois():
        box = np.array(image.boxes["FOV_ROI_table"][roi.get_name()])
        start, size = np.rint(box[:3] / sizes).astype(int), np.rint(box[3:] / sizes).astype(int)
        place = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        got = container.get_image().get_roi_as_numpy(roi)
        np.testing.assert_array_equal(got, plate.pixels(image)[(slice(None), *place)])


@every_image
def test_an_object_s_box_selects_its_mask(plate: ExpectedPlate, image: ExpectedImage) -> None:
    container = ngio.open_ome_zarr_container(plate.folder(image))
    masked = container.get_masked_image(masking_label_name="nuclei")
    label = plate.label(image)
    found = int(np.unique(label)[1])
    got = masked.get_roi_masked_as_numpy(found)[0]
    assert (got > 0).sum() == ((label == found) & (plate.pixels(image)[0] > 0)).sum()


@every_image
def test_features_and_conditions(plate: ExpectedPlate, image: ExpectedImage) -> None:
    container = ngio.open_ome_zarr_container(plate.folder(image))
    table = container.get_feature_table("nuclei_features")
    assert table.reference_label == "nuclei"
    frame = table.dataframe
    for column, values in image.features.items():
        got = {str(i): float(v) for i, v in frame[column].items()}
        assert {*got} == {*values}
        for row, value in values.items():
            assert got[row] == pytest.approx(value, rel=1e-6)
    if "condition" in container.list_tables():
        assert len(container.get_condition_table("condition").dataframe) == 1


@pytest.mark.parametrize("name", SINGLE)
def test_image_with_a_position(name: str) -> None:
    level = ngio.open_ome_zarr_container(folder_of_plates() / name).get_image(path="0")
    np.testing.assert_array_equal(level.get_as_numpy().squeeze(), single_scene())
    np.testing.assert_allclose(level.dataset.translation[-2:], SINGLE_ORIGIN_UM)
