"""Tables and foreign files are copied with an image, and fit its new pixels."""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

from platefuse.errors import RecordError, TableError
from platefuse.ngff.metadata import all_attributes, replace_attributes
from platefuse.ngff.tables.table import read_table, table_names
from platefuse.ngff.well import Well, WellImage
from platefuse.ngff.zarr_format import Format
from platefuse.records import RegisteredTable, RegistrationIdentity, RegistrationRecord
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.staged import StagedFrom, pixel_files
from platefuse.registration.tables import (
    TableAction,
    check_actions,
    copy_table_groups,
    copy_tables,
    table_actions,
)
from tests.conftest import ExamplePlate, PlateFactory
from tests.damage import SPEC, refused, register, with_attributes
from tests.records import IDENTITY, registration_record, roi
from tests.tables import BACKENDS, BOX, write_table

# Whole micrometres; the second one lies where nothing remains of its field.
BOXES = pd.DataFrame([[0, 5, 9, 1, 4, 3], [0, 5, 0, 1, 4, 2]], index=["7", "9"], columns=BOX)
SHIFT_UM = np.array([0, *SPEC.acquisitions[1].shift_px]) * SPEC.pixel_size_um


@pytest.fixture(params=["0.4", "0.5"])
def plate(request: pytest.FixtureRequest, example_plate: PlateFactory) -> ExamplePlate:
    """A plate of one well and two acquisitions, in both versions of OME-NGFF."""
    return example_plate(replace(SPEC, ngff_version=request.param))


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_whole_numbers_move_by_parts_and_other_columns_stay(
    plate: ExamplePlate, backend: str, flat: bool
) -> None:
    image = plate.path / "B" / "03" / "1"
    boxes = BOXES.drop(columns=["z_micrometer", "len_z_micrometer"] if flat else [])
    write_table(
        image / "tables" / "mine", backend, boxes.assign(area=[11, 12]), "masking_roi_table"
    )
    register(plate.path)
    table = read_table(image, "mine")
    assert table.names == ("7",)
    assert table.column("area") == (11,)
    assert set(table.columns) - {"index", ""} == {*boxes.columns, "area"}
    expected = BOXES.loc["7"] + [*SHIFT_UM, 0, 0, 0]
    for column in boxes.columns:
        assert table.column(column) == pytest.approx((expected[column],))


def test_a_table_that_only_half_can_be_read_is_named(plate: ExamplePlate) -> None:
    table = plate.path / "B" / "03" / "1" / "tables" / "mine"
    write_table(table, "anndata", BOXES, "masking_roi_table")
    with_attributes(table / "uns", lambda a: a.__setitem__("encoding-type", "unheard of"))
    refused(plate.path, "tables/mine: the moved boxes cannot be written", "unheard of", staged=True)


def test_consolidated_metadata_do_not_tell_of_tables_that_were(plate: ExamplePlate) -> None:
    image = plate.path / "B" / "03" / "1"
    write_table(image / "tables" / "mine", "anndata", BOXES, "masking_roi_table")
    with warnings.catch_warnings(action="ignore"):  # that Zarr v3 does not specify them
        for group in (image / "tables", image):
            zarr.consolidate_metadata(str(group))
    register(plate.path)
    for group, path in ((image, "tables/mine/X"), (image / "tables", "mine/X")):
        array = zarr.open_group(group, mode="r")[path]
        assert isinstance(array, zarr.Array)
        assert array.shape == (1, 6)
        assert np.asarray(array[0, 1]) == pytest.approx(5 + SHIFT_UM[1])


def test_files_that_platefuse_knows_nothing_of_come_along(plate: ExamplePlate) -> None:
    image = plate.path / "B" / "03" / "1"
    files = [image / folder / "notes" / "a.txt" for folder in ("", "labels", "labels/nuclei")]
    files += [image / "labels" / "b.txt", image / "tables" / "c.txt", image / "tables/no_table/d"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"mine: {file}")
    register(plate.path)
    assert [file.read_text() for file in files] == [f"mine: {file}" for file in files]


BOXES_CSV = "FieldIndex," + ",".join(BOX) + "\n"
ONE, TWO = f"{BOXES_CSV}a,1,1,1,1,1,1\n", f"{BOXES_CSV}b,1,1,1,1,1,1\n"


@pytest.fixture
def images(tmp_path: Path) -> tuple[WellImage, WellImage]:
    """An image and its reference: folders without tables."""
    well = Well(tmp_path / "p.zarr", "B", "03")
    image, reference = WellImage(well, "1", 1), WellImage(well, "0", 0)
    for folder in (image.live, reference.live, image.staged):
        folder.mkdir(parents=True)
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
    return image, reference


