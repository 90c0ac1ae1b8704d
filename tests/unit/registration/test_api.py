from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numcodecs import Blosc

import platefuse
from platefuse.engine.downsample import mean, nearest
from platefuse.errors import (
    ConfigError,
    ImageError,
    PlateError,
    PlatefuseError,
    RecordError,
    SwapError,
    TableError,
)
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.paths import staging_root
from platefuse.ngff.plate import Plate
from platefuse.ngff.tables.table import read_table, write_roi_table
from platefuse.records import FusedImageRecord, RegistrationRecord, TableDigests, digest_tree
from platefuse.registration import stage
from platefuse.registration.api import apply_registration_to_image, write_registered_zarr
from platefuse.registration.plan import plan_registration
from platefuse.registration.request import Interpolation, RegistrationRequest
from platefuse.registration.stage import register_image
from platefuse.registration.swap import discard_backups, publish_registered, swap_image
from platefuse.registration.tables import copy_tables
from platefuse.testing import AcquisitionSpec, PlateSpec, make_plate
from platefuse.workflow.checks import preflight
from tests.checks import check_plate
from tests.conftest import SMALL, ExamplePlate, PlateFactory
from tests.neighbours import tidy_after_every_new_folder
from tests.strategies import plate_specs
from tests.truth import (
    Array,
    assert_registered,
    assert_same_pixels,
    assert_unregistered,
    read_level,
)

FIELDS, WELL = "registered_FOV_ROI_table", "registered_well_ROI_table"
REQUEST = RegistrationRequest(FIELDS)
ROOT = Path(__file__).parents[3]
FUSED = FusedImageRecord(sources=("0",), origin_um={"y": 0.0, "x": 0.0}, tables_left_out={})
TINY = replace(
    SMALL,
    wells=("B/03",),
    field_shape=(40, 44),
    nucleus_diameter_um=9.0,
    levels=3,
    tables=("FOV_ROI_table", "well_ROI_table", FIELDS, WELL, "nuclei_features"),
)


def register(path: Path, request: RegistrationRequest = REQUEST, *, threads: int = 1) -> None:
    """Register a plate as the workflow does, its steps in their order."""
    plate = Plate.open(path)
    check_plate(plate, request)
    for well in plate.read_wells():
        for image in well.images:
            register_image(image, request, threads=threads)
        for image in well.images:
            copy_tables(image, request)
        if not request.overwrite_input:
            publish_registered(well, request)
            continue
        for image in well.images:
            swap_image(image, request)
        discard_backups(well, request)


def state(folder: Path) -> dict[str, str]:
    """Every file of a plate and of its staging folder, by content."""
    return {
        str(path.relative_to(folder)): path.read_bytes().hex()
        for path in folder.rglob("*")
        if path.is_file()
    }


def metadata_of(array: Path) -> dict[str, Any]:
    for name in (".zarray", "zarr.json"):
        if (array / name).is_file():
            found: dict[str, Any] = json.loads((array / name).read_text())
            return found
    raise FileNotFoundError(array)


@settings(max_examples=6, phases=[Phase.reuse, Phase.generate])
@given(
    spec=plate_specs(axes=("yx", "cyx", "zyx", "tczyx"), fractional=True, grid=(1, 2)),
    table=st.sampled_from([FIELDS, WELL]),
    threads=st.integers(1, 3),
)
def test_any_plate_is_registered_to_the_bit_and_keeps_its_form(
    tmp_path_factory: pytest.TempPathFactory, spec: PlateSpec, table: str, threads: int
) -> None:
    spec = replace(
        spec,
        tables=("FOV_ROI_table", FIELDS, WELL),
        # Boxes that end between pixels may reach one pixel beyond what the camera saw.
        whole_pixel_rois=True,
        extra_attributes={"foreign": {"kept": [1, None]}},
        fill_value=0 if spec.seed % 2 else 7,
    )
    path = tmp_path_factory.mktemp("plate") / "p.zarr"
    truth = make_plate(path, spec)
    shutil.copytree(path, path.with_name("old.zarr"))
    register(path, RegistrationRequest(table), threads=threads)
    assert not path.with_name("p.zarr.staging").exists()
    for acquisition in spec.acquisitions:
        assert_registered(path, truth, "A/1", acquisition.path, table=table)
        image = path / "A" / "1" / acquisition.path
        old = path.with_name("old.zarr") / "A" / "1" / acquisition.path
        parts = [Path(), *(Path("labels", label) for label in spec.labels)]
        for part in parts:
            finest = read_level(image / part)
            for level in range(spec.levels):
                array = image / part / str(level)
                assert metadata_of(array) == metadata_of(old / part / str(level))
                if level:
                    finer = read_level(image / part, level - 1)
                    shape = read_level(old / part, level).shape
                    expected = coarsened(finer, shape, spec, is_label=part != Path())
                    assert_same_pixels(read_level(image / part, level), expected)
            assert finest.any()
        attributes: dict[str, Any] = dict(zarr.open_group(image, mode="r").attrs)
        record = attributes.pop("platefuse")
        assert record["registration"]["request"]["roi_table"] == table
        assert attributes == dict(zarr.open_group(old, mode="r").attrs)


