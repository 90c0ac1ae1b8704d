"""Images of the multiview-stitcher data model, as fields to be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from platefuse.errors import MeasureError, ViewError
from platefuse.fusion.sims.image import Sim, read_sims
from platefuse.fusion.sims.store import SimStore
from platefuse.geometry import Box
from platefuse.measuring.decoded_chunks import DecodedChunks
from platefuse.measuring.field_pixels import ChunkedArray, FieldPixels
from platefuse.measuring.model import FieldKey, StageField, Vector
from platefuse.measuring.pair.levels import Crop
from platefuse.storage.expected import is_whole, number

if TYPE_CHECKING:
    import xarray

_SAME_SPACING = 1e-3
_TURNED_PX = 0.1
"""A transform only shifts if it moves no pixel by more than this against a shift."""

_DEFAULT_SHARE = 1 / 20


@dataclass(frozen=True)
class Mosaic:
    """Images to stitch.

    Attributes
    ----------
    sims : tuple of Sim
        The images.
    fields : tuple of StageField
        The same as fields of one well, in which micrometres stand for the units of the world.
    leading : tuple of int
        Indices on the axes before those in space: the time and channel to measure by.
    max_shift_px : tuple of float
        Largest shift on the axes in space, in pixels.
    """

    sims: tuple[Sim, ...]
    fields: tuple[StageField, ...]
    leading: tuple[int, ...]
    max_shift_px: tuple[float, ...]

    @property
    def axes(self) -> str:
        """The axes in space."""
        return self.sims[0].spatial

    @cached_property
    def pixels(self) -> tuple[FieldPixels, ...]:
        """The pixels of the images, read when they are sliced; the last chunks of all are kept."""
        chunks = DecodedChunks()

        def one(number: int, sim: Sim, field: StageField) -> FieldPixels:
            whole = Box.of_shape(tuple(sim.shape.tolist()))
            array = ChunkedArray(SimStore(sim.image, number), chunks)
            return FieldPixels(field, (Crop(array, whole, self.leading),))

        both = zip(self.sims, self.fields, strict=True)
        return tuple(one(number, sim, field) for number, (sim, field) in enumerate(both))

    def in_world(self, vector_px: Vector) -> tuple[float, ...]:
        """A vector of pixels on z, y, x, in units of the world on the axes in space."""
        spacing = self.sims[0].spacing.tolist()
        return tuple(v * s for v, s in zip(vector_px[-len(spacing) :], spacing, strict=True))


def read_mosaic(
    images: Sequence[xarray.DataArray],
    transform_key: str | None,
    channel: str | int,
    time: int,
    max_shift: float | Mapping[str, float] | None,
) -> Mosaic:
    """Read the geometry of images to stitch, and check that they can be stitched.

    Raises
    ------
    ViewError
        If the images cannot be read or differ in dims, dtype, channels or times.
    MeasureError
        If they differ in pixel size, a transform does more than shift, or an argument cannot be
        used.
    """
    try:
        sims = read_sims(images, transform_key)
    except ViewError as error:
        raise ViewError("stitch: " + str(error).removeprefix("fuse: ")) from error
    if len({id(image) for image in images}) < len(images):
        raise MeasureError(
            "stitch: one image is given twice; expected every image once, because each gets one "
            "new transform."
        )
    for sim in sims:
        _check_image(sim)
        _check_spacing(sim, sims[0])
        _check_transform(sim, transform_key)
    leading = tuple(
        _index(sims[0], axis, channel if axis == "c" else time)
        for axis in sims[0].dims
        if axis not in sims[0].spatial
    )
    fields = tuple(_field(sim, time) for sim in sims)
    return Mosaic(tuple(sims), fields, leading, _max_shift_px(sims[0], max_shift))


def give_transform(sim: Sim, key: str | None, new_key: str, shift: tuple[float, ...]) -> None:
    """Give an image its transform followed by a shift, under a new key; see `platefuse.stitch`."""
    import xarray

    values = sim.affines.copy()
    values[:, :-1, -1] += shift
    labels = [*sim.spatial, "1"]
    coords: dict[str, Any] = {"x_in": labels, "x_out": labels}
    old = sim.image.attrs.get("transforms") or {}
    was = old.get(key)
    dims: tuple[str, ...] = ("x_in", "x_out")
    if isinstance(was, xarray.DataArray) and "t" in was.dims:
        dims = ("t", *dims)
        for owner in (sim.image, was):
            if "t" in owner.coords and owner.coords["t"].shape == (len(values),):
                coords["t"] = owner.coords["t"].values
    affine = xarray.DataArray(values if "t" in dims else values[0], dims=dims, coords=coords)
    sim.image.attrs["transforms"] = {**old, new_key: affine}


def _check_image(sim: Sim) -> None:
    """Check what can be fused, but not stitched."""
    if sim.image.dtype.kind == "b":
        raise MeasureError(
            f"stitch: image {sim.number} has dtype bool; expected integers or floats. Stitch the "
            "images that it was made from."
        )
    given = sim.image.attrs.get("transforms")
    if not isinstance(given, Mapping | None):
        raise MeasureError(
            f"stitch: attrs['transforms'] of image {sim.number} is {given!r}; expected a dict of "
            "affines, to which one is added."
        )


def _check_spacing(sim: Sim, first: Sim) -> None:
    if not np.allclose(sim.spacing, first.spacing, rtol=_SAME_SPACING, atol=0):
        raise MeasureError(
            f"stitch: image {sim.number} has pixels of {sim.spacing.tolist()} on "
            f"{sim.spatial}, but image 0 of {first.spacing.tolist()}; expected one pixel size. "
            "Resample the images."
        )


def _check_transform(sim: Sim, key: str | None) -> None:
    away = np.abs(sim.affines[:, :-1, :-1] - np.eye(len(sim.spatial)))
    if ((away @ (sim.shape * sim.spacing)) / sim.spacing > _TURNED_PX).any():
        raise MeasureError(
            f"stitch: the transform {key!r} of image {sim.number} turns or scales it: "
            f"{sim.affines[0].tolist()}. Only shifts can be stitched: resample the image, or put "
            "a scale into its coordinates."
        )


def _index(sim: Sim, axis: str, value: str | int) -> int:
    """Index of a channel or time point."""
    names = sim.channel_names if axis == "c" else None
    length = sim.image.sizes[axis]
    if isinstance(value, str) and names and value in names:
        return names.index(value)
    if is_whole(value, 0) and value < length:  # type: ignore[operator]  # it is a number
        return int(value)
    what = {"c": "channel", "t": "time"}[axis]
    expected = f"one of {names}, or " if names else ""
    raise MeasureError(
        f"stitch: {what} is {value!r}; expected {expected}an index from 0 to {length - 1}."
    )


def _field(sim: Sim, time: int) -> StageField:
    """An image as a field; the corner of a pixel is half a pixel before its centre."""
    affine = sim.affines[time if len(sim.affines) > 1 else 0]
    corner = sim.origin + affine[:-1, -1] - sim.spacing / 2
    z, y, x = (0.0, *corner.tolist())[-3:]
    planes, height, width = (1, *sim.shape.tolist())[-3:]
    depth, tall, wide = (1.0, *sim.spacing.tolist())[-3:]
    key = FieldKey("", 0, f"{sim.number:08d}", "")  # so that the order of names is theirs
    return StageField(key, (z, y, x), (planes, height, width), (depth, tall, wide))


def _max_shift_px(sim: Sim, given: float | Mapping[str, float] | None) -> tuple[float, ...]:
    if given is None:
        given = float((sim.shape * sim.spacing)[-2:].max()) * _DEFAULT_SHARE
    by_axis = given if isinstance(given, Mapping) else dict.fromkeys(sim.spatial, given)
    values = [number(by_axis.get(axis)) for axis in sim.spatial]
    if not all(v > 0 for v in values):
        raise MeasureError(
            f"stitch: max_shift is {given!r}; expected a number above 0, or one for each of the "
            f"axes {', '.join(sim.spatial)}."
        )
    return tuple(v / s for v, s in zip(values, sim.spacing.tolist(), strict=True))
