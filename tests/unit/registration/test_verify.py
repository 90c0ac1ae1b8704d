"""A registered image is read back before its original is removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from platefuse.errors import SwapError
from platefuse.ngff.well import Well
from platefuse.records import RegistrationRecord
from platefuse.registration import api
from platefuse.registration.request import Interpolation, RegistrationRequest, Verify
from platefuse.registration.stage import register_image
from platefuse.registration.swap import discard_backups, swap_image
from platefuse.registration.tables import copy_tables
from platefuse.registration.verify import verify_image
from tests.conftest import PlateFactory
from tests.damage import SPEC, TABLE


def swapped(plate: Path, interpolation: Interpolation = "nearest") -> Well:
    """A well whose images are swapped, with their originals beside."""
    well, request = Well.read(plate, "B", "03"), RegistrationRequest(TABLE, 0, interpolation)
    for step in (register_image, copy_tables, swap_image):
        for image in well.images:
            step(image, request)
    return well


def discard(well: Well, verify: Verify, interpolation: Interpolation = "nearest") -> None:
    request = RegistrationRequest(TABLE, 0, interpolation)
    discard_backups(well, request, verify=partial(verify_image, verify=verify, threads=2))


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("verify", ["sample", "full", "none"])
def test_what_was_written_is_what_is_read(
    example_plate: PlateFactory, verify: Verify, interpolation: Interpolation
) -> None:
    well = swapped(example_plate(SPEC).path, interpolation)
    discard(well, verify, interpolation)
    assert not any(image.backup.exists() for image in well.images)
    discard(well, verify, interpolation)  # and again, when there is no original any more


def chunks(level: Path) -> list[Path]:
    return sorted(p for p in level.rglob("*") if p.is_file() and not p.name.startswith("."))


def remove_chunk(image: Path) -> None:
    chunks(image / "0")[0].unlink()


def empty_chunk(image: Path) -> None:
    os.truncate(chunks(image / "1")[0], 0)


def remove_label_chunk(image: Path) -> None:
    chunks(next((image / "labels").glob("[!.]*")) / "1")[0].unlink()


@pytest.mark.parametrize("spoil", [remove_chunk, empty_chunk, remove_label_chunk])
@pytest.mark.parametrize("verify", ["sample", "full"])
def test_a_missing_or_cut_file_keeps_all_originals(
    example_plate: PlateFactory, verify: Verify, spoil: Callable[[Path], None]
) -> None:
    well = swapped(example_plate(SPEC).path)
    spoil(well.image("1").live)
    with pytest.raises(SwapError, match=r"chunk files of .*The original is kept in .*1\.original"):
        discard(well, verify)
    assert all(image.backup.exists() for image in well.images)
    discard(well, "none")


def change(array: Path, place: tuple[int, ...] | None = None) -> None:
    """Change one pixel, or all, and keep the size of every file."""
    opened: Any = zarr.open_array(array, mode="r+")
    pixels = np.asarray(opened[:])
    at = ... if place is None else place
    pixels[at] = pixels[at] ^ 1
    opened[:] = pixels


@pytest.mark.parametrize("name", ["", "labels/nuclei"])
def test_every_pixel_is_compared_with_full(example_plate: PlateFactory, name: str) -> None:
    well = swapped(example_plate(SPEC).path)
    array = well.image("1").live / name / "0"
    last = tuple(n - 1 for n in zarr.open_array(array).shape)
    change(array, last)
    with pytest.raises(SwapError, match="are not those of the original"):
        verify_image(well.image("1"), record_of(well), "full")


@pytest.mark.parametrize("name", ["", "labels/nuclei"])
def test_other_pixels_are_seen_in_a_sample(example_plate: PlateFactory, name: str) -> None:
    well = swapped(example_plate(SPEC).path)
    change(well.image("1").live / name / "0")
    with pytest.raises(SwapError, match="are not those of the original"):
        verify_image(well.image("1"), record_of(well), "sample")
    verify_image(well.image("1"), record_of(well), "none")


def record_of(well: Well) -> RegistrationRecord:
    """The record of the second image, without the number of its files."""
    record = RegistrationRecord.read(well.image("1").live)
    assert record is not None
    return replace(record, pixel_files=None)


def test_without_the_tables_that_were_used_pixels_are_not_compared(
    example_plate: PlateFactory, caplog: pytest.LogCaptureFixture
) -> None:
    well = swapped(example_plate(SPEC).path)
    (well.image("1").backup / "tables" / TABLE / "note").write_text("another table now")
    change(well.image("1").live / "0")
    verify_image(well.image("1"), record_of(well), "full")
    assert "pixels are not compared" in caplog.text


def test_the_call_in_python_reads_back(
    example_plate: PlateFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Well.read(example_plate(SPEC).path, "B", "03").image("1")

    def swap(*args: Any) -> None:
        swap_image(*args)
        remove_chunk(image.live)

    monkeypatch.setattr(api, "swap_image", swap)
    with pytest.raises(SwapError, match=r"chunk files of .*The original is kept in"):
        api.apply_registration_to_image(zarr_url=image.live, registered_roi_table=TABLE)
    assert image.backup.is_dir()


@pytest.mark.parametrize(("verify", "stops"), [("sample", True), ("none", False)])
def test_a_job_reads_back_as_its_config_has_it(
    example_plate: PlateFactory, verify: Verify, *, stops: bool
) -> None:
    import _job
    import discard_backups as script

    well = swapped(example_plate(SPEC).path)
    remove_chunk(well.image("1").live)
    plate = str(well.plate)
    given = {"images": None, "request": asdict(RegistrationRequest(TABLE)), "keep_originals": False}
    place = {"plate": plate, "row": well.row, "column": well.column}
    job = _job.Job(place, given, 1, config={"verify": {plate: verify}})
    if stops:
        with pytest.raises(SwapError, match="chunk files"):
            script.discard_backups(job)
    else:
        script.discard_backups(job)
    assert well.image("1").backup.is_dir() == stops
