"""Where a fused image goes: a Zarr array, or an OME-Zarr image with its pyramid."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.compose import Paint
from platefuse.engine.downsample import Downsample, mean
from platefuse.engine.sources import Source
from platefuse.engine.views import ShiftedView
from platefuse.engine.write import Target, write_views
from platefuse.errors import ConfigError, ImageError, PlatefuseError
from platefuse.fusion.arguments import FusionRequest, Storage
from platefuse.fusion.frame import Frame
from platefuse.fusion.mosaic import Fusion
from platefuse.fusion.sims import Sim
from platefuse.geometry import Box, grid_box
from platefuse.ngff.create import blosc, create_image, fit_chunks
from platefuse.ngff.image import Multiscale, others
from platefuse.ngff.metadata import FORMATS, METADATA_FILES, ArrayMetadata
from platefuse.storage.arrays import StoredArray
from platefuse.storage.files import make_folder, put_in_place, remove_tree, system_errors

Pixels = NDArray[Any]
_CHUNK_KEY = re.compile(r"c|(c[./])?\d+([./]\d+)*")


def write_fusion(
    fusion: Fusion, like: Sim, frame: Frame, asked: FusionRequest, storage: Storage
) -> Any:
    """Write a fused image and give it back as a dask array on the store.

    The image is written beside its place and moved there when it is complete.

    Parameters
    ----------
    fusion : Fusion
        What to write.
    like : Sim
        The view whose channels the image has.
    frame : Frame
        Its pixel size and origin.
    asked : FusionRequest
        Where it goes, and the options for writing.
    storage : Storage
        How it is stored.

    Raises
    ------
    PlatefuseError
        If there can be no such array, or the output exists and must not be overwritten.
    """
    what = f"fuse: output_zarr_url {str(asked.output_zarr_url)!r} cannot be written"
    with system_errors(ImageError, what, "Check path, free space and permissions."):
        return _write(fusion, like, frame, asked, storage)


def _write(fusion: Fusion, like: Sim, frame: Frame, asked: FusionRequest, storage: Storage) -> Any:
    target = _target(asked)
    staged = target.with_name(f".{target.name}.partial")
    remove_tree(staged)
    threads = int(asked.threads or len(os.sched_getaffinity(0)))
    batch_options = asked.batch_options or {}
    try:
        with _refusals(storage):
            if storage.version is None:
                levels = _create_array(staged, fusion, storage)
            else:
                levels = _create_ome_zarr(staged, target.name, fusion, like, frame, storage)
        if batch_options.get("batch_func") is not None:
            _write_batches(fusion, levels, batch_options, threads)
        else:
            fusion.write(levels, threads)
        put_in_place(staged, target, durable=False)  # what is fused is still there
    except BaseException:
        remove_tree(staged)
        raise
    return _open_dask(target if storage.version is None else target / "0")


def _target(asked: FusionRequest) -> Path:
    """The folder that is to be written: it is not there, or may be replaced."""
    url = asked.output_zarr_url
    target = Path(str(url))
    if not target.name or target.name == ".." or (target.exists() and not target.is_dir()):
        raise ConfigError(f"fuse: output_zarr_url is {url!r}; expected the path of a folder.")
    try:
        target = target.resolve()  # a link stays a link
    except RuntimeError as error:
        raise ConfigError(
            f"fuse: output_zarr_url {url!r} is a link that leads to itself."
        ) from error
    if target.exists():
        if not (asked.zarr_options or {}).get("overwrite", True):
            raise ImageError(
                f"{target} exists already, and zarr_options['overwrite'] is False. Remove it or "
                "choose another output_zarr_url."
            )
        if foreign := _foreign(target):
            raise ImageError(
                f"{target} exists already and holds {foreign}, which is no part of a fused image "
                "and would be lost. Remove it or choose another output_zarr_url."
            )
    return target


def _foreign(folder: Path) -> list[str]:
    """What a folder holds beside a Zarr array, or an image's levels."""
    with suppress(PlatefuseError):
        ArrayMetadata.read(folder)
        return _no_chunks(folder, folder)
    with suppress(PlatefuseError):
        image = Multiscale.read(folder)
        found = [path.name for path in others(folder, image.folders)]
        return found + [name for path in image.level_paths for name in _no_chunks(path, folder)]
    return [path.name for path in others(folder, ())]


def _no_chunks(array: Path, within: Path) -> list[str]:
    """Files in an array's folder that are neither its metadata nor, by their names, chunks."""
    return sorted(
        str(path.relative_to(within))
        for path in array.rglob("*")
        if not path.is_dir()
        and not (path.parent == array and path.name in METADATA_FILES)
        and not _CHUNK_KEY.fullmatch(path.relative_to(array).as_posix())
    )


