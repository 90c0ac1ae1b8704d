"""Figures of the fields of a well that need no reference: place, share kept, light, seams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from platefuse.fusion.fields.field import Field, registered_rois
from platefuse.fusion.fields.layers import FieldImage
from platefuse.fusion.fields.maps import pixel_map, placed_box
from platefuse.geometry import Box
from platefuse.measuring.decoded_chunks import DecodedChunks
from platefuse.measuring.field_pixels import LazyArray, lazy_levels, level_factors
from platefuse.measuring.pair.levels import Crop, Levels
from platefuse.ngff.image import Multiscale
from platefuse.quality.planes import Look

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COARSE_PX = 256
"""A field is read at the coarsest level with at least so many pixels on its shorter side."""

_TILES = 6
_LEAST_SEAM_PX = 4


@dataclass(frozen=True)
class PlacedField:
    """A field, and where it is in the fused image.

    Attributes
    ----------
    part : FieldImage
        The image that holds it.
    field : Field
        The field.
    box : Box
        The pixels of the fused image that it covers, on y and x.
    corner_px : (float, float)
        Position of its first pixel in the fused image, in pixels of the field.
    shift_px : (float, float)
        What registration added to its place, in pixels of the fused image on y and x.
    kept : float
        Share of its pixels that registration keeps.
    """

    part: FieldImage
    field: Field
    box: Box
    corner_px: tuple[float, float]
    shift_px: tuple[float, float]
    kept: float

    @property
    def name(self) -> tuple[str, str]:
        """Names of image and field."""
        return self.part.name, self.field.name

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of its box."""
        (top, left), (bottom, right) = self.box.start, self.box.stop
        return (top + bottom) / 2, (left + right) / 2


def placed_fields(look: Look) -> list[PlacedField]:
    """The fields of an acquisition that are in the fused image."""
    placed = []
    for part in look.layer.images:
        image, precision = part.image, part.precision_px
        for field in part.fields:
            box = placed_box(field, image, look.frame, precision)
            if box.empty:
                continue
            own = field.box(image, image)
            pixels = pixel_map(field, image, look.frame, precision)
            size = [image.pixel_size_um[a] for a in image.spatial]
            factor = np.array(size) / look.frame.spacing  # of pixels of the field to fused ones
            corner = (pixels.matrix @ np.array(own.start) + np.array(pixels.offset)) / factor
            moved = _shift_px(part, field) * factor[-2:]
            whole = np.prod([round(field.length_um[a] / image.pixel_size_um[a]) for a in "yx"])
            placed.append(
                PlacedField(
                    part,
                    field,
                    Box(box.start[-2:], box.stop[-2:]),
                    (float(corner[-2]), float(corner[-1])),
                    (float(moved[0]), float(moved[1])),
                    min(1.0, float(np.prod(own.shape[-2:]) / whole)),
                )
            )
    return placed


def _shift_px(part: FieldImage, field: Field) -> tuple[float, float]:
    """What registration added to the stage position of a field, in its pixels on y and x."""
    source = part.source
    if source.is_raw and source.places is not None:
        _, y, x = source.places[field.name].shift_px
        return y, x
    if source.is_raw:
        y, x = field.shift_px(part.image)[-2:]
        return y, x
    rois = registered_rois(part.image, source.record)
    by_name = {roi.name: roi for roi in rois}
    roi = by_name.get(field.name, rois[0] if rois else None)
    if roi is None:
        return 0.0, 0.0
    y, x = roi.shift_px[-2:]
    return y, x


def nearest(fields: Sequence[PlacedField], place: tuple[float, float]) -> PlacedField | None:
    """The field that covers a place and whose middle is nearest; None if none covers it."""
    y, x = place
    covering = (
        f
        for f in fields
        if all(a <= p < b for a, p, b in zip(f.box.start, (y, x), f.box.stop, strict=True))
    )
    return min(
        covering, key=lambda f: (f.centre[0] - y) ** 2 + (f.centre[1] - x) ** 2, default=None
    )


@dataclass(frozen=True)
class Light:
    """What the coarse pixels of a field show.

    Attributes
    ----------
    gradient : float or None
        Difference of the highest and the lowest value of a plane that is fitted to the field, as a
        share of the mean.
    seam : float or None
        Largest difference from a neighbour: mean of the absolute difference where both overlap, as
        a share of the mean.
    saturated : float
        Share of the coarse pixels that are saturated.
    """

    gradient: float | None = None
    seam: float | None = None
    saturated: float = 0.0


def light_of(
    look: Look, placed: Sequence[PlacedField], chunks: DecodedChunks, saturated: float
) -> Mapping[tuple[str, str], Light]:
    """Gradient, seams and saturation of the fields of an acquisition, by image and field.

    The images are read as they are fused from, at a coarse level; `saturated` is the value from
    which a pixel is saturated.
    """
    levels = {part.name: lazy_levels(part.image, chunks) for part in look.layer.images}
    tiles = {p.name: _Tile.of(p, look.channel, levels[p.part.name]) for p in placed if p.kept}
    seams: dict[tuple[str, str], list[float]] = {key: [] for key in tiles}
    for (key, tile), (other, neighbour) in combinations(tiles.items(), 2):
        difference = tile.difference(neighbour)
        if difference is not None:
            seams[key].append(difference)
            seams[other].append(difference)
    return {
        key: Light(
            gradient_of(tile.pixels),
            max(seams[key], default=None),
            float((tile.pixels >= saturated).mean()),
        )
        for key, tile in tiles.items()
    }


