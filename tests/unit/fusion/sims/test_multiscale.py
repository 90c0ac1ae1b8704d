"""Images at several resolutions: which level is read, and what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from numpy.typing import NDArray

from platefuse import fuse
from platefuse.errors import PlatefuseError
from platefuse.fusion.frame import Frame
from platefuse.fusion.sims.multiscale import halved, make_tree, read_pyramids
from tests.sims import KEY, make_sim

TURN = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])


def pyramid(values: tuple[int, ...], size: int = 16, **options: Any) -> xarray.DataTree:
    """An image whose levels have one value each, so that a result says which level was read."""
    return make_tree([level(value, k, size, **options) for k, value in enumerate(values)])


def level(value: int, k: int, size: int, **options: Any) -> xarray.DataArray:
    n, step = size >> k, float(1 << k)
    pixels = np.full((n, n), value, "u2")
    return make_sim(pixels, "yx", origin=[step / 2 - 0.5] * 2, spacing=[step] * 2, **options)


def both(value: float) -> dict[str, float]:
    return {"y": value, "x": value}


def image_of(tree: xarray.DataTree, number: int) -> xarray.DataArray:
    image = tree[f"scale{number}"].to_dataset()["image"]
    assert isinstance(image, xarray.DataArray)
    return image


@pytest.mark.parametrize(
    ("spacing", "expected"), [(0.5, 1), (1, 1), (1.9, 1), (1.999, 2), (2, 2), (3.9, 2), (50, 3)]
)
def test_the_coarsest_level_that_is_fine_enough_is_read(spacing: float, expected: int) -> None:
    fused = fuse([pyramid((1, 2, 3))], KEY, output_spacing=both(spacing))
    assert (image_of(fused, 0).values == expected).all()


def test_one_coarse_axis_is_not_enough() -> None:
    fused = fuse([pyramid((1, 2, 3))], KEY, output_spacing={"y": 1, "x": 8})
    assert (image_of(fused, 0).values == 1).all()


@pytest.mark.parametrize(("affine", "level"), [(TURN, 1), (np.diag([2.0, 2, 1]), 0)])
def test_the_size_of_pixels_is_that_in_the_world(affine: NDArray[Any], level: int) -> None:
    (read,) = read_pyramids([pyramid((1, 2, 3), affine=affine)], KEY)
    assert read.suiting([2.0, 2.0]) is read.levels[level]


def test_a_level_of_one_pixel_covers_the_image() -> None:
    (read,) = read_pyramids([pyramid((1, 2, 3), size=4)], KEY)
    np.testing.assert_array_equal(read.levels[2].spacing, [4, 4])


def test_lazy_levels_are_halves_and_read_what_suits_them() -> None:
    fused = fuse([pyramid((1, 2, 3), size=800)], KEY, output_chunksize=300)
    assert list(fused.children) == ["scale0", "scale1", "scale2"]
    for k, (n, value) in enumerate([(800, 1), (400, 2), (200, 3)]):
        image = image_of(fused, k)
        assert image.chunks is not None
        assert image.shape == (n, n)
        assert (image.values == value).all()
        np.testing.assert_allclose(image.x, 2**k / 2 - 0.5 + 2**k * np.arange(n))
        np.testing.assert_array_equal(fused[f"scale{k}"][KEY], np.eye(3))


def test_an_axis_is_halved_while_more_than_100_pixels_remain() -> None:
    frames = halved(Frame("zyx", (2.0, 1.0, 1.0), (0.0, 0.0, 5.0), (40, 202, 405)))
    assert [frame.shape for frame in frames] == [(40, 202, 405), (40, 101, 202), (40, 101, 101)]
    assert frames[-1] == Frame("zyx", (2, 2, 4), (0, 0.5, 6.5), (40, 101, 101))


def test_what_comes_back_can_be_fused_again() -> None:
    first = fuse([pyramid((7, 8, 9), size=404)], KEY)
    again = fuse([first], KEY)
    for k in range(2):
        xarray.testing.assert_equal(image_of(again, k), image_of(first, k))


@pytest.mark.parametrize("ome", [False, True])
def test_written_levels_come_back(ome: bool, tmp_path: Path) -> None:
    url = tmp_path / "fused.zarr"
    fused = fuse(
        [pyramid((1, 2), size=2048)],
        KEY,
        output_spacing=both(2),
        output_origin=both(0.5),
        output_zarr_url=url,
        zarr_options={"ome_zarr": ome},
    )
    assert list(fused.children) == (["scale0", "scale1"] if ome else ["scale0"])
    for k in range(1 + ome):
        image, spacing = image_of(fused, k), 2 ** (k + 1)
        stored = zarr.open_array(url / str(k) if ome else url, mode="r")
        np.testing.assert_array_equal(stored[...], image.values)
        assert (image.values == 2).all()
        np.testing.assert_allclose(image.y, spacing / 2 - 0.5 + spacing * np.arange(1024 >> k))


def test_images_of_both_kinds_are_refused() -> None:
    images: Any = [pyramid((1, 2)), level(1, 0, 16)]
    with pytest.raises(
        PlatefuseError, match=r"view 1 is a DataArray, view 0 a DataTree.*same kind"
    ):
        fuse(images, KEY)


@pytest.mark.parametrize("tree", [xarray.DataTree(), make_tree([])])
def test_a_tree_without_levels_is_refused(tree: xarray.DataTree) -> None:
    with pytest.raises(PlatefuseError, match=r"view 0 is an xarray.DataTree .*scale0"):
        fuse([tree], KEY)


def test_a_level_that_does_not_fit_is_named() -> None:
    odd = make_tree([level(1, 0, 16), level(1, 1, 16).astype("u1")])
    with pytest.raises(PlatefuseError, match=r"view 0 \(scale1\) has dtype uint8, view 0 has"):
        fuse([odd], KEY)


@pytest.mark.parametrize(
    "coarse",
    [
        make_sim(np.full((8, 8), 2, "u2"), "yx"),  # the pixel size of the finest level
        make_sim(np.full((5, 8), 2, "u2"), "yx", origin=[0.5, 0.5], spacing=[2, 2]),
        make_sim(np.full((8, 8), 2, "u2"), "yx", origin=[40, 0.5], spacing=[2, 2]),
    ],
    ids=["no pixel size of its own", "a part", "elsewhere"],
)
def test_a_level_that_covers_another_place_is_named(coarse: xarray.DataArray) -> None:
    """It would be read in place of the finest: a quarter of the image, or nothing."""
    tree = make_tree([level(1, 0, 16), coarse])
    with pytest.raises(PlatefuseError, match=r"view 0 \(scale1\) covers .* on y.*view 0 covers"):
        fuse([tree], KEY)


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_a_level_may_end_or_begin_within_a_pixel_of_the_finest(offset: float) -> None:
    """As rounding and taking every second pixel make it."""
    coarse = make_sim(np.full((8, 9), 2, "u2"), "yx", origin=[offset] * 2, spacing=[2, 2])
    fused = fuse([make_tree([level(1, 0, 17), coarse])], KEY, output_spacing=both(2))
    assert (image_of(fused, 0).values == 2).any()


def test_transforms_of_the_finest_level_count() -> None:
    tree = pyramid((1, 2))
    tree["scale1"][KEY] = tree["scale1"][KEY] * 1000
    (read,) = read_pyramids([tree], KEY)
    np.testing.assert_array_equal(read.levels[1].affines, read.levels[0].affines)