def coarsened(fine: Array, shape: tuple[int, ...], spec: PlateSpec, *, is_label: bool) -> Array:
    """The next level by the definition: groups of whole pixels, cut at the end."""
    of = {"z": spec.coarsening_z, "y": spec.coarsening_xy, "x": spec.coarsening_xy}
    factors = tuple(of.get(axis, 1) for axis in (spec.axes_of_labels if is_label else spec.axes))
    return (nearest if is_label else mean)(fine, factors, shape)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_whole_plates_in_both_versions_and_modes(
    example_plate: PlateFactory, version: str, overwrite: bool
) -> None:
    plate = example_plate(replace(TINY, ngff_version=version))
    request = RegistrationRequest(FIELDS, overwrite_input=overwrite)
    for _ in range(2):  # the second time nothing moves
        register(plate.path, request)
        for image in ("0", "1", "2"):
            where = image if overwrite else f"{image}_registered"
            assert_registered(plate.path, plate.truth, "B/03", image, path=where)
            if not overwrite:
                assert_unregistered(plate.path, plate.truth, "B/03", image)
    listed = Plate.open(plate.path).read_wells()[0].listed_images
    assert len(listed) == (3 if overwrite else 6)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_fractional_shifts_are_met_exactly_also_at_the_borders_of_a_roi(
    example_plate: PlateFactory, interpolation: Interpolation
) -> None:
    spec = replace(
        TINY,
        acquisitions=(AcquisitionSpec(0), AcquisitionSpec(1, shift_px=(2.4, -3.3))),
        nucleus_diameter_um=18.0,
        whole_pixel_rois=True,
    )
    plate = example_plate(spec)
    register(plate.path, RegistrationRequest(FIELDS, interpolation=interpolation))
    got = read_level(plate.path / "B" / "03" / "1").astype(float)
    expected = plate.truth.registered("B/03", "1", interpolation=interpolation).astype(float)
    nearest = plate.truth.registered("B/03", "1").astype(float)
    inside = expected > 0
    assert ((got > 0) == inside).all()
    off, worse = np.abs(got - expected)[inside], np.abs(nearest - expected)[inside]
    assert off.mean() < 0.25 * worse.mean()
    # A border pixel is sampled between two pixels, too: one that repeats its neighbour shows.
    rows = np.flatnonzero(inside[0, 0].any(axis=1))
    first = np.abs(got - expected)[0, 0, rows[0]]
    assert first.mean() < 3 * max(off.mean(), 0.5)


def test_requests_check_themselves() -> None:
    with pytest.raises(ConfigError, match=r"is 'quintic'; expected one of \['nearest'"):
        RegistrationRequest(FIELDS, interpolation="quintic")  # type: ignore[arg-type]
    beside = replace(REQUEST, overwrite_input=False)
    assert beside.identity == REQUEST.identity


def test_the_record_keeps_the_shift_and_what_was_used(example_plate: PlateFactory) -> None:
    plate = example_plate(TINY)
    tables = plate.path / "B" / "03" / "1" / "tables"
    digests = {name: digest_tree(tables.parent.parent / name / "tables" / FIELDS) for name in "01"}
    register(plate.path)
    record = RegistrationRecord.read(plate.path / "B" / "03" / "1")
    assert record is not None
    assert record.reference == "0"
    assert record.request == REQUEST.identity
    assert record.digests == TableDigests(digests["1"], digests["0"])
    assert record.axes == "zyx"
    assert [roi.shift_px for roi in record.rois] == [(0, 3, -5)] * 4
    assert record.tables is not None
    assert set(record.tables) == set(TINY.tables)
    for name, table in record.tables.items():
        assert table.sha256 == digest_tree(tables / name)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (RegistrationRequest(WELL), f"with roi_table='{FIELDS}', and now roi_table='{WELL}' is"),
        (
            RegistrationRequest(FIELDS, 1),
            "with reference_acquisition=0, and now reference_acquisition=1 is",
        ),
        (
            RegistrationRequest(FIELDS, interpolation="linear"),
            "with interpolation='nearest', and now interpolation='linear' is",
        ),
    ],
)
def test_pixels_that_were_moved_are_never_moved_again(
    example_plate: PlateFactory, other: RegistrationRequest, words: str
) -> None:
    plate = example_plate(TINY)
    register(plate.path)
    before = state(plate.path.parent)
    well = Plate.open(plate.path).read_wells()[0]
    for step in (register_image, copy_tables, swap_image):
        with pytest.raises(RecordError, match=f"already, {words} .* will not be shifted twice"):
            step(well.image("1"), other)
    with pytest.raises(RecordError, match="will not be shifted twice"):
        check_plate(Plate.open(plate.path), other)
    assert state(plate.path.parent) == before


