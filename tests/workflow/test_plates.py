"""Tests of complete runs on plates of different layouts, and on the real plate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from platefuse.testing import AcquisitionSpec, PlateSpec, Truth, make_plate
from tests.truth import read_level
from tests.workflow.conftest import TINY, Folder

ODD = replace(
    TINY,
    wells=("C/07",),
    acquisitions=(AcquisitionSpec(0), AcquisitionSpec(3, shift_px=(4, -7))),
    field_shape=(83, 97),
    levels=3,
)
PLATES: dict[str, tuple[PlateSpec, dict[str, Any]]] = {
    "0.4, rounded up, chunks across fields": (
        replace(ODD, grid=(2, 2), level_rounding="ceil", chunks=(31, 40)),
        {"output_chunksize": {"z": 1, "y": 37, "x": 50}},
    ),
    "0.5, stacks without channels, sharded": (
        replace(
            ODD,
            axes="zyx",
            channels=("DAPI",),
            planes=3,
            ngff_version="0.5",
            chunks=(1, 20, 24),
            shards=(2, 40, 48),
        ),
        {
            "ngff_version": "0.5",
            "output_chunksize": {"z": 1, "y": 32, "x": 32},
            "shards": {"z": 1, "y": 64, "x": 96},
        },
    ),
}


@pytest.mark.parametrize(("spec", "fusion"), PLATES.values(), ids=PLATES)
def test_a_plate_of_another_form_ends_exact(
    tmp_path: Path, spec: PlateSpec, fusion: dict[str, Any]
) -> None:
    folder = Folder(tmp_path, make_plate(tmp_path / "tiny.zarr", spec))
    folder.configure(fusion=fusion)
    folder.succeed()
    folder.assert_exact()


def test_the_real_plate(real_plate: Path, tmp_path: Path) -> None:
    folder = Folder(tmp_path, Truth(TINY))
    config = {"plates": {"real": real_plate.name}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    folder.succeed()
    assert not list(tmp_path.glob("*.staging"))
    fused = real_plate.with_name(f"{real_plate.stem}_fused.zarr")
    for well in ("B/02", "B/03"):
        for image in ("0", "1", "2"):
            pixels = read_level(fused / well / image)[0, 0]
            assert abs(pixels.shape[1] - 484) <= 4
            assert (pixels > 0).all(), "a hole"
    one, other = (read_level(real_plate / "B/03" / image)[0, 0] for image in ("0", "2"))
    both = (one > 0) & (other > 0)
    assert np.corrcoef(one[both], other[both])[0, 1] >= 0.965


@pytest.mark.slow
def test_some_wells_first_and_the_others_later(fresh: Folder) -> None:
    first, *others = fresh.truth.spec.wells
    name = first.replace("/", "")

    fresh.configure(wells={"include": ["Z9"]})
    assert "config.wells.include names 'Z9', which is no well" in fresh.fail()

    fresh.configure(wells={"include": [name]})
    fresh.succeed()
    assert not any((fresh.fused / well).exists() for well in others)
    assert (fresh.fused / first).is_dir()

    fresh.configure(wells={"exclude": [name]})
    fresh.succeed()
    listed = json.loads((fresh.fused / ".zattrs").read_text())["plate"]["wells"]
    assert [entry["path"] for entry in listed] == list(fresh.truth.spec.wells)
    fresh.assert_exact()
