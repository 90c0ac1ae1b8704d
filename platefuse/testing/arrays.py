"""Write the arrays of a multiscale image, all levels in one pass over its planes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from platefuse.testing.spec import PlateSpec

if TYPE_CHECKING:
    import zarr
    from numcodecs.abc import Codec as NumcodecsCodec
    from zarr.abc.codec import BytesBytesCodec
    from zarr.types import AnyArray

Array = NDArray[Any]
"""Pixels of any data type."""
Plane = Callable[[Mapping[str, int]], Array]


@dataclass(frozen=True)
class Pyramid:
    """The arrays of one image or label.

    Attributes
    ----------
    spec : PlateSpec
        The plate.
    axes : str
        Axes of the arrays.
    dtype : str
        Data type of the arrays.
    is_label : bool
        Whether coarser levels pick an id instead of the mean.
    """

    spec: PlateSpec
    axes: str
    dtype: str
    is_label: bool

    @property
    def factors(self) -> tuple[int, ...]:
        """Factor of every axis from one level to the next."""
        of = {
            "z": self.spec.coarsening_z,
            "y": self.spec.coarsening_xy,
            "x": self.spec.coarsening_xy,
        }
        return tuple(of.get(axis, 1) for axis in self.axes)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of every level."""
        shapes = [tuple(self.spec.lengths[axis] for axis in self.axes)]
        for _ in range(1, self.spec.levels):
            lengths = zip(shapes[-1], self.factors, strict=True)
            shapes.append(tuple(self._coarser(n, factor) for n, factor in lengths))
        return tuple(shapes)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk."""
        return self._trailing(self.spec.chunks or self.spec.field_shape)

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Shape of a shard, None without shards."""
        return self._trailing(self.spec.shards) if self.spec.shards else None

    def create(self, group: zarr.Group) -> list[AnyArray]:
        """Create the empty arrays of all levels in a Zarr group."""
        return [
            group.create_array(
                name=str(level),
                shape=shape,
                dtype=self.dtype,
                chunks=self._chunks_of(shape),
                shards=self.shards,
                fill_value=0 if self.is_label else self.spec.fill_value,
                **_encoding(self.spec, self.axes),
            )
            for level, shape in enumerate(self.shapes)
        ]

    def write(self, arrays: list[AnyArray], plane: Plane) -> None:
        """Fill the arrays.

        Parameters
        ----------
        arrays : list of zarr.Array
            The arrays that `create` returned.
        plane : callable
            Returns the plane (y, x) at given indices along the other axes.
        """
        for block in self._blocks():
            shape = tuple(len(indices) for indices in block) + self.shapes[0][-2:]
            pixels = np.empty(shape, self.dtype)
            for position in itertools.product(*(range(n) for n in shape[:-2])):
                at = [indices[i] for indices, i in zip(block, position, strict=True)]
                pixels[position] = plane(dict(zip(self.axes[:-2], at, strict=True)))
            self._write_block(arrays, tuple(indices.start for indices in block), pixels)

    def coarsen(self, pixels: Array, shape: tuple[int, ...]) -> Array:
        """A coarser level: the mean of every block, rounded; for labels its first pixel.

        Parameters
        ----------
        pixels : ndarray
            The finer level.
        shape : tuple of int
            Shape of the coarser one.

        Returns
        -------
        ndarray of the same dtype
        """
        if self.is_label:
            step = tuple(slice(None, None, factor) for factor in self.factors)
            return pixels[step][tuple(slice(n) for n in shape)]
        mean: Array = pixels
        for axis, (factor, length) in enumerate(zip(self.factors, shape, strict=True)):
            if factor > 1:
                mean = _mean_along(mean, axis, factor, length)
        if np.dtype(self.dtype).kind != "f":
            mean = np.rint(mean)
        return mean.astype(self.dtype)

    def _write_block(self, arrays: list[AnyArray], start: tuple[int, ...], pixels: Array) -> None:
        for level, array in enumerate(arrays):
            if level:
                pixels = self.coarsen(pixels, self._block_shape(pixels.shape, level))
            # A leading axis that is coarsened is whole in each block: `start` fits all levels.
            corner = (*start, 0, 0)
            spans = zip(corner, pixels.shape, strict=True)
            array[tuple(slice(first, first + n) for first, n in spans)] = pixels

    def _block_shape(self, finer: tuple[int, ...], level: int) -> tuple[int, ...]:
        lengths = zip(finer, self.shapes[level], self.factors, self.axes, strict=True)
        return tuple(n if axis in "yx" or factor > 1 else same for same, n, factor, axis in lengths)

    def _blocks(self) -> Iterator[tuple[range, ...]]:
        """Ranges along the leading axes that hold whole chunks, one block after the other."""
        lengths = self.shapes[0][:-2]
        steps = list((self.shards or self.chunks)[:-2])
        if "z" in self.axes and self.spec.coarsening_z > 1:
            steps[-1] = lengths[-1]
        starts = (range(0, n, step) for n, step in zip(lengths, steps, strict=True))
        for corner in itertools.product(*starts):
            ends = zip(corner, steps, lengths, strict=True)
            yield tuple(range(first, min(first + step, n)) for first, step, n in ends)

    def _coarser(self, length: int, factor: int) -> int:
        ceiling = self.spec.level_rounding == "ceil"
        return max(1, -(-length // factor) if ceiling else length // factor)

    def _trailing(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        trailing = lengths[-len(self.axes) :]
        return (1,) * (len(self.axes) - len(trailing)) + trailing

    def _chunks_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.shards:
            return self.chunks
        return tuple(min(chunk, n) for chunk, n in zip(self.chunks, shape, strict=True))


def _mean_along(pixels: Array, axis: int, factor: int, length: int) -> Array:
    """Mean of every `factor` neighbours along an axis; the last group may have fewer pixels."""
    moved = np.moveaxis(pixels, axis, 0)
    total = np.zeros((length, *moved.shape[1:]), np.float64 if pixels.itemsize > 4 else np.float32)
    count = np.zeros(length, total.dtype)
    for offset in range(factor):
        part = moved[offset::factor][:length]
        total[: len(part)] += part
        count[: len(part)] += 1
    total /= count.reshape(-1, *(1,) * (total.ndim - 1))
    return np.moveaxis(total, 0, axis)


def _encoding(spec: PlateSpec, axes: str) -> dict[str, Any]:
    if spec.ngff_version == "0.4":
        return {
            "compressors": _numcodecs_compressor(spec.compressor),
            "chunk_key_encoding": {"name": "v2", "separator": spec.separator},
            "order": spec.order,
        }
    return {
        "dimension_names": list(axes),
        "compressors": _zarr_compressor(spec.compressor),
        "chunk_key_encoding": {"name": "default", "separator": spec.separator},
    }


def _numcodecs_compressor(name: str) -> NumcodecsCodec | None:
    import numcodecs

    if name.startswith("blosc-"):
        return numcodecs.Blosc(cname=name.removeprefix("blosc-"), clevel=5, shuffle=1)
    return {"zstd": numcodecs.Zstd(level=3), "gzip": numcodecs.GZip(level=1), "none": None}[name]


def _zarr_compressor(name: str) -> BytesBytesCodec | None:
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    if name == "blosc-lz4":
        return BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
    if name == "blosc-zstd":
        return BloscCodec(cname="zstd", clevel=5, shuffle="shuffle")
    return {"zstd": ZstdCodec(level=3), "gzip": GzipCodec(level=1), "none": None}[name]
