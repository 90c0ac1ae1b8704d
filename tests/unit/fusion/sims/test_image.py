from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from platefuse import fuse
from platefuse.fusion.frame import Frame
from platefuse.fusion.sims.image import make_sim, read_sims
from tests.sims import KEY, cut
from tests.sims import make_sim as image

PIXELS = np.arange(2 * 5 * 6, dtype="u2").reshape(2, 5, 6)


def test_geometry_is_read_from_coordinates() -> None:
    (sim,) = read_sims([image(PIXELS, "cyx", origin=[2, -3], spacing=[0.5, 0.25])], KEY)
    assert (sim.dims, sim.spatial) == ("cyx", "yx")
    np.testing.assert_allclose(sim.origin, [2, -3])
    np.testing.assert_allclose(sim.spacing, [0.5, 0.25])
    (extent,) = sim.extents
    np.testing.assert_allclose(np.stack([extent.low, extent.high]), [[2.0, -3], [4, -1.75]])
    assert extent.reach is not None
    np.testing.assert_allclose(extent.reach, [0.25, 0.125])


def test_a_turned_view_has_no_reach_beyond_its_corners() -> None:
    affine = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    (sim,) = read_sims([image(PIXELS, "cyx", affine=affine)], KEY)
    (extent,) = sim.extents
    np.testing.assert_allclose(np.stack([extent.low, extent.high]), [[-3.0, 0], [3.2, 6.4]])
    np.testing.assert_array_equal(extent.reach, [0, 0])


def test_a_quarter_turn_swaps_pixel_sizes() -> None:
    affine = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    (sim,) = read_sims([image(PIXELS, "cyx", spacing=[2, 0.5], affine=affine)], KEY)
    np.testing.assert_allclose(sim.extents[0].reach, [0.25, 1])


def test_affines_over_time_are_taken_by_the_names_of_times() -> None:
    affines = np.stack([np.eye(3), np.eye(3)])
    affines[1, :2, 2] = 7, 8
    sim = image(PIXELS, "tyx", affine=affines, times=[0.5, 1.5])
    (read,) = read_sims([sim], KEY)
    np.testing.assert_array_equal(read.affines, affines)
    sim.attrs["transforms"][KEY] = sim.attrs["transforms"][KEY].isel(t=[1, 0])
    (turned_round,) = read_sims([sim], KEY)
    np.testing.assert_array_equal(turned_round.affines, affines)
    # of more times than the image has
    (part,) = read_sims([sim.isel(t=[1])], KEY)
    np.testing.assert_array_equal(part.affines, affines[1:])


@pytest.mark.parametrize("labels", [["x", "1", "y"], ["x", 1, "y"]])
def test_rows_and_columns_of_an_affine_are_taken_by_their_names(labels: list[Any]) -> None:
    affine = np.array([[0.8, -0.6, 3], [0.6, 0.8, 4], [0, 0, 1]])
    sim = image(PIXELS, "cyx", affine=affine)
    turned_round = sim.attrs["transforms"][KEY].isel(x_in=[1, 2, 0], x_out=[1, 2, 0])
    sim.attrs["transforms"][KEY] = turned_round.assign_coords(x_in=labels, x_out=labels)
    (read,) = read_sims([sim], KEY)
    np.testing.assert_array_equal(read.affines[0], affine)


@pytest.mark.parametrize("named", [True, False])
def test_plug_ins_get_affines_with_names(named: bool) -> None:
    sim = image(PIXELS, "cyx")
    if not named:
        sim.attrs["transforms"][KEY] = np.eye(3)
    for key in (KEY, None):
        (read,) = read_sims([sim], key)
        (params,) = read.params
        assert params.dims == ("x_in", "x_out")
        np.testing.assert_array_equal(params.sel(x_in=["x", "1"], x_out=["x", "1"]), np.eye(2))


def test_one_pixel_has_the_spacing_of_the_other_views_or_that_which_is_asked_for() -> None:
    thin = image(PIXELS[:, :1], "cyx", spacing=[0.5, 0.25])
    thick = image(PIXELS, "cyx", spacing=[0.5, 0.25])
    np.testing.assert_allclose(read_sims([thin, thick], KEY)[0].spacing, [0.5, 0.25])
    np.testing.assert_allclose(read_sims([thin], KEY)[0].spacing, [1, 0.25])
    asked = {"y": 3.0, "x": 99.0}
    np.testing.assert_allclose(read_sims([thin], KEY, asked)[0].spacing, [3, 0.25])


def test_a_new_image_has_the_channels_and_times_of_the_views() -> None:
    given = image(PIXELS[np.newaxis], "tcyx", channels=["DAPI", "x"], times=[4.0])
    (like,) = read_sims([given], KEY)
    made = make_sim(PIXELS[np.newaxis, :, :2], like, Frame("yx", (2, 3), (5, 7), (2, 6)), KEY)
    assert made.coords["c"].values.tolist() == ["DAPI", "x"]
    assert made.coords["t"].values.tolist() == [4.0]
    assert made.coords["y"].values.tolist() == [5, 7]
    assert made.coords["x"].values.tolist() == [7, 10, 13, 16, 19, 22]
    assert made.name == "image"


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_byte_order_is_no_difference_of_type(dtype: str) -> None:
    scene = np.random.default_rng(0).integers(0, 1000, (20, 30)).astype(dtype)
    boxes = [((0, 0), (20, 18)), ((0, 12), (20, 30))]
    sims = cut(scene, "yx", boxes)
    mixed = [sims[0].astype(f">{dtype}"), sims[1].astype(f"<{dtype}")]
    for one, other in zip(mixed, sims, strict=True):
        one.attrs = other.attrs
    np.testing.assert_array_equal(fuse(mixed, KEY, output_chunksize=8).values, scene)
