"""Synthetic fields to fuse: their positions, their pixels, and the true fused image."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from numpy.typing import NDArray
from scipy import ndimage

from platefuse.testing import PlateSpec, Scene, Window
from platefuse.testing.camera import add_noise, to_counts

Floats = NDArray[np.float64]
Pixels = NDArray[Any]
SPACING_UM = {"z": 1.0, "y": 0.65, "x": 0.65}


@dataclass(frozen=True)
class FieldsSpec:
    """Fields on a grid.

    Attributes
    ----------
    name : str
        Short name.
    grid : (int, int)
        Rows and columns.
    field_shape : tuple of int
        Pixels of one field: (z, y, x) or (y, x).
    channels : int
        Number of channels.
    overlap : float
        Overlap of neighbours, as a fraction of a field.
    jitter_px : tuple of float
        Largest distance of a field from its position in the grid, on each axis in space.
    whole_pixels : bool
        Whether this distance is rounded to whole pixels.
    rotation_deg : float
        Largest rotation of a field in the plane, about its centre; the smallest is half of it.
    chunk : tuple of int
        Chunk of the stored fields on the axes in space; empty: one plane of a field.
    """

    name: str
    grid: tuple[int, int] = (2, 2)
    field_shape: tuple[int, ...] = (4, 2160, 2560)
    channels: int = 2
    overlap: float = 0.1
    jitter_px: tuple[float, ...] = (0, 4, 4)
    whole_pixels: bool = True
    rotation_deg: float = 0.0
    chunk: tuple[int, ...] = ()

    @property
    def space(self) -> str:
        """Axes in space."""
        return "zyx"[-len(self.field_shape) :]

    @property
    def spacing_um(self) -> Floats:
        """Pixel size on the axes in space."""
        return np.array([SPACING_UM[axis] for axis in self.space])

    @property
    def stored_chunk(self) -> tuple[int, ...]:
        """Chunk of the stored fields on the axes in space."""
        ndim = len(self.field_shape)
        return self.chunk or ((1,) * (ndim - 2) + self.field_shape[-2:])

    @cached_property
    def origins_px(self) -> Floats:
        """Position of every field's first pixel before rotation, on the axes in space."""
        rng = np.random.default_rng(1)
        pitch = np.array(self.field_shape[-2:]) - np.round(
            np.array(self.field_shape[-2:]) * self.overlap
        )
        origins = []
        for place in np.ndindex(self.grid):
            jitter = rng.uniform(-1, 1, len(self.space)) * self.jitter_px[-len(self.space) :]
            jitter = np.trunc(jitter) if self.whole_pixels else jitter
            start = np.zeros(len(self.space))
            start[-2:] = place * pitch
            origins.append(start + jitter)
        return np.array(origins)

    @cached_property
    def affines_px(self) -> list[Floats]:
        """For every field, the homogeneous affine from its pixels to world pixels."""
        rng = np.random.default_rng(2)
        affines = []
        for origin in self.origins_px:
            angle = math.radians(rng.uniform(0.5, 1) * self.rotation_deg * rng.choice((-1, 1)))
            affine = np.eye(len(self.space) + 1)
            affine[-3:-1, -3:-1] = [
                [math.cos(angle), -math.sin(angle)],
                [math.sin(angle), math.cos(angle)],
            ]
            centre = (np.array(self.field_shape) - 1) / 2
            affine[:-1, -1] = origin + centre - affine[:-1, :-1] @ centre
            affines.append(affine)
        return affines

    def transform_um(self, index: int) -> Floats:
        """Return a field's affine in the data model: from its physical coordinates, in µm."""
        place = np.eye(len(self.space) + 1)
        place[:-1, -1] = self.origins_px[index]
        scale = np.diag([*self.spacing_um, 1.0])
        extrinsic = self.affines_px[index] @ np.linalg.inv(place)
        found: Floats = scale @ extrinsic @ np.linalg.inv(scale)
        return found if self.rotation_deg else np.eye(len(self.space) + 1)

    def write(self, folder: Path, content: Content) -> None:
        """Write all fields and their ``fields.json``."""
        folder.mkdir()
        description: dict[str, Any] = {
            "spec": asdict(self),
            "space": self.space,
            "channels": [f"channel {c}" for c in range(self.channels)],
            "spacing": {axis: SPACING_UM[axis] for axis in self.space},
            "fields": [],
        }
        arrays = []
        for index, origin in enumerate(self.origins_px):
            description["fields"].append(
                {
                    "path": f"{index}.zarr",
                    "origin": dict(zip(self.space, origin * self.spacing_um, strict=True)),
                    "affine": self.transform_um(index).tolist(),
                }
            )
            arrays.append(self._create(folder / f"{index}.zarr"))
        for channel in range(self.channels):
            for index, pixels in enumerate(content(self, channel)):
                arrays[index][0, channel] = pixels
        (folder / "fields.json").write_text(json.dumps(description, indent=1))

    def _create(self, path: Path) -> Any:
        return zarr.create_array(
            path,
            shape=(1, self.channels, *self.field_shape),
            chunks=(1, 1, *self.stored_chunk),
            dtype="uint16",
            zarr_format=2,
            compressors=numcodecs.Blosc(cname="lz4", clevel=5, shuffle=1),
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )


