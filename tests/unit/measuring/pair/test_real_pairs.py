"""Real images, where they are present: the plate that was registered, and the mosaic of a brain."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import zarr

from platefuse.geometry import Box
from platefuse.measuring.pair.levels import Crop
from platefuse.measuring.pair.measure import measure_shift

DATA = Path(__file__).parents[5] / "shared" / "data"
PLATE, BRAIN = DATA / "imagexpress_9987.zarr", DATA / "brain_wsi.zarr"


def opened(path: Path) -> Any:
    return zarr.open_array(path, mode="r")


@pytest.mark.skipif(not PLATE.is_dir(), reason=f"the real plate is not at {PLATE}")
@pytest.mark.filterwarnings("ignore")
def test_the_registered_plate() -> None:
    boxes = {}
    for acquisition in range(3):
        table = PLATE / "B" / "03" / str(acquisition) / "tables" / "registered_FOV_ROI_table"
        frame = anndata.read_zarr(table).to_df()
        boxes[acquisition] = frame[["y_micrometer", "x_micrometer"]].to_numpy() / 1.3672

    def field(acquisition: int, number: int) -> list[Crop]:
        crops = []
        for level in range(3):
            side = 256 // 2**level
            box = Box((0, number * side), (side, (number + 1) * side))
            array = opened(PLATE / "B" / "03" / str(acquisition) / str(level))
            crops.append(Crop(array, box, (0, 0)))
        return crops

    for acquisition in (1, 2):
        for number in (0, 1):
            found = measure_shift(field(0, number), field(acquisition, number), max_shift_px=20)
            stored = boxes[0][number] - boxes[acquisition][number]
            assert found.status == "measured"
            assert np.abs(found.shift_px - stored).max() < 0.2


@pytest.mark.skipif(not BRAIN.is_dir(), reason=f"the brain mosaic is not at {BRAIN}")
def test_the_mosaic_of_a_brain() -> None:
    with (DATA / "brain_wsi.positions.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    images = [opened(BRAIN / "A" / "1" / row["image"] / "0")[0, 0] for row in rows]
    stage, fiji = (
        np.array([[float(row[f"{name}_{axis}_px"]) for axis in "yx"] for row in rows])
        for name in ("stage", "fiji")
    )
    errors = []
    for a in range(20, 35):
        for b in range(a + 1, len(rows)):
            offset = stage[b] - stage[a]
            if sorted(abs(offset)) != [0, 460]:
                continue
            found = measure_shift(images[a], images[b], offset_px=offset, max_shift_px=30)
            if found.status == "measured" and found.score > 0.7:  # else Fiji is no truth
                errors.append(np.abs(offset + found.shift_px - fiji[b] + fiji[a]).max())
    assert len(errors) > 15
    assert np.median(errors) < 0.5
    assert np.quantile(errors, 0.95) < 1
