"""Which wells a run processes, and what it says of the others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zarr

from platefuse.__main__ import main
from platefuse.errors import ConfigError, PlateError
from platefuse.ngff.create import write_group
from platefuse.ngff.metadata import read_attributes, update_attributes
from platefuse.records import FusedPlateRecord, FusedWellRecord
from platefuse.workflow.bad_wells import BadWell, describe, read_list, read_reasons, write_list
from platefuse.workflow.checks.image_names import check_images
from platefuse.workflow.config.model import Config, read_config
from platefuse.workflow.planning import check_run, warnings_of, wells_of_job, wells_of_run
from platefuse.workflow.plates import Wells, open_plates
from tests.fields_plate import FieldsPlate

SPEC = FieldsPlate({"A/01": {0: 2}, "A/02": {0: 2}, "B/01": {0: 2}}, listed=("B/02", "C/01"))


@pytest.fixture
def plate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return SPEC.write(tmp_path / "p.zarr")


def config(**more: Any) -> Config:
    return read_config({"plates": {"p": "p.zarr"}, "registration": {"enabled": False}, **more})


def names(wells: Wells) -> list[str]:
    return wells.names("p")


def damage(plate: Path, *wells: str) -> None:
    for well in wells:
        (plate / well / "1" / ".zattrs").unlink()


def test_absent_wells_are_left_out_and_counted(plate: Path) -> None:
    plates = open_plates(config())
    wells = wells_of_run(config(), plates, is_dry=True)
    assert names(wells) == ["A/01", "A/02", "B/01"]
    (warning,) = warnings_of(config(), plates, wells)
    assert "plate p: 2 wells are listed and absent (B/02, C/01)" in warning


def test_wells_that_lack_an_acquisition_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FieldsPlate({"A/01": {2: 2, 10: 2}, "A/02": {10: 2}, "B/01": {2: 1}}).write(Path("p.zarr"))
    plates = open_plates(config())
    assert list(warnings_of(config(), plates, wells_of_job(config(), plates))) == [
        f"plate p: 1 well has no image of acquisition {number} ({well}). All other images "
        "are processed."
        for number, well in ((2, "A/02"), (10, "B/01"))
    ]


def test_wells_are_read_when_they_are_asked_for(plate: Path) -> None:
    (plate / "A" / "02" / ".zattrs").write_text("{")
    wells = wells_of_job(config(), open_plates(config()))
    assert len(wells["p", "A", "01"].images) == 2
    with pytest.raises(PlateError, match=r"A/02/\.zattrs: broken JSON"):
        wells["p", "A", "02"]
    with pytest.raises(KeyError):
        wells["p", "B", "02"]


def test_all_bad_wells_stop_a_run_at_once(plate: Path) -> None:
    damage(plate, "A/01", "B/01")
    plates = open_plates(config())
    wells = wells_of_run(config(), plates, is_dry=False)  # the metadata of all wells are good
    with pytest.raises(PlateError) as error:
        list(check_run(config(), plates, wells))
    lines = str(error.value).splitlines()
    assert lines[0].startswith("2 of 3 wells of plate p cannot be processed (results/p/bad_wells")
    assert lines[1].startswith("- A/01, B/01: p.zarr/A/01/1: ")  # the same fault, said once
    assert "on_bad_well: skip" in lines[-1]
    assert read_list(Path("results/p/bad_wells.tsv")) == {"A/01", "B/01"}


def test_jobs_know_the_wells_that_the_run_leaves_out(plate: Path) -> None:
    damage(plate, "A/01")
    skip = config(on_bad_well="skip")
    plates = open_plates(skip)
    assert names(wells_of_run(skip, plates, is_dry=True)) == ["A/02", "B/01"]
    assert not Path("results").exists()
    wells = wells_of_run(skip, plates, is_dry=False)
    assert names(wells) == names(wells_of_job(skip, plates)) == ["A/02", "B/01"]
    assert any(
        "1 well cannot be processed and is skipped" in w for w in warnings_of(skip, plates, wells)
    )
    damage(plate, "A/02", "B/01")
    with pytest.raises(PlateError, match="3 of 3 wells"):
        wells_of_run(skip, plates, is_dry=False)


def test_a_plate_that_is_named_twice_is_said_once(plate: Path) -> None:
    """What lies beside it, its staging and its fused plate, is the same then, too."""
    Path("link.zarr").symlink_to(plate)
    for twice in ("./p.zarr", "link.zarr"):
        with pytest.raises(ConfigError) as caught:
            open_plates(config(plates={"p": "p.zarr", "q": twice}))
        assert len(caught.value.args) == 1
        assert "config.plates.p, 'p.zarr', and config.plates.q" in str(caught.value)


def test_no_fused_plate_gets_wells_of_two_versions(
    plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Zarr v2 and v3 in one hierarchy: a reader of the plate does not find half of its wells."""
    for well in ("A/01", "A/02"):
        write_group(Path("p_fused.zarr", well), {}, "0.4")
        FusedWellRecord(fingerprint={}, images={}).write(Path("p_fused.zarr", well))
    some: dict[str, Any] = {"wells": {"include": ["A01"]}, "quality": {"enabled": False}}
    newer = {**some, "fusion": {"ngff_version": "0.5"}}
    for wells in (some, {**newer, "wells": {"include": ["A"]}}):  # none, or all, are replaced
        plates = open_plates(config(**wells))
        list(check_run(config(**wells), plates, wells_of_job(config(**wells), plates)))
    plates = open_plates(config(**newer))
    with pytest.raises(PlateError, match=r"1 of its wells have another OME-NGFF version.*\(A/02\)"):
        list(check_run(config(**newer), plates, wells_of_job(config(**newer), plates)))
    code, _, err = check(capsys, **newer)
    assert code == 1
    assert "p_fused.zarr: 1 of its wells have another OME-NGFF version than the 0.5" in err


