"""Images of the multiview-stitcher data model, cut from a scene at known places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array
import numpy as np
import pytest
import xarray

import platefuse
from platefuse.errors import MeasureError, PlatefuseError, ViewError
from platefuse.measuring.api import stitch
from tests.raw_plate import Scene
from tests.sims import KEY, make_sim

SIDE, STEP, PIXEL = 160, 128, 0.5
NEW = "stitched"
TRUE = np.array(
    [(-1.7, 2.3), (0.4, -2.9), (3.1, 0.6), (-2.2, -0.8), (0.0, 1.1), (2.6, -1.4)]
)  # error of the stage, y and x, in pixels
GRID = np.array(list(np.ndindex(2, 3))) * STEP


SCENE = Scene.random(1, 3 * STEP, per_side=20)


def light(corner: Any, shape: tuple[int, ...] = (SIDE, SIDE)) -> Any:
    """The scene without noise, where a camera looks whose first pixel's centre is at `corner`."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    return SCENE(y + corner[0], x + corner[1])


def tiles(
    dims: str = "yx", wrap: Callable[[Any], Any] = np.asarray, skip: int = -1
) -> list[xarray.DataArray]:
    """Two rows and three columns of images; without tissue in image `skip`."""
    images = []
    for n, (stage, error) in enumerate(zip(GRID, TRUE, strict=True)):
        seen = np.full((SIDE, SIDE), 200.0) if n == skip else light(stage + error)
        pixels = np.random.default_rng(n).poisson(seen).astype(np.uint16)
        images.append(placed(wrap(pixels[(None,) * (len(dims) - 2)]), dims, stage))
    return images


def placed(pixels: Any, dims: str, stage_px: Any) -> xarray.DataArray:
    """An image with its position in its coordinates and, in x, in its transform."""
    affine = np.eye(3)
    affine[1, 2] = stage_px[1] * PIXEL
    origin = [stage_px[0] * PIXEL, 0.0]
    return make_sim(pixels, dims, origin=origin, spacing=[PIXEL] * 2, affine=affine)


def places_px(sims: list[xarray.DataArray], key: str) -> Any:
    """The shift of each image by a transform, in pixels."""
    return np.array([sim.attrs["transforms"][key].values[:2, 2] for sim in sims]) / PIXEL


def errors_px(sims: list[xarray.DataArray]) -> Any:
    """How far each image is from its true place, but for the place of the whole."""
    away = places_px(sims, NEW) - places_px(sims, KEY) - TRUE
    return np.abs(away - away.mean(axis=0)).max(axis=1)


def test_images_are_placed_where_they_are() -> None:
    sims = tiles()
    found = stitch(sims, KEY, NEW)
    assert errors_px(sims).max() < 0.1
    assert found.axes == "yx"
    assert [image.status for image in found.images] == ["measured"] * 6
    assert len(found.pairs) == 7
    assert all(pair.used and pair.status == "measured" for pair in found.pairs)
    for pair in found.pairs:  # in the units of the world
        assert (
            np.abs(np.divide(pair.shift, PIXEL) - (TRUE[pair.second] - TRUE[pair.first])).max()
            < 0.2
        )
    for image, sim in zip(found.images, sims, strict=True):
        transforms = sim.attrs["transforms"]
        moved = (transforms[NEW] - transforms[KEY]).values[:2, 2]
        assert moved == pytest.approx(image.shift)
        assert 0.5 < image.score < 1
        assert 0 < image.sigma_px < 0.2


def test_stitch_then_fuse_is_the_scene() -> None:
    sims = tiles()
    stitch(sims, KEY, NEW)
    away = (places_px(sims, NEW) - places_px(sims, KEY) - TRUE).mean(axis=0)
    noise = {}
    for key, offset in ((NEW, away), (KEY, np.zeros(2))):
        fused = platefuse.fuse(sims, key, interpolation_order=3)
        corner = [float(fused.coords[axis][0]) / PIXEL for axis in "yx"] - offset
        truth = light(corner, fused.shape)
        rest = (fused.to_numpy() - truth) / np.sqrt(truth)
        noise[key] = float(np.sqrt(np.square(rest[8:-8, 8:-8]).mean()))
    assert noise[NEW] < 1.1  # 1 is the noise of one image
    assert noise[KEY] > 5


