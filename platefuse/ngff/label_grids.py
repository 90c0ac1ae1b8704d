"""The pixel grid of a label, compared with that of its image: a label begins where the image does.

Many programs write labels without a pixel size, or with a scale of 1, under an image that has one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from platefuse.errors import ImageError

if TYPE_CHECKING:
    from platefuse.ngff.image import Multiscale

logger = logging.getLogger(__name__)


def on_grid_of(label: Multiscale, image: Multiscale) -> Multiscale:
    """A label with the pixel size that it has under its image.

    On an axis on which it has as many pixels as the image, and on all axes if it has no pixel size,
    its pixels cover those of the image, whatever its scale says.

    Raises
    ------
    ImageError
        If it has no pixel size and another number of pixels than groups of the image's pixels, or
        it is longer than the image.
    """
    has_none = not label.has_pixel_size and image.has_pixel_size
    ratios = dict.fromkeys(label.axes, 1.0)
    for axis, length, whole in _shared_axes(label, image):
        own, size = label.pixel_size_um[axis], image.pixel_size_um[axis]
        if has_none:
            ratios[axis] = size / own * _group(label, axis, length, whole)
        elif length == whole:
            ratios[axis] = size / own if _differ(own, size, length) else 1.0
        elif length * own > whole * size + max(own, size) * 1.001:
            raise ImageError(
                f"{label.path}: the label has {length} pixels of {own:g} µm in {axis}, and its "
                f"image {whole} of {size:g} µm, so the label is longer than the image. Correct the "
                "scale in its metadata, or write it with the pixels of the image."
            )
    if all(ratio == 1 for ratio in ratios.values()):
        return label
    factors = [ratios[axis] for axis in label.axes]
    scales = (tuple(a * b for a, b in zip(scale, factors, strict=True)) for scale in label.scales)
    return replace(label, scales=tuple(scales))


def warn_of_other_sizes(image: Multiscale, labels: Mapping[str, Multiscale]) -> None:
    """Say of labels whose pixel size is another than their metadata say, which it is.

    Parameters
    ----------
    image : Multiscale
        The image.
    labels : mapping of str to Multiscale
        Its labels as their metadata describe them.
    """
    for label in labels.values():
        true = on_grid_of(label, image)
        if true is not label and label.has_pixel_size:
            logger.warning(
                "%s: the label has as many pixels as its image, and a scale of %s µm (%s); the "
                "image has %s µm. The pixels of both are taken for the same.",
                label.path,
                list(label.pixel_size_um.values()),
                label.spatial,
                list(true.pixel_size_um.values()),
            )


def _shared_axes(label: Multiscale, image: Multiscale) -> Iterator[tuple[str, int, int]]:
    """Each axis in space of both, with the pixels of the label and of the image on it."""
    lengths = dict(zip(image.spatial, image.shape_in_space, strict=True))
    for axis, length in zip(label.spatial, label.shape_in_space, strict=True):
        if axis in lengths and axis not in label.flat_axes:
            yield axis, length, lengths[axis]


def _group(label: Multiscale, axis: str, length: int, whole: int) -> int:
    """How many pixels of the image are in one of the label."""
    factor = max(1, round(whole / length))
    if length not in (max(1, whole // factor), -(-whole // factor)):
        raise ImageError(
            f"{label.path}: the label has no pixel size (its scale is 1, without a unit), and "
            f"{length} pixels in {axis}, its image {whole}. Expected as many, or one for a group "
            "of them. Write the label's pixel size into its metadata."
        )
    return factor


def _differ(size: float, other: float, length: int) -> bool:
    """Whether as many pixels of two sizes differ by a pixel in their length."""
    return length * abs(size - other) >= max(size, other)
