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

pytestmark = pytest.mark.slow

ARCHIVE = CLONE / "tests" / "fixtures" / "plates_of_writers.tar.xz"
with tarfile.open(ARCHIVE) as archive:
    ARCHIVED = sorted({member.name.split("/")[0] for member in archive})
MOSAICS = [name for name in ARCHIVED if "mosaic" in name]
# acquire-zarr writes no positions.
WITHOUT_POSITIONS = [name for name in ARCHIVED if name.startswith("acquire-zarr")]
FIELDS = sorted({*ARCHIVED} - {*MOSAICS, *WITHOUT_POSITIONS})


def extract(name: str, folder: Path) -> None:
    """Extract a plate."""
    with tarfile.open(ARCHIVE) as tar:
        # Python 3.11.2 has no filters yet, and 3.12 warns without one.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(folder, [m for m in tar.getmembers() if m.name.split("/")[0] == name])


def process(folder: Path, *plates: str, **config: Any) -> str:
    """Check plates and process them by one run of Snakemake; return what the check says."""
    config.setdefault("registration", {"enabled": False})
    config["plates"] = {f"p{number}": plate for number, plate in enumerate(plates)}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    check = [sys.executable, "-m", "platefuse", "check", "config.yaml"]
    done = subprocess.run(check, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    Folder(folder, Truth(TINY)).succeed()
    return done.stdout


def fused(folder: Path, plate: str, well: str, acquisition: int) -> np.ndarray[Any, Any]:
    """Read a fused image without its axis t."""
    path = folder / plate.replace(".zarr", "_fused.zarr") / well / str(acquisition)
    pixels = read_level(path)
    return pixels.reshape(pixels.shape[-4:])


def assert_exact(folder: Path, plate: str) -> None:
    """Compare every fused image of a plate with the scene."""
    for well, acquisitions in scene.WELLS.items():
        by_hand = plate.startswith("bioformats2raw")
        place = write_bioformats2raw.well_path(well) if by_hand else well
        for acquisition in acquisitions:
            np.testing.assert_array_equal(
                fused(folder, plate, place, acquisition),
                scene.fused(well, acquisition),
                err_msg=f"{plate}, well {well}, acquisition {acquisition}",
            )


def test_fields_lie_where_their_metadata_say(tmp_path: Path) -> None:
    for name in FIELDS:
        extract(name, tmp_path)
    # Not imported here: ome-zarr-py warns of its own deprecated classes, and that is an error.
    writer = [sys.executable, "-m", "tests.writers.write_ome_zarr", str(tmp_path)]
    subprocess.run(writer, cwd=CLONE, check=True)
    write_bioformats2raw.main(tmp_path)
    plates = sorted(path.name for path in tmp_path.glob("*.zarr"))
    assert len(plates) == len(FIELDS) + 4
    before = {plate: fingerprint(tmp_path / plate) for plate in plates}
    assert process(tmp_path, *plates).count("layout fields") == len(plates)
    for plate in plates:
        assert_exact(tmp_path, plate)
        assert fingerprint(tmp_path / plate) == before[plate]


@pytest.mark.parametrize("name", WITHOUT_POSITIONS)
def test_fields_lie_where_a_table_says(tmp_path: Path, name: str) -> None:
    extract(name, tmp_path)
    rows = ["well\timage\ty_um\tx_um"]
    for field in scene.all_fields():
        y, x = field.origin_um
        rows.append(f"{field.well}\t{field.index}\t{y}\t{x}")
    (tmp_path / "positions.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / name / "plate").rename(tmp_path / "plate.zarr")  # as the root of its store
    said = process(tmp_path, "plate.zarr", input={"positions": "positions.tsv"})
    assert "layout fields" in said
    assert_exact(tmp_path, "plate.zarr")


def test_mosaics_are_registered_and_fused(tmp_path: Path) -> None:
    for name in MOSAICS:
        extract(name, tmp_path)
    said = process(tmp_path, *MOSAICS, registration={})
    assert said.count("layout mosaic") == len(MOSAICS)
    well = next(iter(scene.WELLS))
    for name in MOSAICS:
        for acquisition in scene.WELLS[well]:
            np.testing.assert_array_equal(
                fused(tmp_path, name, well, acquisition),
                scene.registered_and_fused(well, acquisition),
                err_msg=f"{name}, acquisition {acquisition}",
            )