def test_a_fused_well_whose_well_was_taken_out_is_told(plate: Path) -> None:
    """It stays: it may be all that is left of the well. Wells of other plates are theirs."""
    fused = Path("p_fused.zarr")
    wells = ("A/01", "D/01", "D/02", "D/03")
    for well, source in zip(wells, ("p.zarr", "p.zarr", "other.zarr", None), strict=True):
        write_group(fused / well, {}, "0.4")
        FusedWellRecord(fingerprint={}, images={}, plate=source).write(fused / well)
    write_group(fused, {"plate": {"wells": [{"path": well} for well in wells]}}, "0.4")
    plates = open_plates(config())
    told, *_ = warnings_of(config(), plates, wells_of_job(config(), plates))
    assert "p_fused.zarr has 1 well that the plate does not list any more (D/01)." in told
    no_fusion = config(fusion={"enabled": False}, registration={"enabled": True})
    assert "fused" not in "".join(warnings_of(no_fusion, plates, wells_of_job(no_fusion, plates)))


def test_a_fused_plate_that_is_to_be_fused_is_told(
    plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "p.zarr is a fused plate"
    assert said not in check(capsys)[1]
    FusedPlateRecord(versions={}, config_digest="").write(plate)
    assert said in check(capsys)[1]
    plates = open_plates(config())
    assert said in "".join(check_run(config(), plates, wells_of_job(config(), plates)))
    assert said not in check(capsys, fusion={"enabled": False}, registration={})[1]
    assert main(["init", str(plate)]) == 1
    assert said in capsys.readouterr().err
    assert not Path("p.yaml").exists()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (["0"], None),
        (["1", "0"], None),
        (
            ["1", "2"],
            r"config\.images names \['2'\], and no well of plate p has it; the images are",
        ),
        (["8", "9"], r"no well of plate p has them"),
    ],
)
def test_an_image_that_no_well_has_is_refused(
    plate: Path, images: list[str], message: str | None
) -> None:
    """A name with a mistake would leave an acquisition out, and nobody would be told."""
    damage(plate, "A/02")
    for wells in ({}, {"wells": {"include": ["A01"]}}):
        given = config(images=images, registration={"enabled": False}, **wells)
        plates = open_plates(given)
        chosen = wells_of_job(given, plates)
        if message is None:
            check_images(given, plates, chosen)
            continue
        with pytest.raises(ConfigError, match=message):
            check_images(given, plates, chosen)


