"""The record of a fused plate: with what it was made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.plate import finish_fused_plate
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.plate import Plate
from platefuse.records import KEY, FusedPlateRecord
from tests.conftest import SMALL, PlateFactory
from tests.fused import fuse_well

ONE = replace(SMALL, wells=("B/03",), acquisitions=SMALL.acquisitions[:1], grid=(1, 1), levels=1)
MADE = FusedPlateRecord(
    versions={"platefuse": "1"}, config_digest="0a", time="2026-01-01T00:00:00+00:00"
)
LATER = replace(MADE, time="2026-01-02T00:00:00+00:00")


@pytest.mark.parametrize("ngff_version", ["0.4", "0.5"])
def test_a_fused_plate_tells_with_what_it_was_made(
    example_plate: PlateFactory, tmp_path: Path, ngff_version: Literal["0.4", "0.5"]
) -> None:
    found, fused = Plate.open(example_plate(ONE).path), tmp_path / "f.zarr"
    options = FusionOptions(ngff_version=ngff_version)
    fuse_well(found.read_wells()[0], fused, options)
    plain = finish_fused_plate(found, fused, options)
    assert (plain.versions, FusedPlateRecord.read(fused)) == (None, None)
    before = read_attributes(fused)

    receipt = finish_fused_plate(found, fused, options, made=MADE)
    assert (receipt.versions, receipt.config_digest) == ({"platefuse": "1"}, "0a")
    assert FusedPlateRecord.read(fused) == MADE
    after = dict(read_attributes(fused))
    after.pop(KEY, None)
    assert after == before

    finish_fused_plate(found, fused, options, made=LATER)
    assert FusedPlateRecord.read(fused) == MADE, "nothing but the time is other"
    other = replace(LATER, config_digest="0b")
    finish_fused_plate(found, fused, options, made=other)
    assert FusedPlateRecord.read(fused) == other


def test_a_damaged_record_is_replaced(example_plate: PlateFactory, tmp_path: Path) -> None:
    found, fused = Plate.open(example_plate(ONE).path), tmp_path / "f.zarr"
    fuse_well(found.read_wells()[0], fused, FusionOptions())
    finish_fused_plate(found, fused, FusionOptions(), made=MADE)
    file = fused / ".zattrs"
    content = json.loads(file.read_text())
    content[KEY]["fusion"] = {"versions": 3}
    file.write_text(json.dumps(content))
    finish_fused_plate(found, fused, FusionOptions(), made=LATER)
    assert FusedPlateRecord.read(fused) == LATER
