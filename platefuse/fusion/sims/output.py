"""The folder that `fuse` writes to: what it may replace, and how the image gets there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from platefuse.errors import ConfigError, ImageError, listed
from platefuse.fusion.arguments import FusionArguments, Storage
from platefuse.fusion.contents import Contents, users_work
from platefuse.fusion.frame import Frame
from platefuse.fusion.mosaic import ImageMetadata, Mosaic, StoredPyramid
from platefuse.ngff.paths import check_outside_groups
from platefuse.records import FusedOutputRecord
from platefuse.storage.arrays import StoredArray
from platefuse.storage.files import entries, make_folder, put_in_place, system_errors
from platefuse.storage.flush import watched_writes
from platefuse.storage.made import made_alone, output_lock
from platefuse.storage.stray import is_stray
from platefuse.storage.threads import usable_cores
from platefuse.storage.typed_json import JsonObject
from platefuse.storage.writable import check_new, check_removable

if TYPE_CHECKING:
    import dask.array


def write_output(
    mosaic: Mosaic, arguments: FusionArguments, storage: Storage, omero: JsonObject | None
) -> list[tuple[Frame, dask.array.Array]]:
    """Write a mosaic to `output_zarr_url`; returns its levels, as dask arrays on disk.

    The image is written next to its place and moved there when it is complete.

    Parameters
    ----------
    mosaic : Mosaic
        The image.
    arguments : FusionArguments
        The folder, and the options for writing.
    storage : Storage
        How the image is stored.
    omero : dict or None
        Its channel metadata.

    Returns
    -------
    list of (Frame, dask array)
        For each level, finest first, its pixel grid and its pixels.

    Raises
    ------
    PlatefuseError
        If there can be no such array, or the output exists and must not be overwritten; if another
        process writes it.
    """
    what = f"fuse: output_zarr_url {str(arguments.output_zarr_url)!r} cannot be written"
    with system_errors(ImageError, what, "Check path, free space and permissions."):
        target = _target(arguments)
        metadata = ImageMetadata(target.name, {"omero": omero}, has_origin=True)
        make_folder(target.parent)
        with output_lock(target), made_alone(target.with_name(f".{target.name}.partial")) as staged:
            _check_replaceable(target, arguments)
            with watched_writes(target.parent) as writes:
                written = _write(mosaic, staged, storage, metadata, arguments)
                FusedOutputRecord(written=Contents.read(staged).written()).write(staged)
                _check_replaceable(target, arguments)  # again: fusing took a while
                put_in_place(staged, target, writes, durable=False)  # the views still exist
        paths = [target / level.path.relative_to(staged) for level in written.levels]
        return list(zip(_frames(mosaic.frame, written), map(_open_dask, paths), strict=True))


def _write(
    mosaic: Mosaic,
    path: Path,
    storage: Storage,
    metadata: ImageMetadata,
    arguments: FusionArguments,
) -> StoredPyramid:
    levels = mosaic.create(path, storage, metadata)
    threads = int(arguments.threads or usable_cores())
    options = arguments.batch_options or {}
    function = options.get("batch_func")
    if function is None:
        mosaic.write(levels, threads)
    else:
        size, kwargs = int(options.get("n_batch", 1)), options.get("batch_func_kwargs") or {}
        mosaic.write_batches(levels, function, size, kwargs, threads)
    return levels


def _frames(frame: Frame, pyramid: StoredPyramid) -> list[Frame]:
    """The pixel grid of each level."""
    n, frames = len(frame.axes), [frame]
    for factors, level in zip(pyramid.factors, pyramid.levels[1:], strict=True):
        frames.append(frames[-1].coarser(factors[-n:], level.shape[-n:]))
    return frames


def _target(arguments: FusionArguments) -> Path:
    """The folder to write to.

    Raises
    ------
    PlatefuseError
        If it cannot be one.
    """
    url = arguments.output_zarr_url
    if str(url).startswith("~"):
        raise ConfigError(
            f"fuse: output_zarr_url is {url!r}; expected the path of a folder, without ~ at its "
            "beginning."
        )
    target = Path(str(url))
    check_new(target, f"fuse: output_zarr_url {str(url)!r}", ImageError)
    if not target.name or target.name == ".." or (target.exists() and not target.is_dir()):
        raise ConfigError(f"fuse: output_zarr_url is {url!r}; expected the path of a folder.")
    try:
        target = target.resolve()  # a link stays a link
    except RuntimeError as error:
        raise ConfigError(
            f"fuse: output_zarr_url {url!r} is a link that leads to itself."
        ) from error
    if target.exists():
        check_removable(target, f"fuse: output_zarr_url {str(url)!r}", ImageError)
    check_outside_groups(target)
    return target


def _check_replaceable(target: Path, arguments: FusionArguments) -> None:
    """Check that a folder, if it exists, may be replaced and holds nothing but what `fuse` wrote.

    Raises
    ------
    ImageError
        If not.
    """
    if not target.exists():
        return
    if not (arguments.zarr_options or {}).get("overwrite", True):
        raise ImageError(
            f"{target} exists already, and zarr_options['overwrite'] is False. Remove it or "
            "choose another output_zarr_url."
        )
    record = FusedOutputRecord.read(target)
    if record is not None:
        work = users_work(target, record.written)
    else:
        work = sorted(entry.name for entry in entries(target) if not is_stray(entry.name))
    if work:
        raise ImageError(
            f"{target} exists already and holds what `fuse` did not write and what would be lost: "
            f"{listed(work)}. Move it away, or choose another output_zarr_url."
        )


def _open_dask(path: Path) -> dask.array.Array:
    import dask.array

    array: dask.array.Array = dask.array.from_zarr(StoredArray.open(path).zarr_array)
    return array
