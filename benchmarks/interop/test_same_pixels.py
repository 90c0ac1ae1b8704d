"""Compare `multiview_stitcher.fusion.fuse` and ours; runs in multiview-stitcher's environment.

Where one view covers a pixel, multiview-stitcher truncates the interpolated value to an integer
and platefuse rounds it, so they differ by at most 1. Where views overlap, both blend them, with
different weights. multiview-stitcher leaves zeros at chunk borders of views with fractional
positions. Therefore both are compared in one chunk, and platefuse with itself over several.
"""

from __future__ import annotations

from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import platefuse
from platefuse.fusion.signatures import NgffVersion, ZarrOptions

fusion = import_module("multiview_stitcher.fusion")
param_utils = import_module("multiview_stitcher.param_utils")
si_utils = import_module("multiview_stitcher.spatial_image_utils")
ngff_utils = import_module("multiview_stitcher.ngff_utils")
weights = import_module("multiview_stitcher.weights")

KEY = "stage"
SPACING = {"z": 2.0, "y": 0.5, "x": 0.4}
PLACINGS = ("whole", "fractional", "rotated")


def rotate(axes: str, angle: float, stretch: float) -> NDArray[np.float64]:
    """Return a homogeneous affine that rotates in the plane and scales the last axis."""
    affine = np.eye(len(axes) + 1)
    c, s = np.cos(angle), np.sin(angle)
    affine[-3:-1, -3:-1] = np.array([[c, -s], [s, c]]) @ np.diag([1.0, stretch])
    return affine


def mosaic(placing: str, axes: str, dtype: str, chunk: int = 17) -> list[Any]:
    """Make 2 × 2 views of different noise; in z each begins a little deeper than the last."""
    random = np.random.default_rng(0)
    shape = (5, 40, 44)[-len(axes) :]
    sims = []
    for k, (row, column) in enumerate(product(range(2), repeat=2)):
        pixels = (random.random((1, 1, *shape)) * 250).astype(dtype)
        place = {"z": float(k), "y": row * 31.0, "x": column * 36.0}
        if placing != "whole":
            place = {a: p + (0.3 * k if a != "z" else 0.25 * k) for a, p in place.items()}
        rotated = placing == "rotated"
        affine = rotate(axes, 0.07 * k, 1 + 0.02 * k) if rotated else rotate(axes, 0, 1)
        sim = si_utils.get_sim_from_array(
            pixels,
            dims=["t", "c", *axes],
            scale={a: SPACING[a] for a in axes},
            translation={a: place[a] * SPACING[a] for a in axes},
            affine=param_utils.affine_to_xaffine(affine),
            transform_key=KEY,
        )
        chunks = {a: min(chunk, n) for a, n in zip(axes, shape, strict=True)}
        sims.append(sim.chunk(chunks))
    return sims


def covering(sims: list[Any], properties: dict[str, Any], axes: str) -> NDArray[np.int64]:
    """Return the number of views with data at each pixel; -1 within half a pixel of a border."""
    size = [properties["shape"][a] for a in axes]
    grid = np.indices(size).reshape(len(axes), -1)
    start = np.array([properties["origin"][a] for a in axes])
    step = np.array([properties["spacing"][a] for a in axes])
    world = np.vstack([start[:, None] + step[:, None] * grid, np.ones(grid.shape[1])])
    count, border = np.zeros(grid.shape[1], int), np.zeros(grid.shape[1], bool)
    for sim in sims:
        affine = np.asarray(sim.attrs["transforms"][KEY])
        physical = (np.linalg.inv(affine) @ world)[:-1]
        origin = np.array([float(sim.coords[a][0]) for a in axes])
        position = (physical - origin[:, None]) / np.array([SPACING[a] for a in axes])[:, None]
        last = np.array([sim.sizes[a] - 1 for a in axes])[:, None]
        outside = np.max(np.maximum(-position, position - last), axis=0)
        count += outside < 1e-6
        border |= np.abs(outside - 0.25) <= 0.2501
        border |= (outside > 0) & (outside < 0.51)
        border |= np.abs(outside) < 1e-4 if np.any(affine[:-1, :-1] != np.eye(len(axes))) else False
    return np.where(border, -1, count).reshape(size)


