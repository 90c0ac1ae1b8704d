"""Boxes go where their pixels went."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from platefuse.geometry import Box
from platefuse.ngff.create import write_group
from platefuse.ngff.image import Multiscale
from platefuse.ngff.plate import Plate
from platefuse.ngff.tables.move import MovedRegion, move_boxes, moved_columns
from platefuse.ngff.tables.table import Table, read_table
from platefuse.records import RegistrationRecord
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.stage import register_image
from platefuse.registration.swap import swap_image
from platefuse.registration.tables import copy_tables
from platefuse.testing import PlateSpec
from tests.conftest import SMALL

REQUEST = RegistrationRequest("registered_FOV_ROI_table")


def test_a_box_moves_with_the_piece_that_holds_most_of_it_and_is_cut_to_it() -> None:
    left = MovedRegion((0.0, 0.0), (10.0, 10.0), (1.0, 2.0))
    right = MovedRegion((0.0, 12.0), (10.0, 20.0), (-3.0, 0.5))
    start = np.array([[2.0, 2.0], [2.0, 8.0], [4.0, 9.0], [0.0, 10.5]])
    length = np.array([[3.0, 3.0], [3.0, 6.0], [3.0, 9.0], [5.0, 1.0]])
    moved, kept = move_boxes(start, length, [left, right])
    np.testing.assert_allclose(moved[:3], np.array([[3, 4], [3, 10], [1, 12.5]]))
    np.testing.assert_allclose(kept, np.array([[3, 3], [3, 2], [3, 6], [0, 0]]))


def test_a_box_encloses_what_all_pieces_hold_of_it() -> None:
    # Fields of 10 that overlap by 4: the second is moved by -4. An object at 5 to 11 of the
    # scene is at 5 to 10 of the first and at 10 to 15 of the second.
    fields = [MovedRegion((0.0,), (10.0,), (0.0,)), MovedRegion((10.0,), (20.0,), (-4.0,))]
    start, length = np.array([[5.0], [12.0], [30.0]]), np.array([[10.0], [3.0], [5.0]])
    moved, kept = move_boxes(start, length, fields, enclose=True)
    np.testing.assert_allclose(moved[:2], [[5], [8]])
    np.testing.assert_allclose(kept, [[6], [3], [0]])


def test_a_box_encloses_only_regions_that_hold_it_on_every_axis() -> None:
    whole = MovedRegion((0.0, 0.0), (10.0, 10.0), (1.0, 1.0))
    below = MovedRegion((20.0, 0.0), (30.0, 10.0), (100.0, 100.0))
    box = np.array([[2.0, 3.0]]), np.array([[4.0, 5.0]])
    moved, kept = move_boxes(*box, [whole, below], enclose=True)
    np.testing.assert_array_equal((moved, kept), ([[3, 4]], [[4, 5]]))


C, S = 0.75**0.5, 0.5
TURN = ((1.0, 0.0, 0.0), (0.0, C, S), (0.0, -S, C))
"""From x to y by 30°, on z, y, x."""


@pytest.mark.parametrize("enclose", [False, True])
@pytest.mark.parametrize("axes", [[0, 1, 2], [1, 2]])
def test_a_turned_box_is_enclosed_by_the_box_along_the_axes(axes: list[int], enclose: bool) -> None:
    """By hand: a square of 4 at (6, 2) of y and x, whose corners go to y = c·y + s·x."""
    start, stop, shift, extent = (0, 0, 0), (9, 20, 20), (1, 0, 5), (9, 50, 50)
    turned = MovedRegion(start, stop, shift, TURN, extent).along(axes)
    still = MovedRegion((0, 30, 0), (9, 50, 20), (1, 2, 3)).along(axes)
    boxes = np.array([[2.0, 6.0, 2.0], [2.0, 32.0, 2.0], [2.0, -3.0, 18.0]])[:, axes]
    length = np.array([[3.0, 4.0, 4.0]] * 3)[:, axes]
    moved, kept = move_boxes(boxes, length, [turned, still], enclose=enclose)
    # corners (6, 2), (6, 6), (10, 2), (10, 6): y from 6c + 2s to 10c + 6s, x from 2c - 10s + 5 to
    # 6c - 6s + 5
    by_hand = [[3, 6 * C + 2 * S, 2 * C - 10 * S + 5], [3, 34, 5]]
    np.testing.assert_allclose(moved[:2], np.array(by_hand)[:, axes])
    sizes = [[3, 4 * C + 4 * S, 4 * C + 4 * S], [3, 4, 4]]
    np.testing.assert_allclose(kept[:2], np.array(sizes)[:, axes])
    # only y from 0 to 1 and x from 18 to 20 are in the region: 1 and 2 long
    by_hand = [[3, 18 * S, 18 * C - S + 5]]
    np.testing.assert_allclose(moved[2:], np.array(by_hand)[:, axes])
    np.testing.assert_allclose(kept[2:], np.array([[3, C + 2 * S, 2 * C + S]])[:, axes])


def test_a_turned_box_is_cut_to_the_new_image() -> None:
    region = MovedRegion((0, 0), (20, 20), (0, -8), ((C, S), (-S, C)), (9, 9))
    # y from 18s = 9 on: nothing is left
    _, kept = move_boxes(np.array([[0.0, 18.0]]), np.array([[4.0, 4.0]]), [region])
    assert not kept.any()
    moved, kept = move_boxes(np.array([[2.0, 12.0]]), np.array([[4.0, 4.0]]), [region])
    # y from 2c + 12s = 7.73 to 9, x from 12c - 6s - 8 < 0 to 16c - 2s - 8 = 4.86
    np.testing.assert_allclose((moved, kept), ([[2 * C + 6, 0]], [[3 - 2 * C, 16 * C - 9]]))


@pytest.mark.parametrize("enclose", [False, True])
@pytest.mark.parametrize(("far", "least"), [(0.0, 1e-3), (2.0**20, 0.5)])
def test_what_rounding_may_leave_of_a_box_is_nothing(
    enclose: bool, far: float, least: float
) -> None:
    # The columns are float32, so that positions are less precise the farther away the boxes are.
    start = np.array([[0.0, 0.0], [0.0, 0.0], [far, 0.0]])
    length = np.array([[least, 9.0], [1.001 * least, 9.0], [5.0, 9.0]])
    region = MovedRegion((0.0, 0.0), (2.0**21, 20.0), (0.0, 0.0))
    _, kept = move_boxes(start, length, [region], enclose=enclose)
    np.testing.assert_allclose(kept, [[0, 0], *length[1:]])


@given(
    st.lists(st.tuples(st.floats(0, 90), st.floats(1, 10)), min_size=1, max_size=5),
    st.floats(-20, 20),
)
def test_a_box_inside_its_piece_keeps_its_size(
    boxes: list[tuple[float, float]], shift: float
) -> None:
    start, length = (np.array([[b[k]] for b in boxes]) for k in (0, 1))
    moved, kept = move_boxes(start, length, [MovedRegion((0.0,), (100.0,), (shift,))])
    np.testing.assert_allclose(moved, start + shift)
    np.testing.assert_allclose(kept, length)


def boxes_named(*names: str) -> Table:
    """A table with one box, of 2 × 3 µm at (10, 20), for each name."""
    numbers = {"y_micrometer": 10.0, "x_micrometer": 20.0}
    numbers |= {"len_y_micrometer": 2.0, "len_x_micrometer": 3.0}
    return Table(Path("t"), names, {c: (n,) * len(names) for c, n in numbers.items()})


def make_label(path: Path, axes: str, *shape: int) -> Multiscale:
    """A label with pixels of 5 × 2 × 0.5 µm."""
    scale = [{"z": 5.0, "y": 2.0, "x": 0.5}[axis] for axis in axes]
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    named = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in axes]
    write_group(path, {"multiscales": [{"axes": named, "datasets": [level]}]}, "0.4")
    zarr.create_array(path / "0", shape=shape, dtype="u2", zarr_format=2)
    return Multiscale.read(path)


@pytest.fixture
def label(tmp_path: Path) -> Multiscale:
    """A label of 40 × 50 pixels."""
    return make_label(tmp_path, "yx", 40, 50)


@pytest.mark.parametrize(
    ("shape", "z_of_table", "expected"),
    [
        ((3, 40, 50), True, {"z": (5.0, 10.0), "y": (12.0, 4.0), "x": (20.5, 3.0)}),
        ((1, 40, 50), True, {"z": (0.0, 15.0), "y": (12.0, 4.0), "x": (20.5, 3.0)}),
        ((3, 40, 50), False, {"y": (12.0, 4.0), "x": (20.5, 3.0)}),
        ((3, 1, 50), True, {"z": (5.0, 10.0), "y": (0.0, 2.0), "x": (20.5, 3.0)}),
    ],
)
def test_boxes_of_a_flat_label_keep_the_planes_for_which_it_holds(
    tmp_path: Path,
    shape: tuple[int, ...],
    z_of_table: bool,
    expected: dict[str, tuple[float, float]],
) -> None:
    table = boxes_named("7")
    if z_of_table:
        planes = {"z_micrometer": (0.0,), "len_z_micrometer": (15.0,)}
        table = replace(table, columns={**table.columns, **planes})
    z, y = ((0, 1) if n == 1 else ends for n, ends in zip(shape, [(1, 3), (6, 8)], strict=False))
    objects = {7: Box((z[0], y[0], 41), (z[1], y[1], 47))}
    flat_label = make_label(tmp_path, "zyx", *shape)
    numbers, _ = moved_columns(table, [], "zyx", label=flat_label, objects=objects)
    found = {
        axis: (numbers[f"{axis}_micrometer"][0], numbers[f"len_{axis}_micrometer"][0])
        for axis in "zyx"
        if f"{axis}_micrometer" in numbers
    }
    assert found == expected


@pytest.mark.parametrize(
    ("shift", "cut", "expected"),
    [
        (0.0, 5.0, (0.0, 5.0)),  # one plane of three is left
        (5.0, 10.0, (5.0, 10.0)),
        (-20.0, 0.0, (0.0, 15.0)),  # nothing is left: the planes of the table
    ],
)
def test_the_planes_for_which_a_flat_label_holds_move_with_the_image(
    tmp_path: Path, shift: float, cut: float, expected: tuple[float, float]
) -> None:
    planes = {"z_micrometer": (0.0,), "len_z_micrometer": (15.0,)}
    table = boxes_named("7")
    table = replace(table, columns={**table.columns, **planes})
    flat_label = make_label(tmp_path, "zyx", 1, 40, 50)
    region = MovedRegion((0.0, 0.0, 0.0), (cut, 80.0, 25.0), (shift, 4.0, 0.5))
    objects = {7: Box((0, 6, 41), (1, 8, 47))}
    numbers, keep = moved_columns(table, [region], "zyx", label=flat_label, objects=objects)
    assert keep.all()
    assert (numbers["z_micrometer"][0], numbers["len_z_micrometer"][0]) == expected
    assert numbers["y_micrometer"][0] == 12.0


MOVED = [MovedRegion((0.0, 0.0), (80.0, 25.0), (4.0, 0.5))]
OBJECTS = {7: Box((6, 41), (8, 47)), 9: Box((0, 0), (1, 1))}


def test_boxes_of_objects_are_those_of_their_pixels(label: Multiscale) -> None:
    table = boxes_named("7", "8")
    numbers, keep = moved_columns(table, MOVED, "yx", label=label, objects=OBJECTS)
    assert keep.tolist() == [True, False]
    assert {column: values[0] for column, values in numbers.items()} == {
        "y_micrometer": 12.0,
        "x_micrometer": 20.5,
        "len_y_micrometer": 4.0,
        "len_x_micrometer": 3.0,
    }


@pytest.mark.parametrize("names", [("7", "8"), ("a", "b")])
def test_boxes_are_moved_with_their_region_where_no_object_is_known(
    label: Multiscale, names: tuple[str, str]
) -> None:
    known = names == ("a", "b")  # objects are, but these names are no ids
    numbers, keep = moved_columns(
        boxes_named(*names),
        MOVED,
        "yx",
        label=label if known else None,
        objects=OBJECTS if known else None,
    )
    assert keep.all()
    assert {column: values.tolist() for column, values in numbers.items()} == {
        "y_micrometer": [14.0, 14.0],
        "x_micrometer": [20.5, 20.5],
        "len_y_micrometer": [2.0, 2.0],
        "len_x_micrometer": [3.0, 3.0],
    }


@pytest.mark.parametrize("backend", ["anndata", "csv", "json", "parquet"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_masking_tables_fit_the_registered_label(
    example_plate: object, backend: str, version: str
) -> None:
    spec = PlateSpec(
        noise=False,
        wells=("A/01",),
        grid=(1, 1),
        field_shape=(90, 110),
        nucleus_diameter_um=6.0,
        acquisitions=SMALL.acquisitions,
        ngff_version=version,
        tables=("FOV_ROI_table", "registered_FOV_ROI_table", "nuclei_ROI_table", "nuclei_features"),
        table_backends={"nuclei_ROI_table": backend, "nuclei_features": backend},
    )
    plate = example_plate(spec)  # type: ignore[operator]
    (well,) = Plate.open(plate.path).read_wells()
    features = [
        (p, p.read_bytes()) for p in _files(well.image("1").live / "tables/nuclei_features")
    ]
    images = [image.name for image in well.images]
    for image in images:
        register_image(well.image(image), REQUEST)
    for image in images:
        copy_tables(well.image(image), REQUEST)
    for image in images:
        swap_image(well.image(image), REQUEST)
    for image in images:
        path = well.image(image).live
        table = read_table(path, "nuclei_ROI_table")
        label = Multiscale.read(path / "labels" / "nuclei")
        ids = zarr.open_array(label.path / label.paths[0])[:]
        size = label.pixel_size_um
        assert set(table.names) == {str(i) for i in np.unique(ids) if i}
        for row, name in enumerate(table.names):
            where = np.argwhere(ids == int(name))[:, -2:]
            for k, axis in enumerate("yx"):
                start = table.column(f"{axis}_micrometer")[row] / size[axis]
                stop = start + table.column(f"len_{axis}_micrometer")[row] / size[axis]
                # a nucleus that was cut may be narrower than its cut box
                assert start <= where[:, k].min() + 0.01
                assert stop >= where[:, k].max() + 0.99
        record = RegistrationRecord.read(path)
        assert record is not None
        assert (record.tables or {})["nuclei_ROI_table"].action == "moved"
    assert features == [
        (p, p.read_bytes()) for p in _files(well.image("1").live / "tables/nuclei_features")
    ]


def _files(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    assert found
    return found