def test_plates_with_one_list_of_images_need_not_all_have_them(plate: Path) -> None:
    shutil.copytree(plate, "q.zarr")
    shutil.copytree("q.zarr/A/01/1", "q.zarr/A/01/2")
    images = [{"path": name} for name in ("0", "1", "2")]
    update_attributes(Path("q.zarr/A/01"), {"well": {"images": images}})
    both = {"p": "p.zarr", "q": "q.zarr"}
    given = config(plates=both, images=["1", "2"])
    plates = open_plates(given)
    check_images(given, plates, wells_of_job(given, plates))
    own = {"p": "p.zarr", "q": {"path": "q.zarr", "images": ["0", "7"]}}
    given = config(plates=own, images=["0"])
    with pytest.raises(ConfigError, match=r"^config\.plates\.q\.images names \['7'\]"):
        check_images(given, plates, wells_of_job(given, plates))


def test_a_long_list_is_cut_and_the_file_has_all(tmp_path: Path) -> None:
    bad = [BadWell(f"A/{k:02}", f"A/{k:02}: fault {k}\nin two lines") for k in range(30)]
    text = describe("p", bad, 40, tmp_path / "x.tsv")
    assert text.count("fault") == 20
    assert text.splitlines()[-1] == "- and 10 more wells"
    write_list(tmp_path / "x.tsv", bad)
    assert read_list(tmp_path / "x.tsv") == {each.well for each in bad}
    write_list(tmp_path / "x.tsv", [])
    assert not (tmp_path / "x.tsv").exists()


