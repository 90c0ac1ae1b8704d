"""Draw the pictures of a fused well: overlays, a part before and after, and the fields."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from platefuse.geometry import Box
from platefuse.quality.model import FieldFigures, Picture
from platefuse.quality.planes import Look, Plane

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

_OVERVIEW_PX = 512
"""Longest side of a picture of a whole well."""

_PART_PX = 256
"""Side of a part at full resolution. It is larger where the shift is, and then drawn smaller."""

_MOST_SHIFT = 0.2
"""Largest shift in such a part, as a share of its side."""

_PERCENTILES = (1.0, 99.7)
_QUALITY = 72
_OUTLINE, _ARROW = (255, 176, 0), (100, 220, 255)


@dataclass(frozen=True)
class Part:
    """A part of a well that is drawn before and after the registration.

    Attributes
    ----------
    middle : (float, float)
        Its middle, (y, x), in pixels of the fused image.
    move : (int, int)
        How far registration moved the acquisition there.
    residual_px : float or None
        Length of the residual there; None if nothing is found again.
    """

    middle: tuple[float, float]
    move: tuple[int, int]
    residual_px: float | None


@dataclass(frozen=True)
class _Contrast:
    """The range of values that is drawn."""

    low: float
    high: float

    @classmethod
    def of(cls, pixels: NDArray[Any]) -> _Contrast:
        values = pixels[pixels > 0]
        if not values.size:
            return cls(0.0, 1.0)
        low, high = np.percentile(values, _PERCENTILES).tolist()
        return cls(low, max(high, low + 1e-6))

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        scaled = (np.nan_to_num(pixels.astype(np.float32)) - self.low) / (self.high - self.low)
        scaled = np.clip(scaled, 0, 1)
        # The power of 3/4: dim structures are drawn a little brighter than they are.
        grey: NDArray[np.uint8] = (np.sqrt(scaled * np.sqrt(scaled)) * 255).astype(np.uint8)
        return grey


def draw_well(
    folder: Path,
    reference: Look,
    others: Sequence[Look],
    fields: Sequence[FieldFigures],
    parts: Mapping[int, Part],
) -> Iterator[Picture]:
    """Draw the pictures of a well.

    Reference and acquisition are magenta and green, which all people tell apart: where both are,
    the picture is white or grey.

    Parameters
    ----------
    folder : Path
        The folder of the well's receipts; the files are written to `pictures` in it.
    reference : Look
        The reference.
    others : sequence of Look
        The acquisitions that lie in the same frame.
    fields : sequence of FieldFigures
        The fields of all of them.
    parts : mapping of int to Part
        The part that is drawn before and after, by the number of the acquisition.

    Yields
    ------
    Picture
        Each, when its file is written.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    whole, level = _overview(reference.plane)
    contrast = _Contrast.of(whole)
    yield _draw_fields(folder, reference, whole, contrast, fields)
    for look in others:
        own = look.plane.read(Box.of_shape(look.plane.shape_of(level)), level)
        tone = _Contrast.of(own)
        name = _name(look)
        yield _save(
            folder,
            _fit(_overlay(contrast(whole), tone(own)), _OVERVIEW_PX),
            Picture(
                "overlay",
                look.acquisition,
                f"pictures/overlay_{look.acquisition}.jpg",
                f"The whole well: {_name(reference)} in magenta and {name} in green.",
                (0, 0),
            ),
        )
        if look.acquisition in parts:
            yield from _before_and_after(
                folder, (reference, look), (contrast, tone), parts[look.acquisition]
            )