def write_csv(image: WellImage, name: str, text: str, **attributes: object) -> None:
    group = image.live / "tables" / name
    group.mkdir(parents=True)
    (group / ".zgroup").write_text('{"zarr_format": 2}')
    (group / ".zattrs").write_text(json.dumps({"backend": "csv", **attributes}))
    (group / "table.csv").write_text(text)


def list_tables(image: WellImage, *names: str, **attributes: object) -> None:
    tables = image.live / "tables"
    tables.mkdir(exist_ok=True)
    (tables / ".zgroup").write_text('{"zarr_format": 2}')
    (tables / ".zattrs").write_text(json.dumps({"tables": names, **attributes}))


STANDARD = ("FOV_ROI_table", "registered_FOV_ROI_table", "well_ROI_table_registered")
OF_REFERENCE = TableAction("reference", moves=False)
MOVED, COPIED = TableAction("image", moves=True), TableAction("image", moves=False)


def test_standard_tables_come_from_the_reference_all_others_from_the_image(
    images: tuple[WellImage, WellImage],
) -> None:
    image, reference = images
    for name in STANDARD:
        write_csv(reference, name, ONE)
    for name in STANDARD[:2]:
        write_csv(image, name, ONE)
    write_csv(image, "own_FOV_ROI_table", ONE)
    write_csv(reference, "features_of_reference", ONE, type="feature_table")
    write_csv(reference, "objects_of_reference", ONE, type="masking_roi_table")
    write_csv(reference, "boxes_of_reference", ONE, type="roi_table")
    for each, other in ((image, ONE), (reference, TWO)):
        write_csv(each, "same_rows", ONE, type="roi_table")
        write_csv(each, "other_rows", other, type="roi_table")
        write_csv(each, "nuclei", ONE, type="masking_roi_table")
        write_csv(each, "measured", ONE, type="feature_table")
        write_csv(each, "boxes_of_no_type", ONE)
        write_csv(each, "numbers_of_no_type", "FieldIndex,area\na,1\n")
        write_csv(each, "unknown_backend", "", backend="sqlite")
    assert table_actions(image, reference) == {
        **dict.fromkeys([*STANDARD, "same_rows", "boxes_of_reference"], OF_REFERENCE),
        **dict.fromkeys(["other_rows", "nuclei", "boxes_of_no_type", "own_FOV_ROI_table"], MOVED),
        **dict.fromkeys(["measured", "numbers_of_no_type", "unknown_backend"], COPIED),
    }


def test_tables_of_the_image_come_first_in_their_order(
    images: tuple[WellImage, WellImage],
) -> None:
    image, reference = images
    for name in ("b", "a", "FOV_ROI_table"):
        write_csv(image, name, ONE, type="feature_table")
    list_tables(image, "b", "a")
    write_csv(reference, "FOV_ROI_table", ONE)
    write_csv(reference, "well_ROI_table", ONE)
    assert list(table_actions(image, reference)) == ["b", "a", "FOV_ROI_table", "well_ROI_table"]


def test_boxes_that_cannot_be_moved_are_found_before(
    images: tuple[WellImage, WellImage],
) -> None:
    image, _ = images
    write_csv(image, "numbers", "FieldIndex,area\na,1\n", type="masking_roi_table")
    check_actions({"numbers": COPIED}, image, "yx")
    check_actions({"numbers": OF_REFERENCE}, image, "yx")
    with pytest.raises(TableError, match=r"tables/numbers: the table has no column .* give it the"):
        check_actions({"numbers": MOVED}, image, "yx")


def test_every_table_is_copied_byte_for_byte_from_its_origin(
    images: tuple[WellImage, WellImage],
) -> None:
    image, reference = images
    for each, text in ((image, ONE), (reference, TWO)):
        for name in ("b", "a", "c"):
            write_csv(each, name, text)
        list_tables(each, "c", of=each.name)
    (image.live / "tables" / "b" / "extra.bin").write_bytes(b"\0\1")
    (image.live / "tables" / "notes.txt").write_text("mine")
    (reference.live / "tables" / "theirs.txt").write_text("theirs")
    (image.staged / "tables" / "left_by_a_kill").mkdir(parents=True)
    copy_table_groups({"a": OF_REFERENCE, "b": COPIED}, image, reference, image.staged)
    new = image.staged / "tables"
    assert contents(new / "b") == contents(image.live / "tables" / "b")
    assert contents(new / "a") == contents(reference.live / "tables" / "a")
    assert sorted(path.name for path in new.iterdir() if path.name[0] != ".") == [
        "a",
        "b",
        "c",  # listed by nobody, so that it is a foreign folder
        "notes.txt",
    ]
    assert json.loads((new / ".zattrs").read_text()) == {"tables": ["a", "b"], "of": "1"}


