"""The fields of a well as they are measured: one channel of each, with its pyramid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from platefuse.engine.sources import ChunkStore
from platefuse.errors import ImageError
from platefuse.fusion.fields.layers import FieldImage, Layer
from platefuse.geometry import Box, Pixels, grid_box, grid_indices
from platefuse.measuring.decoded_chunks import DecodedChunks
from platefuse.measuring.model import FieldKey, StageField, Vector
from platefuse.measuring.pair.levels import Crop, Levels
from platefuse.ngff.channels import channel_names
from platefuse.ngff.image import Multiscale
from platefuse.storage.arrays import StoredArray


class ChunkedArray:
    """An array that is sliced, and decodes whole chunks, of which the last are kept.

    Parameters
    ----------
    array : ChunkStore
        The array.
    chunks : DecodedChunks
        Keeps the chunks of all arrays that are read together.
    """

    def __init__(self, array: ChunkStore, chunks: DecodedChunks) -> None:
        self.shape, self.dtype, self.chunks = array.shape, array.dtype, array.chunk
        self._array, self._decoded = array, chunks

    def __getitem__(self, key: tuple[int | slice, ...]) -> Pixels:
        whole = [
            slice(k, k + 1) if isinstance(k, int) else slice(*k.indices(n)[:2])
            for k, n in zip(key, self.shape, strict=True)
        ]
        box = Box(tuple(s.start for s in whole), tuple(max(s.start, s.stop) for s in whole))
        out = np.zeros(box.shape, self.dtype.newbyteorder("="))
        for index in grid_indices(box, self.chunks):
            chunk = grid_box(index, self.chunks, self.shape)
            part = chunk & box
            if not part.empty and not self._array.is_empty(index):
                pixels = self._decoded.of(self._array, chunk)
                out[part.shifted([-a for a in box.start]).slices] = pixels[
                    part.shifted([-a for a in chunk.start]).slices
                ]
        return out[tuple(0 if isinstance(k, int) else slice(None) for k in key)]


class LazyArray:
    """A `ChunkedArray` that is opened when it is first read: a level may never be.

    Parameters
    ----------
    path : Path
        The array.
    shape : tuple of int
        Its shape.
    chunks : DecodedChunks
        Keeps the chunks of all arrays that are read together.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], chunks: DecodedChunks) -> None:
        self.shape = shape
        self._path, self._decoded = path, chunks

    @cached_property
    def _opened(self) -> ChunkedArray:
        return ChunkedArray(StoredArray.open(self._path), self._decoded)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels."""
        return self._opened.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk."""
        return self._opened.chunks

    def __getitem__(self, key: tuple[int | slice, ...]) -> Pixels:
        return self._opened[key]


def lazy_levels(image: Multiscale, chunks: DecodedChunks) -> list[LazyArray]:
    """The levels of an image, the finest first."""
    pairs = zip(image.level_paths, image.shapes, strict=True)
    return [LazyArray(path, shape, chunks) for path, shape in pairs]


@dataclass(frozen=True)
class FieldPixels:
    """A field with the pixels by which it is measured.

    Attributes
    ----------
    field : StageField
        Where the stage had it.
    levels : tuple of Crop
        One channel and time point at all levels that fit the field, the finest first.
    """

    field: StageField
    levels: tuple[Crop, ...]

    @cached_property
    def image(self) -> Levels:
        """The same as an image with its pyramid."""
        return Levels(self.levels, "field's")


def read_fields(
    layers: Sequence[Layer], well: str, channel: str | None, chunks: DecodedChunks
) -> list[FieldPixels]:
    """The fields of all acquisitions of a well. No pixels are read yet.

    Parameters
    ----------
    layers : sequence of Layer
        The acquisitions.
    well : str
        Name of the well.
    channel : str or None
        Label or wavelength of the channel to measure by; None: the first that all acquisitions
        have.
    chunks : DecodedChunks
        Keeps the chunks of all arrays that are read together.

    Raises
    ------
    ImageError
        If an acquisition lacks the channel.
    """
    return fields_in(layers, well, choose_channel(layers, channel) if layers else [], chunks)


