from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from platefuse.command.status import status_summary, status_table
from platefuse.errors import PlateError
from platefuse.fusion.options import FusionOptions
from platefuse.ngff.metadata import all_attributes
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.stage import register_image
from platefuse.registration.swap import discard_backups, publish_registered, swap_image
from platefuse.registration.tables import copy_tables
from platefuse.storage.files import exchange
from platefuse.workflow.status import ImageStatus, ShiftRange, plate_status
from tests.conftest import PlateFactory
from tests.fields_plate import FieldsPlate
from tests.fused import TINY, fuse, fuse_well
from tests.records import registration_record, roi

REQUEST = RegistrationRequest("registered_FOV_ROI_table")
STEPS: tuple[Callable[..., Any], ...] = (register_image, copy_tables, swap_image)


def first_well(plate: Path) -> Well:
    return Plate.open(plate).read_wells()[0]


def do(plate: Path, image: str, steps: int, request: RegistrationRequest = REQUEST) -> None:
    for step in STEPS[:steps]:
        step(first_well(plate).image(image), request)


def seen(plate: Path, image: str) -> ImageStatus:
    return next(i for i in plate_status(plate).wells[0].images if i.image == image)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    files = sorted(folder.rglob("*"))
    return {str(f): (f.lstat().st_mtime_ns, f.lstat().st_size) for f in files}


def test_a_new_plate_is_raw_and_looking_changes_nothing(small_plate: Any) -> None:
    before = snapshot(small_plate.path.parent)
    status = plate_status(small_plate.path)
    assert [(well.well, well.fused) for well in status.wells] == [("B/02", False), ("B/03", False)]
    assert [(i.image, i.acquisition) for i in status.wells[1].images] == [
        ("0", 0),
        ("1", 1),
        ("2", 2),
    ]
    assert status.counts == {"raw": 6}
    assert all((i.shifts, i.backup, i.registered_image) == (None,) * 3 for i in status.images)
    assert not status.complete
    assert snapshot(small_plate.path.parent) == before


@pytest.mark.parametrize(
    ("steps", "state", "backup"),
    [(1, "staging", False), (2, "staged", False), (3, "registered", True)],
)
def test_every_step_shows(small_plate: Any, steps: int, state: str, backup: bool) -> None:
    do(small_plate.path, "1", steps)
    before = snapshot(small_plate.path.parent)
    image = seen(small_plate.path, "1")
    assert image.state == state
    assert image.backup == (str(first_well(small_plate.path).image("1").backup) if backup else None)
    assert image.shifts == ShiftRange("zyx", (0, 3, -5), (0, 3, -5), rois=4)
    assert seen(small_plate.path, "0").state == "raw"
    assert snapshot(small_plate.path.parent) == before


def test_discarded_backups_are_gone(small_plate: Any) -> None:
    for image in "012":
        do(small_plate.path, image, 3)
    discard_backups(first_well(small_plate.path), REQUEST)
    images = plate_status(small_plate.path).wells[0].images
    assert [(i.state, i.backup) for i in images] == [("registered", None)] * 3


def test_original_that_was_exchanged_and_not_renamed_is_a_backup(small_plate: Any) -> None:
    do(small_plate.path, "1", 2)
    well = first_well(small_plate.path)
    assert exchange(well.image("1").live, well.staging / "1")
    image = seen(small_plate.path, "1")
    assert (image.state, image.backup) == ("registered", str(well.staging / "1"))


def test_second_staged_copy_is_no_backup(small_plate: Any) -> None:
    do(small_plate.path, "1", 2)
    well = first_well(small_plate.path)
    shutil.copytree(well.staging / "1", well.staging / "again")
    swap_image(well.image("1"), REQUEST)
    shutil.rmtree(well.image("1").backup)
    (well.staging / "again").rename(well.staging / "1")
    image = seen(small_plate.path, "1")
    assert (image.state, image.backup) == ("registered", None)


def test_images_beside_the_originals_count_as_registered(small_plate: Any) -> None:
    request = RegistrationRequest("registered_FOV_ROI_table", overwrite_input=False)
    for image in "012":
        do(small_plate.path, image, 2, request)
    publish_registered(first_well(small_plate.path), request)
    images = plate_status(small_plate.path).wells[0].images
    assert [i.registered_image for i in images] == ["0_registered", "1_registered", "2_registered"]
    assert [i.state for i in images] == ["registered"] * 3


def test_shifts_that_differ_between_fields_are_a_range() -> None:
    rois = [roi(shift_px=shift) for shift in ((0.0, 1.5, 2.0), (0.0, 1.625, -2.0))]
    shifts = ShiftRange.of_record(registration_record(*rois))
    assert shifts == ShiftRange("zyx", (0, 1.5, -2), (0, 1.625, 2), rois=2)
    assert [shifts.of_axis(a) for a in "zyxt"] == [(0, 0), (1.5, 1.625), (-2, 2), None]