@pytest.mark.parametrize("place", ["", "B", "B/03", "../single.zarr"])
def test_a_path_that_is_no_image_of_a_well_is_told(example_plate: PlateFactory, place: str) -> None:
    plate = example_plate(TINY)
    with pytest.raises(PlateError, match=r"is no well .*; expected the path of an image"):
        apply_registration_to_image(
            zarr_url=plate.path / place, registered_roi_table="registered_FOV_ROI_table"
        )


def test_an_image_that_was_moved_in_place_is_not_moved_again_beside_it(
    example_plate: PlateFactory,
) -> None:
    plate = example_plate(TINY)
    register(plate.path)
    before = state(plate.path.parent)
    beside = replace(REQUEST, overwrite_input=False)
    with pytest.raises(RecordError, match="registered in its place already"):
        register_image(Plate.open(plate.path).read_wells()[0].image("1"), beside)
    with pytest.raises(RecordError, match="registered in its place already"):
        check_plate(Plate.open(plate.path), beside)
    assert state(plate.path.parent) == before


def test_an_image_that_was_registered_beside_its_original_is_not_registered_in_its_place(
    example_plate: PlateFactory,
) -> None:
    """The acquisition would be in the well twice."""
    plate = example_plate(TINY)
    url, beside = plate.path / "B/03/1", replace(REQUEST, overwrite_input=False)
    apply_registration_to_image(zarr_url=url, registered_roi_table=FIELDS, overwrite_input=False)
    before, well = state(plate.path.parent), Plate.open(plate.path).read_wells()[0]
    for interpolation in ("nearest", "linear"):
        with pytest.raises(RecordError, match=r"1_registered: .* next to its original already"):
            apply_registration_to_image(
                zarr_url=url, registered_roi_table=FIELDS, interpolation=interpolation
            )
    for step in (
        partial(register_image, well.image("1")),
        partial(check_plate, Plate.open(plate.path)),
    ):
        with pytest.raises(RecordError, match=r"1_registered: .* next to its original already"):
            step(REQUEST)
    assert state(plate.path.parent) == before
    assert register_image(well.image("1"), beside).action == "registered before"


