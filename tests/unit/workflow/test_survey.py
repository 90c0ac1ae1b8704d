from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from platefuse.__main__ import main
from platefuse.errors import PlatefuseError
from platefuse.fusion.fields.reader import read_image
from platefuse.ngff.metadata import read_attributes, update_attributes
from platefuse.testing import make_plate
from platefuse.workflow.planning import check_config
from platefuse.workflow.suggestion import plate_name, suggested_config
from platefuse.workflow.survey import survey_plate
from tests.conftest import SMALL, ExamplePlate
from tests.fields_plate import FieldsPlate

TABLES = ("FOV_ROI_table", "well_ROI_table")
Make = Callable[[Path], object]
PLATES: dict[str, tuple[Make, dict[str, object]]] = {
    "registered tables": (
        lambda path: make_plate(path, SMALL),
        {"layout": "mosaic", "registered": "registered_FOV_ROI_table", "channel": "DAPI"},
    ),
    "raw mosaic": (
        lambda path: make_plate(path, replace(SMALL, tables=TABLES)),
        {"layout": "mosaic", "registered": None, "tables": TABLES, "acquisitions": (0, 1, 2)},
    ),
    "NGFF 0.5": (
        lambda path: make_plate(path, replace(SMALL, tables=TABLES, ngff_version="0.5")),
        {"ngff_version": "0.5"},
    ),
    "one acquisition": (
        lambda path: make_plate(path, replace(SMALL, acquisitions=SMALL.acquisitions[:1])),
        {"acquisitions": (0,), "common": (0,)},
    ),
    "fields": (
        lambda path: FieldsPlate({"B/03": {0: 4, 1: 4}, "C/03": {0: 4, 1: 4}}).write(path),
        {"layout": "fields", "fields": 4, "tile_table": None, "wells": 2},
    ),
    "fields without acquisition": (
        lambda path: FieldsPlate({"B/03": {None: 2}}, listed=["B/04"]).write(path),
        {"layout": "fields", "fields": 2, "absent": 1, "acquisitions": (0,)},
    ),
    "a single field": (
        lambda path: FieldsPlate({"B/03": {0: 1}}).write(path),
        {"layout": "mosaic", "fields": 1},
    ),
}