def _create_ome_zarr(
    path: Path, name: str, fusion: Fusion, like: Sim, frame: Frame, storage: Storage
) -> Target:
    assert storage.version is not None
    spacing, origin = frame.by_axis(frame.spacing), frame.by_axis(frame.origin)
    image = create_image(
        path,
        name=name,
        axes=like.dims,
        pixel_size=[spacing.get(a, 1.0) for a in like.dims],
        shape=fusion.shape,
        dtype=fusion.dtype,
        chunks=storage.chunks,
        shards=storage.shards,
        version=storage.version,
        attributes={"omero": _omero(like)},
        creation=storage.creation,
        origin=[origin.get(a, 0.0) for a in like.dims],
    )
    arrays = [StoredArray.open(path / p, mode="r+") for p in image.paths]
    downsample: Downsample = _mean_of_data if fusion.dtype.kind == "f" else mean
    return Target(arrays, image.factors, downsample)


def _create_array(path: Path, fusion: Fusion, storage: Storage) -> Target:
    import zarr

    chunks, shards = fit_chunks(storage.chunks, storage.shards, fusion.shape)
    arguments = {
        "fill_value": 0,
        "compressors": blosc(FORMATS[storage.zarr_format]),
        **storage.creation,
    }
    make_folder(path.parent)
    zarr.create_array(
        path,
        shape=fusion.shape,
        dtype=fusion.dtype,
        chunks=chunks,
        shards=shards,
        zarr_format=storage.zarr_format,
        **arguments,
    )
    return Target([StoredArray.open(path, mode="r+")], (), mean)


@contextmanager
def _refusals(storage: Storage) -> Iterator[None]:
    """What Zarr refuses to make is a matter of what the caller has asked for."""
    try:
        yield
    except (PlatefuseError, OSError):
        raise
    except Exception as error:  # Zarr and its codecs raise whatever they like
        raise ConfigError(
            f"fuse: no Zarr array can be made with zarr_array_creation_kwargs {storage.creation}, "
            f"chunks {storage.chunks} and shards {storage.shards}: {error}"
        ) from error


def _mean_of_data(block: Pixels, factors: tuple[int, ...], shape: tuple[int, ...]) -> Pixels:
    """Mean of the pixels that are not NaN."""
    there = ~np.isnan(block)
    if there.all():
        return mean(block, factors, shape)
    share = mean(there.astype(block.dtype), factors, shape)
    total = mean(np.where(there, block, 0), factors, shape)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / share)


def _write_batches(
    fusion: Fusion, levels: Target, options: Mapping[str, Any], threads: int
) -> None:
    """Blocks by the caller's batch function, then the levels above from what it wrote."""
    finest = levels.levels[0]

    def fuse_block(block_id: tuple[int, ...]) -> None:
        region = grid_box(block_id, finest.shard, fusion.shape)
        pixels = fusion.how.compose(region, fusion.views, fusion.dtype, tuple(block_id))
        if pixels is None and not finest.zero_is_fill:
            pixels = np.zeros(region.shape, fusion.dtype)
        if pixels is not None:
            finest.write(region, pixels)

    counts = [-(-n // s) for n, s in zip(fusion.shape, finest.shard, strict=True)]
    blocks = iter(np.ndindex(*counts))
    function: Callable[..., Any] = options["batch_func"]
    for batch in _batches(blocks, int(options.get("n_batch", 1))):
        function(fuse_block, batch, **(options.get("batch_func_kwargs") or {}))
    if len(levels.levels) > 1:
        written = Source(_open_again(finest))
        box = Box.of_shape(fusion.shape)
        view = ShiftedView(written, box, box, (0.0,) * len(fusion.shape))
        arrays = [_Written(finest), *levels.levels[1:]]
        target = Target(arrays, levels.factors, levels.downsample)
        write_views([view], target, Paint(), threads=threads)


class _Written:
    """A level that is on disk already."""

    def __init__(self, level: Any) -> None:
        self.shape, self.dtype, self.shard = level.shape, level.dtype, level.shard
        self.zero_is_fill = True

    def write(self, box: Box, pixels: Any) -> None:
        """Nothing to do."""

    def take_encoded(self, source: Any, original: Box, box: Box) -> bool:
        """Nothing to do."""
        return True


def _open_again(level: Any) -> StoredArray:
    return StoredArray.open(level.path)


def _batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(islice(items, size)):
        yield batch


def _omero(like: Sim) -> dict[str, Any] | None:
    if "c" not in like.dims or "c" not in like.image.coords:
        return None
    colors = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")
    names = [str(name) for name in like.image.coords["c"].values]
    if np.dtype(like.image.dtype).kind in "iu":
        limits = np.iinfo(like.image.dtype)
        low, high = float(limits.min), float(limits.max)
    else:
        low, high = 0.0, 1.0
    window = {"min": low, "max": high, "start": low, "end": high}
    channels = [
        {"label": name, "color": colors[k % len(colors)], "active": True, "window": window}
        for k, name in enumerate(names)
    ]
    return {"channels": channels}


def _open_dask(path: Path) -> Any:
    import dask.array

    array = StoredArray.open(path).zarr_array
    return dask.array.from_zarr(array)