@dataclass(frozen=True)
class _Tile:
    """A field at a coarse level.

    Attributes
    ----------
    corner : (float, float)
        Position of its first pixel in the fused image, in pixels of the level.
    pixels : ndarray of float32, axes yx
        Its pixels.
    """

    corner: tuple[float, float]
    pixels: NDArray[np.float32]

    @classmethod
    def of(cls, placed: PlacedField, channel: int, levels: Sequence[LazyArray]) -> _Tile:
        """Read a field."""
        image = placed.part.image
        box = placed.field.box(image, image)
        level, inner, factors = _coarse_box(image, box)
        leading = tuple(channel if a == "c" else 0 for a in image.axes if a not in image.spatial)
        pixels, averaged = middle_plane(Crop(levels[level], inner, leading))
        corner = []
        for axis in (-2, -1):
            step = factors[axis]
            first = placed.corner_px[axis] + inner.start[axis] * step - box.start[axis]
            # The middle of a coarse pixel is that of the pixels that it was made from.
            corner.append((first - (averaged * step - 1) / 2) / (averaged * step))
        return cls((corner[0], corner[1]), pixels)

    def difference(self, other: _Tile) -> float | None:
        """Mean absolute difference where two tiles overlap, as a share of the mean.

        Both are interpolated by half of the fraction of a pixel by which they are displaced.
        """
        offset = [b - a for a, b in zip(self.corner, other.corner, strict=True)]
        whole = [round(o) for o in offset]
        part = [(o - w) / 2 for o, w in zip(offset, whole, strict=True)]
        own, shared = Box.of_shape(self.pixels.shape), Box.of_shape(other.pixels.shape)
        shared = own & shared.shifted(whole)
        if shared.empty or min(shared.shape) < _LEAST_SEAM_PX:
            return None
        one = self.pixels[shared.slices]
        two = other.pixels[shared.shifted([-w for w in whole]).slices]
        valid = (one > 0) & (two > 0)
        mean = float((one[valid] + two[valid]).mean()) / 2 if valid.any() else 0.0
        one, two = _moved(one, [-p for p in part]), _moved(two, part)
        return float(np.abs(one[valid] - two[valid]).mean()) / mean if mean > 0 else None


def _moved(pixels: NDArray[np.float32], shift: Sequence[float]) -> NDArray[np.float32]:
    """Pixels moved by at most one pixel on each axis, interpolated linearly."""
    for axis, step in enumerate(shift):
        last = pixels.shape[axis] - 1
        from_there = np.arange(last + 1) - (1 if step > 0 else -1)
        neighbours = pixels.take(np.clip(from_there, 0, last), axis)
        pixels = pixels + np.float32(abs(step)) * (neighbours - pixels)
    return pixels


def _coarse_box(image: Multiscale, box: Box) -> tuple[int, Box, tuple[int, ...]]:
    """The level at which a field is read, its whole pixels there, and their size in those of 0."""
    found = 0, box, (1,) * len(box.start)
    factors, lead = np.ones(len(box.start), int), len(image.axes) - len(image.spatial)
    for level, step in enumerate(level_factors(image), 1):
        factors = factors * np.array(step[lead:])
        sizes = zip(box.start, box.stop, factors.tolist(), image.shapes[level][lead:], strict=True)
        ends = [(-(-start // f), min(stop // f, length)) for start, stop, f, length in sizes]
        inner = Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))
        if inner.empty or min(inner.shape[-2:]) < _COARSE_PX:
            break
        found = level, inner, tuple(factors.tolist())
    return found


def middle_plane(field: Crop) -> tuple[NDArray[np.float32], int]:
    """The middle plane of a field, averaged if it is large, and how much smaller it is.

    All fields of an acquisition are compared: at full resolution their sum has no limit.
    Pixels that are not finite are no data, and become zero.
    """
    level = Levels((field,), "field")
    factor = max(1, min(level.shape) // _COARSE_PX)
    pixels = level.read(Box.of_shape(level.shape), (level.planes - 1) // 2, factor)
    finite = np.nan_to_num(pixels.astype(np.float32), posinf=0.0, neginf=0.0)
    return finite, factor


def gradient_of(pixels: NDArray[np.float32]) -> float | None:
    """How much brighter one side of a field is than the other, as a share of its mean.

    Parameters
    ----------
    pixels : ndarray of float32, axes yx
        The field.

    Returns
    -------
    float or None
        (highest - lowest) / mean of the plane that fits the medians of 6 × 6 parts best; None for a
        field that is too small or dark.

    Examples
    --------
    >>> ramp = np.linspace(100, 300, 60, dtype=np.float32)
    >>> round(gradient_of(np.tile(ramp, (60, 1))), 2)
    0.85
    """
    if min(pixels.shape) < 2 * _TILES:
        return None
    height, width = (n // _TILES for n in pixels.shape)
    parts = pixels[: _TILES * height, : _TILES * width].reshape(_TILES, height, _TILES, width)
    medians = np.median(parts.swapaxes(1, 2).reshape(_TILES**2, -1), axis=1)
    y, x = (v.ravel() for v in np.mgrid[-1 : 1 : _TILES * 1j, -1 : 1 : _TILES * 1j])
    design = np.stack([np.ones(y.size), y, x], axis=1)
    mean, by_y, by_x = (float(v) for v in np.linalg.lstsq(design, medians, rcond=None)[0])
    return 2 * (abs(by_y) + abs(by_x)) / mean if mean > 0 else None
