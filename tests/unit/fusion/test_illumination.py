"""Fields corrected for their illumination when they are fused: as if they were corrected before.

The truth is a plate of floats that NumPy has corrected: fused by the same options and rounded in
the end, it is what fusing the raw plate must give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platefuse.errors import PlatefuseError, RecordError
from platefuse.ngff.plate import Plate
from platefuse.records import AppliedProfile, FusedImageRecord, FusedWellRecord, RegistrationRecord
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.stage import register_image
from platefuse.registration.swap import discard_backup, swap_image
from platefuse.registration.tables import copy_tables
from platefuse.testing import AcquisitionSpec, PlateSpec
from tests.conftest import PlateFactory
from tests.damage import state
from tests.fused import TINY, WELL, fuse
from tests.illumination import Profiles, assert_rounded
from tests.truth import read_level

LIT = replace(TINY, noise=True, tables=TINY.tables[:3], labels=("nuclei",))
REQUEST = RegistrationRequest()
BETWEEN = replace(LIT, acquisitions=(AcquisitionSpec(0), AcquisitionSpec(2, (2.4, -3.3))))
FOUR = replace(
    LIT,
    grid=(2, 2),
    acquisitions=(
        AcquisitionSpec(0),
        AcquisitionSpec(3, field_shifts_px=((1, 2), (-4, 0), (0, 6), (2, -3))),
    ),
)
CASES: dict[str, tuple[PlateSpec, RegistrationRequest | None, dict[str, Any]]] = {
    "copies": (LIT, None, {"method": "first"}),
    "blends": (LIT, None, {}),
    "mean": (FOUR, None, {"method": "mean"}),
    "highest": (LIT, None, {"method": "max"}),
    "content": (LIT, None, {"weights": "content_based"}),
    "another pixel size": (LIT, None, {"output_spacing": {"y": 0.5, "x": 0.4}}),
    "raw and registered": (FOUR, REQUEST, {}),
    "stacked": (FOUR, REQUEST, {"layout": "stacked"}),
    "scattered": (FOUR, REQUEST, {"scatter": 3}),
    "between pixels": (BETWEEN, REQUEST, {}),
    "cubic": (BETWEEN, REQUEST, {"interpolation_order": 3}),
}


def register(plate: Path, request: RegistrationRequest, profiles: Profiles | None) -> None:
    """Register all images of the well in their plate, as the workflow does."""
    images = Plate.open(plate).well("B", "03").images
    light = None if profiles is None else profiles.illumination
    for image in images:
        register_image(image, request, illumination=light)
        copy_tables(image, request)
    for image in images:
        swap_image(image, request)
    for image in images:
        discard_backup(image, request)


def record_of(image: Path) -> Mapping[str, AppliedProfile]:
    record = RegistrationRecord.read(image)
    assert record is not None
    assert record.illumination is not None
    return record.illumination


@pytest.mark.parametrize("case", CASES)
def test_fused_as_if_it_was_corrected_before(
    case: str, example_plate: PlateFactory, tmp_path: Path
) -> None:
    spec, request, options = CASES[case]
    plate = example_plate(spec).path
    profiles = Profiles.write(tmp_path / "profiles", spec.field_shape)
    exact = profiles.corrected_plate(plate, tmp_path / "exact.zarr", spec, "float64")
    before = state(plate)
    how = {"store": False, **options}
    got = fuse(plate, request, illumination=profiles.illumination, **how)
    assert state(plate) == before
    expected = fuse(exact, request, **how)
    for image in (path.name for path in (expected / WELL).iterdir() if path.is_dir()):
        pixels = read_level(got / WELL / image)
        assert_rounded(pixels, read_level(expected / WELL / image))
        part = Path(WELL, image, "labels")
        for label in (path for path in (expected / part).iterdir() if path.is_dir()):
            np.testing.assert_array_equal(
                read_level(got / part / label.name), read_level(label), label.name
            )


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_a_stored_image_is_corrected_once(
    interpolation: Any, example_plate: PlateFactory, tmp_path: Path
) -> None:
    spec = BETWEEN if interpolation == "linear" else FOUR
    request = RegistrationRequest(interpolation=interpolation)
    plate = example_plate(spec).path
    profiles = Profiles.write(tmp_path / "profiles", spec.field_shape)
    exact = profiles.corrected_plate(plate, tmp_path / "exact.zarr", spec, "float64")
    register(plate, request, profiles)
    register(exact, request, None)
    for acquisition in spec.acquisitions:
        image = Path(WELL, acquisition.path)
        assert_rounded(read_level(plate / image), read_level(exact / image))
        assert set(record_of(plate / image)) == {"DAPI"}
    once = state(plate)
    register(plate, request, profiles)
    assert state(plate) == once
    with_key = fuse(plate, request, illumination=profiles.illumination)
    without = fuse(plate, output=tmp_path / "plain.zarr")
    for acquisition in spec.acquisitions:
        image = Path(WELL, acquisition.path)
        np.testing.assert_array_equal(read_level(with_key / image), read_level(without / image))
        found = FusedImageRecord.read(with_key / image)
        assert found is not None
        assert found.illumination == {acquisition.path: record_of(plate / image)}


def test_stored_or_not_is_the_same_where_nothing_is_blended(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(FOUR).path
    profiles = Profiles.write(tmp_path / "profiles", FOUR.field_shape, dark=100.0)
    light = profiles.illumination
    options: dict[str, Any] = {"method": "first"}
    raw = fuse(plate, REQUEST, store=False, illumination=light, output=tmp_path / "a.zarr",
               **options)  # fmt: skip
    register(plate, REQUEST, profiles)
    stored = fuse(plate, REQUEST, illumination=light, output=tmp_path / "b.zarr", **options)
    for level in range(FOUR.levels):
        for image in ("0", "3"):
            np.testing.assert_array_equal(
                read_level(raw / WELL / image, level), read_level(stored / WELL / image, level)
            )


def test_channels_without_a_profile_are_copied(example_plate: PlateFactory, tmp_path: Path) -> None:
    plate = example_plate(LIT).path
    profiles = Profiles.write(tmp_path / "profiles", LIT.field_shape)
    plain = fuse(plate, output=tmp_path / "plain.zarr")
    lit = fuse(plate, illumination=profiles.illumination, output=tmp_path / "lit.zarr")
    one, other = (read_level(fused / WELL / "0") for fused in (plain, lit))
    np.testing.assert_array_equal(one[1], other[1])
    assert (one[0] != other[0]).mean() > 0.5


def test_another_profile_is_another_fusion(example_plate: PlateFactory, tmp_path: Path) -> None:
    plate = example_plate(LIT).path
    first = Profiles.write(tmp_path / "first", LIT.field_shape)
    second = Profiles.write(tmp_path / "second", LIT.field_shape, dark=7.0)
    seen = []
    for profiles in (None, first, first, second, None):
        light = None if profiles is None else profiles.illumination
        fused = fuse(plate, illumination=light)
        record = FusedWellRecord.read(fused / WELL)
        assert record is not None
        seen.append((repr(record.fingerprint), read_level(fused / WELL / "0").tobytes()))
    assert seen[1] == seen[2]
    assert seen[0] == seen[4]
    assert len(set(seen)) == len({pixels for _, pixels in seen}) == 3


def test_a_registered_image_is_not_corrected_afterwards(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(LIT).path
    profiles = Profiles.write(tmp_path / "profiles", LIT.field_shape)
    register(plate, REQUEST, None)
    before = state(plate)
    said = r"registered already, and then corrected .* channels \[\]; .* asks for \['DAPI'\]"
    with pytest.raises(RecordError, match=said):
        register(plate, REQUEST, profiles)
    for request in (None, REQUEST):
        with pytest.raises(RecordError, match=said):
            fuse(plate, request, illumination=profiles.illumination)
    assert state(plate) == before


def test_other_profiles_than_those_of_the_record_are_refused(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(LIT).path
    profiles = Profiles.write(tmp_path / "profiles", LIT.field_shape)
    register(plate, REQUEST, profiles)
    other = Profiles.write(tmp_path / "other", LIT.field_shape, dark=100.0)
    for light in (other, None):
        with pytest.raises(RecordError, match=r"channels \['DAPI'\]; now config.illumination asks"):
            register(plate, REQUEST, light)


def test_a_fused_plate_has_no_camera_fields(example_plate: PlateFactory, tmp_path: Path) -> None:
    spec = replace(LIT, grid=(1, 1))
    profiles = Profiles.write(tmp_path / "profiles", spec.field_shape)
    fused = fuse(example_plate(spec).path, illumination=profiles.illumination)
    with pytest.raises(PlatefuseError, match="fused"):
        fuse(fused, illumination=profiles.illumination)
