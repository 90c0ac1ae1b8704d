"""A well is what `fuse` makes of its fields: every option of the config means the same there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr

import platefuse
from platefuse.fusion.methods import (
    content_based,
    first_view_fusion,
    max_fusion,
    simple_average_fusion,
    weighted_average_fusion,
)
from platefuse.fusion.signatures import StackMode
from platefuse.ngff.image import Multiscale
from platefuse.ngff.tables.table import read_table
from tests.conftest import PlateFactory
from tests.fused import BARE, SMALL_CHUNKS, WELL, fuse
from tests.sims import Array, make_sim
from tests.truth import read_level

# Fields that disagree, between pixels of each other: what blends and samples can be seen.
NOISY = replace(
    BARE,
    noise=True,
    dtype="float32",
    axes="czyx",
    planes=2,
    stage_jitter_px=2.3,
    whole_pixel_stage=False,
)
FUNCTIONS: dict[str, Any] = {
    "weighted_average": weighted_average_fusion,
    "mean": simple_average_fusion,
    "max": max_fusion,
    "first": first_view_fusion,
}


def fields_of(image: Path, pixels: Path) -> list[xarray.DataArray]:
    """The fields of an image, or of a label of it, where the stage had them."""
    found, table = Multiscale.read(image), read_table(image, "FOV_ROI_table")
    size, whole = found.pixel_size_um, read_level(pixels)
    views = []
    for row in range(len(table.names)):
        place: list[Any] = [...]
        origin = []
        for axis in found.spatial:
            start, length = (
                round(table.column(f"{p}{axis}_micrometer")[row] / size[axis]) for p in ("", "len_")
            )
            on_stage = f"{axis}_micrometer" + "_original" * (axis != "z")
            place.append(slice(start, start + length))
            origin.append(table.column(on_stage)[row])
        dims = found.axes[-whole.ndim :]
        view = make_sim(whole[tuple(place)], dims, origin=origin, spacing=list(size.values()))
        views.append(view)
    return views


@pytest.mark.parametrize(
    "options",
    [
        *[{"method": method} for method in FUNCTIONS],
        {"interpolation_order": 0},
        {"interpolation_order": 3},
        {"blending_widths": {"z": 1.0, "y": 2.0, "x": 20.0}},
        {"blending_widths": {"x": 0.0}},
        {"weights": "content_based"},
        {"output_spacing": {"y": 1.1, "x": 0.5}},
        {"output_spacing": {"z": 0.5}, "interpolation_order": 3},
        {"output_stack_mode": "intersection"},
        {"output_stack_mode": "sample", "method": "mean"},
    ],
    ids=str,
)
def test_options_mean_what_they_mean_for_fuse(
    example_plate: PlateFactory, options: dict[str, Any]
) -> None:
    image = example_plate(NOISY).path / WELL / "0"
    same = {k: v for k, v in options.items() if k not in ("method", "weights", "output_spacing")}
    spacing = options.get("output_spacing", {})
    expected = platefuse.fuse(
        fields_of(image, image),
        fusion_func=FUNCTIONS[options.get("method", "weighted_average")],
        weights_func=content_based if "weights" in options else None,
        output_spacing={**Multiscale.read(image).pixel_size_um, **spacing},
        **same,
    ).values
    got = read_level(fuse(image.parents[2], **options) / WELL / "0")
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_chunks_leave_no_trace_whatever_the_weights(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(NOISY)

    def fused(name: str, chunks: dict[str, int]) -> Array:
        path = fuse(
            plate.path, output=tmp_path / name, output_chunksize=chunks, weights="content_based"
        )
        return read_level(path / WELL / "0")

    np.testing.assert_array_equal(
        fused("a.zarr", {"z": 1, "y": 23, "x": 31}), fused("b.zarr", SMALL_CHUNKS)
    )


@pytest.mark.parametrize("mode", ["union", "sample"])
def test_fields_of_different_depths_and_widths(
    example_plate: PlateFactory, mode: StackMode
) -> None:
    image = example_plate(replace(NOISY, planes=4)).path / WELL / "0"
    fields = read_table(image, "FOV_ROI_table")
    columns = zarr.open_array(image / "tables" / "FOV_ROI_table" / "X", mode="r+")
    changes: dict[str, list[float]] = {
        "z_micrometer": [0, 1, 2, 0],
        "len_z_micrometer": [4, 3, 1, 2],
        "len_x_micrometer": [31.2, 10.4, 26.0, 31.2],
    }
    for name, values in changes.items():
        columns[:, list(fields.columns).index(name)] = values
    size = Multiscale.read(image).pixel_size_um
    views = fields_of(image, image)
    assert [view.sizes["z"] for view in views] == [4, 3, 1, 2]
    expected = platefuse.fuse(views, output_spacing=size, output_stack_mode=mode).values
    got = read_level(fuse(image.parents[2], output_stack_mode=mode) / WELL / "0")
    np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize("spacing", [{}, {"y": 0.9, "x": 0.4}], ids=["as it is", "other pixels"])
def test_labels_between_pixels_are_the_nearest_of_the_first_field_that_has_one(
    example_plate: PlateFactory, spacing: dict[str, float]
) -> None:
    def first_id(transformed_views: Array) -> Array:
        return first_view_fusion(np.where(transformed_views == 0, np.nan, transformed_views))

    moved = replace(NOISY, label_offset=2**25)
    image = example_plate(moved).path / WELL / "0"
    label = image / "labels" / "nuclei"
    expected = platefuse.fuse(
        fields_of(image, label),
        fusion_func=first_id,
        interpolation_order=0,
        output_spacing={**Multiscale.read(image).pixel_size_um, **spacing},
    ).values
    path = fuse(image.parents[2], output_spacing=spacing or None) / WELL / "0"
    got = read_level(path / "labels" / "nuclei")
    np.testing.assert_array_equal(got, expected)
    assert set(np.unique(got)) <= set(np.unique(read_level(label)))
    for level in range(1, moved.levels):
        assert set(np.unique(read_level(path / "labels" / "nuclei", level))) <= set(np.unique(got))
