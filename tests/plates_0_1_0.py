"""Plates written by platefuse 0.1.0; `tests/fixtures/make_0_1_0.py` made them."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from platefuse.testing import AcquisitionSpec, PlateSpec, Truth

FIXTURES = Path(__file__).parent / "fixtures"
PLATES = ("in_place", "beside", "half")

# The pixels of the plates `in_place` and `half`; their other parameters do not change pixels.
SPEC = PlateSpec(
    wells=("B/03",),
    acquisitions=(AcquisitionSpec(0), AcquisitionSpec(1, shift_px=(2, -3))),
    grid=(1, 2),
    field_shape=(24, 28),
    overlap=4,
    channels=("DAPI",),
    nucleus_diameter_um=6.0,
    noise=False,
    levels=2,
)
WELLS_OF_HALF = ("A/01", "A/02", "A/03", "A/04")


def truth_of_half() -> Truth:
    """Return the truth of the plate `half`."""
    return Truth(replace(SPEC, wells=WELLS_OF_HALF))


def extract(plate: str, folder: Path) -> Path:
    """Extract one plate with its fused plate, staging folder, config and receipts.

    Parameters
    ----------
    plate : str
        One of `PLATES`.
    folder : Path
        Destination; files keep their modification times.

    Returns
    -------
    Path
        The plate.
    """
    parts = (f"{plate}.", f"{plate}_fused.", f"results/{plate}/")
    with tarfile.open(FIXTURES / "plates_0.1.0.tar.xz") as tar:
        # Python 3.11.2 has no filters yet, and 3.12 warns without one.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(folder, [m for m in tar.getmembers() if m.name.startswith(parts)])
    return folder / f"{plate}.zarr"


def status_then(plate: str) -> Any:
    """Return the output of ``platefuse status --json`` of 0.1.0, called in the plate's folder."""
    return json.loads((FIXTURES / "plates_0.1.0.status.json").read_text())[f"{plate}.zarr"]
