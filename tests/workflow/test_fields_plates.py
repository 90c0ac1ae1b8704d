"""Complete runs on plates with one image for each field, and on plates with bad wells."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.plate import Plate
from platefuse.ngff.positions import translation_of
from platefuse.testing import Truth
from tests.conftest import REAL_PLATE
from tests.fields_plate import SHAPE, FieldsPlate, write_ome_xml
from tests.truth import read_level
from tests.workflow.conftest import TINY, Folder, fingerprint

pytestmark = pytest.mark.slow

BRAIN = REAL_PLATE.with_name("brain_wsi.zarr")
ONLY_FUSE = {"registration": {"enabled": False}}

RAW = FieldsPlate(
    {"A/01": {0: 4, 1: 4}, "A/02": {0: 4, 1: 4}, "B/01": {0: 4, 1: 4}},
    translation=False,
    listed=("B/02",),
)


def folder_with(tmp_path: Path, plate: str, **config: Any) -> Folder:
    folder = Folder(tmp_path, Truth(TINY))
    text = yaml.safe_dump({"plates": {"p": plate}, **config})
    (tmp_path / "config.yaml").write_text(text)
    return folder


def raw_plate(tmp_path: Path, **config: Any) -> Folder:
    """A plate as bioformats2raw writes it: positions in the OME-XML, a well that is absent."""
    path = RAW.write(tmp_path / "p.zarr")
    write_ome_xml(path, RAW, samples=True, series=False)
    return folder_with(tmp_path, "p.zarr", **ONLY_FUSE, **config)


def scene(well: str, acquisition: int) -> np.ndarray[Any, Any]:
    y, x = RAW.origin(3)
    return RAW.pixels(well, acquisition)[..., : y + SHAPE[0], : x + SHAPE[1]]


def fused_wells(folder: Folder) -> list[str]:
    return [well.name for well in Plate.open(folder.path / "p_fused.zarr").wells]


def test_a_converters_plate_is_fused(tmp_path: Path) -> None:
    folder = raw_plate(tmp_path)
    before = fingerprint(tmp_path / "p.zarr")
    said = folder.succeed()
    assert said.count("plate p: 1 well is listed and absent (B/02)") == 2  # before and after
    for well in RAW.wells:
        for number in (0, 1):
            fused = tmp_path / "p_fused.zarr" / well / str(number)
            np.testing.assert_array_equal(read_level(fused), scene(well, number))
    assert fused_wells(folder) == ["A/01", "A/02", "B/01"]
    assert fingerprint(tmp_path / "p.zarr") == before
    assert "Nothing to be done" in folder.succeed()


def damage(plate: Path) -> None:
    """Make two wells unusable: one by its metadata, one by an image."""
    (plate / "A" / "01" / ".zattrs").write_text("{")
    (plate / "B" / "01" / "3" / ".zattrs").unlink()


def test_bad_wells_stop_a_run_together(tmp_path: Path) -> None:
    folder = raw_plate(tmp_path)
    (tmp_path / "p.zarr" / "A" / "02" / "1" / "0" / ".zarray").unlink()
    (tmp_path / "p.zarr" / "B" / "01" / "3" / ".zattrs").unlink()
    before = fingerprint(tmp_path / "p.zarr")
    said = folder.fail()
    assert "2 of 3 wells of plate p cannot be processed" in said
    assert "A/02" in said
    assert "B/01/3" in said
    assert "on_bad_well: skip" in said
    with (folder.path / "results" / "p" / "bad_wells.tsv").open() as file:
        assert [row["well"] for row in csv.DictReader(file, delimiter="\t")] == ["A/02", "B/01"]
    assert fingerprint(tmp_path / "p.zarr") == before
    assert not (tmp_path / "p_fused.zarr").exists()


def test_bad_wells_are_skipped_and_done_when_repaired(tmp_path: Path) -> None:
    folder = raw_plate(tmp_path, on_bad_well="skip")
    good = tmp_path / "good"
    shutil.copytree(tmp_path / "p.zarr", good)
    damage(tmp_path / "p.zarr")
    said = folder.succeed()
    assert "plate p: 2 wells cannot be processed and are skipped (A/01, B/01)" in said
    assert fused_wells(folder) == ["A/02"]
    with (folder.path / "results" / "p" / "skipped.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["well"] for row in rows] == ["A/01", "B/01"]
    assert "broken JSON" in rows[0]["reason"]

    shutil.copytree(good, tmp_path / "p.zarr", dirs_exist_ok=True)
    folder.succeed()
    assert fused_wells(folder) == ["A/01", "A/02", "B/01"]
    assert not (folder.path / "results" / "p" / "skipped.tsv").exists()
    np.testing.assert_array_equal(read_level(tmp_path / "p_fused.zarr/A/01/1"), scene("A/01", 1))


def test_a_plate_of_bad_wells_only_stops(tmp_path: Path) -> None:
    folder = raw_plate(tmp_path, on_bad_well="skip")
    for well in RAW.wells:
        (tmp_path / "p.zarr" / well / ".zattrs").write_text("{")
    assert "3 of 3 wells of plate p cannot be processed" in folder.fail()


def test_fields_cannot_be_registered_yet(tmp_path: Path) -> None:
    raw_plate(tmp_path)
    folder = folder_with(tmp_path, "p.zarr")
    before = fingerprint(tmp_path / "p.zarr")
    said = folder.fail("--dry-run")
    assert "each of its images is one field" in said
    assert "registration.enabled: false" in said
    assert fingerprint(tmp_path / "p.zarr") == before


def test_a_changed_table_of_positions_is_noticed(tmp_path: Path) -> None:
    spec = FieldsPlate({"A/01": {0: 2}}, translation=False)
    spec.write(tmp_path / "p.zarr")
    rows = ["well\timage\ty_um\tx_um", "A/01\t0\t0\t0", "A/01\t1\t0\t20"]
    (tmp_path / "at.tsv").write_text("\n".join(rows))
    folder = folder_with(tmp_path, "p.zarr", **ONLY_FUSE, input={"positions": "at.tsv"})
    folder.succeed()
    fused = tmp_path / "p_fused.zarr" / "A" / "01" / "0"
    assert read_level(fused).shape[-1] == 40 + SHAPE[1]
    assert "Nothing to be done" in folder.succeed()
    (tmp_path / "at.tsv").write_text("\n".join([*rows[:2], "A/01\t1\t0\t10"]))
    folder.succeed()
    assert read_level(fused).shape[-1] == 20 + SHAPE[1]


def test_only_the_reference_needs_the_tile_table(fresh: Folder) -> None:
    """Registration gives the other images the tables of the reference."""
    for well in Plate.open(fresh.plate).read_wells():
        shutil.rmtree(well.path / "1" / "tables" / "FOV_ROI_table")
    fresh.succeed()
    fresh.assert_exact()


@pytest.mark.skipif(not BRAIN.exists(), reason=f"the real plate {BRAIN.name} is not there")
def test_the_real_mosaic_of_54_fields(tmp_path: Path) -> None:
    shutil.copytree(BRAIN, tmp_path / BRAIN.name)
    folder = folder_with(tmp_path, BRAIN.name, **ONLY_FUSE, fusion={"method": "max"})
    folder.succeed()
    (well,) = Plate.open(tmp_path / BRAIN.name).read_wells()
    corners: list[tuple[int, int]] = []
    for image in well.images:
        position = translation_of(Multiscale.read(image.live))
        assert position is not None
        corners.append((round(position["y"] / 0.5), round(position["x"] / 0.5)))
    top, left = np.min(corners, axis=0)
    bottom, right = np.max(corners, axis=0) + 512
    expected = np.zeros((1, 1, bottom - top, right - left), np.uint16)
    for (y, x), image in zip(corners, well.images, strict=True):
        part = expected[..., y - top : y - top + 512, x - left : x - left + 512]
        np.maximum(part, read_level(image.live), out=part)
    fused = tmp_path / "brain_wsi_fused.zarr" / "A" / "1" / "0"
    np.testing.assert_array_equal(read_level(fused), expected)
    assert read_attributes(fused)["multiscales"]
