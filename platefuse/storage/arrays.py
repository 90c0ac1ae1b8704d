"""Arrays on disk: one Zarr array, read and written by whole chunks.

zarr-python 3 with the codec pipeline of zarrs, which decodes and encodes several times faster
than the default. Byte and memory orders that it does not know go through the default pipeline.
"""

from __future__ import annotations

import os
import shutil
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

import numpy as np
import zarr
from zarr.api.asynchronous import open_array

from platefuse.errors import ImageError, one_line
from platefuse.geometry import Box, Pixels, grid_box, grid_indices
from platefuse.storage.flush import begin_flush
from platefuse.storage.threads import own_loop, run_coroutine

if TYPE_CHECKING:
    from zarr.types import AnyArray

# Codecs that zarrs does not know (lz4, delta) go through the default pipeline: the same pixels.
warnings.filterwarnings("ignore", "Array is unsupported by ZarrsCodecPipeline", UserWarning)

Selection = tuple[slice, ...]


def get(array: AnyArray, selection: Selection) -> Pixels:
    """Pixels of a part of an array."""
    loop = own_loop()
    if loop is None:
        return np.asarray(array[selection])
    return np.asarray(loop.run_until_complete(array.async_array.getitem(selection)))


def put(array: AnyArray, selection: Selection, pixels: Pixels) -> None:
    """Write a part of an array."""
    loop = own_loop()
    if loop is None:
        array[selection] = pixels
    else:
        loop.run_until_complete(array.async_array.setitem(selection, pixels))


PIPELINE = {
    "codec_pipeline.path": "zarrs.ZarrsCodecPipeline",
    # one thread for each call: calls run in threads of their own, and the chunks of a shard are
    # written in their order, so that equal pixels are equal bytes
    "threading.max_workers": 1,
}
_NOT_OF_CHUNKS = (
    "shape",
    "attributes",
    "dimension_separator",
    "chunk_key_encoding",
    "dimension_names",
)
"""Keys of an array's metadata on which the content of a chunk's file does not depend."""
_CONFIGURING = Lock()  # zarr's config is global: threads that interleave would leave ours set


@contextmanager
def cannot_open(path: Path) -> Iterator[None]:
    """Raise what zarr and its codecs raise for the metadata of an array as an error of ours."""
    try:
        yield
    except (ValueError, TypeError, KeyError, OSError, ArithmeticError) as error:
        raise ImageError(
            f"{path}: cannot be opened as a Zarr array ({one_line(error)}). Check that the level "
            "exists and that its metadata names codecs zarr-python knows."
        ) from error


