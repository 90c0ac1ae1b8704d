"""What platefuse 0.1.0 left on disk is read and continued as what this version writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from platefuse import apply_registration_to_image
from platefuse.errors import RecordError
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.plate import finish_fused_plate
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.records import Receipt
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.stage import register_image
from platefuse.registration.swap import discard_backups, publish_registered, swap_image
from platefuse.registration.tables import copy_tables
from platefuse.workflow.status import plate_status
from tests.fused import fuse_well
from tests.plates_0_1_0 import PLATES, extract, status_then, truth_of_half
from tests.truth import assert_registered, assert_unregistered
from tests.workflow.conftest import fingerprint

TABLE = "registered_FOV_ROI_table"
IN_PLACE = RegistrationRequest(TABLE)
BESIDE = RegistrationRequest(TABLE, interpolation="linear", overwrite_input=False)
FUSED = [
    ("in_place", IN_PLACE, FusionOptions()),
    ("beside", BESIDE, FusionOptions(layout="stacked", ngff_version="0.5")),
]


@pytest.fixture
def half(tmp_path: Path) -> Path:
    return extract("half", tmp_path)


def well_of(plate: Path, name: str = "B/03") -> Well:
    return Plate.open(plate).well(*name.split("/"))


def content(done: Receipt) -> dict[str, Any]:
    """What a receipt of this version holds, but for version and time."""
    return {k: v for k, v in done.as_json().items() if k not in ("platefuse_version", "time")}


def receipt(plate: Path, name: str) -> dict[str, Any]:
    """The receipt of a job of 0.1.0."""
    file = plate.parent / "results" / plate.stem / f"{name}.json"
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def assert_finished_as_planned(plate: Path, name: str) -> None:
    """A well of the plate `half` is registered as its truth has it, and nothing is staged."""
    truth = truth_of_half()
    for image in ("0", "1"):
        assert_registered(plate, truth, name, image)
    assert not (plate.parent / "half.zarr.staging" / name).exists()
    status = next(well for well in plate_status(plate).wells if well.well == name)
    assert [(image.state, image.backup) for image in status.images] == [("registered", None)] * 2


@pytest.mark.parametrize("plate", PLATES)
def test_status_reports_what_it_reported_then(
    plate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(plate, tmp_path)
    monkeypatch.chdir(tmp_path)  # the paths that it reports are relative
    status = json.loads(json.dumps(plate_status(f"{plate}.zarr").as_dict()))
    for well in status["wells"]:  # 0.1.0 did not tell which images of a well are fused
        fused = [image.pop("fused") for image in well["images"]]
        assert fused == [well["fused"]] * len(fused)
        notes = {
            image.pop(key) for image in well["images"] for key in ("restored", "restored_from")
        }
        assert notes <= {None}
    assert status.pop("absent") == []
    assert status == status_then(plate)


class TestRegisteredInPlace:
    def test_every_step_finds_its_work_done(self, tmp_path: Path) -> None:
        plate = extract("in_place", tmp_path)
        before = fingerprint(tmp_path)
        well = well_of(plate)
        for image in ("0", "1"):
            done = content(register_image(well.image(image), IN_PLACE))
            swapped = receipt(plate, f"B/03/{image}/swap_image")
            assert (done["action"], done["record"]) == ("registered before", swapped["record"])
            copied = content(copy_tables(well.image(image), IN_PLACE))
            tables = receipt(plate, f"B/03/{image}/copy_tables")["tables"]
            assert (copied["action"], copied["tables"]) == ("registered before", tables)
            again = content(swap_image(well.image(image), IN_PLACE))
            assert (again["action"], again["record"]) == ("swapped before", swapped["record"])
        discarded = content(discard_backups(well, IN_PLACE))
        assert discarded.pop("backups_removed") == []
        assert discarded.items() <= receipt(plate, "B/03/discard_backups").items()
        assert fingerprint(tmp_path) == before

    def test_the_public_function_changes_nothing(self, tmp_path: Path) -> None:
        plate = extract("in_place", tmp_path)
        before = fingerprint(tmp_path)
        for image in ("0", "1"):
            url = str(plate / "B" / "03" / image)
            updates = apply_registration_to_image(zarr_url=url, registered_roi_table=TABLE)
            assert updates == {"image_list_updates": [{"zarr_url": url}]}
        assert fingerprint(tmp_path) == before

    def test_an_image_next_to_it_is_refused(self, tmp_path: Path) -> None:
        well = well_of(extract("in_place", tmp_path))
        request = RegistrationRequest(TABLE, overwrite_input=False)
        with pytest.raises(RecordError, match="registered in its place already"):
            register_image(well.image("1"), request)


def test_images_registered_next_to_the_originals_are_found(tmp_path: Path) -> None:
    plate = extract("beside", tmp_path)
    before = fingerprint(tmp_path)
    well = well_of(plate)
    for image in ("0", "1"):
        done = content(register_image(well.image(image), BESIDE))
        staged = receipt(plate, f"B/03/{image}/register_image")["record"]
        assert done["action"] == "registered before"
        assert staged.items() <= done["record"].items()
        assert copy_tables(well.image(image), BESIDE).action == "registered before"
    published = content(publish_registered(well, BESIDE))
    assert published.items() <= receipt(plate, "B/03/publish_registered").items()
    assert fingerprint(tmp_path) == before


class TestHalfRegistered:
    def test_staged_images_are_made_anew(self, half: Path) -> None:
        """0.1.0 did not write down what they were made from, nor which files they have."""
        well = well_of(half, "A/01")
        with pytest.raises(RecordError, match="no complete staged image"):
            swap_image(well.image("1"), IN_PLACE)
        for image in ("0", "1"):
            done = content(register_image(well.image(image), IN_PLACE))
            staged = receipt(half, f"A/01/{image}/register_image")["record"]
            assert done["action"] == "staged"
            staged.pop("time")
            assert {key: done["record"][key] for key in staged} == staged
        with pytest.raises(RecordError, match="no complete staged image"):
            swap_image(well.image("0"), IN_PLACE)
        tables = receipt(half, "A/01/1/copy_tables")["tables"]
        for image in ("0", "1"):
            copied = content(copy_tables(well.image(image), IN_PLACE))["tables"]
            assert copied.keys() == tables.keys()
        # Boxes of objects are exact now; 0.1.0 moved them with the fields.
        assert copied["nuclei_ROI_table"].pop("sha256") != tables["nuclei_ROI_table"].pop("sha256")
        assert copied == tables
        for image in ("0", "1"):
            assert swap_image(well.image(image), IN_PLACE).action == "swapped"
        discard_backups(well, IN_PLACE)
        assert_finished_as_planned(half, "A/01")

    def test_kept_backups_are_discarded(self, half: Path) -> None:
        well = well_of(half, "A/02")
        for image in ("0", "1"):
            assert well.image(image).backup.is_dir()
            assert swap_image(well.image(image), IN_PLACE).action == "swapped before"
            assert well.image(image).backup.is_dir()
        assert discard_backups(well, IN_PLACE).backups_kept == ()
        assert_finished_as_planned(half, "A/02")

    def test_kept_backups_are_the_originals(self, half: Path) -> None:
        well = well_of(half, "A/02")
        for image in ("0", "1"):
            shutil.rmtree(well.image(image).live)
            well.image(image).backup.rename(well.image(image).live)
            assert_unregistered(half, truth_of_half(), "A/02", image)

    def test_an_exchange_that_was_interrupted_is_completed(self, half: Path) -> None:
        well = well_of(half, "A/03")
        original = fingerprint(well.staging / "1")
        swapped = content(swap_image(well.image("1"), IN_PLACE))
        assert swapped["action"] == "swapped before"
        assert fingerprint(well.image("1").backup) == original
        discard_backups(well, IN_PLACE)
        assert_finished_as_planned(half, "A/03")

    def test_an_image_whose_staging_was_interrupted_is_staged_anew(self, half: Path) -> None:
        well = well_of(half, "A/04")
        for image in ("0", "1"):
            assert register_image(well.image(image), IN_PLACE).action == "staged"
        for image in ("0", "1"):
            copy_tables(well.image(image), IN_PLACE)
        for image in ("0", "1"):
            swap_image(well.image(image), IN_PLACE)
        discard_backups(well, IN_PLACE)
        assert_finished_as_planned(half, "A/04")

    @pytest.mark.parametrize("name", ["A/01", "A/02", "A/03", "A/04"])
    def test_the_public_function_finishes_every_well(self, half: Path, name: str) -> None:
        for image in ("1", "0"):
            url = str(half / name / image)
            apply_registration_to_image(zarr_url=url, registered_roi_table=TABLE)
        assert_finished_as_planned(half, name)


class TestAnotherRequest:
    others = (
        RegistrationRequest("FOV_ROI_table"),
        RegistrationRequest(TABLE, reference_acquisition=1),
        RegistrationRequest(TABLE, interpolation="cubic"),
    )

    @pytest.mark.parametrize("step", [register_image, copy_tables, swap_image])
    def test_registered_image_is_not_moved_twice(
        self, step: Callable[..., Any], tmp_path: Path
    ) -> None:
        plate = extract("in_place", tmp_path)
        before = fingerprint(tmp_path)
        for other in self.others:
            with pytest.raises(RecordError, match="will not be shifted twice"):
                step(well_of(plate).image("1"), other)
        assert fingerprint(tmp_path) == before

    def test_backups_are_not_discarded(self, half: Path) -> None:
        before = fingerprint(half.parent)
        for other in self.others:
            with pytest.raises(RecordError, match="will not be shifted twice"):
                discard_backups(well_of(half, "A/02"), other)
        assert fingerprint(half.parent) == before

    def test_staged_image_does_not_become_live(self, half: Path) -> None:
        before = fingerprint(half.parent)
        for other in self.others:
            with pytest.raises(RecordError, match="no complete staged image"):
                swap_image(well_of(half, "A/01").image("1"), other)
        assert fingerprint(half.parent) == before


@pytest.mark.parametrize(("name", "registration", "options"), FUSED)
class TestFused:
    def test_well_of_unchanged_sources_is_left_alone(
        self, name: str, registration: RegistrationRequest, options: FusionOptions, tmp_path: Path
    ) -> None:
        plate = extract(name, tmp_path)
        before = fingerprint(tmp_path)
        done = content(
            fuse_well(well_of(plate), fused_plate_path(plate), options, request=registration)
        )
        then = receipt(plate, "B/03/fuse_well")
        assert done == {"action": "fused before"} | {
            key: then[key] for key in ("well", "fused", "images")
        } | {"sources": ["0", "1"]}  # 0.1.0 did not write them
        assert fingerprint(tmp_path) == before

    def test_metadata_of_the_plate_is_written_the_same(
        self, name: str, registration: RegistrationRequest, options: FusionOptions, tmp_path: Path
    ) -> None:
        plate = extract(name, tmp_path)
        fused = fused_plate_path(plate)
        before = {file: digest for file, (digest, _) in fingerprint(fused).items()}
        section: Any = read_attributes(fused)["plate"]
        finished = content(finish_fused_plate(Plate.open(plate), fused, options))
        assert finished.items() <= receipt(plate, "finish_fused_plate").items()
        images = 1 if options.layout == "stacked" else 2  # 0.1.0 did not count acquisitions
        assert read_attributes(fused)["plate"] == {**section, "field_count": images}
        after = {file: digest for file, (digest, _) in fingerprint(fused).items()}
        if images == 2:
            del before[".zattrs"], after[".zattrs"]
        assert after == before

    def test_other_options_fuse_it_anew(
        self, name: str, registration: RegistrationRequest, options: FusionOptions, tmp_path: Path
    ) -> None:
        plate = extract(name, tmp_path)
        other = FusionOptions(layout=options.layout, method="max")
        done = content(
            fuse_well(well_of(plate), fused_plate_path(plate), other, request=registration)
        )
        assert done["action"] == "fused"
