"""Complete runs in which raw fields are corrected for their illumination."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.illumination import Profiles, assert_rounded
from tests.truth import read_level
from tests.workflow.conftest import Folder, fingerprint


@pytest.mark.slow
def test_stored_and_straight_from_the_raw_images(fresh: Folder, tmp_path: Path) -> None:
    spec = fresh.truth.spec
    profiles = Profiles.write(tmp_path / "profiles", spec.field_shape, dark=100.0)
    straight = {"registration": {"store": False}, "fusion": {"method": "first"}}
    before = fingerprint(fresh.plate)
    exact = profiles.corrected_plate(fresh.plate, tmp_path / "exact.zarr", spec, "float64")

    fresh.configure(illumination={"GFP": profiles.config["DAPI"]}, **straight)
    assert "names the channel 'GFP', which no image has" in fresh.fail()
    assert not fresh.fused.exists()

    fresh.configure(illumination=profiles.config, **straight)
    fresh.succeed()
    assert fingerprint(fresh.plate) == before
    assert "Nothing to be done" in fresh.succeed()
    fused = {path: read_level(fresh.fused / path) for path in images(fresh)}

    stored = {"plates": {"tiny": "tiny.zarr"}, "fusion": {"method": "first", "output": "b.zarr"}}
    fresh.configure(illumination=profiles.config, **stored)
    fresh.succeed()
    for path, pixels in fused.items():
        np.testing.assert_array_equal(read_level(fresh.path / "b.zarr" / path), pixels)
    reference = f"{spec.wells[0]}/{spec.acquisitions[0].path}"
    stored_pixels = read_level(fresh.plate / reference)
    inside = stored_pixels > 0  # the rest is outside the registered ROIs
    assert inside.mean() > 0.8
    assert_rounded(stored_pixels, np.where(inside, read_level(exact / reference), 0))
    receipt = json.loads((fresh.results / reference / "register_image.json").read_text())
    assert receipt["record"]["illumination"]["DAPI"]["dark"] == 100.0

    fresh.configure(illumination=None, **stored)
    assert "corrected for its illumination in the channels ['DAPI']" in fresh.fail()


def images(folder: Folder) -> list[str]:
    spec = folder.truth.spec
    return [f"{well}/{a.path}" for well in spec.wells for a in spec.acquisitions]
