"""What a fused image must be to a reader. Runs in the readers' environments: numpy, nothing else.

`tests.readers.make_plates` writes it next to the fused plates. It comes from the parameters of the
example plates, and never from what platefuse reads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Box = tuple[float, float, float, float, float, float]
"""Start z, y, x and length z, y, x of a region, micrometres."""

FOLDER = "PLATEFUSE_READERS"
"""The variable of the environment that names the folder with the plates."""

SINGLE = ("single_v0.4.zarr", "single_v0.5.zarr")
"""Images with axes tcyx that `platefuse.fuse` has written, with one channel and one time."""

SINGLE_PIXEL_UM = 0.5
SINGLE_ORIGIN_UM = (-1250.5, 840.25)
"""Position (y, x) of the centre of their first pixel."""


@dataclass(frozen=True)
class ExpectedImage:
    """A fused image.

    Attributes
    ----------
    well, path : str
        The well, and the path of the image in it.
    acquisition : int
        Its acquisition.
    channels : tuple of str
        Names of the channels.
    pixel_size_um : (float, float, float)
        Pixel size of level 0, axes zyx.
    origin_um : (float, float, float)
        Position of the first pixel of level 0, axes zyx: what the metadata of the image say.
    boxes : mapping of str to mapping of str to Box
        The boxes of each ROI table, by the names of its rows.
    features : mapping of str to mapping of str to float
        The values of each object, by column and id: the table ``nuclei_features``.
    """

    well: str
    path: str
    acquisition: int
    channels: tuple[str, ...]
    pixel_size_um: tuple[float, float, float]
    origin_um: tuple[float, float, float]
    boxes: Mapping[str, Mapping[str, Box]]
    features: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class ExpectedPlate:
    """A fused plate.

    Attributes
    ----------
    path : Path
        Its folder.
    version : str
        NGFF version.
    rows, columns : tuple of str
        Names of the rows and columns of the plate.
    images : tuple of ExpectedImage
        All images.
    """

    path: Path
    version: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    images: tuple[ExpectedImage, ...]

    @property
    def wells(self) -> list[str]:
        """Its wells."""
        return sorted({image.well for image in self.images})

    def folder(self, image: ExpectedImage) -> Path:
        """The folder of an image."""
        return self.path / image.well / image.path

    def pixels(self, image: ExpectedImage) -> Array:
        """Pixels of level 0, axes czyx."""
        return self._array(image, "pixels")

    def label(self, image: ExpectedImage) -> Array:
        """Pixels of level 0 of the label ``nuclei``, axes zyx."""
        return self._array(image, "nuclei")

    def _array(self, image: ExpectedImage, what: str) -> Array:
        with np.load(self.path.with_suffix(".npz")) as arrays:
            return np.asarray(arrays[f"{image.well}/{image.path}/{what}"])

    def write(self, arrays: Mapping[str, Array]) -> None:
        """Write it next to the plate; keys of the arrays are ``well/image/what``."""
        named: dict[str, Any] = dict(arrays)
        np.savez_compressed(self.path.with_suffix(".npz"), **named)
        content = {**asdict(self), "path": str(self.path)}
        self.path.with_suffix(".json").write_text(json.dumps(content))


def levels_of(pixels: Array, count: int) -> list[Array]:
    """The pyramid of an image: means of 2 × 2 pixels, an odd last row or column left out."""
    levels = [pixels]
    for _ in range(count - 1):
        last = levels[-1].astype(float)
        y, x = (n // 2 * 2 for n in last.shape[-2:])
        corners = [last[..., i:y:2, j:x:2] for i in (0, 1) for j in (0, 1)]
        levels.append(np.mean(corners, axis=0))
    return levels


def assert_levels(got: Sequence[Any], pixels: Array, count: int = 2) -> None:
    """Compare the levels of an image with its pixels: level 0 exactly, others to one grey value."""
    assert len(got) == count
    np.testing.assert_array_equal(np.asarray(got[0]), pixels)
    for level, expected in zip(got, levels_of(pixels, count), strict=True):
        assert level.shape == expected.shape
        assert np.abs(np.asarray(level).astype(float) - expected).max() <= 1


def single_scene() -> Array:
    """The pixels of `SINGLE`, axes yx."""
    return np.random.default_rng(0).integers(1, 60_000, (40, 61)).astype(np.uint16)


def folder_of_plates() -> Path:
    """The folder that the environment names."""
    return Path(os.environ[FOLDER])


def plates(folder: Path | None = None) -> list[ExpectedPlate]:
    """The fused plates in a folder; by default the one that the environment names."""
    found = folder or folder_of_plates()
    return [_read(path) for path in sorted(found.glob("*.json"))]


def _read(path: Path) -> ExpectedPlate:
    content = json.loads(path.read_text())
    images = tuple(ExpectedImage(**_tuples(image)) for image in content.pop("images"))
    return ExpectedPlate(images=images, **{**_tuples(content), "path": Path(content["path"])})


def _tuples(content: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
