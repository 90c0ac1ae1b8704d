from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platefuse.engine.affine import AffineView
from platefuse.engine.views import ShiftedView
from platefuse.errors import ViewError
from platefuse.fusion.fields.layers import FieldImage, Layer, SourceImage
from platefuse.fusion.fields.reader import LayerReader, read_image
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.stack import (
    common_axes,
    frame_of,
    frames_for,
    labels_of,
    leading_shape,
    unique_names,
)
from platefuse.ngff.create import create_image, write_group
from platefuse.ngff.image import Image
from platefuse.ngff.metadata import read_attributes, update_attributes
from platefuse.ngff.plate import Plate
from platefuse.testing import AcquisitionSpec, PlateSpec
from platefuse.workflow.checks.preflight import check_common_pixel
from tests.checks import check_fusion
from tests.conftest import PlateFactory
from tests.fields_plate import FieldsPlate

SPEC = PlateSpec(
    wells=("B/03",),
    acquisitions=(AcquisitionSpec(0), AcquisitionSpec(4, path="late")),
    field_shape=(30, 40),
    overlap=6,
    noise=False,
    levels=1,
    tables=("FOV_ROI_table",),
    pixels=False,
)


def named(*numbers: int | None) -> list[Layer]:
    """Layers of which only name and acquisition matter."""
    nowhere = Image(Path("nowhere"), "yx", (1.0, 1.0), ("0",), ((1.0, 1.0),), {}, {}, (), {})
    return [
        Layer(f"image{k}", n, [FieldImage(f"image{k}", nowhere, [], SourceImage.at(nowhere.path))])
        for k, n in enumerate(numbers)
    ]


def layers_of(path: Path) -> list[Layer]:
    well = Plate.open(path).read_wells()[0]
    return LayerReader(FusionOptions()).read(well)


@pytest.mark.parametrize(
    ("numbers", "names", "expected"),
    [
        ([0, 1], [["a"], ["b"]], [["a"], ["b"]]),
        ([0, 1], [["a"], ["a"]], [["a_acq0"], ["a_acq1"]]),
        ([0, 1], [["a", "a_acq1"], ["a"]], [["a_acq0", "a_acq1"], ["a_acq1_2"]]),
        ([None, None], [["a"], ["a"]], [["a_image0"], ["a_image1"]]),
        ([3, 3], [["a"], ["a"]], [["a_image0"], ["a_image1"]]),
        ([3], [["a", "a"]], [["a_acq3", "a_acq3_2"]]),
        ([0, 1], [[None], ["a"]], [[None], ["a"]]),
    ],
)
def test_names_that_clash_get_their_acquisition(
    numbers: list[int | None], names: list[list[str | None]], expected: list[list[str | None]]
) -> None:
    assert unique_names(named(*numbers), names) == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, 0, 1, 2]),
            st.lists(st.sampled_from(["a", "a_acq0", "a_image1", "b", "a_acq0_2"]), max_size=4),
        ),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
def test_names_are_unique_whatever_they_were(
    given_layers: list[tuple[int | None, list[str]]], every: bool
) -> None:
    numbers, names = [n for n, _ in given_layers], [own for _, own in given_layers]
    found = unique_names(named(*numbers), names, every=every)
    flat = [name for own in found for name in own]
    assert len(set(flat)) == len(flat)
    assert [len(own) for own in found] == [len(own) for own in names]


def test_the_frame_covers_the_fields_exactly_at_any_pixel_size(example_plate: PlateFactory) -> None:
    plate = example_plate(SPEC)
    layers = layers_of(plate.path)
    frame = frame_of(layers, [1.0, 0.65, 0.65], "union")
    assert frame.shape == (1, 54, 74)
    for factor, shape in ((2, (27, 37)), (3, (18, 25)), (0.5, (107, 147))):
        frame = frame_of(layers, [1.0, 0.65 * factor, 0.65 * factor], "union")
        assert frame.shape == (1, *shape)
        assert frame.origin == pytest.approx((0.5, -1250.5 + 0.325, 840.25 + 0.325), abs=1e-3)
    assert frame.on_axes("yx").shape == frame.shape[1:]


