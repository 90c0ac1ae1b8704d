"""`fuse`: scenes whose every pixel is known, cut into views and put together again."""

from __future__ import annotations

import math
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import dask.array
import numpy as np
import pytest
import xarray
import zarr
from dask.base import optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from platefuse import fuse
from platefuse.errors import PlatefuseError, ViewError
from platefuse.fusion.methods import (
    content_based,
    first_view_fusion,
    max_fusion,
    simple_average_fusion,
    weighted_average_fusion,
)
from platefuse.fusion.signatures import InterpolationOrder
from tests.sims import KEY, by_axis, cut, make_sim, painted

Array = NDArray[Any]

METHODS = (weighted_average_fusion, simple_average_fusion, max_fusion, first_view_fusion)
DTYPES = (
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float32",
    "float64",
)
DIMS = ("yx", "zyx", "cyx", "tyx", "czyx", "tcyx", "tczyx")
SIZES = {"t": 2, "c": 2, "z": 4, "y": 21, "x": 24}


def random_scene(dims: str, dtype: str, seed: int = 0) -> Array:
    """Random pixels over the whole range of a dtype."""
    random, kind = np.random.default_rng(seed), np.dtype(dtype)
    shape = tuple(SIZES[d] for d in dims)
    if kind.kind == "f":
        return (random.normal(size=shape) * 10.0 ** random.integers(-9, 9, shape)).astype(kind)
    bits = random.integers(0, 256, (*shape, kind.itemsize), np.uint8)
    return bits.view(kind)[..., 0] if dtype != "bool" else bits[..., 0] > 127


@st.composite
def mosaics(draw: st.DrawFn, dims: str) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """One to five boxes in the scene."""
    sizes = [SIZES[d] for d in dims if d in "zyx"]
    axis = [st.tuples(st.integers(0, n - 1), st.integers(1, n)) for n in sizes]
    boxes = draw(st.lists(st.tuples(*axis), min_size=1, max_size=5))
    return [
        (
            tuple(a for a, _ in box),
            tuple(min(a + n, size) for (a, n), size in zip(box, sizes, strict=True)),
        )
        for box in boxes
    ]


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=30)
@given(data=st.data(), dims=st.sampled_from(DIMS), dtype=st.sampled_from(DTYPES))
def test_views_that_agree_give_the_scene_whatever_the_chunks_and_widths(
    data: st.DataObject, dims: str, dtype: str, method: Callable[..., Any]
) -> None:
    scene = random_scene(dims, dtype)
    boxes = data.draw(mosaics(dims))
    sims = cut(scene, dims, boxes, spacing=[0.5] * sum(d in "zyx" for d in dims))
    if data.draw(st.booleans()):
        sims = [sim.chunk(data.draw(st.integers(3, 11))) for sim in sims]
    chunk = data.draw(st.integers(3, 30))
    width = data.draw(st.sampled_from([0.0, 0.3, 4.0, 100.0]))
    fused = fuse(
        sims,
        KEY,
        method,
        output_spacing=dict.fromkeys("zyx", 0.5),  # views of one pixel do not say
        output_chunksize=chunk,
        blending_widths=dict.fromkeys("zyx", width),
    )
    expected = painted(scene, boxes)
    assert fused.dims == tuple(dims)
    assert fused.dtype == scene.dtype
    assert fused.shape == expected.shape
    np.testing.assert_array_equal(fused.compute(scheduler="single-threaded").values, expected)


@settings(max_examples=12)
@given(data=st.data(), dims=st.sampled_from(["zyx", "tcyx"]), dtype=st.sampled_from(DTYPES[1:]))
def test_views_that_agree_give_the_scene_through_a_plug_in(
    data: st.DataObject, dims: str, dtype: str
) -> None:
    """Up to what a float64 holds."""
    scene = random_scene(dims, dtype)
    boxes = data.draw(mosaics(dims))

    def first(transformed_views: Array) -> Array:
        return first_view_fusion(transformed_views)

    fused = fuse(cut(scene, dims, boxes), KEY, first, output_chunksize=7).compute().values
    expected = painted(scene, boxes).astype(np.float64)
    np.testing.assert_allclose(fused.astype(np.float64), expected, rtol=1e-15)


