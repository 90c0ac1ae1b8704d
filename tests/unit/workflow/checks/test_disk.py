"""The room that a run needs."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from platefuse.__main__ import main
from platefuse.errors import PlateError
from platefuse.ngff.metadata import read_attributes, update_attributes
from platefuse.registration.api import apply_registration_to_image
from platefuse.workflow.checks.disk import Room, check_room, rooms
from platefuse.workflow.config.model import Config, read_config
from platefuse.workflow.planning import check_run
from platefuse.workflow.plates import Wells, open_plates
from tests.conftest import ExamplePlate
from tests.fused import FIELDS, fuse

GB = 10**9


def tree_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def image_bytes(plate: ExamplePlate) -> float:
    """Bytes of all images of the wells of a plate."""
    return sum(
        tree_bytes(plate.path / well / image.path)
        for well in plate.truth.spec.wells
        for image in plate.truth.spec.acquisitions
    )


def found(plate: Path, **given: Any) -> tuple[Config, list[Room]]:
    config = read_config({"plates": {"p": str(plate)}, **given})
    plates = open_plates(config)
    return config, rooms(config, plates, Wells(config, plates))


def test_a_fused_plate_is_about_as_large_as_its_images(small_plate: ExamplePlate) -> None:
    _, (room,) = found(small_plate.path, registration={"store": False})
    assert room.needed == pytest.approx(image_bytes(small_plate), rel=0.1)
    assert room.what == ("fused wells",)
    assert room.free == pytest.approx(shutil.disk_usage(small_plate.path).free, rel=0.05)


def test_kept_originals_need_their_size_again(small_plate: ExamplePlate) -> None:
    _, (room,) = found(small_plate.path, registration={"keep_originals": True})
    assert room.needed == pytest.approx(2 * image_bytes(small_plate), rel=0.1)
    assert room.what == ("registered images", "fused wells")


def test_a_coarser_output_needs_less(small_plate: ExamplePlate) -> None:
    size = small_plate.truth.spec.pixel_size_um
    spacing = {"y": 2 * size[1], "x": 2 * size[2]}
    one, half = (
        found(small_plate.path, registration={"store": False}, fusion={"output_spacing": s})[1][0]
        for s in (None, spacing)
    )
    assert half.needed == pytest.approx(one.needed / 4)


def test_what_is_done_needs_no_room(small_plate: ExamplePlate) -> None:
    fuse(small_plate.path)
    _, needed = found(small_plate.path, registration={"enabled": False})
    assert not needed


@pytest.mark.parametrize("store", [False, True])
def test_of_an_acquisition_that_was_added_the_room_is_needed(
    small_plate: ExamplePlate, store: bool
) -> None:
    """Not that of those which are done: a plate grows from cycle to cycle."""
    wells = [small_plate.path / well for well in small_plate.truth.spec.wells]
    every: dict[Path, Any] = {well: read_attributes(well)["well"] for well in wells}
    for well, section in every.items():
        update_attributes(well, {"well": {**section, "images": section["images"][:-1]}})
    if store:
        for url in (well / image for well in wells for image in ("0", "1")):
            apply_registration_to_image(zarr_url=url, registered_roi_table=FIELDS)
    fuse(small_plate.path)
    given = {"store": True, "keep_originals": True} if store else {"enabled": False}
    assert not found(small_plate.path, registration=given)[1]
    for well, section in every.items():
        update_attributes(well, {"well": section})
    _, (room,) = found(small_plate.path, registration=given)
    added = sum(tree_bytes(well / "2") for well in wells)
    assert room.needed == pytest.approx((1 + store) * added, rel=0.01)


def test_a_run_that_cannot_fit_is_stopped() -> None:
    room = Room(Path("/data"), 900 * GB, 100 * GB, ("fused wells",))
    with pytest.raises(PlateError) as error:
        list(check_room([room]))
    message = str(error.value)
    assert "fused wells need about 9e+02 GB" not in message
    assert "need about 900 GB in /data, where 100 GB are free" in message
    assert "fusion.output" in message
    assert "wells.include" in message


def test_a_run_that_may_not_fit_is_warned_about() -> None:
    room = Room(Path("/data"), 100 * GB, 80 * GB, ("fused wells",))
    assert len(list(check_room([room]))) == 1
    assert not list(check_room([Room(Path("/data"), 100 * GB, 101 * GB, ("fused wells",))]))


def test_check_tells_the_room_and_stops_where_there_is_none(
    small_plate: ExamplePlate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tmp_path / "screen.yaml"
    config.write_text(f"plates: {{p: {small_plate.path}}}\nregistration: {{store: false}}\n")
    assert main(["check", str(config)]) == 0
    assert "  room: fused wells need about " in capsys.readouterr().out

    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert main(["check", str(config)]) == 1
    assert "Not enough room: fused wells need about " in capsys.readouterr().err


def test_a_run_checks_the_room_before_its_first_job(
    small_plate: ExamplePlate, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = found(small_plate.path, registration={"store": False})
    plates = open_plates(config)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(PlateError, match="Not enough room"):
        list(check_run(config, plates, Wells(config, plates), is_dry=True))
