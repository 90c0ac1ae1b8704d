from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from platefuse.engine.affine import AffineView
from platefuse.engine.views import ShiftedView
from platefuse.errors import TableError
from platefuse.fusion.fields.field import Field, find_fields, whole_image
from platefuse.fusion.fields.layers import FieldImage, SourceImage
from platefuse.fusion.fields.maps import pixel_map, placed_box, precision_px
from platefuse.fusion.frame import Frame
from platefuse.geometry import Box
from platefuse.ngff.image import Image, Multiscale
from platefuse.ngff.tables.table import write_roi_table
from platefuse.ngff.zarr_format import V2
from platefuse.records import RegistrationRecord
from platefuse.testing import AcquisitionSpec, PlateSpec
from tests.conftest import PlateFactory
from tests.records import registration_record, roi

SPEC = PlateSpec(
    wells=("B/03",),
    acquisitions=(AcquisitionSpec(0),),
    grid=(1, 2),
    field_shape=(30, 40),
    overlap=6,
    pixel_size_um=(2.0, 0.5, 0.5),
    planes=3,
    noise=False,
    levels=1,
    tables=("FOV_ROI_table",),
    pixels=False,
)


@pytest.fixture
def image(example_plate: PlateFactory) -> Path:
    return example_plate(SPEC).path / "B" / "03" / "0"


def registered(image: Path, *rois: tuple[str, list[int], list[int]], axes: str = "zyx") -> None:
    """Leave the record of a registration: ROIs by name, start and size in pixels."""
    entries = [roi(n, (0.0,) * len(axes), tuple(start), tuple(size)) for n, start, size in rois]
    registration_record(*entries, axes=axes).write(image)


def fields_of(image: Path, table: str = "FOV_ROI_table") -> list[Field]:
    return find_fields(image, Multiscale.read(image), table, RegistrationRecord.read(image))


def boxes(image: Path) -> list[Box]:
    found = Multiscale.read(image)
    return [field.box(found, found) for field in fields_of(image)]


def rewrite(image: Path, **columns: list[float]) -> None:
    """A table `tiles` like the tile table, with some columns changed."""
    rows: dict[str, dict[str, float]] = {
        f"FOV_{k + 1}": {
            "x_micrometer": 20.0 * k,
            "y_micrometer": 0.0,
            "z_micrometer": 0.0,
            "len_x_micrometer": 20.0,
            "len_y_micrometer": 15.0,
            "len_z_micrometer": 6.0,
            **{name: values[k] for name, values in columns.items()},
        }
        for k in range(2)
    }
    write_roi_table(image, "tiles", rows)


def test_whole_fields_where_nothing_was_registered(image: Path) -> None:
    assert boxes(image) == [Box((0, 0, 0), (3, 30, 40)), Box((0, 0, 40), (3, 30, 80))]
    first, second = fields_of(image)
    assert (first.name, first.data) == ("FOV_1", None)
    assert second.array_um == {"z": 0.0, "y": 0.0, "x": 20.0}
    assert second.stage_um["x"] == pytest.approx(840.25 + 17)
    found = Multiscale.read(image)
    assert second.shift_um(found) == pytest.approx((0, -1250.5, 837.25))


def test_a_registered_field_is_what_its_own_roi_shows(image: Path) -> None:
    registered(image, ("FOV_2", [0, 2, 43], [3, 25, 37]), ("FOV_1", [1, 0, 0], [2, 30, 35]))
    assert boxes(image) == [Box((1, 0, 0), (3, 30, 35)), Box((0, 2, 43), (3, 27, 80))]


def test_a_well_table_s_one_box_holds_for_all_fields(image: Path) -> None:
    registered(image, ("well_1", [0, 3, 5], [3, 20, 70]))
    assert boxes(image) == [Box((0, 3, 5), (3, 23, 40)), Box((0, 3, 40), (3, 23, 75))]