@pytest.mark.parametrize("dims", ["tcyx", "cyx"])
def test_channel_and_time(dims: str) -> None:
    plain = tiles()
    stitch(plain, KEY, NEW)
    sims = []
    for sim, stage in zip(plain, GRID, strict=True):
        noise = np.random.default_rng(int(stage.sum())).integers(0, 99, sim.shape, np.uint16)
        channels = np.stack([noise, sim.values])
        pixels = np.stack([np.zeros_like(channels), channels]) if dims == "tcyx" else channels
        sims.append(placed(pixels, dims, stage))
    for channel in ("C1", 1):
        stitch(sims, KEY, NEW, channel=channel, time=1 if dims == "tcyx" else 0)
        for sim, other in zip(sims, plain, strict=True):
            found, expected = (s.attrs["transforms"][NEW].values for s in (sim, other))
            assert (found == expected).all()
    assert {i.status for i in stitch(sims, KEY, NEW, channel=0).images} <= {"empty", "filled"}


def test_transforms_over_time_are_all_corrected() -> None:
    sims = tiles("tyx")
    drift = np.array([[0, 0, 0.0], [0, 0, 9.0], [0, 0, 0]])
    moving = []
    for sim in sims:
        affine = sim.attrs["transforms"][KEY].values
        pixels = np.concatenate([sim.values, np.zeros_like(sim.values)])
        image = make_sim(
            pixels,
            "tyx",
            origin=[float(sim.y[0]), float(sim.x[0])],
            spacing=[PIXEL] * 2,
            affine=np.stack([affine, affine + drift]),
        )
        moving.append(image)
    stitch(sims, KEY, NEW)
    stitch(moving, KEY, NEW)
    for sim, image in zip(sims, moving, strict=True):
        found = image.attrs["transforms"][NEW]
        assert found.dims == ("t", "x_in", "x_out")
        assert found.t.values.tolist() == [0, 1]
        one = sim.attrs["transforms"][NEW].values
        assert found.values == pytest.approx(np.stack([one, one + drift]))
    assert platefuse.fuse(moving, NEW).sizes["t"] == 2


def test_only_the_new_transform_is_added() -> None:
    mosaic = xarray.concat(tiles(), "n", coords="minimal", compat="override", join="override")
    shared = mosaic.attrs["transforms"] = {KEY: tiles()[0].attrs["transforms"][KEY]}
    sims = [mosaic.isel(n=n, drop=True) for n in range(6)]
    for sim, (y, x) in zip(sims, GRID, strict=True):
        sim.coords["y"] = y * PIXEL + PIXEL * np.arange(SIDE)
        sim.coords["x"] = x * PIXEL + PIXEL * np.arange(SIDE)
    before = [sim.copy(deep=True) for sim in sims]
    stitch(sims, KEY, NEW)
    assert list(shared) == [KEY]
    assert errors_px(sims).max() < 0.1  # each its own
    for sim, old in zip(sims, before, strict=True):
        assert sim.equals(old)
        assert list(sim.attrs["transforms"]) == [KEY, NEW]
        assert sim.attrs["transforms"][KEY].equals(old.attrs["transforms"][KEY])
    stitch(sims, KEY, NEW)  # again: replaced
    assert errors_px(sims).max() < 0.1


def test_lazy_images_are_read_where_they_overlap() -> None:
    read = []

    def lazy(pixels: Any) -> Any:
        def block(block_info: Any = None) -> Any:
            (place,) = (info["array-location"] for info in block_info.values())
            read.append(pixels.shape)
            return pixels[tuple(slice(a, b) for a, b in place)]

        chunks = (40, 40)
        like = dask.array.zeros(pixels.shape, dtype=pixels.dtype, chunks=chunks)
        return like.map_blocks(
            lambda _, block_info: block(block_info={0: block_info[0]}), dtype=pixels.dtype
        )

    sims, plain = tiles(wrap=lazy)[:2], tiles()[:2]
    assert not read
    found = stitch(sims, KEY, NEW, max_shift=4)
    assert len(read) == 2 * 2 * 4  # of each image two columns of four chunks, and these once
    assert found == stitch(plain, KEY, NEW, max_shift=4)
    assert all(sim.chunks for sim in sims)


def test_stacks(bench: Any) -> None:
    scene, shape = bench.Blobs(8, density=4.0), (160, 160)
    sims = []
    for n, true in enumerate([(0.0, 0.0, 0.0), (1.0, 3.3, 126.8)]):
        planes = [scene.light(shape, true[1:], z=true[0] + k) for k in range(7)]
        pixels = bench.camera(np.stack(planes), n)
        sims.append(make_sim(pixels, "zyx", origin=[0.0, 0.0, 124.0 * n], spacing=[2.0, 1.0, 1.0]))
    found = stitch(sims, KEY, NEW, max_shift={"z": 6, "y": 8, "x": 8})
    assert found.axes == "zyx"
    assert found.pairs[0].status == "measured"
    assert np.abs(found.pairs[0].shift - np.array([2.0, 3.3, 2.8])).max() < 0.3
    step = np.subtract(found.images[1].shift, found.images[0].shift)
    assert step == pytest.approx(found.pairs[0].shift, abs=1e-6)