def test_views_lie_on_whole_pixels_though_tables_are_float32(example_plate: PlateFactory) -> None:
    (layer, _) = layers_of(example_plate(SPEC).path)
    frame = frame_of([layer], [1.0, 0.65, 0.65], "union")
    views = layer.images[0].views(layer.image, frame, "czyx", order=1, first_channel=3)
    starts = [view.placed.start for view in views]
    assert starts == [(3, 0, 0, 0), (3, 0, 0, 34), (3, 0, 24, 0), (3, 0, 24, 34)]
    assert all(isinstance(view, ShiftedView) and view.is_whole for view in views)
    double = frame_of([layer], [1.0, 1.3, 1.3], "union")
    for view in layer.images[0].views(layer.image, double, "czyx", order=1):
        assert isinstance(view, AffineView)
        np.testing.assert_array_equal(np.array(view.offset) % 0.5, 0)


def test_axes_and_channels_of_a_stack(example_plate: PlateFactory) -> None:
    layers = layers_of(example_plate(SPEC).path)
    assert common_axes(layers) == "czyx"
    assert leading_shape(layers, "czyx") == [4]
    flat = layers_of(example_plate(replace(SPEC, axes="tyx", timepoints=2), "flat.zarr").path)
    longer = layers_of(example_plate(replace(SPEC, axes="tcyx", timepoints=3), "long.zarr").path)
    assert common_axes(flat[:1]) == "tyx"
    assert common_axes(flat) == "tcyx"
    assert leading_shape(flat, "tcyx") == [2, 2]
    mixed = [flat[0], longer[1]]
    assert common_axes(mixed) == "tcyx"
    assert leading_shape(mixed, "tcyx") == [3, 3]
    placed = (
        flat[0]
        .images[0]
        .views(flat[0].image, frame_of(mixed, [0.65] * 2, "union"), "tcyx", order=0)
    )
    assert placed[0].box.shape == (2, 1, 30, 40)
    with pytest.raises(ViewError, match=r"axes is zyx, that of image 0 is tyx; they cannot be st"):
        frames_for([[flat[0], layers[1]]], FusionOptions())


def rescale(image: Path, **um: float) -> None:
    """Write another pixel size on some axes into the metadata of an image, or of a label."""
    attributes: Any = read_attributes(image)
    (entry,) = attributes["multiscales"]
    for dataset in entry["datasets"]:
        (scale,) = [t for t in dataset["coordinateTransformations"] if t["type"] == "scale"]
        for axis, size in um.items():
            scale["scale"]["czyx".index(axis)] = size
    update_attributes(image, {"multiscales": [entry]})


@pytest.mark.parametrize("deep", [None, 0, 1])
def test_a_single_plane_is_as_thick_as_the_others_of_its_well(
    tmp_path: Path, deep: int | None
) -> None:
    path = FieldsPlate({"B/03": {0: 2, 1: 2}}, labels=True).write(tmp_path / "flat.zarr")
    for image, um in (("1", 2.0), ("2", 0.3), ("2/labels/nuclei", 4.0), ("3", 0.3)):
        rescale(path / "B/03" / image, z=um)
    if deep is not None:
        stacks = FieldsPlate({"B/03": {0: 2, 1: 2}}, labels=True, planes=3)
        stacks.write(tmp_path / "deep.zarr")
        for image in (str(2 * deep), str(2 * deep + 1)):
            shutil.rmtree(path / "B/03" / image)
            shutil.copytree(tmp_path / "deep.zarr/B/03" / image, path / "B/03" / image)
            rescale(path / "B/03" / image, z=0.7)
            rescale(path / "B/03" / image / "labels/nuclei", z=0.7)
    layers = layers_of(path)
    check_common_pixel(layers)
    frames = frames_for([[layer] for layer in layers], FusionOptions())
    assert frames[0] == frames[1]
    assert frames[0].by_axis(frames[0].spacing)["z"] == pytest.approx(1.0 if deep is None else 0.7)
    assert frames_for([layers], FusionOptions()) == frames[:1]  # they can be stacked
    check_fusion(Plate.open(path), FusionOptions())