def test_rois_of_other_names_go_by_their_order(image: Path) -> None:
    registered(image, ("a", [0, 0, 1], [3, 30, 39]), ("b", [0, 0, 42], [3, 30, 38]))
    assert [box.start[2] for box in boxes(image)] == [1, 42]


def test_a_field_without_data_is_left_out(image: Path) -> None:
    registered(image, ("well_1", [0, 0, 0], [3, 30, 40]))
    assert [field.name for field in fields_of(image)] == ["FOV_1"]
    registered(image, ("well_1", [0, 0, 80], [3, 30, 0]))
    with pytest.raises(TableError, match="outside its registered ROI"):
        fields_of(image)


def test_a_label_with_larger_pixels_has_its_share_of_the_field(
    example_plate: PlateFactory, image: Path
) -> None:
    registered(image, ("FOV_1", [0, 4, 0], [3, 26, 40]), ("FOV_2", [0, 0, 46], [3, 30, 34]))
    coarse = replace(
        SPEC,
        name="coarse",
        axes="cyx",
        planes=1,
        pixel_size_um=(2.0, 1.0, 1.0),
        field_shape=(15, 20),
    )
    label = Multiscale.read(example_plate(coarse, "coarse.zarr").path / "B" / "03" / "0")
    first, second = fields_of(image)
    finest = Multiscale.read(image)
    assert first.box(label, finest) == Box((2, 0), (15, 20))
    assert second.box(label, finest) == Box((0, 23), (15, 40))


def test_without_stage_columns_the_array_is_the_stage(image: Path) -> None:
    rewrite(image)
    for field in fields_of(image, "tiles"):
        assert field.stage_um == field.array_um


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x_micrometer": [0.0, 21.0]}, r"'FOV_2' covers pixels 42 to 82 in x, but .* has 80"),
        ({"len_z_micrometer": [6.0, 12.0]}, r"'FOV_2' covers pixels 0 to 6 in z, but .* has 3"),
        ({"len_y_micrometer": [0.0, 15.0]}, r"'FOV_1' .* is 0 µm long"),
        (
            {"y_micrometer_original": [0.0, 0.0], "x_micrometer_original": [0.0, float("nan")]},
            "x_micrometer_original of row 'FOV_2'",
        ),
        (
            {"x_micrometer_original": [0.0, 17.5]},
            r"on the stage in \['x_micrometer_original'\] and not in \['y_micrometer_original'\]",
        ),
    ],
)
def test_tables_that_cannot_be(image: Path, columns: dict[str, Any], message: str) -> None:
    rewrite(image, **columns)
    with pytest.raises(TableError, match=message):
        fields_of(image, "tiles")


def test_two_fields_of_one_name_are_an_error(image: Path) -> None:
    rewrite(image)
    table = image / "tables" / "twice"
    table.mkdir()
    (table / ".zgroup").write_text('{"zarr_format": 2}')
    attributes = {"type": "roi_table", "backend": "csv", "index_key": "FieldIndex"}
    (table / ".zattrs").write_text(json.dumps(attributes))
    columns = [f"{kind}{axis}_micrometer" for kind in ("", "len_") for axis in "xyz"]
    rows = ["FOV_1,0,0,0,20,15,6", "FOV_1,20,0,0,20,15,6"]
    (table / "table.csv").write_text("\n".join([",".join(["FieldIndex", *columns]), *rows]))
    with pytest.raises(TableError, match="two fields have the name 'FOV_1'"):
        fields_of(image, "twice")


def test_a_field_may_stick_out_by_a_pixel(image: Path) -> None:
    rewrite(image, x_micrometer=[0.0, 20.5])
    found = Multiscale.read(image)
    assert fields_of(image, "tiles")[1].box(found, found) == Box((0, 0, 41), (3, 30, 80))