def _before_and_after(
    folder: Path,
    looks: tuple[Look, Look],
    contrasts: tuple[_Contrast, _Contrast],
    part: Part,
) -> Iterator[Picture]:
    """The same part of a well without and with the registration."""
    reference, look = looks
    side = max(_PART_PX, math.ceil(max(map(abs, part.move)) / _MOST_SHIFT))
    shape = reference.plane.shape
    side = min(side, *shape)
    start = [
        min(max(0, round(middle - side / 2)), length - side)
        for middle, length in zip(part.middle, shape, strict=True)
    ]
    box = Box((start[0], start[1]), (start[0] + side, start[1] + side))
    still = contrasts[0](reference.plane.read(box))
    rest = "nothing in it is found again in the reference"
    if part.residual_px is not None:
        rest = f"residual {part.residual_px:.2f} px"
    y, x = part.move
    views: tuple[tuple[Literal["before", "after"], tuple[int, int], str], ...] = (
        ("before", part.move, f"without the registration, which adds {y:+d} px in y, {x:+d} in x"),
        ("after", (0, 0), f"with the registration: {rest}"),
    )
    for kind, move, words in views:
        own = _padded(look.plane, box.shifted(move))
        alt = (
            f"{side} × {side} pixels at y {start[0]}, x {start[1]}, {_name(reference)} in magenta "
            f"and {_name(look)} in green, {words}."
        )
        image = _fit(_overlay(still, contrasts[1](own)), _PART_PX)
        file = f"pictures/{kind}_{look.acquisition}.jpg"
        yield _save(folder, image, Picture(kind, look.acquisition, file, alt, (0, 0)))


def _draw_fields(
    folder: Path,
    reference: Look,
    whole: NDArray[Any],
    contrast: _Contrast,
    fields: Sequence[FieldFigures],
) -> Picture:
    """The reference with the outlines of its fields, and the largest shifts as arrows."""
    from PIL.ImageDraw import Draw

    gray = contrast(whole)
    image = _fit(np.repeat(gray[..., None], 3, axis=2), _OVERVIEW_PX)
    scale = image.width / reference.plane.shape[1]
    draw = Draw(image)
    longest = max((math.hypot(*f.shift_px) for f in fields), default=0.0)
    shown = next((f.acquisition for f in fields if math.hypot(*f.shift_px) == longest), 0)
    stretch = 1.0
    for field in fields:
        top, left, bottom, right = (scale * v for v in field.box_px)
        if field.acquisition == reference.acquisition:
            draw.rectangle((left, top, right - 1, bottom - 1), outline=_OUTLINE)
        if field.acquisition == shown and longest >= 0.5:
            stretch = 0.4 * min(bottom - top, right - left) / longest
            y, x = (top + bottom) / 2, (left + right) / 2
            dy, dx = (stretch * v for v in field.shift_px)
            draw.line((x, y, x + dx, y + dy), fill=_ARROW, width=2)
            draw.ellipse((x + dx - 3, y + dy - 3, x + dx + 3, y + dy + 3), fill=_ARROW)
    alt = f"A{_name(reference)[1:]} with the outlines of its fields."
    if longest >= 0.5:
        alt = (
            f"{alt[:-1]}, and the shifts of acquisition {shown} as lines with a dot at their end, "
            f"drawn {stretch / scale:.0f} times as long; the longest is {longest:.1f} px."
        )
    return _save(
        folder, image, Picture("fields", reference.acquisition, "pictures/fields.jpg", alt, (0, 0))
    )


def _overview(plane: Plane) -> tuple[NDArray[Any], int]:
    """The whole plane at the coarsest level that has enough pixels, and that level."""
    enough = [k for k in range(len(plane.levels)) if max(plane.shape_of(k)) >= _OVERVIEW_PX]
    level = max(enough, default=0)
    return plane.read(Box.of_shape(plane.shape_of(level)), level), level


def _padded(plane: Plane, box: Box) -> NDArray[Any]:
    """Pixels of a box; those outside the image are zero."""
    inside = box & Box.of_shape(plane.shape)
    pixels = np.zeros(box.shape, plane.dtype.newbyteorder("="))
    if not inside.empty:
        pixels[inside.shifted([-a for a in box.start]).slices] = plane.read(inside)
    return pixels


def _overlay(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two planes as one picture, magenta and green, axes y, x and colour."""
    return np.stack([first, second, first], axis=-1)


def _fit(pixels: NDArray[np.uint8], most_px: int) -> Image:
    """An image with at most so many pixels on its longer side."""
    from PIL import Image

    image = Image.fromarray(pixels)
    scale = most_px / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(n * scale)) for n in image.size)
    return image.resize((width, height), Image.Resampling.BOX)


def _save(folder: Path, image: Image, picture: Picture) -> Picture:
    # All colours at full resolution: a fringe of one pixel is what the pictures are for.
    image.save(folder / picture.file, quality=_QUALITY, subsampling=0)
    return replace(picture, size_px=image.size)


def _name(look: Look) -> str:
    channel = f" ({look.channel_name})" if look.channel_name else ""
    return f"acquisition {look.acquisition}{channel}"
