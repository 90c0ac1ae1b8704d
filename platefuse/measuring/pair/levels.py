"""Images as the pair measure reads them: any array that can be sliced, or a pyramid of such arrays.

Conventions: level k is smaller than level 0 by whole factors, and its first pixel begins where the
first pixel of level 0 begins. A position ``p`` of level 0, counted from the corner of the first
pixel, is then ``p / factor`` in the level, and so is a difference of positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from platefuse.errors import ImageError, one_line
from platefuse.geometry import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STRIP_ROWS = 512
"""Rows that are read at once when an image without a pyramid is made smaller."""


@dataclass(frozen=True)
class Crop:
    """A box of a larger array, read only when it is sliced.

    Attributes
    ----------
    array : array-like
        What is sliced: NumPy, Zarr, Dask or h5py.
    box : Box
        The pixels that the crop consists of, on the last axes of `array`.
    leading : tuple of int
        Indices on the axes before, for example time and channel.

    Examples
    --------
    >>> crop = Crop(np.arange(24).reshape(2, 3, 4), Box((1, 1), (3, 4)), leading=(1,))
    >>> crop.shape, crop[0:1, 1:3].tolist()
    ((2, 3), [[18, 19]])
    """

    array: Any
    box: Box
    leading: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels on the axes of the box."""
        return self.box.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Chunks of the array on the axes of the box, if it has any."""
        chunks = getattr(self.array, "chunks", None)
        return tuple(chunks[-len(self.shape) :]) if chunks else None

    def __getitem__(self, key: Any) -> NDArray[Any]:
        keys = key if isinstance(key, tuple) else (key,)
        keys += (slice(None),) * (len(self.shape) - len(keys))
        places = zip(keys, self.box.start, self.shape, strict=True)
        inner = tuple(_moved(k, start, length) for k, start, length in places)
        return np.asarray(self.array[(*self.leading, *inner)])


def _moved(key: Any, start: int, length: int) -> slice | int:
    """An index or slice of a crop, in the array."""
    if isinstance(key, slice):
        first, stop, _ = key.indices(length)
        return slice(start + first, start + max(first, stop))
    return int(start + range(length)[key])


@dataclass(frozen=True, eq=False)
class Levels:
    """An image with its pyramid. Two of them are equal if they are the same object.

    Attributes
    ----------
    arrays : tuple of array-like
        All levels, the finest first; axes yx or zyx. Levels with fewer planes than the finest are
        not read.
    name : str
        What error messages call it.

    Raises
    ------
    ImageError
        If there is no level, or one is empty, has other axes, or holds no numbers.
    """

    arrays: tuple[Any, ...]
    name: str

    def __post_init__(self) -> None:
        if not self.arrays:
            raise ImageError(f"The {self.name} image has no levels: give one array at least.")
        for array in self.arrays:
            shape = tuple(array.shape)
            if len(shape) not in (2, 3) or not all(shape):
                raise ImageError(
                    f"The {self.name} image has shape {shape}; expected two axes (y, x) or three "
                    "(z, y, x), none of them empty. Choose a channel and a time point first."
                )
            if np.dtype(array.dtype).kind not in "iuf":
                raise ImageError(
                    f"The {self.name} image has data type {array.dtype}; expected integers or "
                    "floating-point numbers."
                )

    @classmethod
    def of(cls, image: Any, name: str) -> Levels:
        """Levels of what a caller passes: one array, a list or tuple of arrays, or levels.

        Raises
        ------
        ImageError
            If it is none of these, or not an image: see the class.
        """
        if isinstance(image, Levels):
            return image
        if isinstance(image, Sequence) and all(hasattr(level, "shape") for level in image):
            return cls(tuple(image), name)
        if hasattr(image, "shape"):
            return cls((image,), name)
        try:  # numbers in lists are one image
            pixels = np.asarray(image)
        except ValueError as error:
            raise ImageError(
                f"The {name} image is no array: {one_line(error)} Expected an array with axes y, x "
                "or z, y, x, or a list of arrays, level 0 first."
            ) from error
        return cls((pixels,), name)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Pixels (y, x) of level 0."""
        height, width = self.arrays[0].shape[-2:]
        return int(height), int(width)

    @property
    def planes(self) -> int:
        """Number of planes; 1 for an image with two axes."""
        return int(self.arrays[0].shape[0]) if len(self.arrays[0].shape) == 3 else 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels."""
        dtype: np.dtype[Any] = np.dtype(self.arrays[0].dtype)
        return dtype

    @cached_property
    def _factors(self) -> list[int]:
        """How much smaller each level is; 0 if it cannot be used."""
        return [self.factor(level) or 0 for level in range(len(self.arrays))]

    def factor(self, level: int) -> int | None:
        """How much smaller a level is; None if it differs between y and x or planes are missing."""
        array = self.arrays[level]
        if self.planes > 1 and array.shape[0] != self.planes:
            return None
        ratios = [round(n / m) for n, m in zip(self.shape, array.shape[-2:], strict=True)]
        sizes = self._sizes(array, ratios)
        fits = all(r and (n // r == m or -(-n // r) == m) for n, m, r in sizes)
        return ratios[0] if fits and ratios[0] == ratios[1] else None

    def _sizes(self, array: Any, ratios: Sequence[int]) -> list[tuple[int, int, int]]:
        return list(zip(self.shape, array.shape[-2:], ratios, strict=True))

    def read(self, box: Box, plane: int = 0, factor: int = 1) -> NDArray[Any]:
        """One plane of a box, smaller by `factor`.

        Parameters
        ----------
        box : Box
            Pixels (y, x) of level 0; its start is a multiple of `factor`.
        plane : int
            Index on z.
        factor : int
            How much smaller. The coarsest level that serves is read, and averaged if it is finer.

        Returns
        -------
        ndarray, shape `box.shape` divided by `factor`, rounded down
            The pixels as they are for `factor` 1, else float32.
        """
        best = max(f for f in self._factors if f and factor % f == 0)
        array = self.arrays[self._factors.index(best)]
        limits = [n // best for n in self.shape]
        start = [a // best for a in box.start]
        stop = [min(b // best, n) for b, n in zip(box.stop, limits, strict=True)]
        rest = factor // best
        if rest == 1:
            pixels = _slice(array, plane, start, stop)
            return pixels if factor == 1 else pixels.astype(np.float32)
        return _averaged(array, plane, start, stop, rest)


def _slice(array: Any, plane: int, start: Sequence[int], stop: Sequence[int]) -> NDArray[Any]:
    inner = tuple(slice(a, max(a, b)) for a, b in zip(start, stop, strict=True))
    return np.asarray(array[inner] if len(array.shape) == 2 else array[(plane, *inner)])


def _averaged(
    array: Any, plane: int, start: Sequence[int], stop: Sequence[int], factor: int
) -> NDArray[np.float32]:
    """Mean of squares of pixels, read strip by strip: by whole chunks if the array has chunks."""
    height, width = ((b - a) // factor for a, b in zip(start, stop, strict=True))
    chunks = getattr(array, "chunks", None)
    rows = max(_STRIP_ROWS, int(chunks[-2]) if chunks else 0) // factor
    result = np.empty((max(0, height), max(0, width)), np.float32)
    for first in range(0, height, rows):
        last = min(height, first + rows)
        corner = [start[0] + first * factor, start[1]]
        end = [start[0] + last * factor, start[1] + width * factor]
        strip = _slice(array, plane, corner, end).astype(np.float32, copy=False)
        tall = strip.reshape(last - first, factor, width * factor).sum(axis=1)
        result[first:last] = sum(tall[:, k::factor] for k in range(factor))
    result /= np.float32(factor**2)
    return result
