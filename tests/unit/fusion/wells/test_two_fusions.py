"""Two processes that fuse the same well or write the same output: one does it, one says why not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import platefuse
from platefuse.errors import LockError, PlateError
from platefuse.fusion.mosaic import Mosaic
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.locks import fused_well_lock
from platefuse.ngff.paths import staging_root
from platefuse.ngff.plate import Plate
from platefuse.storage.threads import Task
from platefuse.workflow.checks.outputs import check_fused_plate
from tests.conftest import PlateFactory
from tests.fused import BARE, SMALL_CHUNKS, WELL, everything, fuse_well, fuse_well_part
from tests.sims import KEY, cut
from tests.together import DONE, IN_USE, work_together

OPTIONS = FusionOptions(output_chunksize=SMALL_CHUNKS)
WORK = """
from platefuse.fusion.options import FusionOptions
from platefuse.ngff.plate import Plate
from tests.fused import SMALL_CHUNKS, fuse_well

def work(folder):
    well = Plate.open(folder / "plate.zarr").read_wells()[0]
    fuse_well(well, folder / "fused.zarr", FusionOptions(output_chunksize=SMALL_CHUNKS))
"""
PAIRS = 6


def test_a_well_is_complete_however_far_apart_two_begin(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(BARE)
    well = Plate.open(plate.path).read_wells()[0]
    fuse_well(well, tmp_path / "alone" / "fused.zarr", OPTIONS)
    expected = everything(tmp_path / "alone" / "fused.zarr")
    folders = [tmp_path / str(n) for n in range(PAIRS)]
    for folder in folders:
        shutil.copytree(plate.path, folder / "plate.zarr")
    pairs = work_together(WORK, folders, apart_s=0.2, seed=12)
    for folder, pair in zip(folders, pairs, strict=True):
        assert set(pair) <= {DONE, IN_USE}, pairs
        assert DONE in pair, pairs
        assert set(everything(folder / "fused.zarr")) == set(expected)
        assert not staging_root(folder / "fused.zarr").exists()


def in_thread(call: Callable[[], object]) -> BaseException | None:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).exception()


def halfway(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> list[Any]:
    """Let a call come in another thread before pixels are written; its errors."""
    errors: list[Any] = []
    begun: list[bool] = []
    tasks = Mosaic.tasks

    def call_first(*args: Any, **kwargs: Any) -> Iterator[Task]:
        if not begun:
            begun.append(True)
            errors.append(in_thread(call))
        return tasks(*args, **kwargs)

    monkeypatch.setattr(Mosaic, "tasks", call_first)
    return errors


def test_a_well_is_fused_by_one(
    example_plate: PlateFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = Plate.open(example_plate(BARE).path).read_wells()[0]
    fused = tmp_path / "fused.zarr"
    errors = halfway(monkeypatch, lambda: fuse_well(well, fused, OPTIONS))
    assert fuse_well(well, fused, OPTIONS).action == "fused"
    assert isinstance(errors[0], LockError)
    assert f"{fused / WELL}: in use by process" in str(errors[0])
    assert fuse_well(well, fused, OPTIONS).action == "fused before"
    assert not staging_root(fused).exists()


def test_parts_are_fused_together_each_by_one_and_not_with_the_well(
    example_plate: PlateFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = Plate.open(example_plate(BARE).path).read_wells()[0]
    fused = tmp_path / "fused.zarr"
    meanwhile: dict[str, Any] = {}

    def others() -> None:
        meanwhile["well"] = in_thread(lambda: fuse_well(well, fused, OPTIONS))
        meanwhile["same"] = in_thread(lambda: fuse_well_part(well, fused, OPTIONS, 0, 2))
        meanwhile["other"] = in_thread(lambda: fuse_well_part(well, fused, OPTIONS, 1, 2))

    assert halfway(monkeypatch, others) == []
    fuse_well_part(well, fused, OPTIONS, 0, 2)
    assert isinstance(meanwhile["well"], LockError)
    assert isinstance(meanwhile["same"], LockError)
    assert meanwhile["other"] is None
    with fused_well_lock(fused / WELL):
        assert isinstance(in_thread(lambda: fuse_well_part(well, fused, OPTIONS, 0, 2)), LockError)
    fuse_well(well, fused, OPTIONS, scatter=2)
    assert not staging_root(fused).exists()


def test_an_output_is_written_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = np.random.default_rng(0).integers(1, 60000, (2, 60, 90)).astype("u2")
    views = cut(scene, "zyx", [((0, 0, 0), (2, 60, 50)), ((0, 0, 40), (2, 60, 90))])
    output = tmp_path / "fused.zarr"

    def write() -> Any:
        return platefuse.fuse(
            views, KEY, output_chunksize={"z": 1, "y": 32, "x": 40}, output_zarr_url=output
        )

    errors = halfway(monkeypatch, write)
    np.testing.assert_array_equal(np.squeeze(write().values), scene)
    assert isinstance(errors[0], LockError)
    assert f"{output}: in use by process" in str(errors[0])
    np.testing.assert_array_equal(np.squeeze(write().values), scene)
    assert [path.name for path in tmp_path.iterdir()] == ["fused.zarr"]


@pytest.mark.parametrize(
    "part", ["fused.zarr", "fused.zarr/B", "fused.zarr/B/03", "fused.zarr.staging",
             "fused.zarr.staging/B", "fused.zarr.staging/B/03"],
)  # fmt: skip
def test_a_link_that_would_be_emptied_is_refused_before(
    example_plate: PlateFactory, tmp_path: Path, part: str
) -> None:
    plate = Plate.open(example_plate(BARE).path)
    victim, fused = tmp_path / "victim", tmp_path / "out" / "fused.zarr"
    (victim / "03").mkdir(parents=True)
    (victim / "03" / "only.txt").write_text("copy")
    link = tmp_path / "out" / part
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    with pytest.raises(PlateError, match=f"{link} is a link to {victim}.*Take the link"):
        check_fused_plate(plate, fused)
    with pytest.raises(PlateError, match=f"{link} is a link to {victim}.*Take the link"):
        fuse_well(plate.read_wells()[0], fused, OPTIONS)
    assert [path.name for path in victim.rglob("*")] == ["03", "only.txt"]
