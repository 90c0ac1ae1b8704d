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
from platefuse.fusion.sims.store import SimStore
from platefuse.geometry import Box
from tests.codecs import slow_codecs
from tests.sims import make_sim as image

PIXELS = np.arange(2 * 5 * 6, dtype="u2").reshape(2, 5, 6)


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


@pytest.mark.parametrize("task", [lambda block: block + 0.5, lambda block: block[:, :1]])
def test_pixels_that_are_not_what_dask_was_told_are_an_error(task: Any) -> None:
    """Fractions were cut off without a word; another shape was an error of NumPy."""
    sim = image(np.ones((4, 4), "u1"), "yx").chunk()
    store = SimStore(sim.copy(data=sim.data.map_blocks(task, dtype="u1")), 7)
    with pytest.raises(
        ViewError, match=r"of view 7 cannot be read .*the image says uint8 of shape"
    ):
        store.decode(Box((1, 0), (3, 2)))


@pytest.mark.parametrize(("computed", "told"), [("u1", "u2"), ("i8", "u2"), ("f8", "f4")])
def test_pixels_of_another_type_of_the_same_kind_are_converted(computed: str, told: str) -> None:
    """Dask arrays of float64 that were declared as float32 are common."""
    sim = image(np.ones((4, 4), "u1"), "yx").chunk()
    task = sim.data.map_blocks(lambda block: block.astype(computed), dtype=told)
    pixels = SimStore(sim.copy(data=task)).decode(Box((1, 0), (3, 2)))
    assert pixels.dtype == np.dtype(told)
    assert pixels.tolist() == [[1, 1], [1, 1]]
