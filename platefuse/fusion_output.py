"""Where a fused image goes: a Zarr array, or an OME-Zarr image with its pyramid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platefuse.blocks import Paint
from platefuse.create import blosc, create_image
from platefuse.downsample import Downsample, mean
from platefuse.engine import Target, write_views
from platefuse.errors import ConfigError, ImageError
from platefuse.files import make_folder, put_in_place, remove_tree
from platefuse.frame import Frame
from platefuse.fusion import Fusion
from platefuse.geometry import Box, grid_box
from platefuse.sims import Sim
from platefuse.sources import Source
from platefuse.store import StoredArray
from platefuse.views import ShiftedView

Pixels = NDArray[Any]

ZARR_OPTIONS = ("ome_zarr", "ngff_version", "zarr_array_creation_kwargs", "overwrite")
BATCH_OPTIONS = ("batch_func", "n_batch", "batch_func_kwargs", "zarr_array_creation_kwargs")


def write_fusion(
    fusion: Fusion,
    like: Sim,
    frame: Frame,
    url: str,
    zarr_options: Mapping[str, Any],
    batch_options: Mapping[str, Any],
    threads: int,
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
    url : str
        Folder of the new image or array.
    zarr_options, batch_options : mapping
        As for `platefuse.fuse`.
    threads : int
        Number of threads.

    Raises
    ------
    PlatefuseError
        If an option is unknown, or the output exists and must not be overwritten.
    """
    _check_keys("zarr_options", zarr_options, ZARR_OPTIONS)
    _check_keys("batch_options", batch_options, BATCH_OPTIONS)
    if "://" in str(url):
        raise ConfigError(
            f"fuse: output_zarr_url is {url!r}; expected a folder of this machine: others are "
            "not written to."
        )
    target = Path(url)
    if not target.name or target.name == ".." or (target.exists() and not target.is_dir()):
        raise ConfigError(f"fuse: output_zarr_url is {url!r}; expected the path of a folder.")
    if target.exists() and not zarr_options.get("overwrite", True):
        raise ImageError(
            f"{target} exists already, and zarr_options['overwrite'] is False. Remove it or choose "
            "another output_zarr_url."
        )
    staged = target.with_name(f".{target.name}.partial")
    remove_tree(staged)
    creation = {
        **(batch_options.get("zarr_array_creation_kwargs") or {}),
        **(zarr_options.get("zarr_array_creation_kwargs") or {}),
    }
    ome_zarr = bool(zarr_options.get("ome_zarr", False))
    version = str(zarr_options.get("ngff_version", "0.4"))
    try:
        if ome_zarr:
            levels = _create_ome_zarr(staged, target.name, fusion, like, frame, version, creation)
        else:
            levels = _create_array(staged, fusion, creation)
        if batch_options.get("batch_func") is not None:
            _write_batches(fusion, levels, batch_options, threads)
        else:
            fusion.write(levels, threads)
        put_in_place(staged, target)
    except BaseException:
        remove_tree(staged)
        raise
    return _open_dask(target / "0" if ome_zarr else target)


def _create_ome_zarr(
    path: Path,
    name: str,
    fusion: Fusion,
    like: Sim,
    frame: Frame,
    version: str,
    creation: dict[str, Any],
) -> Target:
    if version not in ("0.4", "0.5"):
        raise ConfigError(f"fuse: ngff_version {version!r} is unknown; expected '0.4' or '0.5'.")
    spacing, origin = frame.as_dict(frame.spacing), frame.as_dict(frame.origin)
    chunks, shards, rest = _creation(creation, fusion, version)
    with _refusals(creation, chunks, shards):
        image = create_image(
            path,
            name=name,
            axes=like.dims,
            pixel_size=[spacing.get(a, 1.0) for a in like.dims],
            shape=fusion.shape,
            dtype=fusion.dtype,
            chunks=chunks,
            shards=shards,
            version=version,
            attributes={"omero": _omero(like)},
            creation=rest,
            origin=[origin.get(a, 0.0) for a in like.dims],
        )
    arrays = [StoredArray.open(path / p, mode="r+") for p in image.paths]
    downsample: Downsample = _mean_of_data if fusion.dtype.kind == "f" else mean
    return Target(arrays, image.factors, downsample)


def _create_array(path: Path, fusion: Fusion, creation: dict[str, Any]) -> Target:
    import zarr

    zarr_format = creation.pop("zarr_format", 3)
    chunks, shards, rest = _creation(creation, fusion, "0.5" if zarr_format == 3 else "0.4")
    arguments = {
        "fill_value": 0,
        "compressors": blosc("0.5" if zarr_format == 3 else "0.4"),
        **rest,
    }
    make_folder(path.parent)
    with _refusals(creation, chunks, shards):
        zarr.create_array(
            path,
            shape=fusion.shape,
            dtype=fusion.dtype,
            chunks=chunks,
            shards=shards,
            zarr_format=zarr_format,
            **arguments,
        )
    return Target([StoredArray.open(path, mode="r+")], (), mean)


@contextmanager
def _refusals(creation: Mapping[str, Any], chunks: Any, shards: Any) -> Iterator[None]:
    """What Zarr refuses to make is a matter of what the caller has asked for."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"fuse: no Zarr array can be made with zarr_array_creation_kwargs {dict(creation)}, "
            f"chunks {chunks} and shards {shards}: {error}"
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


def _creation(
    creation: Mapping[str, Any], fusion: Fusion, version: str
) -> tuple[tuple[int, ...], tuple[int, ...] | None, dict[str, Any]]:
    """Arguments for `zarr.create_array`, also by the names of the older `zarr.create`."""
    rest = dict(creation)
    rest.pop("zarr_format", None)
    chunks = tuple(rest.pop("chunks", fusion.chunks))
    shards = rest.pop("shards", None)
    if "compressor" in rest:
        rest["compressors"] = rest.pop("compressor")
    if "dimension_separator" in rest:
        separator = rest.pop("dimension_separator")
        name = "v2" if version == "0.4" else "default"
        rest["chunk_key_encoding"] = {"name": name, "separator": separator}
    return chunks, None if shards is None else tuple(shards), rest


def _write_batches(
    fusion: Fusion, levels: Target, options: Mapping[str, Any], threads: int
) -> None:
    """Blocks by the caller's batch function, then the levels above from what it wrote."""
    finest = levels.levels[0]

    def fuse_block(block_id: tuple[int, ...]) -> None:
        region = grid_box(block_id, finest.shard, fusion.shape)
        pixels = fusion.how.compose(region, fusion.views, fusion.dtype, tuple(block_id))
        if pixels is not None:
            finest.write(region, pixels)

    counts = [-(-n // s) for n, s in zip(fusion.shape, finest.shard, strict=True)]
    blocks = iter(np.ndindex(*counts))
    function: Callable[..., Any] = options["batch_func"]
    size = max(1, int(options.get("n_batch", 1)))
    for batch in _batches(blocks, size):
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
    return dask.array.from_zarr(array)  # type: ignore[no-untyped-call]


def _check_keys(what: str, options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(f"fuse: {what} has unknown keys {unknown}; known are {list(known)}.")