def check(capsys: pytest.CaptureFixture[str], **more: Any) -> tuple[int, str, str]:
    given = {"plates": {"p": "p.zarr"}, "registration": {"enabled": False}, **more}
    Path("c.yaml").write_text(yaml.safe_dump(given))
    code = main(["check", "c.yaml"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_well_without_images_is_told(plate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_group(plate / "A" / "02", {"well": {"images": [], "version": "0.4"}}, "0.4")
    _, _, err = check(capsys)
    assert "A/02: the well's metadata lists no images" in err


def test_check_says_what_would_be_done(plate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(plate.rglob("*"))
    code, out, _ = check(capsys)
    assert code == 0
    assert "plate p: p.zarr, 3 of 5 wells can be processed" in out
    assert "3 wells, 2 images each, acquisition 0; layout fields: an acquisition has several" in out
    assert "fuse (per_acquisition) into p_fused.zarr" in out
    assert out.splitlines()[-1] == "Nothing would stop this run."
    assert sorted(plate.rglob("*")) == before
    assert not Path("results").exists()


def test_check_tells_bad_wells_from_those_that_are_not_asked_for(
    plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(plate, "B/01")
    code, out, _ = check(capsys, wells={"include": ["A01"]})
    assert code == 0
    assert "p.zarr, 1 of 1 well can be processed; config.wells leaves out 4" in out
    assert "  1 well, 2 images each" in out


def test_check_lists_what_would_stop_it(plate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(plate, "B/01")
    code, out, err = check(capsys)
    assert code == 1
    assert "2 of 5 wells can be processed" in out
    assert "1 of 3 wells of plate p cannot be processed" in err
    assert "set on_bad_well: skip" in err
    assert check(capsys, on_bad_well="skip")[0] == 0
    code, _, err = check(capsys, on_bad_well="never")
    assert code == 1
    assert "config.on_bad_well is 'never'; expected one of ['stop', 'skip']" in err


def test_a_well_with_other_pixels_is_not_measured_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shifts of all wells are solved together: one such well stopped the plate at its end."""
    monkeypatch.chdir(tmp_path)
    two: dict[int | None, int] = {0: 2, 1: 2}
    FieldsPlate({"A/01": two, "A/02": two, "B/01": two}).write(tmp_path / "p.zarr")
    for number in range(4):
        image = tmp_path / "p.zarr" / "A" / "01" / str(number)
        attributes = read_attributes(image)
        (entry,) = list[Any](attributes["multiscales"])  # type: ignore[call-overload]
        for dataset in entry["datasets"]:
            for transform in dataset["coordinateTransformations"]:
                for key in set(transform) - {"type"}:
                    transform[key] = [2 * value for value in transform[key]]
        update_attributes(image, {"multiscales": [entry]})
    measured = {"registration": {"store": False, "measure": {"enabled": True}}}
    plates = open_plates(config(**measured))
    wells = wells_of_run(config(on_bad_well="skip", **measured), plates, is_dry=False)
    assert names(wells) == ["A/02", "B/01"]
    (reason,) = read_reasons(Path("results/p/skipped.tsv")).values()
    assert "A/01: its pixels are 1 µm in x, those of most wells of the plate 0.5 µm" in reason
    wells = wells_of_run(config(**measured), plates, is_dry=False)
    with pytest.raises(PlateError, match="1 of 3 wells of plate p cannot be processed"):
        list(check_run(config(**measured), plates, wells))


def test_pixels_that_cannot_be_measured_are_found_before_the_first_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FieldsPlate({"A/01": {0: 2, 1: 2}}).write(tmp_path / "p.zarr")
    for number in range(4):
        for array in (tmp_path / "p.zarr" / "A" / "01" / str(number)).glob("[01]"):
            pixels = np.asarray(zarr.open_array(array, mode="r")[...]) > 9
            zarr.create_array(str(array), data=pixels, zarr_format=2, overwrite=True)
    measured = config(registration={"store": False, "measure": {"enabled": True}})
    plates = open_plates(measured)
    wells = wells_of_run(measured, plates, is_dry=False)
    with pytest.raises(PlateError, match="A/01/0: its pixels are bool, and shifts are measured"):
        list(check_run(measured, plates, wells))


@pytest.mark.parametrize("content", ["plates: [", "- 1", json.dumps("text")])
def test_a_file_that_is_no_config_is_an_error(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(content)
    assert main(["check", str(tmp_path / "c.yaml")]) == 1
    assert str(tmp_path / "c.yaml") in capsys.readouterr().err


def test_a_plate_without_any_of_its_wells_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    FieldsPlate({}, listed=("B/02", "C/01")).write(tmp_path / "p.zarr")
    for policy in ("stop", "skip"):
        given = config(on_bad_well=policy)
        with pytest.raises(PlateError, match=r"p.zarr: none of the 2 wells that the plate lists"):
            wells_of_run(given, open_plates(given), is_dry=True)
        assert check(capsys, on_bad_well=policy)[0] == 1


def test_check_and_run_agree_where_one_plate_has_only_bad_wells(
    plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SPEC.write(plate.with_name("q.zarr"))
    damage(plate, "A/01", "A/02", "B/01")
    assert "on_bad_well" not in check(capsys)[2]  # it would help no well
    both = {"plates": {"p": "p.zarr", "q": "q.zarr"}, "on_bad_well": "skip"}
    given = config(**both)
    with pytest.raises(PlateError) as error:
        wells_of_run(given, open_plates(given), is_dry=True)
    assert "on_bad_well: skip" not in str(error.value)
    code, _, err = check(capsys, **both)
    assert code == 1
    assert err.strip().endswith(str(error.value).splitlines()[-1])


def test_a_missing_table_of_positions_is_said_once(
    plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = config(input={"positions": "gone.tsv"})
    with pytest.raises(ConfigError, match=r"input\.positions: gone\.tsv cannot be read"):
        wells_of_run(given, open_plates(given), is_dry=True)
    code, _, err = check(capsys, input={"positions": "gone.tsv"})
    assert code == 1
    assert err.count("gone.tsv") == 2  # by Python's reason, too