def test_a_staged_image_has_no_record_before_it_is_complete(
    example_plate: PlateFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its attributes are copied: a record among them would say that it is complete."""
    plate = example_plate(TINY)
    well = Plate.open(plate.path).read_wells()[0]
    FUSED.write(well.image("1").live)
    found = []

    def killed(*_: object) -> None:
        found.append(FusedImageRecord.read(well.staging / "1"))
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "run_tasks", killed)
    plan = plan_registration(well.image("1"), replace(REQUEST, overwrite_input=False))
    with pytest.raises(KeyboardInterrupt):
        stage.stage_image(plan, [], 0, 1, well.staging / "1")
    assert found == [None]


@pytest.mark.parametrize("overwrite", [True, False])
def test_others_that_tidy_the_staging_folder_remove_nothing_of_a_job(
    example_plate: PlateFactory, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    plate, request = example_plate(TINY), replace(REQUEST, overwrite_input=overwrite)
    well = Plate.open(plate.path).read_wells()[0]
    tidied = tidy_after_every_new_folder(monkeypatch, staging_root(plate.path))
    for image in well.images:
        register_image(image, request)
    assert well.staging in tidied
    for image in well.images:
        copy_tables(image, request)
    if overwrite:
        for image in well.images:
            swap_image(image, request)
        discard_backups(well, request)
    else:
        publish_registered(well, request)
    assert not staging_root(plate.path).exists()


@pytest.mark.parametrize("away", ["0", "1"])
def test_images_that_a_kill_between_two_renames_took_away_come_back(
    example_plate: PlateFactory, away: str
) -> None:
    """On a filesystem without exchange; each image may be the first that is asked for."""
    plate = example_plate(TINY)
    well = Plate.open(plate.path).read_wells()[0]
    for step in (register_image, copy_tables):
        for image in well.images:
            step(image, REQUEST)
    well.image(away).live.rename(well.image(away).backup)
    check_plate(Plate.open(plate.path), REQUEST)
    assert not well.image(away).live.exists()
    for image in reversed(well.images):
        apply_registration_to_image(zarr_url=str(image.live), registered_roi_table=FIELDS)
    for image in well.images:
        assert_registered(plate.path, plate.truth, "B/03", image.name)
    assert not plate.path.with_name(f"{plate.path.name}.staging").exists()


def test_each_step_says_which_one_is_missing_before_it(example_plate: PlateFactory) -> None:
    plate = example_plate(TINY)
    well = Plate.open(plate.path).read_wells()[0]
    with pytest.raises(RecordError, match="Run `register_image`"):
        copy_tables(well.image("1"), REQUEST)
    with pytest.raises(RecordError, match="Run `register_image` and `copy_tables`"):
        swap_image(well.image("1"), REQUEST)
    register_image(well.image("1"), REQUEST)
    with pytest.raises(RecordError, match="no complete staged image"):
        swap_image(well.image("1"), REQUEST)
    with pytest.raises(RecordError, match="not registered yet, so its backup is not removed"):
        discard_backups(well, REQUEST)
    assert_unregistered(plate.path, plate.truth, "B/03", "1")


def test_a_staged_image_is_used_again_unless_the_tables_have_changed(
    example_plate: PlateFactory,
) -> None:
    plate = example_plate(TINY)
    well = Plate.open(plate.path).read_wells()[0]
    assert register_image(well.image("1"), REQUEST).action == "staged"
    assert register_image(well.image("1"), REQUEST).action == "staged before"
    table = read_table(well.image("1").live, FIELDS)
    rows = {
        name: {column: values[i] for column, values in table.columns.items()}
        for i, name in enumerate(table.names)
    }
    for row in rows.values():
        row["x_micrometer"] -= 2 * TINY.pixel_size_um[2]
    shutil.rmtree(well.image("1").live / "tables" / FIELDS)
    write_roi_table(well.image("1").live, FIELDS, rows)
    receipt = register_image(well.image("1"), REQUEST)
    assert receipt.action == "staged"
    assert receipt.record is not None
    assert receipt.record.rois[0].shift_px == (0, 3, -3)


def spoil(table: str, image: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Any:
    def apply(well: Path) -> None:
        found = read_table(well / image, table)
        frame = pd.DataFrame(dict(found.columns), index=list(found.names))
        shutil.rmtree(well / image / "tables" / table)
        rows = {str(name): dict(row) for name, row in change(frame).iterrows()}
        write_roi_table(well / image, table, rows)

    return apply


def with_value(row: int, column: str, value: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.iloc[row, list(frame.columns).index(column)] = value
        return frame

    return change


SPOILT = {
    "nan": (with_value(1, "x_micrometer", math.nan), r"x_micrometer of row 'FOV_2' is nan"),
    "inf": (with_value(1, "len_y_micrometer", math.inf), "len_y_micrometer of row 'FOV_2' is inf"),
    "negative": (with_value(0, "y_micrometer", -9), "ROI 'FOV_1' begins at -9 µm in y"),
    "no length": (with_value(0, "len_x_micrometer", 0), "is 0 µm long"),
    "outside": (with_value(3, "y_micrometer", 60), "ROI 'FOV_4' in the .* covers pixels .* has 80"),
    "longer": (with_value(2, "len_x_micrometer", 30), "ROI 'FOV_3' is .* µm long in x, but"),
    "no column": (lambda frame: frame.drop(columns="y_micrometer"), "no column 'y_micrometer'"),
    "fewer": (lambda frame: frame.iloc[:3], "the ROIs differ from the reference's: "),
    "other names": (
        lambda frame: frame.rename(index={"FOV_2": "FOV_9"}),
        r"\['FOV_[29]'\], not in the reference \['FOV_[29]'\]",
    ),
}


@pytest.mark.parametrize("image", ["0", "1"])
@pytest.mark.parametrize("fault", SPOILT)
def test_tables_that_do_not_fit_are_errors_and_nothing_is_written(
    example_plate: PlateFactory, fault: str, image: str
) -> None:
    plate = example_plate(TINY)
    change, said = SPOILT[fault]
    spoil(FIELDS, image, change)(plate.path / "B" / "03")
    before = state(plate.path.parent)
    well = Plate.open(plate.path).read_wells()[0]
    with pytest.raises(TableError, match=rf"tables/{FIELDS}: .*{said}|{FIELDS}: {said}"):
        register_image(well.image("1"), REQUEST)
    with pytest.raises(TableError, match=said):
        check_plate(Plate.open(plate.path), REQUEST)
    assert state(plate.path.parent) == before


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda image: shutil.rmtree(image), "no such folder"),
        (lambda image: (image / ".zattrs").write_text("{"), "broken JSON"),
        (lambda image: (image / "0" / ".zarray").unlink(), "no Zarr array here"),
        (lambda image: shutil.rmtree(image / "tables" / FIELDS), f"no table '{FIELDS}'"),
        (lambda image: (image / "labels" / "nuclei" / "1" / ".zarray").unlink(), "no Zarr array"),
    ],
)
def test_the_check_finds_what_is_missing_and_writes_nothing(
    example_plate: PlateFactory, damage: Callable[[Path], None], said: str
) -> None:
    plate = example_plate(TINY)
    damage(plate.path / "B" / "03" / "2")
    before = state(plate.path.parent)
    with pytest.raises(PlatefuseError, match=said):
        check_plate(Plate.open(plate.path), REQUEST)
    assert state(plate.path.parent) == before


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_label_that_is_listed_and_absent_is_left_out(
    example_plate: PlateFactory, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    plate = example_plate(replace(TINY, ngff_version=version, labels=("nuclei", "cores")))
    image = Plate.open(plate.path).read_wells()[0].image("2")
    shutil.rmtree(image.live / "labels" / "nuclei")
    check_plate(Plate.open(plate.path), REQUEST)
    receipt = register_image(image, REQUEST)
    copy_tables(image, REQUEST)
    swap_image(image, REQUEST)
    reason = {"nuclei": "it is listed, but there is no such label"}
    record = RegistrationRecord.read(image.live)
    assert record is not None
    assert record.labels_left_out == reason
    assert receipt.record is not None
    assert receipt.record.labels_left_out == reason
    assert f"{image.live}: the label 'nuclei' is left out: it is listed, but" in caplog.text
    assert read_attributes(image.live / "labels")["labels"] == ["cores"]
    expected = plate.truth.registered_label("B/03", "2", "cores", table=FIELDS)
    assert_same_pixels(read_level(image.live / "labels" / "cores"), expected)


def test_scales_that_contradict_the_shapes_are_corrected(
    example_plate: PlateFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """The pixels of the levels show how much they shrink, so the scale of the metadata is wrong."""
    plate = example_plate(TINY)
    image = plate.path / "B" / "03" / "2"
    scales = [Multiscale.read(part).scales for part in (image, image / "labels" / "nuclei")]
    for file in (image / ".zattrs", image / "labels" / "nuclei" / ".zattrs"):
        content = json.loads(file.read_text())
        for dataset in content["multiscales"][0]["datasets"][1:]:
            scale = dataset["coordinateTransformations"][0]["scale"]
            scale[-1] *= 4
        file.write_text(json.dumps(content))
    assert Multiscale.read(image).scales != scales[0]
    register(plate.path)
    assert_registered(plate.path, plate.truth, "B/03", "2")
    for part, expected in zip((image, image / "labels" / "nuclei"), scales, strict=True):
        for got, own in zip(Multiscale.read(part).scales, expected, strict=True):
            assert got == pytest.approx(own)
    assert f"{image}: the scales of its levels contradict their shapes" in caplog.text


def test_a_registered_image_that_has_lost_a_label_keeps_its_backup(
    example_plate: PlateFactory,
) -> None:
    plate = example_plate(TINY)
    well = Plate.open(plate.path).read_wells()[0]
    for step in (register_image, copy_tables, swap_image):
        for image in well.images:
            step(image, REQUEST)
    shutil.rmtree(well.image("2").live / "labels" / "nuclei")
    with pytest.raises(RecordError, match="the label 'nuclei', which the image lists, is missing"):
        discard_backups(well, REQUEST)
    assert well.image("2").backup.is_dir()


def test_a_good_plate_passes_the_check_and_nothing_is_written(small_plate: ExamplePlate) -> None:
    before = state(small_plate.path.parent)
    check_plate(Plate.open(small_plate.path), REQUEST)
    assert state(small_plate.path.parent) == before


def test_staging_on_another_filesystem_is_found_before_the_first_job(
    example_plate: PlateFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = example_plate(TINY)
    monkeypatch.setattr(preflight, "same_filesystem", lambda one, other: False)
    with pytest.raises(SwapError, match=r"different filesystems.*give the folder"):
        check_plate(Plate.open(plate.path), REQUEST)
    assert not plate.path.with_name(f"{plate.path.name}.staging").exists()


def test_a_plate_that_cannot_be_written_to_is_found_before_the_first_job(
    example_plate: PlateFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registered already, it may be protected from then on."""
    plate = example_plate(TINY)

    def readable(path: Path, mode: int) -> bool:
        return mode == os.R_OK

    with monkeypatch.context() as protected:
        protected.setattr(os, "access", readable)
        with pytest.raises(PlatefuseError, match="cannot be written to"):
            check_plate(Plate.open(plate.path), REQUEST)
    register(plate.path)
    monkeypatch.setattr(os, "access", readable)
    check_plate(Plate.open(plate.path), REQUEST)


def test_a_broken_chunk_is_named_and_the_plate_stays_as_it_was(example_plate: PlateFactory) -> None:
    plate = example_plate(TINY)
    chunk = next(p for p in (plate.path / "B/03/1/0").rglob("*") if p.is_file() and p.name == "0")
    chunk.write_bytes(b"broken")
    before = state(plate.path)
    with pytest.raises(ImageError, match=f"{chunk.parent.name}/0: the chunk cannot be read"):
        register_image(Plate.open(plate.path).read_wells()[0].image("1"), REQUEST)
    assert state(plate.path) == before


def test_other_things_in_an_image_s_folder_are_carried_along(example_plate: PlateFactory) -> None:
    plate = example_plate(TINY)
    image = plate.path / "B" / "03" / "1"
    (image / "notes").mkdir()
    (image / "notes" / "a.txt").write_text("mine")
    (image / "labels" / "nuclei" / "b.txt").write_text("mine, too")
    register(plate.path)
    assert (image / "notes" / "a.txt").read_text() == "mine"
    assert (image / "labels" / "nuclei" / "b.txt").read_text() == "mine, too"


def test_a_label_may_have_an_axis_that_its_image_lacks(example_plate: PlateFactory) -> None:
    plate = example_plate(
        replace(TINY, axes="cyx", levels=1, acquisitions=TINY.acquisitions[:2], tables=(FIELDS,))
    )
    for image in ("0", "1"):
        label = plate.path / "B" / "03" / image / "labels" / "nuclei"
        pixels = read_level(label)
        shutil.rmtree(label / "0")
        zarr.create_array(label / "0", data=pixels[None], zarr_format=2)
        attributes = json.loads((label / ".zattrs").read_text())
        entry = attributes["multiscales"][0]
        entry["axes"].insert(0, {"name": "z", "type": "space", "unit": "micrometer"})
        entry["datasets"][0]["coordinateTransformations"][0]["scale"].insert(0, 1.0)
        (label / ".zattrs").write_text(json.dumps(attributes))
    register(plate.path)
    got = read_level(plate.path / "B" / "03" / "1" / "labels" / "nuclei")
    assert_same_pixels(got[0], plate.truth.registered_label("B/03", "1"))


def test_a_plan_reads_no_pixel(example_plate: PlateFactory) -> None:
    plate = example_plate(TINY)
    for file in (plate.path / "B" / "03" / "1" / "0").rglob("0"):
        if file.is_file():
            file.unlink()
    plan = plan_registration(Plate.open(plate.path).read_wells()[0].image("1"), REQUEST)
    assert [p.shift_px for p in plan.placements] == [(0, 3, -5)] * 4


# --- the public functions ------------------------------------------------------------------


def test_the_public_functions_are_found_on_the_package() -> None:
    assert platefuse.apply_registration_to_image is apply_registration_to_image
    assert platefuse.write_registered_zarr is write_registered_zarr


@pytest.mark.parametrize("overwrite", [True, False])
def test_apply_registration_in_the_order_that_fractal_has(
    example_plate: PlateFactory, overwrite: bool
) -> None:
    plate = example_plate(TINY)
    for image in ("0", "1", "2"):
        url = str(plate.path / "B" / "03" / image)
        updates = apply_registration_to_image(
            zarr_url=url, registered_roi_table=FIELDS, overwrite_input=overwrite
        )
        expected = (
            {"zarr_url": url}
            if overwrite
            else {
                "zarr_url": f"{url}_registered",
                "origin": url,
            }
        )
        assert updates == {"image_list_updates": [expected]}
        where = image if overwrite else f"{image}_registered"
        assert_registered(plate.path, plate.truth, "B/03", image, path=where)
    assert not plate.path.with_name("plate.zarr.staging").exists()


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize(
    ("folder", "url"), [("B/03", "1"), ("", "B/03/1"), ("B/02", "../03/1"), ("", "./B//03/../03/1")]
)
def test_an_image_may_be_named_from_wherever_one_is(
    example_plate: PlateFactory,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    url: str,
    overwrite: bool,
) -> None:
    plate = example_plate(replace(TINY, wells=("B/02", "B/03"), acquisitions=TINY.acquisitions[:2]))
    monkeypatch.chdir(plate.path / folder)
    (update,) = apply_registration_to_image(
        zarr_url=url, registered_roi_table=FIELDS, overwrite_input=overwrite
    )["image_list_updates"]
    where = "1" if overwrite else "1_registered"
    assert Path(update["zarr_url"]).resolve() == plate.path / "B" / "03" / where
    assert_registered(plate.path, plate.truth, "B/03", "1", path=where)
    assert [path.name for path in plate.path.parent.iterdir()] == [plate.path.name]
    assert not list(plate.path.rglob("*.staging"))


@pytest.mark.parametrize("levels", [2, 3])
def test_a_new_image_says_nothing_of_what_was_done_to_the_old_one(
    example_plate: PlateFactory, levels: int
) -> None:
    """Neither has its record, nor the copy of its metadata that zarr would believe."""
    plate = example_plate(replace(TINY, ngff_version="0.5", levels=2))
    image = plate.path / "B" / "03" / "1"
    FUSED.write(image)
    with pytest.warns(UserWarning, match="not part in the Zarr format 3"):
        zarr.consolidate_metadata(image)
    own, reference = (
        anndata.read_zarr(image.with_name(name) / "tables" / FIELDS) for name in ("1", "0")
    )
    new = plate.path.with_name("new.zarr")
    write_registered_zarr(str(image), str(new), own, reference, levels)
    assert FusedImageRecord.read(new) is None
    assert sorted(zarr.open_group(new, mode="r").keys()) == [str(k) for k in range(levels)]


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("aggregation", [np.mean, np.max])
def test_write_registered_zarr_makes_the_levels_that_are_asked_for(
    example_plate: PlateFactory, levels: int, aggregation: Callable[..., Any]
) -> None:
    plate = example_plate(TINY)
    image = plate.path / "B" / "03" / "1"
    tables = [anndata.read_zarr(image.parent / n / "tables" / FIELDS) for n in ("1", "0")]
    new = plate.path / "B" / "03" / "new"

    write = partial(write_registered_zarr, str(image), aggregation_function=aggregation)
    write(str(new), tables[0], tables[1], num_levels=levels)
    assert_same_pixels(read_level(new), plate.truth.registered("B/03", "1"))
    assert len(Multiscale.read(new).paths) == levels
    fine = read_level(new)
    for level in range(1, levels):
        channels, depth, height, width = fine.shape
        cut = fine[:, :, : height // 2 * 2, : width // 2 * 2]
        groups = cut.reshape(channels, depth, height // 2, 2, width // 2, 2)
        fine = np.rint(aggregation(groups, axis=(3, 5))).astype(fine.dtype)
        assert_same_pixels(read_level(new, level), fine)
    with pytest.raises(ImageError, match="exists already"):
        write(str(new), tables[0], tables[1], num_levels=levels)
    with pytest.raises(ImageError, match="lies in the image that is read"):
        write(str(image / "0" / "new"), tables[0], tables[1], num_levels=levels)
    with pytest.raises(TableError):
        write(str(new) + "2", tables[0][:2], tables[1], num_levels=levels)
    assert not new.with_name("new2").exists()


def one_number(block: Array, axis: tuple[int, ...]) -> Any:
    return block.max()


def no_mean(block: Array, axis: tuple[int, ...]) -> Array:
    raise ArithmeticError("not today")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"num_levels": 0}, ConfigError, "num_levels is 0; expected a whole number"),
        ({"num_levels": 2.5}, ConfigError, "num_levels is 2.5; expected a whole number"),
        ({"coarsening_xy": 0}, ConfigError, "coarsening_xy is 0; expected a whole number"),
        ({"ROI_table": "a/path"}, TableError, "ROI_table is a str; expected an AnnData object"),
        ({"aggregation_function": "mean"}, ConfigError, "is 'mean'; expected a function such as"),
        ({"aggregation_function": no_mean}, ArithmeticError, "not today"),
        ({"aggregation_function": one_number}, ConfigError, r"made shape \(\) .* expected \(1, "),
    ],
)
def test_a_new_image_that_cannot_be_made_leaves_nothing(
    example_plate: PlateFactory, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    plate = example_plate(TINY)
    image = plate.path / "B" / "03" / "1"
    table = anndata.read_zarr(image / "tables" / FIELDS)
    arguments = {"ROI_table": table, "ROI_table_ref": table, "num_levels": 2, **options}
    before = state(plate.path)
    with pytest.raises(error, match=said):
        write_registered_zarr(str(image), str(plate.path / "B" / "03" / "new"), **arguments)
    assert state(plate.path) == before


SCRIPT = """
import ctypes, os, shutil, sys
from pathlib import Path
import platefuse.registration.api, platefuse.ngff.tables.move, zarrs  # imported once, for all
from platefuse import apply_registration_to_image

libc = ctypes.CDLL(None)
vain = {
    "renameat2": lambda: libc.renameat2(-1, b"", -1, b"", 2),
    "rename": lambda: libc.rename(b"", b""),
    "mkdir": lambda: libc.mkdir(b"", 0),
    "unlinkat": lambda: libc.unlinkat(-1, b"", 0),
}
last, folder = int(sys.argv[1]), Path(sys.argv[2])
for place in sorted(folder.iterdir()):
    child = os.fork()
    if child == 0:
        name, number = place.name.split("_")
        for _ in range(last - int(number)):
            vain[name]()
        for image in ("0", "1"):
            url = str(place / "plate.zarr" / "B" / "03" / image)
            apply_registration_to_image(zarr_url=url, registered_roi_table=sys.argv[3])
        os._exit(0)
    print(place.name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
CALLS = {
    "renameat2": (1,),
    "rename": (1, 13, 30),
    "mkdir": (1, 9),
    "unlinkat": (1, 40),
}


@pytest.mark.strace
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_kill_anywhere_leaves_images_that_a_second_run_completes(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    spec = replace(
        TINY, acquisitions=TINY.acquisitions[:2], levels=2, tables=("FOV_ROI_table", FIELDS)
    )
    plate = example_plate(spec)
    names = [f"{call}_{number}" for call, numbers in CALLS.items() for number in numbers]
    for name in names:
        shutil.copytree(plate.path, tmp_path / "places" / name / "plate.zarr")
    last, calls = 400, ",".join(CALLS)
    trace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}"]
    inject = ["-e", f"inject={calls}:signal=KILL:when={last}"]
    script = [sys.executable, "-B", "-W", "ignore", "-c", SCRIPT, str(last)]
    done = subprocess.run(
        [*trace, *inject, *script, str(tmp_path / "places"), FIELDS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ended = dict(line.split() for line in done.stdout.splitlines())
    assert ended.keys() == set(names)
    assert set(ended.values()) <= {"0", str(-signal.SIGKILL)}, done.stderr
    killed = [name for name in names if ended[name] != "0"]
    assert len(killed) >= 5, ended
    for name in killed:
        path = tmp_path / "places" / name / "plate.zarr"
        for image in ("0", "1"):
            record = RegistrationRecord.read(path / "B" / "03" / image)
            check = assert_unregistered if record is None else assert_registered
            check(path, plate.truth, "B/03", image)
        for image in ("0", "1"):
            url = str(path / "B" / "03" / image)
            apply_registration_to_image(zarr_url=url, registered_roi_table=FIELDS)
            assert_registered(path, plate.truth, "B/03", image)
        assert not path.with_name("plate.zarr.staging").exists()


def test_chunks_that_stay_where_they_are_are_not_encoded_again(
    example_plate: PlateFactory,
) -> None:
    plate = example_plate(replace(TINY, chunks=(16, 16), compressor="blosc-lz4"))
    level = plate.path / "B/03/0/0"
    # The same pixels, otherwise compressed than the metadata say: what is encoded anew differs.
    for file in chunk_files(level):
        file.write_bytes(Blosc("zstd", 9).encode(Blosc().decode(file.read_bytes())))
    before = {path.relative_to(level): path.read_bytes() for path in chunk_files(level)}
    register(plate.path)
    assert_registered(plate.path, plate.truth, "B/03", "0", table=FIELDS)
    after = {path.relative_to(level): path.read_bytes() for path in chunk_files(level)}
    same = [path for path in after if after[path] == before[path]]
    assert same, "chunks inside the registered ROIs are copied"
    assert len(same) < len(after), "chunks that their border cuts are not"


def chunk_files(level: Path) -> list[Path]:
    return [path for path in level.rglob("*") if path.is_file() and path.name.isdigit()]


def test_messages_are_about_arguments_and_not_about_a_config(small_plate: ExamplePlate) -> None:
    image = small_plate.path / "B" / "03" / "1"
    with pytest.raises(PlatefuseError) as caught:
        apply_registration_to_image(
            zarr_url=str(image),
            registered_roi_table="",
            reference_acquisition=-1,
            interpolation="cubi",  # type: ignore[arg-type]
        )
    names = [line.partition(" is ")[0] for line in str(caught.value).splitlines()]
    assert names == ["registered_roi_table", "reference_acquisition", "interpolation"]
    with pytest.raises(PlatefuseError, match="Set `reference_acquisition` to one of them"):
        apply_registration_to_image(
            zarr_url=str(image),
            registered_roi_table="registered_FOV_ROI_table",
            reference_acquisition=9,
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"zarr_url": None}, "zarr_url is None; expected the path of a local folder"),
        ({"zarr_url": 3}, "zarr_url is 3; expected the path"),
        ({"zarr_url": b"plate"}, "zarr_url is b'plate'; expected the path"),
        ({"threads": 0}, "threads is 0; expected a whole number above 0, or None"),
        ({"threads": -1}, "threads is -1; expected a whole number above 0"),
        ({"threads": "2"}, "threads is '2'; expected a whole number above 0"),
        ({"threads": 1.5}, "threads is 1.5; expected a whole number above 0"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_staged(
    example_plate: PlateFactory, options: dict[str, Any], said: str
) -> None:
    plate = example_plate(TINY)
    image = plate.path / "B" / "03" / "1"
    before = state(plate.path.parent)
    arguments = {"zarr_url": image, "registered_roi_table": FIELDS, **options}
    with pytest.raises(ConfigError, match=said):
        apply_registration_to_image(**arguments)
    assert state(plate.path.parent) == before


@pytest.mark.parametrize("name", ["zarr_url", "new_zarr_url"])
@pytest.mark.parametrize("path", [None, 3, b"plate", "a\0b", "s3://bucket/image.zarr"])
def test_what_is_no_path_is_refused(tmp_path: Path, name: str, path: Any) -> None:
    arguments: dict[str, Any] = {"zarr_url": tmp_path / "0", "new_zarr_url": tmp_path / "1"}
    arguments |= {"ROI_table": None, "ROI_table_ref": None, "num_levels": 1, name: path}
    with pytest.raises(ConfigError, match=f"{name} is .*; expected the path of a local folder"):
        write_registered_zarr(**arguments)
