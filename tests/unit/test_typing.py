"""Annotations as a user's type checker sees them: good calls pass, wrong ones are found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".mypy_cache" / "user"

GOOD = """
from __future__ import annotations

from pathlib import Path

import anndata  # type: ignore[import-untyped]
import numpy as np
import xarray
from numpy.typing import NDArray

from platefuse import apply_registration_to_image, fuse, write_registered_zarr
from platefuse.fusion.methods import content_based, max_fusion
from platefuse.fusion.signatures import BatchOptions, StackProperties, ZarrOptions


def brightest(transformed_views: NDArray[np.float64], offset: float = 0) -> NDArray[np.float64]:
    return np.asarray(np.nanmax(transformed_views, axis=0) + offset)


def register(plate: Path) -> list[str]:
    done = apply_registration_to_image(
        zarr_url=plate / "B/03/1",
        registered_roi_table="registered_FOV_ROI_table",
        reference_acquisition=0,
        overwrite_input=False,
        interpolation="linear",
        threads=2,
    )
    apply_registration_to_image(zarr_url="p.zarr/B/03/1", registered_roi_table="t")
    return [update.get("origin", update["zarr_url"]) for update in done["image_list_updates"]]


def copy(image: str) -> None:
    table = anndata.read_zarr(f"{image}/tables/registered_FOV_ROI_table")
    write_registered_zarr(image, f"{image}_new", table, table, num_levels=3)
    write_registered_zarr(Path(image), Path("new"), table, table, 3, 2, np.max)


def mosaic(images: list[xarray.DataArray], target: Path) -> xarray.DataArray:
    zarr_options: ZarrOptions = {"ome_zarr": True, "ngff_version": "0.5", "overwrite": False}
    batch_options: BatchOptions = {"batch_func": lambda fuse_block, blocks: None, "n_batch": 4}
    grid: StackProperties = {
        "spacing": {"y": 0.5, "x": 0.5},
        "origin": {"y": 0, "x": 0},
        "shape": {"y": 100, "x": 100},
    }
    fuse(images, "registered", max_fusion, output_stack_properties=grid)
    fuse(tuple(images), fusion_func=brightest, fusion_method_kwargs={"offset": 1.5})
    fuse(images, "registered", batch_options=batch_options, output_chunksize={"y": 512, "x": 512})
    fused = fuse(
        images,
        "registered",
        weights_func=content_based,
        weights_func_kwargs={"sigma_1": 3},
        output_spacing={"y": 0.5, "x": 0.5},
        output_stack_mode="intersection",
        output_chunksize=512,
        interpolation_order=3,
        blending_widths={"y": 10.0, "x": 10},
        output_zarr_url=target,
        zarr_options=zarr_options,
        threads=2,
        nan_is_missing=True,
    )
    return fused.isel(y=slice(0, 10))
"""

BAD = """
import xarray
import platefuse
from platefuse import apply_registration_to_image, fuse, write_registered_zarr
from platefuse import fues  # attr-defined
images: list[xarray.DataArray] = []
platefuse.regsiter  # attr-defined
fuse(images, output_stack_mode="overlap")  # arg-type
fuse(images, interpolation_order=2)  # arg-type
fuse(images, weights_func="content_based")  # arg-type
fuse(images, zarr_options={"ome_zar": True})  # arg-type
fuse(images, zarr_options={"ngff_version": "0.6"})  # arg-type
fuse(images, batch_options={"n_batch": "many"})  # arg-type
fuse(images, output_stack_properties={"spacing": {"y": 1.0, "x": 1.0}})  # arg-type
fuse(images, output_spacing=0.5)  # arg-type
fuse(images[0])  # arg-type
fuse(images, thread=2)  # call-arg
path: str = fuse(images)  # assignment
apply_registration_to_image(zarr_url="i", registered_roi_table="t", interpolation="")  # arg-type
apply_registration_to_image("i", "t")  # call-arg
apply_registration_to_image(zarr_url="i", registered_roi_table="t")["images"]  # typeddict-item
write_registered_zarr("i", "new", "table", "table", 3)  # arg-type
write_registered_zarr("i", "new", num_levels=3)  # call-arg
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, set[str]]]:
    """The codes of what mypy reports, by file and line."""
    pytest.importorskip("mypy", reason="mypy is not installed: the locked environment has it")
    folder = tmp_path_factory.mktemp("user")
    for name, text in (("good.py", GOOD), ("bad.py", BAD)):
        (folder / name).write_text(text)
    options = ["--strict", "--follow-imports=silent", "--config-file=", f"--cache-dir={CACHE}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "good.py", "bad.py"],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    reports: dict[str, dict[int, set[str]]] = {"good.py": {}, "bad.py": {}}
    for line in done.stdout.splitlines():
        match = re.match(r"(\S+\.py):(\d+): error: .*\[([\w-]+)\]$", line)
        if match:
            reports[match[1]].setdefault(int(match[2]), set()).add(match[3])
    assert done.stdout.splitlines()[-1].startswith("Found"), done.stdout + done.stderr
    return reports


def test_good_calls_pass(found: dict[str, dict[int, set[str]]]) -> None:
    assert found["good.py"] == {}


def test_every_wrong_call_is_found(found: dict[str, dict[int, set[str]]]) -> None:
    expected = {
        number: {line.rpartition("# ")[2]}
        for number, line in enumerate(BAD.splitlines(), start=1)
        if "  # " in line
    }
    assert found["bad.py"] == expected