def test_the_frame_of_the_result_is_that_of_the_scene() -> None:
    scene = random_scene("czyx", "uint16")
    boxes = [((1, 2, 3), (4, 12, 15)), ((0, 9, 10), (3, 20, 24))]
    spacing = [2.0, 0.5, 0.25]
    sims = cut(scene, "czyx", boxes, spacing=spacing, channels=["DAPI", "b"])
    fused = fuse(sims, KEY)
    for axis, first, step, n in zip("zyx", (0, 1, 0.75), spacing, (4, 18, 21), strict=True):
        np.testing.assert_allclose(fused.coords[axis], first + step * np.arange(n))
    assert fused.coords["c"].values.tolist() == ["DAPI", "b"]
    assert fused.name == "image"
    transform = fused.attrs["transforms"][KEY]
    np.testing.assert_array_equal(transform, np.eye(4))
    assert transform.coords["x_in"].values.tolist() == ["z", "y", "x", "1"]
    np.testing.assert_array_equal(fuse([fused], KEY).values, fused.values)


@pytest.mark.parametrize("chunk", [5, 30])
def test_affines_that_vary_over_time_place_every_time_by_its_own(chunk: int) -> None:
    scene = random_scene("tcyx", "uint16")
    moves = [(0, 0), (3, -2)]
    sims = cut(scene, "tcyx", [((0, 0), (12, 24)), ((8, 0), (21, 24))])
    for sim in sims:
        steps = np.stack([np.eye(3)] * 2)
        for step, move in zip(steps, moves, strict=True):
            step[:2, 2] = move
        labels = ["y", "x", "1"]
        # times in another order than the image's are told apart by their names
        sim.attrs["transforms"][KEY] = xarray.DataArray(
            steps[::-1],
            dims=["t", "x_in", "x_out"],
            coords={"t": [1.0, 0.0], "x_in": labels, "x_out": labels},
        )
    fused = fuse(sims, KEY, output_chunksize=chunk)
    assert fused.shape == (2, 2, 24, 26)
    assert float(fused.coords["x"][0]) == -2
    expected = np.zeros(fused.shape, np.uint16)
    expected[0, :, :21, 2:] = scene[0]
    expected[1, :, 3:, :24] = scene[1]
    np.testing.assert_array_equal(fused.values, expected)


def wave(*axes: Any) -> NDArray[np.float64]:
    """A smooth scene that is known everywhere; second derivatives of at most 1.5."""
    total = sum(400 * np.sin(0.06 * a + 0.3 * k) for k, a in enumerate(axes))
    return np.asarray(3000 + total)


def wave_sim(
    shape: tuple[int, ...], affine: NDArray[np.float64], dtype: str = "float64"
) -> xarray.DataArray:
    """An image that shows the smooth scene where an affine puts it."""
    dims = "zyx"[-len(shape) :]
    at = np.einsum("ij,j...->i...", affine[:-1, :-1], np.indices(shape).astype(float))
    at += affine[:-1, -1].reshape(-1, *[1] * len(shape))
    pixels = wave(*at)
    return make_sim(
        np.rint(pixels).astype(dtype) if dtype[0] == "u" else pixels, dims, affine=affine
    )


def moved(offset: tuple[float, ...], angle: float = 0.0, scale: float = 1.0) -> Array:
    affine = np.eye(len(offset) + 1)
    c, s = math.cos(angle), math.sin(angle)
    affine[-3:-1, -3:-1] = np.array([[c, -s], [s, c]]) * scale
    affine[:-1, -1] = offset
    return affine