def fields_in(
    layers: Sequence[Layer], well: str, chosen: Sequence[int], chunks: DecodedChunks
) -> list[FieldPixels]:
    """The fields of acquisitions, each by the channel with a given index; see `read_fields`."""
    return [
        FieldPixels(stage, levels)
        for layer, index in zip(layers, chosen, strict=True)
        for part in layer.images
        for stage, levels in _fields_of(part, layer, well, index, chunks)
    ]


def choose_channel(layers: Sequence[Layer], channel: str | None) -> list[int]:
    """The index of the channel to measure by in each acquisition.

    Raises
    ------
    ImageError
        If an acquisition lacks the channel that is asked for, or they have none in common.
    """
    names = [channel_names(layer.described) for layer in layers]
    if channel is not None:
        for layer, own in zip(layers, names, strict=True):
            if channel not in own:
                raise ImageError(
                    f"{layer.image.path}: no channel is named {channel!r}; its channels are "
                    f"{sorted(own)}. Name a label or wavelength_id that all acquisitions have "
                    "under registration.measure.channel, or null."
                )
        return [own[channel] for own in names]
    if not all(names):
        return [0] * len(layers)  # without names, channels are known by their order
    for name in names[0]:
        if all(name in own for own in names):
            return [own[name] for own in names]
    raise ImageError(
        f"{layers[0].image.path}: its acquisitions have no channel in common: "
        f"{[sorted(own) for own in names]}. Shifts are measured in one channel of all: correct "
        "the names in `omero`, or image one channel in all acquisitions."
    )


def _fields_of(
    part: FieldImage, layer: Layer, well: str, channel: int, chunks: DecodedChunks
) -> Iterator[tuple[StageField, tuple[Crop, ...]]]:
    image, number = part.image, layer.acquisition or 0
    paths = image.level_paths[: 1 + len(level_factors(image))]
    arrays = [ChunkedArray(StoredArray.open(path), chunks) for path in paths]
    leading = tuple(channel if axis == "c" else 0 for axis in image.axes if axis not in "zyx")
    for each in part.fields:
        box = each.box(image, image)
        if box.empty:
            continue
        start = zip(each.shift_um(image), box.start, image.pixel_size_um.values(), strict=True)
        planes, height, width = map(int, _on_zyx(image, box.shape, 1.0))
        stage = StageField(
            FieldKey(well, number, part.name, each.name),
            _on_zyx(image, [shift + a * um for shift, a, um in start], 0.0),
            (planes, height, width),
            _on_zyx(image, list(image.pixel_size_um.values()), 1.0),
        )
        crops = [
            Crop(array, inner, leading)
            for level, array in enumerate(arrays)
            if (inner := _at_level(image, box, level)) is not None
        ]
        yield stage, tuple(crops)


def level_factors(image: Multiscale) -> tuple[tuple[int, ...], ...]:
    """Factors from each level of an image to the next; none if they do not group whole pixels."""
    try:
        return image.factors
    except ImageError:  # level 0 alone serves as well
        return ()


def _at_level(image: Multiscale, box: Box, level: int) -> Box | None:
    """A box of level 0 at another level; None if it does not begin at a whole pixel there."""
    lead = len(image.axes) - len(image.spatial)
    factors = np.ones(len(image.spatial), int)
    for step in level_factors(image)[:level]:
        factors *= np.array(step[lead:])
    shape = image.shapes[level][lead:]
    start, stop = [], []
    for a, b, factor, length in zip(box.start, box.stop, factors.tolist(), shape, strict=True):
        if a % factor or min(b // factor, length) <= a // factor:
            return None
        start.append(a // factor)
        stop.append(min(b // factor, length))
    return Box(tuple(start), tuple(stop))


def _on_zyx(image: Multiscale, values: Sequence[Any], default: float) -> Vector:
    """Values on the axes in space of an image, on z, y, x."""
    by_axis = dict(zip(image.spatial, map(float, values), strict=True))
    return by_axis.get("z", default), by_axis["y"], by_axis["x"]