def test_the_tables_of_the_reference_come_from_itself(
    images: tuple[WellImage, WellImage],
) -> None:
    _, reference = images
    for name in ("FOV_ROI_table", "features"):
        write_csv(reference, name, ONE)
    list_tables(reference, "FOV_ROI_table", "features")
    origins = {action.origin for action in table_actions(reference, reference).values()}
    assert origins == {"image"}


def test_group_of_the_reference_is_the_model_where_the_image_has_none(
    images: tuple[WellImage, WellImage],
) -> None:
    image, reference = images
    write_csv(reference, "FOV_ROI_table", ONE)
    list_tables(reference, "FOV_ROI_table", foreign=1)
    copy_table_groups({"FOV_ROI_table": OF_REFERENCE}, image, reference, image.staged)
    attributes = json.loads((image.staged / "tables" / ".zattrs").read_text())
    assert attributes == {"tables": ["FOV_ROI_table"], "foreign": 1}


def test_without_tables_no_group_is_made(images: tuple[WellImage, WellImage]) -> None:
    image, reference = images
    list_tables(reference)
    copy_table_groups({}, image, reference, image.staged)
    assert not (image.staged / "tables").exists()


def test_a_group_without_tables_is_kept(images: tuple[WellImage, WellImage]) -> None:
    image, reference = images
    list_tables(image, foreign=1)
    copy_table_groups({}, image, reference, image.staged)
    attributes = json.loads((image.staged / "tables" / ".zattrs").read_text())
    assert attributes == {"tables": [], "foreign": 1}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


FLAT = {"axes": [{"name": "y"}, {"name": "x"}]}


def write_image(folder: Path, pixel_size: tuple[float, float]) -> None:
    """The metadata of an image of 20 x 20 pixels."""
    scale = {"coordinateTransformations": [{"type": "scale", "scale": pixel_size}]}
    entry = {**FLAT, "datasets": [{"path": "0", **scale}]}
    (folder / ".zattrs").write_text(json.dumps({"multiscales": [entry]}))
    (folder / "0").mkdir()
    array = {"zarr_format": 2, "shape": [20, 20], "chunks": [20, 20], "dtype": "|u1"}
    (folder / "0" / ".zarray").write_text(json.dumps(array))


def stage(image: WellImage, record: RegistrationRecord, size_um: tuple[float, float]) -> None:
    """A staged image that has no tables yet."""
    write_image(image.staged, size_um)
    replace(record, pixel_files=pixel_files(image.staged)).write(image.staged)
    StagedFrom.of(image).write(image)


def test_boxes_move_as_the_record_has_the_pixels_and_the_record_has_what_was_done(
    images: tuple[WellImage, WellImage],
) -> None:
    """Only the record decides: the registered tables are not read again."""
    image, reference = images
    write_image(image.live, (2.0, 0.5))
    nothing = roi("FOV_2", (0.0, 0.0), (0, 20), (20, 0))
    record = registration_record(
        roi("FOV_1", (3.4, -2.6), (3, 0), (10, 12)), nothing, axes="yx", identity=IDENTITY
    )
    stage(image, record, (2.0, 0.5))
    rows = "a,0,4,2,1,2,1\nb,0,30,2,1,2,1\n"  # y from 4 µm, x from 2 µm; the other is outside
    write_csv(image, "mine", BOXES_CSV + rows, type="masking_roi_table")
    write_csv(image, "measured", "FieldIndex,area\na,1\n", type="feature_table")
    write_csv(reference, "FOV_ROI_table", ONE)
    receipt = copy_tables(image, RegistrationRequest(IDENTITY.roi_table))
    table = read_table(image.staged, "mine")
    assert table.names == ("a",)
    assert table.column("y_micrometer") == (4 + 3 * 2.0,)
    assert table.column("x_micrometer") == (2 - 3 * 0.5,)
    done_record = RegistrationRecord.read(image.staged)
    assert done_record is not None
    assert done_record.complete
    assert receipt.tables == done_record.tables
    done = {
        name: (t.origin, t.action, t.rows_dropped) for name, t in (done_record.tables or {}).items()
    }
    assert done == {
        "mine": ("image", "moved", 1),
        "measured": ("image", "copied", None),
        "FOV_ROI_table": ("reference", "copied", None),
    }