@pytest.mark.parametrize("dims", ["yx", "zyx"])
@pytest.mark.parametrize("order", [0, 1, 3])
@settings(max_examples=12)
@given(
    offsets=st.lists(st.tuples(*[st.floats(-9, 9)] * 3), min_size=1, max_size=3),
    angle=st.sampled_from([0.0, 0.05, -0.4]),
    chunk=st.integers(8, 40),
)
def test_fractional_and_turned_views_show_a_smooth_scene(
    offsets: list[tuple[float, ...]], angle: float, chunk: int, order: InterpolationOrder, dims: str
) -> None:
    n = len(dims)
    shape = (5, 26, 28)[-n:]
    affines = [moved(offset[-n:], k * angle) for k, offset in enumerate(offsets)]
    affines[0][:-1, -1] = 0
    sims = [wave_sim(shape, affine) for affine in affines]
    fused = fuse(sims, KEY, interpolation_order=order, output_chunksize=chunk)
    got = fused.compute(scheduler="single-threaded").values
    grid = np.meshgrid(*(fused.coords[d].values for d in dims), indexing="ij")
    truth = wave(*grid)
    inside = np.zeros(got.shape, bool)
    for affine in affines:
        at = np.einsum(
            "ij,j...->i...", np.linalg.inv(affine), np.stack([*grid, np.ones(got.shape)])
        )
        near = [(p > -1e-6) & (p < m - 1 + 1e-6) for p, m in zip(at, shape, strict=False)]
        inside |= np.all(near, axis=0)
    assert inside.any()
    off = np.abs(got - truth)
    # Within half a pixel of its border a view goes on with its border pixels: as far as order 0.
    nearest = 24 * 0.5 * n * 1.2
    assert off[inside].max() <= nearest
    if order and len(offsets) == 1:
        assert off[inside].max() <= {1: 1.5 * n / 8 * 1.5, 3: 0.15}[order]
    assert (off[got != 0] <= nearest).all()


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize(
    "affines",
    [
        [moved((0.0, 0.0)), moved((3.3, 11.7))],
        [moved((0.0, 0.0), 0.2), moved((7.25, 9.5), -0.1, 1.1)],
        [moved((0.0, 0.0)), moved((5.0, 4.0)), moved((2.5, 13.0), 0.5)],
    ],
    ids=["fractional", "turned", "all"],
)
def test_not_a_bit_depends_on_chunks_threads_or_where_it_goes(
    affines: list[Array], order: int, tmp_path: Path
) -> None:
    sims = [wave_sim((30, 33), affine, "uint16") for affine in affines]
    options: dict[str, Any] = {"transform_key": KEY, "interpolation_order": order}
    whole = fuse(sims, output_chunksize=200, **options).compute(scheduler="single-threaded").values
    for chunk in (7, 16):
        chunked = [sim.chunk(chunk + 2) for sim in sims]
        lazy = fuse(chunked, output_chunksize=chunk, **options)
        np.testing.assert_array_equal(lazy.compute(scheduler="threads").values, whole)
        for threads in (1, 3):
            url = tmp_path / f"{chunk}-{threads}.zarr"
            written = fuse(
                chunked,
                output_chunksize=chunk,
                output_zarr_url=str(url),
                threads=threads,
                **options,
            )
            np.testing.assert_array_equal(written.values, whole)
            np.testing.assert_array_equal(zarr.open_array(url, mode="r")[...], whole)


