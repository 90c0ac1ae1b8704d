"""Read flat-field profiles: images of one plane, from TIFF or OME-Zarr."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from platefuse.errors import ConfigError, PlatefuseError
from platefuse.geometry import Box
from platefuse.ngff.image import Multiscale
from platefuse.storage.arrays import StoredArray

Role = Literal["flat", "dark"]
_Plane = NDArray[Any]

_FORMATS = "a TIFF file or the folder of an OME-Zarr image, with one plane (y, x)"
_NORMAL = (0.1, 10.0)
"""Range of the mean of a flat that was normalised, to a mean or a maximum of 1."""

_LEAST = 1e-6
"""Least value of a normalised flat. Pixels divided by less are noise, or infinite as float32."""


@dataclass(frozen=True)
class Summary:
    """What is known of a profile without its pixels.

    Attributes
    ----------
    shape : tuple of int
        Its shape: y, x.
    sha256 : str
        Digest of its pixels.
    least : float
        The lowest of its pixels.
    """

    shape: tuple[int, ...]
    sha256: str
    least: float


def summary(path: Path, role: Role, name: str) -> Summary:
    """Shape, digest and lowest pixel of a profile, which is checked.

    Parameters
    ----------
    path : Path
        The file, or the folder of the OME-Zarr image.
    role : str
        ``flat`` or ``dark``.
    name : str
        Key of the config, for messages.

    Raises
    ------
    ConfigError
        If it is missing or cannot be used.
    """
    return _summary(path, role, name, _stamp(path, name))


def pixels(path: Path, role: Role, name: str) -> _Plane:
    """The pixels of a profile: see `summary`. A flat of integers is divided by its maximum."""
    return _pixels(path, role, name, _stamp(path, name))


@lru_cache(maxsize=256)
def _summary(path: Path, role: Role, name: str, _: object) -> Summary:
    plane = _read(path, role, name)
    total = hashlib.sha256(f"{plane.dtype.str} {plane.shape}".encode())
    total.update(np.ascontiguousarray(plane).data)
    return Summary(plane.shape, total.hexdigest(), float(plane.min()))


@lru_cache(maxsize=8)  # the images of a well have few channels
def _pixels(path: Path, role: Role, name: str, _: object) -> _Plane:
    return _read(path, role, name)


def _stamp(path: Path, name: str) -> tuple[tuple[int, int], ...]:
    """Changes when a profile does: time of the last change and bytes of each of its files."""
    if not path.exists():
        raise ConfigError(f"{name}, {path}: not found. Expected {_FORMATS}. Correct the path.")
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return tuple((stat.st_mtime_ns, stat.st_size) for stat in map(Path.stat, files))


def _read(path: Path, role: Role, name: str) -> _Plane:
    """The pixels of a profile, in native byte order."""
    try:
        plane = _read_zarr(path) if path.is_dir() else _read_tiff(path)
    except Exception as error:  # codecs and readers raise errors of any class
        hint = "" if isinstance(error, PlatefuseError) else f" ({type(error).__name__})"
        raise ConfigError(
            f"{name}, {path}: cannot be read: {str(error).rstrip('.')}{hint}. Expected {_FORMATS}. "
            "Write it again, without compression."
        ) from error
    while plane.ndim > 2 and plane.shape[0] == 1:
        plane = plane[0]
    if plane.ndim != 2 or plane.dtype.kind not in "iuf":
        raise ConfigError(
            f"{name}, {path}: has the shape {plane.shape} and the data type {plane.dtype}; "
            "expected one plane (y, x) of numbers. Write one file for each channel."
        )
    plane = plane.astype(plane.dtype.newbyteorder("="))
    for fault in _faults(plane, role):
        raise ConfigError(f"{name}, {path}: {fault}")
    if role == "flat" and plane.dtype.kind in "iu":
        plane = plane / np.float32(plane.max())
    for fault in _dark_places(plane) if role == "flat" else ():
        raise ConfigError(f"{name}, {path}: {fault}")
    return plane


def _read_tiff(path: Path) -> _Plane:
    """The image of a file, without smaller ones such as a thumbnail; several of one shape, stacked.

    `tifffile.imread` returns the first of several, and says nothing of the others.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        first = file.series[0]
        alike = [series.asarray() for series in file.series if series.shape == first.shape]
    return np.stack(alike) if len(alike) > 1 else np.asarray(alike[0])


def _read_zarr(path: Path) -> _Plane:
    array = StoredArray.open(Multiscale.read(path).level_paths[0])
    return array.decode(Box.of_shape(array.shape))


def _faults(plane: _Plane, role: Role) -> Iterator[str]:
    """Sentences for values that a profile must not have."""
    lowest = plane > 0 if role == "flat" else plane >= 0
    wrong = ~(lowest & (plane <= np.finfo(np.float32).max))
    if wrong.any():
        y, x = np.unravel_index(np.argmax(wrong), plane.shape)
        expected = "above 0, because pixels are divided by them" if role == "flat" else "0 or more"
        yield (
            f"{int(wrong.sum())} of its {plane.size} pixels cannot be used, the first at y {y}, "
            f"x {x}: {plane[y, x]}. Expected finite numbers {expected}. Estimate the profile "
            "again, or repair these pixels."
        )
    elif role == "flat" and plane.dtype.kind == "f":
        average = float(plane.mean(dtype=np.float64))
        if not _NORMAL[0] <= average <= _NORMAL[1]:
            yield (
                f"its mean is {average:.4g}; expected a profile that is normalised to a mean or a "
                "maximum of 1, because pixels are divided by it. Divide it by its mean."
            )


def _dark_places(flat: _Plane) -> Iterator[str]:
    """A sentence for pixels of a normalised flat that nearly no light reaches."""
    wrong = flat < _LEAST
    if wrong.any():
        y, x = np.unravel_index(np.argmax(wrong), flat.shape)
        yield (
            f"{int(wrong.sum())} of its {flat.size} pixels are below {_LEAST:g} of what is usual, "
            f"the first at y {y}, x {x}: {flat[y, x]:.3g}. Pixels divided by them would be noise. "
            "Estimate the profile again, or repair these pixels."
        )
