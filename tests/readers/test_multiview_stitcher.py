"""multiview-stitcher reads fused images into its own data model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.readers.expected import (
    SINGLE,
    SINGLE_ORIGIN_UM,
    SINGLE_PIXEL_UM,
    ExpectedImage,
    ExpectedPlate,
    assert_levels,
    folder_of_plates,
    plates,
    single_scene,
)

ngff_utils = pytest.importorskip("multiview_stitcher.ngff_utils")
IMAGES = [(plate, image) for plate in plates() for image in plate.images]
every_image = pytest.mark.parametrize(
    ("plate", "image"), IMAGES, ids=[f"{p.path.stem}/{i.well}/{i.path}" for p, i in IMAGES]
)


def origin_and_spacing(sim: Any, axes: str) -> tuple[list[float], list[float]]:
    places = [sim.coords[axis].values for axis in axes]
    return [float(p[0]) for p in places], [float(p[1] - p[0]) for p in places]


@every_image
def test_image(plate: ExpectedPlate, image: ExpectedImage) -> None:
    # Its backend "zarr", the default of 0.1.62, adds an axis t to the array, and not to its names
    # of axes, which 0.5 demands: it can read no 0.5 image without t, of any writer.
    backend = {"0.4": "zarr", "0.5": "dask"}[plate.version]
    sims = [
        ngff_utils.read_sim_from_ome_zarr(
            str(plate.folder(image)), resolution_level=level, array_backend=backend
        )
        for level in (0, 1)
    ]
    assert all(sim.dims == ("t", "c", "z", "y", "x") for sim in sims)
    assert_levels([np.asarray(sim.values)[0] for sim in sims], plate.pixels(image))
    origin, spacing = origin_and_spacing(sims[0], "zyx")
    np.testing.assert_allclose(origin, image.origin_um)
    np.testing.assert_allclose(spacing, image.pixel_size_um)
    # It looks for names where 0.4 has them.
    if image.channels and plate.version == "0.4":
        assert tuple(sims[0].coords["c"].values) == image.channels


@pytest.mark.parametrize("name", SINGLE)
def test_image_with_a_position(name: str) -> None:
    sim = ngff_utils.read_sim_from_ome_zarr(str(folder_of_plates() / name))
    np.testing.assert_array_equal(np.asarray(sim.values)[0, 0], single_scene())
    origin, spacing = origin_and_spacing(sim, "yx")
    np.testing.assert_allclose(origin, SINGLE_ORIGIN_UM)
    np.testing.assert_allclose(spacing, SINGLE_PIXEL_UM)