def test_blocks_come_out_the_same_in_any_order() -> None:
    sims = [wave_sim((30, 33), moved((k * 9.3, k * 4.1), 0.1 * k), "uint16") for k in range(3)]
    fused = fuse(sims, KEY, output_chunksize=11).data
    blocks = [fused.blocks[index] for index in np.ndindex(fused.numblocks)]
    forth = [block.compute(scheduler="single-threaded") for block in blocks]
    back = [block.compute(scheduler="single-threaded") for block in blocks[::-1]]
    for one, other in zip(forth, back[::-1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("function", METHODS)
def test_the_lazy_result_is_one_thin_task_for_each_chunk(function: Callable[..., Any]) -> None:
    sims = cut(random_scene("cyx", "uint16"), "cyx", [((0, 0), (21, 14)), ((0, 10), (21, 24))])
    fused = fuse(sims, KEY, function, output_chunksize={"y": 8, "x": 9})
    assert isinstance(fused.data, dask.array.Array)
    assert fused.data.chunks == ((1, 1), (8, 8, 5), (9, 9, 6))
    (optimized,) = optimize(fused.data)
    assert len(dict(optimized.__dask_graph__())) <= fused.data.npartitions + 2
    # for another process
    again: Any = pickle.loads(pickle.dumps(fused))
    np.testing.assert_array_equal(again.values, fused.values)


class TestChunksize:
    def test_of_the_first_view_if_it_is_a_dask_array(self) -> None:
        sim = make_sim(np.zeros((2, 21, 24), "u1"), "cyx").chunk({"y": 5, "x": 6})
        assert fuse([sim], KEY).data.chunksize == (1, 5, 6)

    def test_as_large_as_the_image_if_it_is_not(self) -> None:
        sim = make_sim(np.zeros((21, 24), "u1"), "yx")
        assert fuse([sim], KEY).data.chunksize == (21, 24)

    @pytest.mark.parametrize("asked", [7, np.int64(7), {"y": 7, "x": 7}])
    def test_as_asked(self, asked: Any) -> None:
        sim = make_sim(np.zeros((21, 24), "u1"), "yx")
        assert fuse([sim], KEY, output_chunksize=asked).data.chunksize == (7, 7)


class TestExtent:
    scene = random_scene("zyx", "uint16")
    boxes = (((0, 0, 0), (3, 15, 16)), ((1, 6, 5), (4, 21, 24)))

    @property
    def sims(self) -> list[xarray.DataArray]:
        return cut(self.scene, "zyx", self.boxes, spacing=[2.0, 0.5, 0.25])

    def test_union(self) -> None:
        fused = fuse(self.sims, KEY)
        np.testing.assert_array_equal(fused.values, painted(self.scene, self.boxes))

    def test_intersection(self) -> None:
        fused = fuse(self.sims, KEY, output_stack_mode="intersection")
        np.testing.assert_array_equal(fused.values, self.scene[1:3, 6:15, 5:16])
        assert [float(fused.coords[a][0]) for a in "zyx"] == [2.0, 3.0, 1.25]

    def test_sample_holds_the_first_planes(self) -> None:
        fused = fuse(self.sims, KEY, output_stack_mode="sample")
        np.testing.assert_array_equal(fused.values, painted(self.scene, self.boxes)[:2])

    @pytest.mark.parametrize("angle", [0.02, 0.3, -0.7])
    def test_a_turned_view_leaves_no_row_or_column_empty(self, angle: float) -> None:
        fused = fuse([wave_sim((40, 50), moved((3, 5), angle))], KEY).values
        assert all((fused != 0).any(axis=axis).all() for axis in (0, 1))

    @pytest.mark.parametrize("shift", [0.1, 0.5, 0.9])
    def test_fractional_views_that_abut_leave_no_hole(self, shift: float) -> None:
        sims = [wave_sim((20, 20), moved((y, x))) for y in (0.0, 20 - shift) for x in (shift, 20.0)]
        fused = fuse(sims, KEY)
        assert (fused.values > 0).all()
        assert max(fused.shape) <= 40

    def test_spacing_origin_and_shape_as_asked(self) -> None:
        given = {"origin": (2.0, 1.5, 1.0), "shape": (2, 9, 11), "spacing": (2.0, 0.5, 0.25)}
        properties: Any = {name: by_axis("zyx", value) for name, value in given.items()}
        fused = fuse(self.sims, KEY, output_stack_properties=properties)
        expected = painted(self.scene, self.boxes)[1:3, 3:12, 4:15]
        np.testing.assert_array_equal(fused.values, expected)
        alone = fuse(
            self.sims,
            KEY,
            output_origin=properties["origin"],
            output_shape=properties["shape"],
        )
        np.testing.assert_array_equal(alone.values, expected)
        xarray.testing.assert_equal(alone, fused)

    def test_coarser_spacing(self) -> None:
        fused = fuse([wave_sim((41, 61), moved((0, 0)))], KEY, output_spacing={"y": 2, "x": 2.5})
        assert fused.shape == (21, 25)
        expected = wave(*np.meshgrid(fused.coords["y"], fused.coords["x"], indexing="ij"))
        np.testing.assert_allclose(fused.values, expected, atol=1)

    def test_without_a_key_physical_coordinates_are_the_world(self) -> None:
        sims = self.sims
        for sim in sims:
            sim.attrs["transforms"][KEY] = sim.attrs["transforms"][KEY] * np.nan
        fused = fuse(sims)
        np.testing.assert_array_equal(fused.values, painted(self.scene, self.boxes))
        assert list(fused.attrs["transforms"]) == [None]


class TestNumbers:
    @pytest.mark.parametrize("plugged", [False, True])
    def test_integers_are_rounded_to_nearest(self, plugged: bool) -> None:
        def average(transformed_views: Array) -> Array:
            return np.asarray(np.nanmean(transformed_views, axis=0))

        sims = [make_sim(np.full((4, 5), v, "u2"), "yx") for v in (1000, 1001, 1001)]
        fused = fuse(sims, KEY, average if plugged else simple_average_fusion)
        assert (fused.values == 1001).all()

    def test_what_overshoots_is_clipped(self) -> None:
        edge = np.zeros((9, 12), "u1")
        edge[:, 6:] = 255
        sims = [make_sim(edge, "yx"), make_sim(edge, "yx", origin=[0.5, 0.5])]
        for sim in sims[1], sims[0]:
            fused = fuse([sim], KEY, interpolation_order=3, output_origin={"y": 0.25, "x": 0.25})
            values = fused.values[1:-1, 1:-1]
            assert set(np.unique(values)) <= {0, *range(20, 236), 255}

    @pytest.mark.parametrize("dtype", ["uint64", "int64"])
    def test_what_a_float_cannot_hold_is_copied_and_agreed_on(self, dtype: str) -> None:
        scene = np.arange(400, dtype=dtype).reshape(20, 20) + np.array(2**62 + 1, dtype)
        boxes = [((0, 0), (20, 13)), ((0, 7), (20, 20)), ((5, 5), (15, 15))]
        for method in METHODS:
            fused = fuse(cut(scene, "yx", boxes), KEY, method, output_chunksize=6)
            np.testing.assert_array_equal(fused.values, scene)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_infinity_is_a_value(self, dtype: str) -> None:
        scene = np.ones((10, 12), dtype)
        scene[5, 6], scene[4, 6] = np.inf, -np.inf
        sims = cut(scene, "yx", [((0, 0), (10, 8)), ((0, 4), (10, 12))])
        for method in METHODS:
            np.testing.assert_array_equal(fuse(sims, KEY, method).values, scene)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("chunk", [3, 30])
    @pytest.mark.parametrize("method", [*METHODS, "plug-in"])
    def test_nan_is_no_data(self, method: Any, chunk: int, dtype: str, tmp_path: Path) -> None:
        def average(transformed_views: Array, blending_weights: Array) -> Array:
            there = 0 * first_view_fusion(transformed_views)
            return np.asarray(np.nansum(transformed_views * blending_weights, axis=0) + there)

        function = average if method == "plug-in" else method
        scene = random_scene("yx", dtype)
        sims = cut(scene, "yx", [((0, 0), (10, 14)), ((0, 8), (10, 24)), ((12, 3), (20, 9))])
        sims[0].values[3, 2] = np.nan  # nobody else is there
        sims[0].values[4:6, 9:12] = np.nan  # the other is
        sims[1].values[5, 1] = np.nan  # at (5, 9) neither has data
        expected = np.full((20, 24), np.nan, dtype)
        expected[:10] = scene[:10]
        expected[12:20, 3:9] = scene[12:20, 3:9]
        expected[3, 2] = expected[5, 9] = np.nan
        options: dict[str, Any] = {"fusion_func": function, "output_chunksize": chunk}
        kept = fuse(sims, KEY, nan_is_missing=True, **options).values
        np.testing.assert_allclose(kept, expected, rtol=1e-6 if method == "plug-in" else 0)
        plain = fuse(sims, KEY, **options).values
        np.testing.assert_array_equal(plain, np.nan_to_num(kept, nan=0.0))
        written = fuse(
            sims,
            KEY,
            nan_is_missing=True,
            output_zarr_url=str(tmp_path / "fused.zarr"),
            zarr_options={"ome_zarr": True},
            **options,
        )
        np.testing.assert_array_equal(written.values, kept)

    def test_levels_are_means_of_what_there_is(self, tmp_path: Path) -> None:
        scene = np.full((600, 600), 3, "float32")
        scene[100, 100] = np.nan
        scene[200:202, 200:202] = np.nan
        fuse(
            [make_sim(scene, "yx")],
            KEY,
            nan_is_missing=True,
            output_zarr_url=str(tmp_path / "fused.zarr"),
            zarr_options={"ome_zarr": True},
        )
        level = zarr.open_array(tmp_path / "fused.zarr" / "1", mode="r")[...]
        expected = np.full((300, 300), 3, "float32")
        expected[100, 100] = np.nan
        np.testing.assert_array_equal(level, expected)


class TestInputs:
    scene = random_scene("cyx", "uint16")
    boxes = (((0, 0), (21, 14)), ((0, 9), (21, 24)))

    @pytest.mark.parametrize("backing", ["numpy", "dask", "ragged dask", "lazy zarr"])
    @pytest.mark.parametrize("written", [False, True])
    def test_however_they_are_backed(self, backing: str, written: bool, tmp_path: Path) -> None:
        sims = cut(self.scene, "cyx", self.boxes)
        if backing == "dask":
            sims = [sim.chunk({"c": 1, "y": 8, "x": 5}) for sim in sims]
        if backing == "ragged dask":
            sims = [sim.chunk({"c": 2, "y": (3, 11, 7)}) for sim in sims]
        if backing == "lazy zarr":
            sims = [self.on_disk(sim, tmp_path / f"{k}.zarr") for k, sim in enumerate(sims)]
        url = str(tmp_path / "fused.zarr") if written else None
        fused = fuse(sims, KEY, output_chunksize=10, output_zarr_url=url)
        np.testing.assert_array_equal(fused.values, self.scene)

    def test_stored_chunks_are_the_default(self, tmp_path: Path) -> None:
        sims = cut(self.scene, "cyx", self.boxes)
        lazy = [self.on_disk(sim, tmp_path / f"{k}.zarr") for k, sim in enumerate(sims)]
        assert fuse(lazy, KEY).data.chunksize == (1, 8, 5)
        assert fuse([sim.load() for sim in lazy], KEY).data.chunksize == (1, 21, 24)

    def on_disk(self, sim: xarray.DataArray, path: Path) -> xarray.DataArray:
        attributes = sim.attrs
        plain = sim.copy()
        plain.attrs = {}
        plain.to_dataset(name="image").chunk({"y": 8, "x": 5}).to_zarr(
            path, zarr_format=2, consolidated=False
        )
        lazy: xarray.DataArray = xarray.open_zarr(path, chunks=None, consolidated=False)["image"]
        lazy.attrs = attributes
        assert not lazy.variable._in_memory
        return lazy

    def test_only_what_a_block_needs_is_read(self) -> None:
        asked: list[tuple[int, ...]] = []
        lock = threading.Lock()

        def block(block_info: Any = None) -> Array:
            place = block_info[None]["chunk-location"]
            with lock:
                asked.append(place)
            return np.full((10, 10), 7, "u2")

        pixels = dask.array.map_blocks(
            block, chunks=((10,) * 5, (10,) * 5), dtype="u2", meta=np.empty((0, 0), "u2")
        )
        sim = make_sim(pixels, "yx")
        asked.clear()
        fused = fuse([sim], KEY, output_origin={"y": 12, "x": 31}, output_shape={"y": 8, "x": 9})
        assert (fused.values == 7).all()
        assert set(asked) == {(1, 3)}

    @pytest.mark.parametrize("shift", [0.0, 3.0, 2.5])
    def test_every_chunk_is_read_once_when_writing(self, shift: float, tmp_path: Path) -> None:
        asked: list[tuple[int, ...]] = []
        lock = threading.Lock()

        def block(block_info: Any = None) -> Array:
            with lock:
                asked.append(block_info[None]["chunk-location"])
            return np.full((10, 10), 7, "u2")

        pixels = dask.array.map_blocks(
            block, chunks=((10,) * 4, (10,) * 4), dtype="u2", meta=np.empty((0, 0), "u2")
        )
        sims = [make_sim(pixels, "yx"), make_sim(np.ones((40, 40), "u2"), "yx", origin=[0, 30])]
        sims[0].attrs["transforms"][KEY].values[:2, 2] = shift
        asked.clear()
        url = str(tmp_path / "fused.zarr")
        fuse(sims, KEY, output_chunksize=14, output_zarr_url=url, threads=2)
        assert sorted(asked) == [(y, x) for y in range(4) for x in range(4)]


class TestOverlap:
    def test_chunks_may_keep_the_pixels_around_them(self) -> None:
        scene = random_scene("yx", "uint16")
        overlap = {"y": 1, "x": 2}
        kept = fuse(
            [make_sim(scene, "yx", origin=[5, 7])],
            KEY,
            output_chunksize=10,
            overlap_in_pixels=overlap,
            trim_overlap=False,
        )
        assert kept.data.chunks == ((12, 12, 3), (14, 14, 8))
        rows, columns = (
            np.r_[-m : 10 + m, 10 - m : 20 + m, 20 - m : n + m] for m, n in ((1, 21), (2, 24))
        )
        around = np.pad(scene, ((1, 1), (2, 2)))
        np.testing.assert_array_equal(kept.values, around[np.ix_(rows + 1, columns + 2)])
        np.testing.assert_array_equal(kept.y, 5 + rows)
        np.testing.assert_array_equal(kept.x, 7 + columns)

    def test_functions_ask_for_it_by_axis_and_know_the_output(self) -> None:
        known: dict[str, Any] = {}

        def average(
            transformed_views: Array, output_spacing: dict[str, float], output_chunksize: Any
        ) -> Array:
            known.update(spacing=output_spacing, chunk=output_chunksize)
            return np.asarray(np.nanmean(transformed_views, axis=0))

        def overlap(kwargs: dict[str, Any]) -> dict[str, int]:
            return {a: n // 5 for a, n in kwargs["output_chunksize"].items()}

        average.required_overlap = overlap  # type: ignore[attr-defined]
        sim = make_sim(random_scene("yx", "uint16"), "yx", spacing=[0.5, 0.25])
        where: Any = {"output_chunksize": {"y": 10, "x": 5}, "trim_overlap": False}
        fused = fuse([sim], KEY, average, **where)
        assert fused.data.chunks == ((14, 14, 5), (7, 7, 7, 7, 6))
        fused.compute()
        assert known == {"spacing": {"y": 0.5, "x": 0.25}, "chunk": {"y": 10, "x": 5}}
        given = fuse([sim], KEY, average, {"output_chunksize": {"y": 0, "x": 15}}, **where)
        assert given.data.chunks == ((10, 10, 1), (11, 11, 11, 11, 10))


class TestErrors:
    """Each bad input has one message, and it says which view and what was expected."""

    pixels = np.ones((4, 20, 24), "u2")

    def sim(self, **options: Any) -> xarray.DataArray:
        return make_sim(self.pixels, "cyx", **options)

    def check(self, sims: Any, *said: str, **options: Any) -> None:
        with pytest.raises(PlatefuseError) as caught:
            fuse(sims, **{"transform_key": KEY, **options})
        for part in said:
            assert part in str(caught.value)

    def test_no_views(self) -> None:
        self.check([], "no views")

    def test_dims_in_another_order(self) -> None:
        self.check([self.sim().transpose("y", "x", "c")], "view 0", "dims", "in this order")

    def test_other_dims(self) -> None:
        self.check([self.sim(), self.sim().isel(c=0)], "view 1", "dims yx", "cyx")

    def test_other_dtypes(self) -> None:
        self.check([self.sim(), self.sim().astype("u1")], "view 1", "uint8", "uint16")

    def test_other_channels(self) -> None:
        other = self.sim(channels=["a", "b", "c", "d"])
        self.check([self.sim(), other], "view 1", "channels", "'a'", "'C0'")

    def test_other_times(self) -> None:
        one, other = (make_sim(self.pixels, "tyx", times=[k, 1, 2, 3]) for k in (0, 0.5))
        self.check([one, other], "view 1", "times")

    def test_unknown_transform(self) -> None:
        self.check([self.sim()], "view 0", "'elsewhere'", KEY, transform_key="elsewhere")

    def test_small_units_are_not_singular(self) -> None:
        small = make_sim(np.ones((5, 6, 7), "u1"), "zyx", affine=np.diag([1e-6] * 3 + [1]))
        spacing = dict.fromkeys("zyx", 1e-6)
        assert fuse([small], KEY, output_spacing=spacing).shape == (5, 6, 7)

    def test_affine_of_another_size(self) -> None:
        sim = self.sim()
        sim.attrs["transforms"][KEY] = np.eye(4)
        self.check([sim], "view 0", "length 3")

    def test_affines_for_other_times(self) -> None:
        sim = make_sim(self.pixels, "tyx")
        three = np.stack([np.eye(3)] * 3)
        sim.attrs["transforms"][KEY] = xarray.DataArray(three, dims=["t", "x_in", "x_out"])
        self.check([sim], "view 0", "3 times", "4")

    @pytest.mark.parametrize("step", [0.0, -1.0])
    def test_spacing_of_a_view(self, step: float) -> None:
        sim = self.sim().assign_coords(y=np.arange(20) * step)
        self.check([sim], "view 0", "spacing", "on y", "above 0")

    def test_coordinates_that_are_no_grid(self) -> None:
        self.check([self.sim().assign_coords(y=np.arange(20) ** 2)], "view 0", "uneven", "on y")

    def test_coordinates_that_are_not_there(self) -> None:
        self.check([self.sim().drop_vars("y")], "view 0", "no finite coordinates on y")

    def test_no_pixels(self) -> None:
        self.check([self.sim().isel(y=slice(0, 0))], "view 0", "no pixels")

    def test_half_of_the_stack_properties(self) -> None:
        self.check(
            [self.sim()], "lacks ['origin', 'shape']", output_stack_properties={"spacing": {}}
        )

    def test_empty_intersection(self) -> None:
        sims = [self.sim(), self.sim(origin=[0, 100])]
        self.check(sims, "intersection", "empty", output_stack_mode="intersection")

    def test_unknown_mode(self) -> None:
        self.check([self.sim()], "'onion'", "union", output_stack_mode="onion")

    @pytest.mark.parametrize("written", [False, True])
    def test_a_chunk_that_cannot_be_read(self, written: bool, tmp_path: Path) -> None:
        def broken(block_info: Any = None) -> Array:
            raise OSError("the disk is gone")

        pixels = dask.array.map_blocks(
            broken, chunks=((4,), (10,) * 2, (12,) * 2), dtype="u2", meta=np.empty((0, 0, 0), "u2")
        )
        sims = [self.sim(), make_sim(pixels, "cyx", origin=[0, 20])]
        with pytest.raises(ViewError, match=r"view 1 cannot be read.*the disk is gone"):
            fuse(sims, KEY, output_zarr_url=str(tmp_path / "f.zarr") if written else None).compute()
        assert not list(tmp_path.iterdir())


class TestContentBased:
    sigmas: ClassVar = {"sigma_1": 1.0, "sigma_2": 2.0}

    def views(self, dims: str) -> list[xarray.DataArray]:
        shape = (6, 30, 32)[-len(dims) :]
        random = np.random.default_rng(3)
        return [
            make_sim(
                (random.random(shape) * 5000).astype("u2"),
                dims,
                origin=[float(k), 8.0 * k, 11.0 * k][-len(dims) :],
            )
            for k in range(3)
        ]

    @pytest.mark.parametrize("dims", ["yx", "zyx"])
    def test_borders_of_chunks_leave_no_trace(self, dims: str) -> None:
        options: dict[str, Any] = {
            "weights_func": content_based,
            "weights_func_kwargs": self.sigmas,
        }
        sims = self.views(dims)
        whole = fuse(sims, KEY, output_chunksize=100, **options).values
        for chunk in ({"z": 1, "y": 13, "x": 50}, {"z": 4, "y": 50, "x": 9}):
            np.testing.assert_array_equal(
                fuse(sims, KEY, output_chunksize=chunk, **options).values, whole
            )

    def test_the_sharp_view_wins(self) -> None:
        random = np.random.default_rng(1)
        sharp = (random.random((40, 40)) * 1000).astype("u2")
        blurred = np.full((40, 40), 500, "u2")
        fused = fuse(
            [make_sim(blurred, "yx"), make_sim(sharp, "yx")],
            KEY,
            weights_func=content_based,
            weights_func_kwargs=self.sigmas,
        )
        np.testing.assert_allclose(fused.values[5:-5, 5:-5], sharp[5:-5, 5:-5], atol=1)

    def test_views_without_content_are_blended(self) -> None:
        sims = [
            make_sim(np.full((20, 30), 100, "u2"), "yx"),
            make_sim(np.full((20, 30), 200, "u2"), "yx", origin=[0, 20]),
        ]
        plain = fuse(sims, KEY).values
        weighed = fuse(
            sims, KEY, weights_func=content_based, weights_func_kwargs=self.sigmas
        ).values
        np.testing.assert_array_equal(weighed, plain)


def test_a_turned_view_changes_no_large_integer_that_another_view_alone_has() -> None:
    value, turn = 2**53 + 1, np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    pixels = np.full((6, 6), value)
    turned, upright = make_sim(pixels, "yx", affine=turn), make_sim(pixels, "yx")
    where: Any = {"output_origin": {"y": 0.0, "x": 0.0}, "output_shape": {"y": 6, "x": 6}}
    alone = fuse([turned], KEY, **where).values == 0
    assert 0 < alone.sum() < alone.size
    for views in ([turned, upright], [upright, turned]):
        whole = fuse(views, KEY, **where).values
        assert (whole[alone] == value).all()
        in_pieces = fuse(views, KEY, output_chunksize=1, **where).values
        np.testing.assert_array_equal(in_pieces, whole)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("shift", [k / 20 for k in range(1, 20)])
def test_equal_floats_at_fractional_places_keep_their_value(
    order: InterpolationOrder, shift: float
) -> None:
    tenth = np.full((6, 6), 0.1, np.float32)
    views = [make_sim(tenth, "yx"), make_sim(tenth, "yx", origin=[0, shift])]
    fused = fuse(
        views,
        KEY,
        output_origin={"y": 0, "x": 2},
        output_shape={"y": 3, "x": 3},
        interpolation_order=order,
    )
    np.testing.assert_array_equal(fused.values, tenth[:3, :3])


def test_pixels_that_weigh_nothing_take_no_data_away() -> None:
    view = make_sim(np.array([[1, np.nan, 3], [4, 5, 6]], np.float32), "yx")
    fused = fuse([view], KEY, output_spacing={"y": 0.5, "x": 0.5}).values
    np.testing.assert_array_equal(fused[:, 0], [1, 2.5, 4])
    np.testing.assert_array_equal(fused[:, 4], [3, 4.5, 6])
    assert not fused[:2, 1:4].any()
    np.testing.assert_array_equal(fused[2], [4, 4.5, 5, 5.5, 6])
