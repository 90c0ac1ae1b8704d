"""Sizes of what is stored in a well, read from JSON only, because jobs are planned with them.

An image that cannot be read counts as empty, because the preflight or the job itself reports what
is wrong with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from math import prod
from pathlib import Path
from typing import NamedTuple

from platefuse.errors import PlatefuseError
from platefuse.ngff.labels import label_names
from platefuse.ngff.metadata import ArrayMetadata, read_attributes
from platefuse.ngff.multiscales import axes_of, dataset_path, datasets_of, first_entry
from platefuse.ngff.paths import inside
from platefuse.ngff.tables.table import is_standard_name
from platefuse.ngff.well import Well, WellImage
from platefuse.storage.files import subfolders
from platefuse.storage.once import reading_once

_UNREADABLE = (PlatefuseError, OSError, LookupError, TypeError, ValueError)


class Size(NamedTuple):
    """Size of full-resolution data before compression, in bytes.

    Attributes
    ----------
    total : float
        Of all pixels.
    chunk, pixel : float
        Of the largest chunk and of the largest pixel. A shard counts as one chunk: it is decoded
        as a whole.
    area : float
        Of one plane of one channel.
    plane : float
        Of the chunks that are decoded to see one plane of one channel: they may have more planes.
    stack : float
        Of the chunks that are decoded to see all planes of one channel.
    coarse : float
        As `plane`, at the coarsest level.
    """

    total: float = 0
    chunk: float = 0
    pixel: float = 0
    area: float = 0
    plane: float = 0
    stack: float = 0
    coarse: float = 0

    @classmethod
    def of_array(cls, array: ArrayMetadata, axes: str, levels: int = 1) -> Size:
        """Size of an array with these axes, of an image with so many levels; y, x are the last."""
        pixel, shape, shard = array.itemsize, array.shape, array.shard
        whole = {a: -(-n // s) * s for a, n, s in zip(axes, shape, shard, strict=True)}
        chunk = prod(shard) * pixel
        plane = chunk * (whole["y"] // shard[-2]) * (whole["x"] // shard[-1])
        depth = whole["z"] // shard[axes.index("z")] if "z" in axes else 1
        total, area = prod(shape) * pixel, prod(shape[-2:]) * pixel
        return cls(total, chunk, pixel, area, plane, plane * depth, plane / 4 ** (levels - 1))

    @classmethod
    def joined(cls, sizes: Iterable[Size]) -> Size:
        """Size of several images: the sum of all pixels, the largest of everything else."""
        total, *most = zip(*(tuple(sizes) or (cls(),)), strict=True)
        return cls(sum(total), *map(max, most))


@cache
def image_size(folder: Path) -> Size:
    """Size of the full-resolution level of an image; nothing if it cannot be read."""
    try:
        entry = first_entry(folder, read_attributes(folder))
        axes, _ = axes_of(folder, entry.get("axes"))
        datasets = datasets_of(folder, entry)
        finest = folder / dataset_path(folder, datasets[0])
        return Size.of_array(ArrayMetadata.read(finest), axes, len(datasets))
    except _UNREADABLE:
        return Size()


@cache
def labels_size(folder: Path) -> Size:
    """Size of all labels of an image; nothing if they cannot be read."""
    try:
        with reading_once():  # what tells a label from a group of labels has its size, too
            return Size.joined(image_size(folder / "labels" / name) for name in label_names(folder))
    except _UNREADABLE:
        return Size()


@cache
def work_size(well: Well, image: str | None = None) -> Size:
    """Size of an image of a well, or of all of its images together, without labels."""
    return Size.joined(image_size(folder) for folder in _folders(well, image))


@cache
def labels_of(well: Well, image: str | None = None) -> Size:
    """Size of the labels of an image of a well, or of all of its images together."""
    return Size.joined(labels_size(folder) for folder in _folders(well, image))


@cache
def acquisitions_of(well: Well) -> tuple[tuple[Size, ...], ...]:
    """The sizes of the images of each acquisition of a well."""
    by_number: dict[int, list[Size]] = {}
    for image in well.images:
        folder = _folder(image)
        by_number.setdefault(image.number, []).append(image_size(folder) if folder else Size())
    return tuple(map(tuple, by_number.values()))


@cache
def fields_of(well: Well, tile_table: str) -> int:
    """Most fields that an acquisition of a well has: its images, or the rows of its tile table.

    A table whose length is not written in JSON counts as one field for each chunk of a plane, as
    converters write them.
    """
    images = max(Counter(image.number for image in well.images).values(), default=0)
    folder = next(iter(_folders(well, well.images[0].name)), None) if well.images else None
    if folder is None or not (folder / "tables" / tile_table).is_dir():
        return images
    size = image_size(folder)
    return max(
        images, _rows(folder / "tables" / tile_table) or round(size.plane / (size.chunk or 1))
    )


@cache
def has_own_tables(well: Well, known: tuple[str, ...]) -> bool:
    """Whether an image of a well has tables that are neither of these nor of a standard name.

    Each folder counts as a table, because a look into all of them takes long for a whole plate.
    """
    return any(
        not is_standard_name(name) and name not in known and not name.startswith(".")
        for folder in _folders(well, None)
        for name in _folders_of_tables(folder)
    )


def _folders_of_tables(image: Path) -> list[str]:
    try:
        return subfolders(image / "tables")
    except OSError:
        return []


def _rows(table: Path) -> int | None:
    """Number of rows of an AnnData table."""
    try:
        return int(ArrayMetadata.read(table / "X").shape[0])
    except _UNREADABLE:
        return None


def _folders(well: Well, image: str | None) -> list[Path]:
    images = well.images if image is None else [well.image(image)]
    return [folder for each in images if (folder := _folder(each)) is not None]


@cache
def _folder(image: WellImage) -> Path | None:
    """Folder of an image; None if a link leads out of the plate."""
    try:
        return inside(image.live, image.well.plate)
    except (PlatefuseError, OSError):
        return None