@pytest.mark.parametrize("name", PLATES)
def test_what_is_found_is_what_was_made_and_the_config_passes_the_check(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, expected = PLATES[name]
    plate, config = tmp_path / "my plate.zarr", tmp_path / "my.yaml"
    make(plate)
    survey = survey_plate(plate)
    assert {key: getattr(survey, key) for key in expected} == expected
    assert main(["init", str(plate), "--output", str(config)]) == 0
    out = capsys.readouterr().out
    assert f"Layout {survey.layout}" in out
    assert f"platefuse run {config}" in out
    assert list(check_config(config))[-1] == "Nothing would stop this run."
    given = yaml.safe_load(config.read_text())
    assert given["plates"] == {"my_plate": str(plate)}
    comments = [line for line in config.read_text().splitlines() if line.lstrip()[:1] == "#"]
    assert len(comments) > 10
    assert max(map(len, config.read_text().splitlines())) <= 100 + len(str(plate))


def test_the_suggestion_follows_the_tables(tmp_path: Path) -> None:
    for spec, measures in ((SMALL, False), (replace(SMALL, tables=TABLES), True)):
        plate = tmp_path / f"{measures}.zarr"
        make_plate(plate, spec)
        given = yaml.safe_load(suggested_config(survey_plate(plate), "x.yaml"))
        assert given["registration"]["measure"]["enabled"] is measures
        assert given["registration"]["store"] is False
        assert ("roi_table" in given["registration"]) is not measures


def test_a_config_is_never_replaced(
    small_plate: ExamplePlate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "my.yaml"
    config.write_text("mine")
    assert main(["init", str(small_plate.path), "--output", str(config)]) == 1
    assert "exists already and is not replaced" in capsys.readouterr().err
    assert config.read_text() == "mine"
    far = tmp_path / "away" / "c.yaml"
    assert main(["init", str(small_plate.path), "--output", str(far)]) == 1
    assert f"there is no folder {far.parent}" in capsys.readouterr().err
    assert main(["init", str(small_plate.path), "--output", str(tmp_path)]) == 1
    assert "is a folder" in capsys.readouterr().err
    refused = "/proc/c.yaml"  # also to root
    assert main(["init", str(small_plate.path), "--output", refused]) == 1
    assert f"{refused} cannot be written (" in (said := capsys.readouterr().err)
    assert "give another path with --output" in said


def test_the_config_has_the_name_of_the_plate(
    small_plate: ExamplePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", str(small_plate.path)]) == 0
    (made,) = tmp_path.glob("*.yaml")
    assert made.stem == plate_name(survey_plate(small_plate.path))


@pytest.mark.parametrize(
    ("folder", "name"),
    [("a.zarr", "a"), ("ä 1.zarr", "1"), ("logs.zarr", "plate"), ("_.zarr", "plate")],
)
def test_names_of_plates(small_plate: ExamplePlate, folder: str, name: str) -> None:
    survey = survey_plate(small_plate.path)
    moved = replace(survey.plate, path=small_plate.path.with_name(folder))
    assert plate_name(replace(survey, plate=moved)) == name


def test_images_made_by_a_task_are_chosen(small_plate: ExamplePlate) -> None:
    for well in small_plate.truth.spec.wells:
        folder = small_plate.path / well
        images = list(read_attributes(folder)["well"]["images"])  # type: ignore[index]
        for entry in list(images):
            shutil.copytree(folder / entry["path"], folder / f"{entry['path']}_illum")
            images.append({**entry, "path": f"{entry['path']}_illum"})
        update_attributes(folder, {"well": {"version": "0.4", "images": images}})
    survey = survey_plate(small_plate.path)
    assert survey.images == ("0_illum", "1_illum", "2_illum")
    assert survey.other_images == ("0", "1", "2")
    config = small_plate.path.with_name("c.yaml")
    config.write_text(suggested_config(survey, "c.yaml"))
    assert list(check_config(config))[-1] == "Nothing would stop this run."


def test_a_broken_well_is_told_and_skipped(small_plate: ExamplePlate) -> None:
    (small_plate.path / "B" / "03" / ".zattrs").write_text("{\nbroken")
    survey = survey_plate(small_plate.path)
    assert (survey.wells, list(survey.bad)) == (1, ["B/03"])
    config = small_plate.path.with_name("c.yaml")
    config.write_text(suggested_config(survey, "c.yaml"))
    assert yaml.safe_load(config.read_text())["on_bad_well"] == "skip"
    assert list(check_config(config))[-1] == "Nothing would stop this run."


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("fault", ["no position", "broken image"])
def test_wells_without_positions_or_with_broken_images_do_not_stop_the_others(
    fault: str, first: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"B/{k:02}" for k in range(1, 9)]
    plate = FieldsPlate({name: {0: 2, 1: 2} for name in names}).write(tmp_path / "p.zarr")
    without = FieldsPlate({name: {0: 2, 1: 2} for name in names}, translation=False)
    without.write(tmp_path / "q.zarr")
    bad = ["B/01", "B/02"] if first else ["B/02", "B/06"]  # of these, B/06 is looked at
    for name in bad:
        if fault == "no position":
            shutil.rmtree(plate / name)
            shutil.copytree(tmp_path / "q.zarr" / name, plate / name)
        else:
            (plate / name / "3" / ".zattrs").write_text("{")
    config = tmp_path / "c.yaml"
    assert main(["init", str(plate), "--output", str(config)]) == 0
    out = capsys.readouterr().out
    assert f"2 more wells cannot be processed: {', '.join(bad)}. Of {bad[0]}: " in out
    made = yaml.safe_load(config.read_text())
    assert (made["on_bad_well"], made["registration"]["measure"]["enabled"]) == ("skip", True)
    assert list(check_config(config))[-1] == "Nothing would stop this run."


def no_well(plate: Path) -> Path:
    shutil.rmtree(plate / "B")
    return plate


def all_broken(plate: Path) -> Path:
    for file in plate.glob("B/*/.zattrs"):
        file.write_text("{")
    return plate


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plate: plate / "B" / "02", r"part of the plate .*small\.zarr: give that"),
        (lambda plate: plate.parent, r"There is one in it: .*small\.zarr\. Give"),
        (lambda plate: plate.with_name("none.zarr"), "no such plate"),
        (no_well, "none of the 2 wells that the plate lists exists"),
        (all_broken, "none of its 2 wells can be read. Of B/02: "),
    ],
    ids=["a well", "folder of plates", "missing", "no well", "all broken"],
)
def test_errors(small_plate: ExamplePlate, change: Callable[[Path], Path], message: str) -> None:
    path = change(small_plate.path)
    with pytest.raises(PlatefuseError, match=message):
        survey_plate(path)


def test_a_folder_of_several_plates_is_told_as_such(small_plate: ExamplePlate) -> None:
    other = small_plate.path.with_name("another.zarr")
    shutil.copytree(small_plate.path, other)
    found = rf"{re.escape(str(other))}, .*small\.zarr"
    said = rf"There are several in it, such as: {found}\. Give the path of one"
    with pytest.raises(PlatefuseError, match=said):
        survey_plate(small_plate.path.parent)


def test_missing_positions_are_an_error_with_the_ways_to_give_them(tmp_path: Path) -> None:
    plate = FieldsPlate({"B/03": {0: 4}}, translation=False).write(tmp_path / "p.zarr")
    with pytest.raises(PlatefuseError, match=r"positions of the 4 fields .*`input\.positions`"):
        survey_plate(plate)


def test_of_a_large_plate_few_images_are_read(
    small_plate: ExamplePlate, monkeypatch: pytest.MonkeyPatch
) -> None:
    wells = [f"{row}/{column:02}" for row in "CDEFGH" for column in range(1, 13)]
    for well in wells:
        folder = small_plate.path / well
        folder.mkdir(parents=True)
        shutil.copy(small_plate.path / "B" / "02" / ".zattrs", folder)
        shutil.copy(small_plate.path / "B" / "02" / ".zgroup", folder)
        for image in "012":
            (folder / image).symlink_to(small_plate.path / "B" / "02" / image)
    metadata = json.loads((small_plate.path / ".zattrs").read_text())
    metadata["plate"]["wells"] += [{"path": well} for well in wells]
    (small_plate.path / ".zattrs").write_text(json.dumps(metadata))
    read: list[Path] = []

    def counting(path: Path) -> object:
        read.append(path)
        return read_image(path)

    monkeypatch.setattr("platefuse.workflow.survey.read_image", counting)
    assert survey_plate(small_plate.path).wells == 2 + len(wells)
    assert len(read) == 9
