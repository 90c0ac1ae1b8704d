from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array
import fsspec
import numpy as np
import pytest
import xarray
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.local import LocalFileSystem
from xarray.backends import BackendArray
from xarray.core.indexing import IndexingSupport, LazilyIndexedArray, explicit_indexing_adapter
from zarr.storage import FsspecStore

from platefuse.errors import ViewError
from platefuse.fusion.frame import Frame
from platefuse.fusion.sims import SimStore, make_sim, read_sims
from platefuse.geometry import Box
from tests.codecs import slow_codecs
from tests.sims import KEY
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


@pytest.mark.parametrize("backing", ["numpy", "dask"])
def test_pixels_are_read_by_boxes(backing: str) -> None:
    sim = image(PIXELS, "cyx")
    if backing == "dask":
        sim = sim.chunk({"c": 1, "y": (2, 3), "x": 4})
    store = SimStore(sim)
    assert store.is_free == (backing == "numpy")
    assert (store.shape, store.dtype) == ((2, 5, 6), np.dtype("u2"))
    assert store.chunk == ((2, 5, 6) if backing == "numpy" else (1, 3, 4))
    box = Box((0, 1, 2), (2, 4, 5))
    np.testing.assert_array_equal(store.decode(box), PIXELS[:, 1:4, 2:5])


def open_with_dask(folder: Path, opened: str) -> dask.array.Array:
    """An array of `PIXELS` on disk, opened in one of the ways that dask has."""
    group = zarr.open_group(folder / "g.zarr", mode="w")
    array = group.create_array("a", shape=PIXELS.shape, chunks=(1, 3, 4), dtype=PIXELS.dtype)
    array[...] = PIXELS
    ways = {
        "an array": lambda: dask.array.from_zarr(array),
        "a Path": lambda: dask.array.from_zarr(folder / "g.zarr" / "a"),
        "a path": lambda: dask.array.from_zarr(str(folder / "g.zarr" / "a")),
        "a relative path": lambda: dask.array.from_zarr("g.zarr/a"),
        "a URL": lambda: dask.array.from_zarr((folder / "g.zarr" / "a").as_uri()),
        "a path and a component": lambda: dask.array.from_zarr(folder / "g.zarr", "a"),
    }
    array_of_dask: dask.array.Array = ways[opened]()
    return array_of_dask


@pytest.mark.parametrize(
    "opened",
    ["an array", "a Path", "a path", "a relative path", "a URL", "a path and a component"],
)
def test_a_zarr_array_behind_dask_is_read_without_dask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: str
) -> None:
    """Fails if dask keeps the array in another place: the fast way would be missed silently."""
    monkeypatch.chdir(tmp_path)
    store = SimStore(image(open_with_dask(tmp_path, opened), "cyx"))
    monkeypatch.chdir("/")
    monkeypatch.setattr(dask.array.Array, "compute", lambda *_, **__: pytest.fail("dask read it"))
    with slow_codecs(monkeypatch) as slow:
        box = Box((0, 1, 2), (2, 4, 5))
        np.testing.assert_array_equal(store.decode(box), PIXELS[:, 1:4, 2:5])
    assert slow == []


@pytest.mark.parametrize("lies", ["in memory", "where fsspec alone finds it"])
def test_a_zarr_array_elsewhere_is_read_by_dask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lies: str
) -> None:
    """Even if another array has its path on this disk."""
    form: dict[str, Any] = {"shape": PIXELS.shape, "chunks": (1, 3, 4), "dtype": PIXELS.dtype}
    (tmp_path / "there").mkdir()
    if lies == "in memory":
        files, path = fsspec.filesystem("memory"), str(tmp_path / "a.zarr")
    else:
        local = LocalFileSystem(auto_mkdir=True)
        files, path = fsspec.filesystem("dir", path=str(tmp_path / "there"), fs=local), "a.zarr"
    zarr.create_array(tmp_path / "a.zarr", **form)
    monkeypatch.chdir(tmp_path)
    stored = FsspecStore(AsyncFileSystemWrapper(files, asynchronous=True), path=path)
    array = zarr.create_array(stored, **form)
    array[...] = PIXELS
    store = SimStore(image(dask.array.from_zarr(array), "cyx"))
    np.testing.assert_array_equal(store.decode(Box.of_shape(PIXELS.shape)), PIXELS)


def test_a_lazy_image_is_read_box_by_box() -> None:
    """Fails if xarray loads it when it is looked at: memory would hold whole images."""
    read = []

    class Stored(BackendArray):
        shape, dtype = PIXELS.shape, PIXELS.dtype

        def __getitem__(self, key: Any) -> Any:
            return explicit_indexing_adapter(key, self.shape, IndexingSupport.BASIC, self._read)

        def _read(self, key: tuple[Any, ...]) -> Any:
            read.append(PIXELS[key].shape)
            return PIXELS[key]

    store = SimStore(xarray.DataArray(xarray.Variable(list("cyx"), LazilyIndexedArray(Stored()))))
    assert read == []
    assert not store.is_free
    box = Box((0, 1, 2), (2, 4, 5))
    np.testing.assert_array_equal(store.decode(box), PIXELS[:, 1:4, 2:5])
    assert read == [(2, 3, 3)]


def test_pixels_that_cannot_be_read_are_named() -> None:
    def broken(block: Any) -> Any:
        raise RuntimeError("bad block")

    sim = image(np.zeros((4, 4), "u1"), "yx").chunk()
    store = SimStore(sim.copy(data=sim.data.map_blocks(broken, dtype="u1")), 7)
    with pytest.raises(ViewError, match=r"'y': \(1, 3\).* of view 7 cannot be read .*bad block"):
        store.decode(Box((1, 0), (3, 2)))


def test_a_new_image_has_the_channels_and_times_of_the_views() -> None:
    given = image(PIXELS[np.newaxis], "tcyx", channels=["DAPI", "x"], times=[4.0])
    (like,) = read_sims([given], KEY)
    made = make_sim(PIXELS[np.newaxis, :, :2], like, Frame("yx", (2, 3), (5, 7), (2, 6)), KEY)
    assert made.coords["c"].values.tolist() == ["DAPI", "x"]
    assert made.coords["t"].values.tolist() == [4.0]
    assert made.coords["y"].values.tolist() == [5, 7]
    assert made.coords["x"].values.tolist() == [7, 10, 13, 16, 19, 22]
    assert made.name == "image"
