"""No reader is told by consolidated metadata of what was there before a change below them."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from platefuse import apply_registration_to_image, write_registered_zarr
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.plate import finish_fused_plate
from platefuse.measuring.roi_tables import write_registered_table
from platefuse.ngff import consolidated
from platefuse.ngff.consolidated import drop_consolidated, drop_stale, has_consolidated
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.ngff.tables.table import read_table
from platefuse.ngff.zarr_format import Format
from platefuse.records import RegistrationRecord
from platefuse.registration import swap
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.restore import restore_well
from platefuse.registration.stage import register_image
from platefuse.registration.swap import discard_backups, publish_registered, swap_image
from platefuse.registration.tables import copy_tables
from tests.conftest import PlateFactory
from tests.fused import FIELDS, SMALL_CHUNKS, TINY, WELL, fuse, fuse_well

REQUEST = RegistrationRequest(FIELDS)
BESIDE = RegistrationRequest(FIELDS, overwrite_input=False)
SPEC = replace(TINY, grid=(1, 1), levels=1, tables=("FOV_ROI_table", FIELDS))


@pytest.fixture(params=["0.4", "0.5"])
def plate(request: pytest.FixtureRequest, example_plate: PlateFactory) -> Path:
    path = example_plate(replace(SPEC, ngff_version=request.param)).path
    consolidate(path)
    return path


def groups_in(plate: Path) -> list[Path]:
    """All folders of a plate that are groups, the deepest first."""
    folders = [plate, *(path for path in plate.rglob("*") if path.is_dir())]
    found = []
    for folder in sorted(folders, key=lambda path: -len(path.parts)):
        kind = Format.of(folder)
        if kind is not None and (folder / kind.group_file).is_file():
            content = json.loads((folder / kind.group_file).read_text())
            found += [folder] if content.get("node_type", "group") == "group" else []
    return found


def consolidate(plate: Path) -> None:
    with warnings.catch_warnings(action="ignore"):  # that Zarr v3 does not specify them
        for group in groups_in(plate):
            zarr.consolidate_metadata(str(group))


def assert_true(plate: Path) -> None:
    """Every group tells the same with and without consolidated metadata."""
    for group in filter(has_consolidated, groups_in(plate)):
        assert told(group, None) == told(group, False), group


def told(group: Path, use_consolidated: bool | None) -> dict[str, Any]:
    opened = zarr.open_group(group, mode="r", use_consolidated=use_consolidated)
    members: Any = opened.members(max_depth=None)
    return {"": dict(opened.attrs)} | {
        name: (dict(node.attrs), getattr(node, "shape", None)) for name, node in members
    }


def register(plate: Path, request: RegistrationRequest = REQUEST) -> None:
    for well in Plate.open(plate).read_wells():
        for step in (register_image, copy_tables, swap_image):
            for image in well.images if request.overwrite_input or step is not swap_image else ():
                step(image, request)
        if request.overwrite_input:
            discard_backups(well, request, keep_originals=True)
        else:
            publish_registered(well, request)


def test_the_plates_of_these_tests_tell_the_truth_until_they_change(plate: Path) -> None:
    assert all(map(has_consolidated, groups_in(plate)))
    assert_true(plate)
    for name in (".zattrs", "zarr.json"):
        file = plate / WELL / "2" / name
        if file.is_file():
            content = json.loads(file.read_text())
            content.get("attributes", content)["note"] = "new"
            file.write_text(json.dumps(content))
    with pytest.raises(AssertionError):
        assert_true(plate)


def test_registration_in_place_and_its_undoing(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    register(plate)
    assert_true(plate)
    assert f"{plate}: its consolidated metadata are removed" in caplog.text
    consolidate(plate)
    register(plate)  # nothing is done, and nothing is removed
    assert all(map(has_consolidated, groups_in(plate)))
    for well in Plate.open(plate).read_wells():
        restore_well(well)
    assert_true(plate)


def test_registration_next_to_the_originals(plate: Path) -> None:
    register(plate, BESIDE)
    assert (plate / WELL / "2_registered").is_dir()
    assert_true(plate)


def test_the_public_functions(plate: Path) -> None:
    apply_registration_to_image(zarr_url=str(plate / WELL / "2"), registered_roi_table=FIELDS)
    assert_true(plate)
    consolidate(plate)
    import anndata

    table = anndata.io.read_elem(
        zarr.open_group(plate / WELL / "0" / "tables" / "FOV_ROI_table", mode="r")
    )
    new = str(plate / WELL / "2_new")
    write_registered_zarr(str(plate / WELL / "2"), new, table, table, num_levels=2)
    assert_true(plate)


def test_a_measured_table(plate: Path, tmp_path: Path) -> None:
    image = plate / WELL / "0"
    rois = read_table(image, "FOV_ROI_table").rois("yx")
    args = (image, "registered_mine", "FOV_ROI_table", rois, "test")
    assert write_registered_table(*args, staging=tmp_path / "staging")
    assert_true(plate)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_fusing_into_a_plate_that_is_there(plate: Path, version: str) -> None:
    fused = fuse(plate, ngff_version="0.4", output_chunksize=SMALL_CHUNKS)
    consolidate(fused)
    fuse(plate, ngff_version=version, method="max", output_chunksize=SMALL_CHUNKS)
    assert_true(fused)


def test_a_kill_after_a_well_was_fused_leaves_nothing_stale(plate: Path) -> None:
    fused = fuse(plate, output_chunksize=SMALL_CHUNKS)
    consolidate(fused)
    other = FusionOptions(method="max", ngff_version="0.5", output_chunksize=SMALL_CHUNKS)
    fuse_well(Plate.open(plate).read_wells()[0], fused, other)  # and the plate is not finished
    assert_true(fused)


def test_copies_are_gone_from_the_disk_before_anything_changes(
    plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(consolidated, "flush_folder", flushed.append)
    drop_consolidated(plate / WELL / "2")
    assert flushed == [plate / WELL, plate / "B", plate]


def test_a_kill_after_the_exchange_leaves_nothing_stale(
    plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path) -> None:
        if path == plate / WELL:  # the first flush is that of the staged image, before
            raise KeyboardInterrupt

    well = Plate.open(plate).read_wells()[0]
    for image in well.images:
        register_image(image, REQUEST)
        copy_tables(image, REQUEST)
    with monkeypatch.context() as patch:
        patch.setattr(swap, "flush_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            swap_image(well.images[1], REQUEST)
    assert RegistrationRecord.read(well.images[1].live) is not None
    assert_true(plate)


def test_a_kill_after_an_image_was_put_beside_leaves_nothing_stale(
    plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []

    def killed(path: Path) -> None:
        flushed.append(path)
        if path == plate / WELL:
            raise KeyboardInterrupt

    image, request = Plate.open(plate).read_wells()[0].images[1], BESIDE
    register_image(image, request)
    copy_tables(image, request)
    monkeypatch.setattr(swap, "flush_folder", killed)
    with pytest.raises(KeyboardInterrupt):
        swap.publish_image(image, request)
    assert flushed == [image.staged, plate / WELL]
    assert image.registered.is_dir()
    assert_true(plate)


def test_what_an_earlier_version_left_stale_is_found(plate: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swap, "drop_consolidated", lambda node: None)
        patch.setattr(swap, "drop_stale", lambda node: None)
        register(plate)
    with pytest.raises(AssertionError):
        assert_true(plate)
    register(plate)
    assert_true(plate)


def test_only_groups_above_are_looked_at(plate: Path) -> None:
    drop_stale(plate / WELL / "2")  # they are true
    assert all(map(has_consolidated, groups_in(plate)))
    drop_consolidated(plate / WELL / "2")
    kept = {group for group in groups_in(plate) if has_consolidated(group)}
    gone = {plate / WELL, plate / "B", plate}
    assert kept == set(groups_in(plate)) - gone


def test_a_finished_plate_keeps_true_copies_of_wells(plate: Path) -> None:
    fused = fuse(plate, output_chunksize=SMALL_CHUNKS)
    consolidate(fused)
    finish_fused_plate(Plate.open(plate), fused, FusionOptions())
    assert_true(fused)
    assert has_consolidated(fused / WELL)
    assert fused == fused_plate_path(plate)
    assert np.asarray(zarr.open_array(fused / WELL / "0" / "0", mode="r")).any()
