"""New OME-Zarr groups and images, and the metadata of copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from platefuse.errors import ConfigError
from platefuse.ngff.consolidated import remove_consolidated
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import ArrayMetadata, update_attributes
from platefuse.ngff.scales import write_true_scales
from platefuse.ngff.zarr_format import METADATA_FILES, Format
from platefuse.storage.files import copy_tree, make_folder
from platefuse.storage.threads import run_coroutine
from platefuse.storage.typed_json import JsonObject

if TYPE_CHECKING:
    import numpy as np
    from numcodecs import Blosc
    from zarr.codecs import BloscCodec

BloscName = Literal["lz4", "lz4hc", "blosclz", "snappy", "zlib", "zstd"]
"""The compressors of Blosc that Zarr v3 knows."""
BLOSC_NAMES: tuple[BloscName, ...] = get_args(BloscName)
SMALLEST_LEVEL = 512
"""A new pyramid goes on until its plane is at most this many pixels wide and high."""


def write_group(group: Path, sections: Mapping[str, object], version: str) -> None:
    """Write a Zarr group with OME-NGFF attributes; an old one is replaced.

    Parameters
    ----------
    group : Path
        The group's folder.
    sections : mapping
        What NGFF 0.4 has at the top, and 0.5 under `ome`; none for a plain group.
    version : str
        Version of OME-NGFF: a key of `NGFF_FORMATS`.
    """
    kind = Format.for_ngff(version)
    kind.write_group(group, kind.ngff_attributes(sections, version))


def copy_metadata(source: Multiscale, target: Path) -> None:
    """Copy the metadata files of an image to `target`: those of its groups and arrays, no chunk."""
    folders = {Path()} | {part for p in source.paths for part in [Path(p), *Path(p).parents]}
    for folder in folders:
        copy_metadata_files(source.path / folder, target / folder)


def copy_metadata_files(source: Path, target: Path) -> None:
    """Copy the metadata files of one Zarr node, without copies of what is below it."""
    make_folder(target)
    for name in METADATA_FILES:
        if (source / name).is_file():
            copy_tree(source / name, target / name)
    remove_consolidated(target)


def level_shapes(
    shape: Sequence[int], factors: Sequence[int], levels: int
) -> list[tuple[int, ...]]:
    """Shapes of a new pyramid: ``floor(n / f)`` on every axis, never below 1.

    Examples
    --------
    >>> level_shapes((3, 5, 9), (1, 2, 2), 3)
    [(3, 5, 9), (3, 2, 4), (3, 1, 2)]
    """
    shapes = [tuple(shape)]
    while len(shapes) < levels:
        shapes.append(tuple(max(1, n // f) for n, f in zip(shapes[-1], factors, strict=True)))
    return shapes


def create_image(
    path: Path,
    *,
    name: str,
    axes: str,
    pixel_size: Sequence[float],
    shape: Sequence[int],
    dtype: np.dtype[np.generic],
    chunks: Sequence[int],
    shards: Sequence[int] | None,
    version: str,
    levels: int = 1,
    attributes: Mapping[str, object] | None = None,
    creation: Mapping[str, object] | None = None,
    origin: Sequence[float] | None = None,
    units: Mapping[str, str] | None = None,
) -> Multiscale:
    """Create the arrays and the metadata of a new image.

    Parameters
    ----------
    path : Path
        Folder of the image.
    name : str
        Its name.
    axes : str
        Its axes, in array order.
    pixel_size : sequence of float
        Pixel size on every axis: micrometres in space.
    shape : sequence of int
        Shape of the finest level.
    dtype : dtype
        Data type of the pixels.
    chunks : sequence of int
        Shape of a chunk; cut to the level's shape.
    shards : sequence of int or None
        Shape of a shard, for version 0.5.
    version : str
        ``"0.4"`` or ``"0.5"``.
    levels : int
        Number of levels at least; there are more until the plane is small.
    attributes : mapping, optional
        Further OME-NGFF attributes, such as `omero`; those that are None are left out.
    creation : mapping, optional
        Further arguments of `zarr.create_array`, such as `compressors`.
    origin : sequence of float, optional
        Position of the first pixel's centre on every axis.
    units : mapping of str to str, optional
        Units of axes that are not in space.

    Returns
    -------
    Multiscale
        The new image.
    """
    from zarr.api.asynchronous import create_array

    factors = tuple(2 if a in "yx" else 1 for a in axes)
    shapes = _shapes_until_small(shape, factors, levels)
    scales = _scales(shapes, factors)
    kind = Format.for_ngff(version)
    entry = multiscales_metadata(name, axes, pixel_size, scales, origin=origin, units=units)
    entry = kind.ngff_section(entry, version)
    further = {k: v for k, v in (attributes or {}).items() if v is not None}
    write_group(path, {"multiscales": [entry], **further}, version)
    for level, level_shape in enumerate(shapes):
        chunk, shard = fit_chunks(chunks, shards, level_shape)
        arguments: dict[str, Any] = {  # `creation` may hold any of zarr's
            "dtype": dtype.newbyteorder("="),
            "chunks": chunk,
            "shards": shard,
            "compressors": blosc(kind),
            "fill_value": 0,
            "chunk_key_encoding": kind.chunk_keys,
            "dimension_names": list(axes) if kind.names_axes else None,
            **(creation or {}),
        }
        run_coroutine(
            create_array(path / str(level), shape=level_shape, zarr_format=kind.number, **arguments)
        )
    return Multiscale.read(path)


def _shapes_until_small(
    shape: Sequence[int], factors: Sequence[int], at_least: int
) -> list[tuple[int, ...]]:
    shapes = level_shapes(shape, factors, at_least)
    while max(shapes[-1][-2:]) > SMALLEST_LEVEL:
        shapes = level_shapes(shape, factors, len(shapes) + 1)
    return shapes


def _scales(shapes: Sequence[Sequence[int]], factors: Sequence[int]) -> list[list[int]]:
    """How many pixels of the finest level a pixel of each level covers, on every axis."""
    scales = [[1] * len(factors)]
    for shape in shapes[:-1]:
        steps = zip(scales[-1], factors, shape, strict=True)
        scales.append([s * f if n > 1 else s for s, f, n in steps])  # one pixel stays one pixel
    return scales


def derive_pyramid(source: Multiscale, target: Path, levels: int, coarsening_xy: int) -> Multiscale:
    """Write the metadata of an image like `source` to `target`, perhaps with other levels.

    Parameters
    ----------
    source : Multiscale
        The image whose shape, chunks, codecs and attributes the new one has.
    target : Path
        Folder of the new image.
    levels : int
        Number of levels.
    coarsening_xy : int
        Factor between levels in y and x.

    Raises
    ------
    ConfigError
        If there can be no such pyramid. Nothing is written then.
    """
    options: dict[str, object] = {"num_levels": levels, "coarsening_xy": coarsening_xy}
    for name, value in options.items():
        if not isinstance(value, Integral) or value < 1:
            raise ConfigError(f"{name} is {value!r}; expected a whole number of at least 1.")
    axes = source.axes
    factors = tuple(coarsening_xy if a in "yx" else 1 for a in axes)
    if levels == len(source.paths) and all(f == factors for f in source.factors):
        copy_metadata(source, target)
        write_true_scales(source, target)
        return source.at(target)
    copy_metadata_files(source.path, target)
    paths = [source.paths[k] if k < len(source.paths) else str(k) for k in range(levels)]
    datasets = []
    for level, (path, shape) in enumerate(
        zip(paths, level_shapes(source.shapes[0], factors, levels), strict=True)
    ):
        copy_metadata_files(source.path / source.paths[0], target / path)
        source.levels[0].write_resized(target / path, shape)
        scale = [s * f**level for s, f in zip(source.scales[0], factors, strict=True)]
        transforms = [{"type": "scale", "scale": scale}]
        datasets.append({"path": path, "coordinateTransformations": transforms})
    entry = {k: v for k, v in source.metadata.items() if k != "coordinateTransformations"}
    update_attributes(target, {"multiscales": [{**entry, "datasets": datasets}]})
    return Multiscale.read(target)


def compressor_like(array: ArrayMetadata, kind: Format) -> BloscCodec | Blosc:
    """A Blosc compressor like that of an array, for arrays of a Zarr format.

    LZ4 with shuffling, which takes the least time, if the array has no Blosc compressor.
    """
    name, level = array.blosc.get("cname"), array.blosc.get("clevel")
    cname: BloscName = next((known for known in BLOSC_NAMES if known == name), "lz4")
    return blosc(kind, cname, int(level) if isinstance(level, int | float) else 5)


def blosc(kind: Format, cname: BloscName = "lz4", level: int = 5) -> BloscCodec | Blosc:
    """Blosc with byte shuffling, as the class that arrays of a Zarr format need."""
    if kind.number == 3:
        from zarr.codecs import BloscCodec

        return BloscCodec(cname=cname, clevel=level, shuffle="shuffle")
    from numcodecs import Blosc

    return Blosc(cname=cname, clevel=level, shuffle=Blosc.SHUFFLE)


def fit_chunks(
    chunks: Sequence[int], shards: Sequence[int] | None, shape: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Chunk and shard of a level: no larger than its shape needs, shards of whole chunks."""
    chunk = tuple(min(c, n) for c, n in zip(chunks, shape, strict=True))
    if shards is None:
        return chunk, None
    return chunk, tuple(
        max(1, min(s, n + c - 1) // c) * c for s, c, n in zip(shards, chunk, shape, strict=True)
    )


def multiscales_metadata(
    name: str,
    axes: str,
    pixel_size: Sequence[float],
    covered: Sequence[Sequence[int]],
    *,
    origin: Sequence[float] | None = None,
    units: Mapping[str, str] | None = None,
) -> JsonObject:
    """The entry of `multiscales` for a new image with levels ``"0"``, ``"1"`` and so on.

    Parameters
    ----------
    name : str
        Name of the image.
    axes : str
        Its axes, in array order.
    pixel_size : sequence of float
        Pixel size on every axis: micrometres in space.
    covered : sequence of sequences of int
        For each level, how many pixels of the finest level one of its pixels covers, on every axis.
    origin : sequence of float, optional
        Position of the first pixel's centre on every axis; written if given.
    units : mapping of str to str, optional
        Units of axes that are not in space.
    """
    datasets = []
    for level, sizes in enumerate(covered):
        scale = [s * g for s, g in zip(pixel_size, sizes, strict=True)]
        transforms: list[JsonObject] = [{"type": "scale", "scale": scale}]
        if origin is not None:
            centre = [
                o + (g - 1) / 2 * s for o, g, s in zip(origin, sizes, pixel_size, strict=True)
            ]
            transforms.append({"type": "translation", "translation": centre})
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    described = [_axis(a, (units or {}).get(a)) for a in axes]
    return {"name": name, "axes": described, "datasets": datasets}


def _axis(name: str, unit: str | None) -> dict[str, str]:
    if name in "tc":
        return {
            "name": name,
            "type": "time" if name == "t" else "channel",
            **({"unit": unit} if unit else {}),
        }
    return {"name": name, "type": "space", "unit": "micrometer"}
