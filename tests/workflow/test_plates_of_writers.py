"""Complete runs on plates that other programs have written; `tests/writers` has their scripts.

Those of ome-zarr-py and those made by hand are written here. The others were written in
environments of their own, by the versions that their names say; ``make writers`` runs them again.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from platefuse.testing import Truth
from tests.truth import read_level
from tests.workflow.conftest import CLONE, TINY, Folder, fingerprint
from tests.writers import scene, write_bioformats2raw

ARCHIVE = CLONE / "tests" / "fixtures" / "plates_of_writers.tar.xz"
with tarfile.open(ARCHIVE) as archive:
    ARCHIVED = sorted({member.name.split("/")[0] for member in archive})
MOSAICS = [name for name in ARCHIVED if "mosaic" in name]
# acquire-zarr writes no positions.
WITHOUT_POSITIONS = [name for name in ARCHIVED if name.startswith("acquire-zarr")]
FIELDS = sorted({*ARCHIVED} - {*MOSAICS, *WITHOUT_POSITIONS})


def extract(name: str, folder: Path) -> str:
    """Extract a plate and return its name."""
    with tarfile.open(ARCHIVE) as tar:
        # Python 3.11.2 has no filters yet, and 3.12 warns without one.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(folder, [m for m in tar.getmembers() if m.name.split("/")[0] == name])
    return name


def process(folder: Path, plate: str, **config: Any) -> str:
    """Check a plate and process it by real Snakemake; return what the check says."""
    config.setdefault("registration", {"enabled": False})
    config = {"plates": {"p": plate}, "fusion": {"output": "fused.zarr"}, **config}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    check = [sys.executable, "-m", "platefuse.cli", "check", "config.yaml"]
    done = subprocess.run(check, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    Folder(folder, Truth(TINY)).succeed()
    return done.stdout


def assert_exact(fused: Path, *, filled: bool = True) -> None:
    """Compare every fused image with the scene; `filled`: columns have two digits."""
    for well, acquisitions in scene.WELLS.items():
        place = well if filled else write_bioformats2raw.well_path(well)
        for acquisition in acquisitions:
            got = read_level(fused / place / str(acquisition))
            expected = scene.fused(well, acquisition)
            np.testing.assert_array_equal(got, expected[(None,) * (got.ndim - expected.ndim)])


@pytest.mark.parametrize("name", FIELDS)
def test_fields_lie_where_their_translations_say(tmp_path: Path, name: str) -> None:
    plate = extract(name, tmp_path)
    before = fingerprint(tmp_path / plate)
    assert "layout fields" in process(tmp_path, plate)
    assert_exact(tmp_path / "fused.zarr")
    assert fingerprint(tmp_path / plate) == before


@pytest.mark.parametrize("name", WITHOUT_POSITIONS)
def test_fields_lie_where_a_table_says(tmp_path: Path, name: str) -> None:
    plate = extract(name, tmp_path)
    rows = ["well\timage\ty_um\tx_um"]
    for field in scene.all_fields():
        y, x = field.origin_um
        rows.append(f"{field.well}\t{field.index}\t{y}\t{x}")
    (tmp_path / "positions.tsv").write_text("\n".join(rows) + "\n")
    said = process(tmp_path, f"{plate}/plate", input={"positions": "positions.tsv"})
    assert "layout fields" in said
    assert_exact(tmp_path / "fused.zarr")


@pytest.mark.parametrize("name", MOSAICS)
def test_mosaics_are_registered_and_fused(tmp_path: Path, name: str) -> None:
    plate = extract(name, tmp_path)
    assert "layout mosaic" in process(tmp_path, plate, registration={})
    well = next(iter(scene.WELLS))
    for acquisition in scene.WELLS[well]:
        got = read_level(tmp_path / "fused.zarr" / well / str(acquisition))
        np.testing.assert_array_equal(got, scene.registered_and_fused(well, acquisition))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate_of_ome_zarr_py(tmp_path: Path, version: str) -> None:
    # Not imported here: ome-zarr-py warns of its own deprecated classes, and that is an error.
    writer = [sys.executable, "-m", "tests.writers.write_ome_zarr", str(tmp_path)]
    subprocess.run(writer, cwd=CLONE, check=True)
    (plate,) = tmp_path.glob(f"ome-zarr_*_v{version}.zarr")
    assert "layout fields" in process(tmp_path, plate.name)
    assert_exact(tmp_path / "fused.zarr")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate_as_bioformats2raw_writes_it(tmp_path: Path, version: str) -> None:
    write_bioformats2raw.write(tmp_path / "p.zarr", version)
    assert "layout fields" in process(tmp_path, "p.zarr")
    assert_exact(tmp_path / "fused.zarr", filled=False)
