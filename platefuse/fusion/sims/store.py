"""The pixels of an image of the multiview-stitcher data model, as the engine reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from platefuse.engine.downsample import to_dtype
from platefuse.errors import ImageError, ViewError
from platefuse.geometry import Box, Pixels
from platefuse.storage.arrays import StoredArray

if TYPE_CHECKING:
    import xarray
    import zarr


def chunks_of(image: xarray.DataArray) -> tuple[int, ...] | None:
    """Largest chunk of an image on each axis: of its dask array, or as stored.

    None if it is in memory, or nothing is known of its chunks.
    """
    if image.chunks is not None:
        return tuple(max(1, *sizes) for sizes in image.chunks)
    stored = image.encoding.get("preferred_chunks")
    if not stored or isinstance(image.variable._data, np.ndarray):
        return None
    return tuple(int(stored.get(d, n)) for d, n in zip(image.dims, image.shape, strict=True))


class SimStore:
    """The pixels of an image, as a `ChunkStore` of the engine: dask, NumPy or lazily backed.

    Parameters
    ----------
    image : xarray.DataArray
        The image.
    number : int or str
        Its index in the list of views, for messages.
    """

    def __init__(self, image: xarray.DataArray, number: int | str = 0) -> None:
        self._number = number
        self._variable = image.variable
        self.shape: tuple[int, ...] = image.shape
        self.dtype: np.dtype[np.generic] = np.dtype(image.dtype)
        self._in_memory = isinstance(image.variable._data, np.ndarray)
        self._stored = _zarr_behind(image.variable._data)
        self.chunk = chunks_of(image) or tuple(max(1, n) for n in image.shape)

    @property
    def is_free(self) -> bool:
        """Whether reading a box costs no more than its own pixels."""
        return self._in_memory

    def is_empty(self, index: tuple[int, ...]) -> bool:
        """No chunk is known to be empty without reading it."""
        return False

    def decode(self, box: Box) -> Pixels:
        """The pixels of a box.

        Raises
        ------
        ViewError
            If they cannot be read.
        """
        try:
            if self._stored is not None:
                return self._stored.decode(box)
            return self._as_declared(box, self._compute(box))
        except Exception as error:  # stores, codecs and tasks raise errors of any class
            axes = zip(self._variable.dims, box.slices, strict=True)
            where = {axis: (along.start, along.stop) for axis, along in axes}
            raise ViewError(
                f"fuse: pixels {where} of view {self._number} cannot be read "
                f"({type(error).__name__}: {error}). Repair or leave out this view."
            ) from error

    def _compute(self, box: Box) -> Pixels:
        part = self._variable[box.slices]
        if part.chunks is not None:
            return np.asarray(part.data.compute(scheduler="single-threaded"))
        return np.asarray(part.values)

    def _as_declared(self, box: Box, pixels: Pixels) -> Pixels:
        """The pixels as the data type of the image: dask believes what it was told of a task.

        Raises
        ------
        TypeError
            If their shape is another, or they may have fractions, which the image has not.
        """
        has_fractions = pixels.dtype.kind not in "iub" and self.dtype.kind in "iub"
        if pixels.shape != box.shape or has_fractions:
            raise TypeError(
                f"they are {pixels.dtype} of shape {pixels.shape}, and the image says "
                f"{self.dtype} of shape {box.shape}"
            )
        return to_dtype(pixels, self.dtype)


def _zarr_behind(data: object) -> StoredArray | None:
    """The Zarr array on this disk that a dask array reads unchanged; None if it is not one.

    Reading it without dask saves dask's scheduling, and uses the faster codecs.
    """
    layers = getattr(getattr(data, "dask", None), "layers", {})
    origin = layers.get(f"original-{getattr(data, 'name', '')}")
    if origin is None or len(layers) != 2 or len(origin) != 1:
        return None
    import dask.array
    import zarr

    (array,) = origin.values()
    array = getattr(array, "value", array)
    if not isinstance(array, zarr.Array):
        return None
    if not isinstance(data, dask.array.Array):
        return None
    if (array.shape, array.dtype, array.chunks) != (data.shape, data.dtype, data.chunksize):
        return None
    return _on_this_disk(array)


def _on_this_disk(array: zarr.Array[Any]) -> StoredArray | None:
    """A Zarr array that lies in a folder; None if it lies elsewhere.

    ``dask.array.from_zarr`` opens a path with fsspec, which the faster codecs do not read from, or
    keeps a relative path, which means something else in another working directory: such an array
    is opened again.
    """
    from zarr.storage import FsspecStore, LocalStore

    store = array.store
    if isinstance(store, LocalStore):
        folder = store.root / array.path
        if store.root.is_absolute():
            return StoredArray.over(folder, array)
        return StoredArray.open(folder.absolute())
    if not isinstance(store, FsspecStore):
        return None
    protocol = getattr(store.fs, "sync_fs", store.fs).protocol  # that of what zarr has wrapped
    if "file" not in ({protocol} if isinstance(protocol, str) else protocol):
        return None
    try:
        return StoredArray.open(Path(store.path, array.path).absolute())
    except ImageError:  # the path means something else to fsspec
        return None