def both(sims: list[Any], axes: str, **options: Any) -> tuple[Any, Any, NDArray[np.int64]]:
    """Return our result, theirs, and the number of views that cover each pixel."""
    found = platefuse.fuse(sims, transform_key=KEY)
    properties = {
        "spacing": {a: SPACING[a] for a in axes},
        "origin": {a: float(found.coords[a][0]) for a in axes},
        "shape": {a: found.sizes[a] for a in axes},
    }
    given = {"transform_key": KEY, "output_stack_properties": properties, **options}
    given["output_chunksize"] = 200
    ours = platefuse.fuse(sims, **given).compute(scheduler="single-threaded")
    theirs = fusion.fuse(sims, **given).compute(scheduler="single-threaded")
    assert ours.dims == theirs.dims
    assert theirs.name in (ours.name, None)  # 0.1.62 gives it no name
    for axis in ours.dims:
        np.testing.assert_allclose(
            ours.coords[axis].astype(float), theirs.coords[axis].astype(float), atol=1e-9
        )
    return ours, theirs, covering(sims, properties, axes)


def difference(ours: Any, theirs: Any) -> NDArray[np.float64]:
    return np.asarray(np.abs(ours.values.astype(float) - theirs.values.astype(float)))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("axes", ["yx", "zyx"])
@pytest.mark.parametrize("placing", PLACINGS)
def test_outside_overlaps_no_pixel_differs_by_more_than_1(
    placing: str, axes: str, dtype: str
) -> None:
    sims = mosaic(placing, axes, dtype)
    ours, theirs, count = both(sims, axes)
    alone = np.broadcast_to(count == 1, ours.shape)
    assert alone.sum() > 0.2 * alone.size
    assert difference(ours, theirs)[alone].max() <= (1 if dtype != "float32" else 1e-2)
    nowhere = np.broadcast_to(count == 0, ours.shape)
    assert not ours.values[nowhere].any()


@pytest.mark.parametrize("name", ["max_fusion", "simple_average_fusion", "weighted_average_fusion"])
@pytest.mark.parametrize("placing", PLACINGS)
def test_their_fusion_functions_run_as_plug_ins(placing: str, name: str) -> None:
    sims = mosaic(placing, "yx", "uint16")
    ours, theirs, count = both(sims, "yx", fusion_func=getattr(fusion, name))
    compared = np.broadcast_to((count >= 0) if "weighted" not in name else count == 1, ours.shape)
    assert difference(ours, theirs)[compared].max() <= 1


@pytest.mark.parametrize("name", ["max_fusion", "simple_average_fusion", "weighted_average_fusion"])
@pytest.mark.parametrize("axes", ["yx", "zyx"])
def test_their_fusion_functions_give_what_ours_give(axes: str, name: str) -> None:
    from platefuse.fusion import methods

    sims = mosaic("rotated", axes, "uint16")
    plugged = platefuse.fuse(sims, transform_key=KEY, fusion_func=getattr(fusion, name)).compute()
    fast = platefuse.fuse(sims, transform_key=KEY, fusion_func=getattr(methods, name)).compute()
    assert difference(fast, plugged).max() <= 1


def test_their_content_based_weights_run_as_a_plug_in() -> None:
    sims = mosaic("whole", "yx", "uint16")
    options = {"weights_func": weights.content_based}
    sigmas = {"sigma_1": 1, "sigma_2": 2}
    ours, theirs, count = both(sims, "yx", **options, weights_func_kwargs=sigmas)
    assert difference(ours, theirs)[np.broadcast_to(count == 1, ours.shape)].max() <= 1
    given = {"weights_func_kwargs": sigmas, **options}
    whole = platefuse.fuse(sims, KEY, **given, output_chunksize=200).compute()
    chunked = platefuse.fuse(
        sims, KEY, **given, output_chunksize=19, overlap_in_pixels=12
    ).compute()
    assert difference(chunked, whole).max() <= 1


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_their_reader_reads_what_we_write(version: NgffVersion, tmp_path: Path) -> None:
    sims = mosaic("fractional", "zyx", "uint16")
    url = tmp_path / "fused.ome.zarr"
    options: ZarrOptions = {"ome_zarr": True, "ngff_version": version}
    written = platefuse.fuse(sims, KEY, output_zarr_url=str(url), zarr_options=options)
    read = ngff_utils.read_sim_from_ome_zarr(str(url))
    np.testing.assert_array_equal(read.values, written.values)
    for axis in "zyx":
        np.testing.assert_allclose(read.coords[axis], written.coords[axis], atol=1e-9)
    if version == "0.4":  # their reader ignores the channel names of 0.5
        assert read.coords["c"].values.tolist() == [str(c) for c in written.coords["c"].values]