def test_boxes_of_no_label_go_with_one_field_only(images: tuple[WellImage, WellImage]) -> None:
    image, _ = images
    write_image(image.live, (2.0, 0.5))
    record = registration_record(
        roi("FOV_1", (0.0, 0.0), (0, 0), (10, 20)),
        roi("FOV_2", (1.0, 0.0), (11, 0), (9, 20)),
        axes="yx",
        identity=IDENTITY,
    )
    stage(image, record, (2.0, 0.5))
    rows = "a,0,16,2,1,10,1\n"  # y from 16 to 26 µm; the second field begins at 20 µm
    write_csv(image, "mine", BOXES_CSV + rows, type="roi_table")
    copy_tables(image, RegistrationRequest(IDENTITY.roi_table))
    table = read_table(image.staged, "mine")
    assert table.column("y_micrometer") == (20 + 2.0,)
    assert table.column("len_y_micrometer") == (6.0,)


def test_record_and_receipt_name_the_tables_that_are_left_out(
    images: tuple[WellImage, WellImage],
) -> None:
    image, _ = images
    write_image(image.live, (2.0, 0.5))
    stage(image, registration_record(axes="yx", identity=IDENTITY), (2.0, 0.5))
    write_csv(image, "odd", "", type="masking_roi_table", backend="sqlite")
    receipt = copy_tables(image, RegistrationRequest(IDENTITY.roi_table))
    record = RegistrationRecord.read(image.staged)
    assert record is not None
    assert list(record.tables_left_out or ()) == ["odd"]
    assert receipt.tables_left_out == record.tables_left_out
    assert receipt.tables == record.tables == {}


@pytest.mark.parametrize("odd", [0, 1])
def test_rows_are_not_the_same_where_one_of_two_tables_cannot_be_read(
    images: tuple[WellImage, WellImage], odd: int
) -> None:
    for k, each in enumerate(images):
        write_csv(each, "mine", ONE, type="roi_table", backend="sqlite" if k == odd else "csv")
    image, reference = images
    actions = table_actions(image, reference)
    assert actions == ({} if odd == 0 else {"mine": MOVED})  # boxes that cannot be moved


@pytest.mark.parametrize(
    "identity", [replace(IDENTITY, interpolation="linear"), replace(IDENTITY, roi_table="other")]
)
def test_staged_image_of_another_registration_gets_no_tables(
    images: tuple[WellImage, WellImage], identity: RegistrationIdentity
) -> None:
    image, _ = images
    registration_record(identity=identity).write(image.staged)
    with pytest.raises(RecordError, match="no staged image of this registration"):
        copy_tables(image, RegistrationRequest(IDENTITY.roi_table))
    assert not (image.staged / "tables").exists()


def test_tables_of_a_registered_image_are_not_copied_again(
    images: tuple[WellImage, WellImage],
) -> None:
    image, _ = images
    tables = {"t": RegisteredTable("image", "copied", sha256="c0ffee")}
    registration_record(tables=tables).write(image.live)
    receipt = copy_tables(image, RegistrationRequest(IDENTITY.roi_table))
    assert (receipt.action, receipt.tables) == ("registered before", tables)


def kind_of(image: Path) -> Format:
    """The Zarr format of an image."""
    kind = Format.of(image)
    assert kind is not None
    return kind


def test_stale_names_and_boxes_of_unknown_backends_stop_nothing(
    plate: ExamplePlate, caplog: pytest.LogCaptureFixture
) -> None:
    image = plate.path / "B" / "03" / "1"
    for name, kind in (("odd", "masking_roi_table"), ("carried", "feature_table")):
        table = image / "tables" / name
        kind_of(image).write_group(table, {"backend": "sqlite_v1", "type": kind})
        (table / "table.db").write_bytes(b"1")
    folder = image / "tables"
    listed = [*table_names(image), "gone"]
    replace_attributes(folder, {**all_attributes(folder), "tables": listed})
    with caplog.at_level(logging.WARNING):
        register(plate.path)
    record = RegistrationRecord.read(image)
    assert record is not None
    assert record.tables_left_out == {
        "gone": "listed, but there is no such table",
        "odd": "its backend 'sqlite' is unknown, so that its boxes cannot be moved",
    }
    assert "the table 'gone' is left out" in caplog.text
    assert (folder / "carried" / "table.db").read_bytes() == b"1"
    assert not (folder / "odd").exists()
    assert all_attributes(folder)["tables"] == list(record.tables or ())
    assert set(table_names(image)) == set(record.tables or ())


def test_an_empty_table_without_columns_is_carried(plate: ExamplePlate) -> None:
    image = plate.path / "B" / "03" / "1"
    table = image / "tables" / "nothing"
    kind_of(image).write_group(table, {"backend": "json", "type": "masking_roi_table"})
    kind_of(image).write_group(table / "table", {})
    register(plate.path)
    assert read_table(image, "nothing").names == ()