def test_records_that_do_not_fit(image: Path) -> None:
    registered(image, ("FOV_1", [0, 0], [30, 40]), axes="yx")
    with pytest.raises(TableError, match="ROIs on the axes yx, the image zyx"):
        fields_of(image)
    rois = [(name, [0, 0, 0], [3, 30, 40]) for name in ("a", "b", "c")]
    registered(image, *rois)
    with pytest.raises(TableError, match=r"'FOV_1' has no registered ROI; .*\['a', 'b', 'c'\]"):
        fields_of(image)


def test_fields_that_share_names_with_rois_are_not_paired_by_order(image: Path) -> None:
    """The first field had the region of the second, which lies elsewhere: it was left out."""
    registered(image, ("FOV_2", [0, 0, 40], [3, 30, 40]), ("b", [0, 0, 0], [3, 30, 40]))
    with pytest.raises(TableError, match=r"'FOV_1' has no registered ROI; .*\['FOV_2', 'b'\]"):
        fields_of(image)


def test_registered_rois_without_a_field_are_told(
    image: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rois = [(name, [0, 0, x], [3, 30, 40]) for name, x in (("FOV_1", 0), ("FOV_2", 40), ("c", 0))]
    registered(image, *rois)
    assert len(fields_of(image)) == 2
    assert "no field has the registered ROIs ['c']" in caplog.text
    caplog.clear()
    registered(image, *rois[:2])
    fields_of(image)
    assert not caplog.text


def test_positions_in_tables_are_as_precise_as_float32(image: Path) -> None:
    found = Multiscale.read(image)
    near = fields_of(image)
    far = [replace(field, stage_um={**field.stage_um, "x": 200000.0}) for field in near]
    assert precision_px(near, found, has_table=True) == pytest.approx(
        4 * 2501 * 1.1920929e-07, rel=1e-3
    )
    assert precision_px(far, found, has_table=True) == pytest.approx(
        4 * 400000 * 1.1920929e-07, rel=1e-3
    )
    here = [replace(field, stage_um=dict.fromkeys("zyx", 0.0)) for field in near]
    assert precision_px(here, found, has_table=True) == 1e-3
    assert precision_px(far, found, has_table=False) == 1e-3


def frame(spacing: float = 0.5) -> Frame:
    """A frame that begins with the first pixel of the table `tiles`."""
    return Frame("zyx", (2.0, spacing, spacing), (1.0, 0.25, 0.25), (3, 40, 90))


def layer_of(image: Path, table: str = "FOV_ROI_table") -> FieldImage:
    return FieldImage("0", Image.read(image), fields_of(image, table), SourceImage.at(image))


def test_extents_are_from_the_first_pixel_centre_to_the_last(image: Path) -> None:
    first, second = layer_of(image).extents(Multiscale.read(image).pixel_size_um)
    np.testing.assert_allclose(first.low, [1, -1250.5 + 0.25, 840.25 + 0.25])
    np.testing.assert_allclose(first.high, [5, -1250.5 + 14.75, 840.25 + 19.75])
    np.testing.assert_allclose(first.first_plane_high, [1, *first.high[1:]])
    np.testing.assert_allclose(first.reach, [1, 0.25, 0.25])
    np.testing.assert_allclose(second.low - first.low, [0, 0, 17])


def test_positions_close_to_a_pixel_of_the_image_are_on_it_whatever_the_spacing(
    image: Path,
) -> None:
    rewrite(
        image, y_micrometer_original=[0.0, 0.0], x_micrometer_original=[0.0, 17.50004]
    )  # 5 pixels less than in the array
    layer = layer_of(image, "tiles")
    shifted, coarse = (
        layer.views(layer.image, frame(spacing), layer.image.axes, order=1)[1]
        for spacing in (0.5 * (1 + 4e-7), 1.0)
    )
    assert isinstance(shifted, ShiftedView)
    assert shifted.is_whole  # a spacing that float32 rounded makes no fraction of a pixel
    assert shifted.shift_px[-1] == -5
    assert isinstance(coarse, AffineView)
    assert coarse.offset[-1] == -2.5


def test_a_field_that_was_not_taken_has_no_view_but_its_labels_have(image: Path) -> None:
    zarr.open_array(image / "0", mode="r+")[..., :40] = 7  # all of the second field is 0
    rewrite(image)
    layer = layer_of(image, "tiles")
    (view,) = layer.views(layer.image, frame(), layer.image.axes, order=0)
    assert view.box.stop[-1] == 40
    label = layer.image.labels["nuclei"]
    assert len(layer.views(label, frame(), layer.image.axes, order=0)) == 2


@pytest.mark.parametrize("fields", [1, 2])
def test_an_image_of_zeros_has_views_only_where_fields_are_neighbours(
    image: Path, fields: int
) -> None:
    layer = layer_of(image)
    layer = replace(layer, fields=layer.fields[:fields])
    assert len(layer.views(layer.image, frame(), layer.image.axes, order=0)) == (0, 2)[fields - 1]


@pytest.fixture
def flat(example_plate: PlateFactory) -> Path:
    """As `image`, with one plane."""
    spec = replace(SPEC, name="flat", planes=1)
    return example_plate(spec, "flat.zarr").path / "B" / "03" / "0"


def test_the_only_field_of_an_image_is_all_of_it(image: Path, flat: Path) -> None:
    position = {"z": 8.0, "y": -3.0}
    field = whole_image("all", Multiscale.read(image), position)
    assert field.length_um == {"z": 6.0, "y": 15.0, "x": 40.0}
    assert field.array_um == {"z": 0.0, "y": 0.0, "x": 0.0}
    assert field.stage_um == {"z": 8.0, "y": -3.0, "x": 0.0}
    # One plane is the whole depth: its position is where the focus was.
    assert whole_image("all", Multiscale.read(flat), position).stage_um["z"] == 0.0


def test_planes_are_placed_in_z_but_where_one_plane_is_the_whole_depth(
    image: Path, flat: Path
) -> None:
    for path, planes, offset in ((image, 3, 2.0), (image, 1, 2.0), (flat, 3, 2.0), (flat, 1, 0.0)):
        found = Multiscale.read(path)
        field = replace(whole_image("all", found, {}), stage_um={"z": 4.0, "y": 0.0, "x": 0.0})
        target = replace(frame(), shape=(planes, 40, 90))
        assert pixel_map(field, found, target, 1e-3).offset == (offset, 0, 0)


def test_the_focus_of_one_plane_is_the_lowest_of_all_fields(flat: Path) -> None:
    rewrite(flat, z_micrometer=[5.0, 3.0], len_z_micrometer=[2.0, 2.0])
    assert [field.stage_um["z"] for field in fields_of(flat, "tiles")] == [3.0, 3.0]
    table = flat / "tables" / "no_z"
    V2.write_group(table, {"type": "roi_table", "backend": "csv"})
    columns = [f"{kind}{axis}_micrometer" for kind in ("", "len_") for axis in "xy"]
    (table / "table.csv").write_text("\n".join([",".join(["FieldIndex", *columns]), "a,0,0,20,15"]))
    assert [field.stage_um["z"] for field in fields_of(flat, "no_z")] == [0.0]


@pytest.mark.parametrize(
    ("x_um", "first", "last"),
    [
        (0.0, 0, 79),
        (2.0, 4, 83),
        (-2.0, 0, 75),  # cut at the begin of the frame
        (2.24, 4, 83),
        (2.25, 4, 83),  # a centre on the border is in the field at its begin, not at its end
        (2.26, 5, 84),
        (10.0, 20, 89),  # cut at the end of the frame
    ],
)
def test_a_field_covers_the_pixels_whose_centres_lie_in_it(
    image: Path, x_um: float, first: int, last: int
) -> None:
    found = Multiscale.read(image)
    box = placed_box(whole_image("all", found, {"x": x_um}), found, frame(), 1e-3)
    assert box == Box((0, 0, first), (3, 30, last + 1))
