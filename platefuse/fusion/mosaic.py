"""A mosaic: views in a frame and their compositor, computed lazily or written with a pyramid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from platefuse.engine.compose import Compositor, Paint
from platefuse.engine.downsample import Downsample, mean
from platefuse.engine.pyramid import Index
from platefuse.engine.sources import Source
from platefuse.engine.views import ShiftedView, View
from platefuse.engine.write import Part, Target, ViewLookup, view_tasks, write_views
from platefuse.errors import ConfigError, PlatefuseError
from platefuse.fusion.arguments import Storage
from platefuse.fusion.frame import Frame
from platefuse.geometry import Box, Pixels, grid_box
from platefuse.ngff.create import blosc, create_image, fit_chunks
from platefuse.ngff.image import Multiscale
from platefuse.ngff.zarr_format import FORMATS
from platefuse.storage.arrays import StoredArray
from platefuse.storage.files import make_folder
from platefuse.storage.threads import Task, run_tasks

if TYPE_CHECKING:
    import dask.array


@dataclass(frozen=True)
class ImageMetadata:
    """Metadata of a new OME-Zarr image, except its pixel grid.

    Attributes
    ----------
    name : str
        Its name.
    attributes : mapping
        Further OME-NGFF attributes, such as `omero`; those that are None are left out.
    levels : int
        Least number of levels.
    scale, units : mapping of str to float and str
        Step and unit on axes that are not in space.
    has_origin : bool
        Whether the frame's origin is written, as a translation.
    """

    name: str
    attributes: Mapping[str, object] = field(default_factory=dict)
    levels: int = 1
    scale: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    has_origin: bool = False


@dataclass(frozen=True)
class StoredPyramid(Target):
    """A `Target` on disk."""

    levels: Sequence[StoredArray]


@dataclass(frozen=True)
class Mosaic:
    """An image to be fused: its views, their frame, and what happens where they overlap.

    Attributes
    ----------
    views : sequence of View
        The views, in order.
    frame : Frame
        The pixel grid, on the axes in space.
    compositor : Compositor
        Computes pixels from views.
    axes : str
        All axes, in array order; those in space are the last.
    leading : tuple of int
        Shape on the axes that are not in space.
    dtype : dtype
        Data type of the pixels.
    downsample : Downsample
        Computes a level of the pyramid from the level below.
    """

    views: Sequence[View]
    frame: Frame
    compositor: Compositor
    axes: str
    leading: tuple[int, ...]
    dtype: np.dtype[np.generic]
    downsample: Downsample = mean

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in pixels, on all axes."""
        return (*self.leading, *self.frame.shape)

    def lazy(self, chunks: tuple[int, ...]) -> dask.array.Array:
        """The fused image as a dask array: one task for each chunk."""
        import dask.array

        tiles = Tiles(self, chunks)
        array: dask.array.Array = dask.array.map_blocks(
            tiles.block,
            chunks=dask.array.core.normalize_chunks(tiles.tile, self.shape, dtype=self.dtype),
            dtype=self.dtype,
            meta=np.empty((0,) * len(self.shape), self.dtype),
            name=f"fuse-{uuid4().hex}",
        )
        return array

    def create(
        self, path: Path, storage: Storage, metadata: ImageMetadata, *, durable: bool = False
    ) -> StoredPyramid:
        """Create the arrays and the metadata that it is written to.

        Parameters
        ----------
        path : Path
            Folder of the new image, or of the new array if `storage` has no NGFF version.
        storage : Storage
            How it is stored.
        metadata : ImageMetadata
            Its metadata.
        durable : bool
            Whether writing to disk begins as soon as a file is complete. For images that are
            flushed in the end.

        Raises
        ------
        ConfigError
            If Zarr cannot create such arrays.
        """
        paths, factors = [path], tuple[tuple[int, ...], ...]()
        with _refusals(storage):
            if storage.version is None:
                _create_array(path, self, storage)
            else:
                image = self._create_image(path, storage, storage.version, metadata)
                paths, factors = image.level_paths, image.factors
        levels = [StoredArray.open(p, mode="r+", durable=durable) for p in paths]
        return StoredPyramid(levels, factors, self.downsample)

    def tasks(self, target: Target, part: Part | None = None) -> Iterator[Task]:
        """Tasks that write all levels in one pass, or those of one part: see `view_tasks`."""
        return view_tasks(self.views, target, self.compositor, part=part)

    def write(self, target: Target, threads: int) -> None:
        """Write all levels in one pass."""
        run_tasks(self.tasks(target), threads)

    def write_batches(
        self,
        target: StoredPyramid,
        function: Callable[..., object],
        size: int,
        kwargs: Mapping[str, object],
        threads: int,
    ) -> None:
        """Write level 0 by the caller's batch function, then the levels above from level 0.

        Parameters
        ----------
        target : StoredPyramid
            Where it is written.
        function : callable
            Called as ``function(fuse_block, block_ids, **kwargs)`` for each batch.
        size : int
            Number of shards in a batch.
        kwargs : mapping
            Further arguments of the function.
        threads : int
            Number of threads for the levels above.
        """
        finest = target.levels[0]
        tiles = Tiles(self, finest.shard)
        indices = np.ndindex(*(-(-n // s) for n, s in zip(self.shape, finest.shard, strict=True)))
        while batch := list(islice(indices, size)):
            function(partial(_write_tile, tiles, finest), batch, **kwargs)
        if len(target.levels) > 1:
            box = Box.of_shape(self.shape)
            written = Source(StoredArray.open(finest.path))
            view = ShiftedView(written, box, box, (0.0,) * len(self.shape))
            above = Target([_Written(finest), *target.levels[1:]], target.factors, self.downsample)
            write_views([view], above, Paint(), threads=threads)

    def _create_image(
        self, path: Path, storage: Storage, version: str, metadata: ImageMetadata
    ) -> Multiscale:
        spacing = {**metadata.scale, **self.frame.by_axis(self.frame.spacing)}
        origin = self.frame.by_axis(self.frame.origin)
        return create_image(
            path,
            name=metadata.name,
            axes=self.axes,
            pixel_size=[spacing.get(a, 1.0) for a in self.axes],
            shape=self.shape,
            dtype=self.dtype,
            chunks=storage.chunks,
            shards=storage.shards,
            version=version,
            levels=metadata.levels,
            attributes=metadata.attributes,
            creation=storage.creation,
            origin=[origin.get(a, 0.0) for a in self.axes] if metadata.has_origin else None,
            units=metadata.units,
        )


class Tiles:
    """The tiles of a mosaic, each composed from the views that touch it.

    Parameters
    ----------
    mosaic : Mosaic
        The mosaic.
    tile : tuple of int
        Shape of a tile, in pixels; limited to that of the mosaic.
    """

    def __init__(self, mosaic: Mosaic, tile: tuple[int, ...]) -> None:
        self._mosaic = mosaic
        self.tile = tuple(min(t, n) for t, n in zip(tile, mosaic.shape, strict=True))
        self._lookup = ViewLookup(mosaic.views, mosaic.shape, self.tile, mosaic.compositor)

    def region(self, index: Index) -> Box:
        """The pixels of a tile."""
        return grid_box(index, self.tile, self._mosaic.shape)

    def compose(self, index: Index) -> Pixels | None:
        """The block of a tile; None if all its pixels are zero."""
        views, dtype = self._lookup.touching(index), self._mosaic.dtype
        return self._mosaic.compositor.compose(self.region(index), views, dtype, index)

    def block(self, block_id: Index) -> Pixels:
        """The block of a tile, as dask calls it."""
        pixels = self.compose(block_id)
        return (
            np.zeros(self.region(block_id).shape, self._mosaic.dtype) if pixels is None else pixels
        )


def _write_tile(tiles: Tiles, level: StoredArray, index: Sequence[int]) -> None:
    """Compose and write one tile: what a batch function calls as ``fuse_block``."""
    region, pixels = tiles.region(tuple(index)), tiles.compose(tuple(index))
    if pixels is None and not level.zero_is_fill:
        pixels = np.zeros(region.shape, level.dtype)
    if pixels is not None:
        level.write(region, pixels)


class _Written:
    """A level that is on disk already: writing to it does nothing."""

    def __init__(self, level: StoredArray) -> None:
        self.shape, self.dtype, self.shard = level.shape, level.dtype, level.shard
        self.zero_is_fill = True

    def write(self, box: Box, pixels: Pixels) -> None:
        """Do nothing."""

    def copy_encoded_from(self, source: object, original: Box, box: Box) -> bool:
        """Do nothing."""
        return True


def _create_array(path: Path, mosaic: Mosaic, storage: Storage) -> None:
    import zarr

    chunks, shards = fit_chunks(storage.chunks, storage.shards, mosaic.shape)
    arguments: dict[str, Any] = {  # `creation` may hold any of zarr's
        "fill_value": 0,
        "compressors": blosc(FORMATS[storage.zarr_format]),
        **storage.creation,
    }
    make_folder(path.parent)
    zarr.create_array(
        path,
        shape=mosaic.shape,
        dtype=mosaic.dtype,
        chunks=chunks,
        shards=shards,
        zarr_format=storage.zarr_format,
        **arguments,
    )


@contextmanager
def _refusals(storage: Storage) -> Iterator[None]:
    """Raise errors of Zarr in creating an array as errors in the caller's arguments."""
    try:
        yield
    except (PlatefuseError, OSError):
        raise
    except Exception as error:  # Zarr and its codecs raise errors of any class
        raise ConfigError(
            f"fuse: no Zarr array can be made with zarr_array_creation_kwargs {storage.creation}, "
            f"chunks {storage.chunks} and shards {storage.shards}: {error}"
        ) from error