def test_image_without_rois_has_no_shifts() -> None:
    assert ShiftRange.of_record(registration_record()) is None


def test_plate_is_complete_when_all_is_registered_and_fused(small_plate: Any) -> None:
    plate, fused = Plate.open(small_plate.path), small_plate.path.with_name("other.zarr")
    wells = plate.read_wells()
    for well in wells:
        for image in "012":
            for step in STEPS:
                step(well.image(image), REQUEST)
    assert not plate_status(plate.path, fused).complete
    fuse_well(wells[0], fused, FusionOptions())
    status = plate_status(plate.path, fused)
    assert [well.fused for well in status.wells] == [True, False]
    assert not status.complete
    fuse_well(wells[1], fused, FusionOptions())
    assert plate_status(plate.path, fused).complete
    assert not plate_status(plate.path).complete  # fused elsewhere


def test_one_bad_image_does_not_hide_the_others(small_plate: Any) -> None:
    well = first_well(small_plate.path)
    do(small_plate.path, "1", 3)
    attributes = json.loads((well.image("1").live / ".zattrs").read_text())
    attributes["platefuse"]["registration"]["rois"] = [{}]
    (well.image("1").live / ".zattrs").write_text(json.dumps(attributes))
    (well.image("2").live / ".zattrs").write_text("{")
    shutil.rmtree(well.image("0").live)
    status = plate_status(small_plate.path)
    images = status.wells[0].images
    assert [i.state for i in images] == ["missing", "unreadable", "unreadable"]
    assert "damaged" in str(images[1].problem)
    assert "broken JSON" in str(images[2].problem)
    assert [i.state for i in status.wells[1].images] == ["raw"] * 3


def test_link_out_of_the_plate_is_not_followed(small_plate: Any, tmp_path: Path) -> None:
    image = first_well(small_plate.path).path / "1"
    image.rename(tmp_path / "elsewhere")
    image.symlink_to(tmp_path / "elsewhere")
    found = seen(small_plate.path, "1")
    assert found.state == "unreadable"
    assert "link" in str(found.problem)


def test_bad_well_does_not_hide_the_others(small_plate: Any) -> None:
    (first_well(small_plate.path).path / ".zattrs").unlink()
    status = plate_status(small_plate.path)
    assert status.wells[0].images == ()
    assert "not an OME-Zarr" in str(status.wells[0].problem)
    assert status.counts == {"raw": 3}
    assert not status.complete


def test_what_vanishes_between_two_looks_was_not_there(
    small_plate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(small_plate.path, "1", 3)

    def racing(group: Path) -> dict[str, Any]:
        if ".staging" in str(group):
            raise FileNotFoundError(os.fspath(group))
        return all_attributes(group)

    monkeypatch.setattr("platefuse.records.base.all_attributes", racing)
    assert seen(small_plate.path, "1").state == "registered"
    assert seen(small_plate.path, "0").state == "raw"


def test_no_plate_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PlateError, match="no such plate"):
        plate_status(tmp_path / "nothing.zarr")


def test_dictionary_is_json_and_says_it_all(small_plate: Any) -> None:
    do(small_plate.path, "2", 3)
    content = json.loads(json.dumps(plate_status(small_plate.path).as_dict()))
    assert content["counts"] == {"raw": 5, "registered": 1}
    assert content["complete"] is False
    image = content["wells"][0]["images"][2]
    assert image["shifts"] == {
        "axes": "zyx",
        "lowest_px": [0, -2, 4],
        "highest_px": [0, -2, 4],
        "rois": 4,
    }
    assert image["backup"].endswith("small.zarr.staging/B/02/2.original")


def test_wells_that_are_absent_are_counted(tmp_path: Path) -> None:
    spec = FieldsPlate({"A/01": {0: 1}}, listed=("B/02",))
    status = plate_status(spec.write(tmp_path / "p.zarr"))
    assert status.absent == ("B/02",)
    assert [well.well for well in status.wells] == ["A/01"]
    assert status_summary(status).endswith("0 backups. 1 well is listed and absent.")


def test_raw_images_that_are_fused_at_their_places_are_placed(example_plate: PlateFactory) -> None:
    plate = example_plate(TINY).path
    fuse(plate, RegistrationRequest(), store=False)
    status = plate_status(plate)
    assert status.complete
    assert status.counts == {"placed": 2}
    shifts = status.wells[0].images[1].shifts
    assert shifts is not None
    assert (shifts.lowest_px[-2:], shifts.rois) == ((3.0, -5.0), 4)
    assert any("placed" in line and "+3" in line for line in status_table(status))


def test_fields_of_one_acquisition_have_one_row(tmp_path: Path) -> None:
    plate = FieldsPlate({"A/01": {0: 3, 1: 3}}).write(tmp_path / "p.zarr")
    rows = status_table(plate_status(plate))
    assert [" ".join(row.split()[:7]) for row in rows[1:]] == [
        "A/01 0 … 2 (3) 0 raw",
        "A/01 3 … 5 (3) 1 raw",
    ]