def test_an_empty_image_follows_the_others(caplog: Any) -> None:
    sims = tiles(skip=5)
    found = stitch(sims, KEY, NEW)
    assert [image.status for image in found.images] == ["measured"] * 5 + ["empty"]
    assert np.isnan(found.images[5].score)
    assert np.abs(found.images[5].shift).max() < 4 * PIXEL
    assert "1 of 6 images could not be measured and follow the stage: 5 (empty)" in caplog.text


def test_an_image_without_neighbours_stays() -> None:
    sims = tiles()
    sims[5] = sims[5].assign_coords(y=sims[5].y + 1000)
    found = stitch(sims, KEY, NEW)
    assert [image.status for image in found.images] == ["measured"] * 5 + ["alone"]
    (one,) = stitch(sims[:1], KEY, NEW).images
    assert (one.shift, one.status) == ((0.0, 0.0), "alone")


def test_threads_change_no_bit() -> None:
    results = [stitch(tiles(), KEY, NEW, threads=n) for n in (1, 3)]
    assert results[0] == results[1]


def test_it_is_public() -> None:
    assert platefuse.stitch is stitch


def turned(sims: list[xarray.DataArray]) -> None:
    sims[1].attrs["transforms"][KEY].values[:2, :2] = [[0.99, -0.1], [0.1, 0.99]]


def coarser(sims: list[xarray.DataArray]) -> None:
    sims[1] = sims[1].assign_coords(y=sims[1].y * 1.2)


def apart(sims: list[xarray.DataArray]) -> None:
    for n in range(6):
        sims[n] = sims[n].assign_coords(y=sims[n].y + 1000 * n)


def other_dims(sims: list[xarray.DataArray]) -> None:
    sims[1] = sims[1].expand_dims("c")


def twice(sims: list[xarray.DataArray]) -> None:
    sims[1] = sims[0]


def as_booleans(sims: list[xarray.DataArray]) -> None:
    for n, sim in enumerate(sims):
        sims[n] = (sim > 500).assign_attrs(sim.attrs)


def as_tree(sims: list[Any]) -> None:
    tree = xarray.DataTree.from_dict({"scale0": sims[1].to_dataset(name="image")})
    tree.attrs["transforms"] = {}
    sims[1] = tree


def odd_transforms(sims: list[xarray.DataArray]) -> None:
    sims[1] = sims[1].assign_attrs(transforms="x")


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (turned, {}, "transform 'stage' of image 1 turns or scales it"),
        (coarser, {}, "image 1 has pixels of .* but image 0"),
        (apart, {}, "none of the 6 images overlap by the transform 'stage'"),
        (other_dims, {}, "^stitch: view 1 has dims cyx"),
        (twice, {}, "one image is given twice"),
        (list.clear, {}, "^stitch: no views"),
        (None, {"transform_key": "other"}, "^stitch: view 0 has no transform 'other'"),
        (None, {"new_transform_key": KEY}, "new_transform_key is 'stage'"),
        (None, {"max_shift": 0}, "max_shift is 0; expected a number above 0"),
        (None, {"max_shift": {"y": 3}}, "one for each of the axes y, x"),
        (None, {"threads": 0}, "threads is 0"),
        (None, {"threads": "2"}, "threads is '2'; expected a whole number above 0"),
        (None, {"new_transform_key": ["a"]}, r"new_transform_key is \['a'\]; expected a string"),
        (None, {"max_shift": "5"}, "max_shift is '5'; expected a number above 0"),
        (as_booleans, {}, "image 0 has dtype bool; expected integers or floats"),
        (as_tree, {}, "^stitch: view 1 is a DataTree; expected an xarray.DataArray with[^D]*$"),
        (odd_transforms, {"transform_key": None}, "of image 1 is 'x'; expected a dict of affines"),
    ],
)
def test_what_cannot_be_stitched_is_said(change: Any, options: dict[str, Any], words: str) -> None:
    sims = tiles()
    if change:
        change(sims)
    request: dict[str, Any] = {"transform_key": KEY, "new_transform_key": NEW, **options}
    with pytest.raises((ViewError, MeasureError), match=words):
        stitch(sims, **request)
    assert not any(NEW in sim.attrs["transforms"] for sim in sims)


@pytest.mark.parametrize("channel", ["DAPI", 2, -1, None, 0.5, True, [0]])
def test_a_channel_that_is_not_there(channel: Any) -> None:
    with pytest.raises(
        PlatefuseError, match=r"channel is .* expected one of \['C0'\], or an index"
    ):
        stitch(tiles("cyx"), KEY, NEW, channel=channel)