def test_pixel_sizes_that_differ_by_rounding_have_one_frame(tmp_path: Path) -> None:
    path = FieldsPlate({"B/03": {0: 1, 1: 1}}).write(tmp_path / "p.zarr")
    rescale(path / "B/03/1", x=0.5 + 1e-12)
    layers = layers_of(path)
    first, second = frames_for([[layer] for layer in layers], FusionOptions())
    assert first == second


def test_labels_have_a_name_of_their_own(example_plate: PlateFactory) -> None:
    layers = layers_of(example_plate(replace(SPEC, labels=("nuclei", "cores"))).path)

    def names(some: Sequence[Layer]) -> list[tuple[str, str]]:
        return [(label.name, label.fused_name) for label in labels_of(some)]

    assert names(layers[:1]) == [("nuclei", "nuclei"), ("cores", "cores")]
    assert [fused for _, fused in names(layers)] == [
        "nuclei_acq0",
        "cores_acq0",
        "nuclei_acq4",
        "cores_acq4",
    ]
    assert labels_of(layers)[3].image.path == layers[1].image.path / "labels" / "cores"


def test_fields_without_pixels_in_a_label_have_no_view(example_plate: PlateFactory) -> None:
    path = example_plate(SPEC).path / "B" / "03" / "0"
    (part,) = layers_of(path.parents[2])[0].images
    outside = replace(part.fields[0], array_um={**part.fields[0].array_um, "y": 500.0})
    frame = frame_of([layers_of(path.parents[2])[0]], [1.0, 0.65, 0.65], "union")
    cut = replace(part, fields=[outside, *part.fields[1:]])
    views = cut.views(part.image, frame, part.image.axes, order=0)
    assert len(views) == len(part.fields) - 1


def test_a_label_with_an_axis_in_space_that_its_image_lacks_is_an_error(tmp_path: Path) -> None:
    made: Any = {"dtype": np.dtype("u2"), "shards": None, "version": "0.4"}
    image, label = tmp_path / "0", tmp_path / "0" / "labels" / "n"
    create_image(image, name="0", axes="yx", pixel_size=[1, 1], shape=[5, 6], chunks=[5, 6], **made)
    write_group(image / "labels", {"labels": ["n"]}, "0.4")
    sizes: Any = {"pixel_size": [1] * 3, "shape": [2, 5, 6], "chunks": [1, 5, 6]}
    create_image(label, name="n", axes="zyx", **sizes, **made)
    with pytest.raises(ViewError, match=r"labels/n.* has the axes 'zyx', its image only 'yx'"):
        read_image(image)


@pytest.mark.parametrize(
    ("changed", "merge", "message"),
    [
        ((0, 1), 0.5, "label 'nuclei': its pixels are float32, and fusion.merge_labels needs int"),
        ((0, 1), None, None),
        ((1,), None, "axes, data type and pixel size of the label are .*float32.*must agree"),
        ((), 0.5, None),
    ],
)
def test_labels_that_cannot_be_fused_are_found_before_the_first_job(
    tmp_path: Path, changed: Sequence[int], merge: float | None, message: str | None
) -> None:
    path = FieldsPlate({"B/03": {0: 2}}, labels=True).write(tmp_path / "p.zarr")
    for number in changed:
        file = path / "B" / "03" / str(number) / "labels" / "nuclei" / "0" / ".zarray"
        file.write_text(json.dumps({**json.loads(file.read_text()), "dtype": "<f4"}))
    options = FusionOptions(merge_labels=merge)
    if message is None:
        check_fusion(Plate.open(path), options)
        return
    with pytest.raises(ViewError, match=message):
        check_fusion(Plate.open(path), options)