class StoredArray:
    """A Zarr array on disk.

    Attributes
    ----------
    path : Path
        Its folder.
    shape : tuple of int
        Shape in pixels.
    dtype : dtype
        Data type of the pixels, in native byte order or not.
    chunk, shard : tuple of int
        What is decoded, and what is encoded at once; the same without sharding.
    durable : bool
        Whether writing to disk begins as soon as a file is complete. For images that are
        flushed at the end.
    is_free : bool
        False: a box costs the chunks that it touches, see `platefuse.engine.sources.ChunkStore`.
    """

    is_free = False

    def __init__(self, path: Path, array: AnyArray, *, durable: bool = False) -> None:
        self.path = path
        self.durable = durable
        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[np.generic] = np.dtype(array.dtype)
        self.chunk: tuple[int, ...] = tuple(array.chunks)
        self.shard: tuple[int, ...] = tuple(array.shards or array.chunks)
        self._per_shard = tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))

    @classmethod
    def open(
        cls, path: Path, *, mode: Literal["r", "r+"] = "r", durable: bool = False
    ) -> StoredArray:
        """Open the array at `path` (``mode`` ``r`` or ``r+``).

        Raises
        ------
        ImageError
            If there is none, or its metadata or codecs cannot be used.
        """
        with cannot_open(path):
            opened = run_coroutine(open_array(store=path, mode=mode))
            return cls.over(path, zarr.Array(opened), durable=durable)

    @classmethod
    def over(cls, path: Path, array: AnyArray, *, durable: bool = False) -> StoredArray:
        """An array that is open already."""
        in_order = getattr(array.metadata, "order", "C") == "C"
        if in_order and np.dtype(array.dtype).isnative:
            # made anew, not opened again: under this setting every wait for zarr's event
            # loop would leave that with one thread, for all arrays and for good
            with _CONFIGURING, zarr.config.set(PIPELINE):
                array = zarr.Array(zarr.AsyncArray(array.metadata, array.store_path))
        return cls(path, array, durable=durable)

    def __reduce__(self) -> tuple[Callable[..., StoredArray], tuple[Path, str, bool]]:
        """Pickled as its path; the other process opens it again."""
        return _open, (self.path, "r" if self._array.read_only else "r+", self.durable)

    @property
    def zarr_array(self) -> AnyArray:
        """The array itself, for reading by others."""
        return self._array

    @property
    def zero_is_fill(self) -> bool:
        """Whether chunks that are not stored read as zero."""
        fill = self._array.metadata.fill_value
        return fill is None or bool(fill == 0)

    def chunk_path(self, index: tuple[int, ...]) -> Path:
        """The file that holds a chunk."""
        return self._file(tuple(i // n for i, n in zip(index, self._per_shard, strict=True)))

    def _file(self, shard: tuple[int, ...]) -> Path:
        return self.path / self._array.metadata.encode_chunk_key(shard)

    def is_empty(self, index: tuple[int, ...]) -> bool:
        """Whether a chunk is not stored and reads as zero.

        Raises
        ------
        ImageError
            If a pipe or a device lies in its place, which would block its reader for ever.
        """
        path = self.chunk_path(index)
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116  # for each chunk: a path takes longer
        except (FileNotFoundError, NotADirectoryError):
            return _mode(path) is None and self.zero_is_fill
        if not stat.S_ISREG(mode):
            raise ImageError(
                f"{path}: the chunk is a folder, a pipe or a device; expected a file. Restore it "
                "from a copy of the plate, or move it away to go on with an empty chunk."
            )
        return False

    def decode(self, box: Box) -> Pixels:
        """Pixels of a box.

        Raises
        ------
        ImageError
            If the stored chunk cannot be decoded.
        """
        try:
            return get(self._array, box.slices)
        except Exception as error:  # codecs raise errors of any class: report which chunk it was
            chunks = list(grid_indices(box, self.chunk))
            if len(chunks) > 1:
                for index in chunks:
                    self.decode(grid_box(index, self.chunk, self.shape))
            raise ImageError(
                f"{self.chunk_path(chunks[0])}: the chunk cannot be read "
                f"({one_line(error) or type(error).__name__}). {self._remedy(error)}"
            ) from error

    def _remedy(self, error: Exception) -> str:
        if isinstance(error, MemoryError):
            return "Give the job more memory or fewer threads."
        if isinstance(error, PermissionError):
            return "Check its permissions."
        if self.shard != self.chunk:
            return "Restore the file, which holds several chunks, from a copy of the plate."
        return (
            "Restore it from a copy of the plate, or move the file away to go on with an empty "
            "chunk."
        )

    def copy_encoded_from(self, source: object, original: Box, box: Box) -> bool:
        """Copy the file of a chunk or shard of another array, without decoding it.

        Parameters
        ----------
        source : object
            Where the pixels are; only a `StoredArray` of the same format and codecs can be
            copied from.
        original, box : Box
            The pixels there, and where they go.

        Returns
        -------
        bool
            False if the boxes are not one whole chunk each, or the arrays are not alike: then
            nothing has been done.

        Raises
        ------
        ImageError
            If the file system refuses.
        """
        if not isinstance(source, StoredArray) or source._form != self._form:
            return False
        index, target = source._unit(original), self._unit(box)
        if index is None or target is None:
            return False
        path, stored = self._file(target), source._file(index)
        mode = _mode(stored)
        if mode is None:
            return True  # there is nothing to copy
        if stat.S_ISLNK(mode):
            return False  # it may lead to anything: only what can be decoded is copied
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(stored, path)
            self._complete(target)
        except FileNotFoundError:  # not stored: there is nothing to copy
            return True
        except OSError as error:
            raise self._refused(box, error) from error
        return True

    @cached_property
    def _form(self) -> dict[str, object]:
        """The metadata on which the content of a chunk's file depends."""
        form = self._array.metadata.to_dict()
        return {key: value for key, value in form.items() if key not in _NOT_OF_CHUNKS}

    def _unit(self, box: Box) -> tuple[int, ...] | None:
        """Index of the shard that a box is; None if it is none."""
        index = tuple(a // s for a, s in zip(box.start, self.shard, strict=True))
        return index if box == grid_box(index, self.shard, self.shape) else None

    def write(self, box: Box, pixels: Pixels) -> None:
        """Write a box of whole shards.

        Raises
        ------
        ImageError
            If the file system refuses, for example because it is full.
        """
        try:
            put(self._array, box.slices, pixels)
            for index in grid_indices(box, self.shard):
                self._complete(index)
        except Exception as error:  # as above
            raise self._refused(box, error) from error

    def _complete(self, shard: tuple[int, ...]) -> None:
        if self.durable:
            begin_flush(self._file(shard))

    def _refused(self, box: Box, error: Exception) -> ImageError:
        return ImageError(
            f"{self.path}: pixels {box.start} to {box.stop} cannot be written "
            f"({one_line(error)}). Check free space and permissions, then start again: what is "
            "complete is kept."
        )


def _mode(chunk: Path) -> int | None:
    """The kind of file that is there for a chunk; None if there is none.

    Raises
    ------
    ImageError
        If a link leads nowhere: the chunk is lost, and not empty.
    """
    try:
        mode = chunk.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(mode) and not chunk.exists():
        raise ImageError(
            f"{chunk} is a link to {chunk.readlink()}, which is not there, so the chunk is lost. "
            "Restore what it leads to, or delete the link to go on with an empty chunk."
        )
    return mode


def _open(path: Path, mode: Literal["r", "r+"], durable: bool) -> StoredArray:
    return StoredArray.open(path, mode=mode, durable=durable)


class ExpandedArray:
    """An array with one more axis, of length 1: a `platefuse.engine.sources.ChunkStore`.

    Parameters
    ----------
    array : StoredArray
        The array.
    axis : int
        Place of the new axis.
    """

    is_free = False

    def __init__(self, array: StoredArray, axis: int) -> None:
        self._array, self._axis = array, axis
        self.shape = self._insert(array.shape)
        self.chunk = self._insert(array.chunk)
        self.dtype = array.dtype

    def is_empty(self, index: tuple[int, ...]) -> bool:
        """Whether a chunk is not stored and reads as zero."""
        return self._array.is_empty(self._without(index))

    def decode(self, box: Box) -> Pixels:
        """Pixels of a box."""
        inner = Box(self._without(box.start), self._without(box.stop))
        return np.expand_dims(self._array.decode(inner), self._axis)

    def _insert(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return (*sizes[: self._axis], 1, *sizes[self._axis :])

    def _without(self, index: tuple[int, ...]) -> tuple[int, ...]:
        return (*index[: self._axis], *index[self._axis + 1 :])