Content = Callable[[FieldsSpec, int], Iterator[Pixels]]


def tissue(spec: FieldsSpec, channel: int) -> Iterator[Pixels]:
    """Yield every field of a simulated tissue, with camera noise; used for timing."""
    scene = Scene(PlateSpec(grid=spec.grid, field_shape=_plane(spec), overlap=spec.overlap), 0)
    margin = 64
    shape = tuple(
        math.ceil(max(origins) + n) + 2 * margin
        for origins, n in zip(spec.origins_px.T[-2:], _plane(spec), strict=True)
    )
    window = Window((0.0, float(-margin), float(-margin)), (shape[0], shape[1]))
    seen = scene.counts(window, channel=min(channel, 1))
    rng = np.random.default_rng(channel)
    for affine in spec.affines_px:
        matrix, offset = affine[-3:-1, -3:-1], affine[-3:-1, -1] + margin
        plane = ndimage.affine_transform(
            seen, matrix, offset, output_shape=_plane(spec), order=1, mode="nearest"
        )
        field = np.empty(spec.field_shape, np.uint16)
        for index in np.ndindex(spec.field_shape[:-2]):
            field[index] = to_counts(add_noise(plane, 6.0, rng), "uint16")
        yield field


def waves(spec: FieldsSpec, channel: int) -> Iterator[Pixels]:
    """Yield every field of a scene given by a formula; used for comparison with the truth."""
    for affine in spec.affines_px:
        yield np.rint(wave_height(spec.field_shape, affine, channel)).astype(np.uint16)


def wave_height(shape: tuple[int, ...], affine: Floats, channel: int) -> Floats:
    """Evaluate the formula at the world positions of the pixels of an array."""
    grid = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)
    world = [
        sum((a * g for a, g in zip(row[:-1], grid, strict=True)), start=np.float64(row[-1]))
        for row in affine[:-1]
    ]
    y, x = world[-2:]
    z = world[0] if len(world) == 3 else np.zeros(1)
    wave = np.sin(2 * np.pi * y / 23 + channel) * np.cos(2 * np.pi * x / 31)
    found: Floats = 2000 + 800 * wave + 300 * np.sin(2 * np.pi * (x - y) / 47) + 20 * z
    return np.broadcast_to(found, shape)


@dataclass(frozen=True)
class Distance:
    """Largest difference of a fused image from the scene.

    Attributes
    ----------
    alone, anywhere : float
        Over the pixels that exactly one field covers, and over all covered pixels.
    """

    alone: float
    anywhere: float


def distance_from_waves(spec: FieldsSpec, image: Path) -> Distance:
    """Return the largest difference of a fused OME-Zarr image (0.4) of `waves` from the formula.

    A field covers the area between the centres of its outermost pixels. A covered pixel that is
    missing in the image (0) counts with its whole value.
    """
    array = zarr.open_array(image / "0", mode="r")
    pixels = np.asarray(array[...])
    to_world = _world_from_output(spec, image)
    covering = _covering(spec, pixels.shape[2:], to_world)
    alone = anywhere = 0.0
    for channel in range(spec.channels):
        truth = wave_height(pixels.shape[2:], to_world, channel)
        away = np.abs(pixels[0, channel] - truth)
        alone = max(alone, float(away.max(where=covering == 1, initial=0)))
        anywhere = max(anywhere, float(away.max(where=covering > 0, initial=0)))
    return Distance(alone, anywhere)


def _world_from_output(spec: FieldsSpec, image: Path) -> Floats:
    """Return the affine from pixels of the finest level to world pixels, from the metadata."""
    multiscale = json.loads((image / ".zattrs").read_text())["multiscales"][0]
    ndim = len(spec.space)
    affine = np.eye(ndim + 1)
    for step in (
        *multiscale["datasets"][0].get("coordinateTransformations", ()),
        *multiscale.get("coordinateTransformations", ()),
    ):
        if step["type"] == "scale":
            affine[:-1] *= np.array(step["scale"][-ndim:])[:, None]
        else:
            affine[:-1, -1] += step["translation"][-ndim:]
    affine[:-1] /= spec.spacing_um[:, None]
    return affine


def _covering(spec: FieldsSpec, shape: tuple[int, ...], to_world: Floats) -> NDArray[np.int64]:
    """Return the number of fields that cover each pixel of the output."""
    tolerance = 1e-6  # not larger: there are no data beyond a rotated field
    covering = np.zeros(shape, np.int64)
    grid = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)
    for affine in spec.affines_px:
        to_field = np.linalg.inv(affine) @ to_world
        inside = np.ones(shape, bool)
        for row, n in zip(to_field[:-1], spec.field_shape, strict=True):
            at = sum((a * g for a, g in zip(row[:-1], grid, strict=True)), start=row[-1])
            inside &= (at >= -tolerance) & (at <= n - 1 + tolerance)
        covering += inside
    return covering


def _plane(spec: FieldsSpec) -> tuple[int, int]:
    return spec.field_shape[-2], spec.field_shape[-1]
