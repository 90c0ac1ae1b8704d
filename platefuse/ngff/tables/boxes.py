"""The boxes of ROI tables as they hold for the pixels of an image."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from platefuse.errors import ImageError
from platefuse.ngff.image import Multiscale
from platefuse.ngff.tables.table import Roi, Table

logger = logging.getLogger(__name__)

_NOISE_PX = 1e-2
"""How far a float32 box in pixels may be from whole pixels."""
_SAME_SHARE = 0.02


def boxes_in(image: Multiscale, axes: str, *tables: Table) -> list[list[Roi]]:
    """The boxes of some tables on an image, in micrometres.

    Boxes that begin at negative positions are taken relative to the smallest of all tables, if
    they then fit the image. A warning tells so.

    Parameters
    ----------
    image : Multiscale
        The image.
    axes : str
        Some of its axes in space.
    *tables : Table
        The tables.

    Raises
    ------
    TableError
        If a box cannot be used.
    """
    origin = _negative_origin(image, axes, tables)
    if origin:
        logger.warning(
            "%s: its boxes begin at negative positions; they are taken relative to the smallest, "
            "%s µm",
            tables[0].path,
            ", ".join(f"{a} {um:g}" for a, um in origin.items()),
        )
    return [table.rois(axes, origin) for table in tables]


def check_known_size(image: Multiscale, boxes: Sequence[Roi], table: Table) -> None:
    """Check that boxes in micrometres hold for an image that may have no pixel size.

    Without one, a box in micrometres covers too few pixels, and the others would be masked. Boxes
    in pixels are right. The boxes tell which it is: in pixels they cover the array, or begin and
    end on whole pixels and are whole fractions of it. In micrometres all axes are covered to the
    same share, or less than half. A warning tells what is not certain.

    Raises
    ------
    ImageError
        If the boxes are not in pixels.
    """
    if image.has_pixel_size:
        return
    shape = dict(zip(image.spatial, image.shape_in_space, strict=True))
    axes = [a for a in boxes[0].start_um if shape.get(a, 1) > 1]
    low = {a: min(box.start_um[a] for box in boxes) for a in axes}
    high = {a: max(box.start_um[a] + box.length_um[a] for box in boxes) for a in axes}
    if all(high[a] - low[a] > shape[a] - 1 for a in axes):
        return
    share = {a: (high[a] - low[a]) / shape[a] for a in axes}
    words = (
        f"{image.path}: the image has no pixel size (its scales are 1 and its axes have no unit), "
        f"and the boxes of {table.path} cover "
        f"{' and '.join(f'{100 * n:.0f} % of {a}' for a, n in share.items())}"
    )
    alike = abs(share["y"] - share["x"]) < _SAME_SHARE or min(share.values()) < 0.5
    if min(share.values()) < 0.9 and alike and not _are_in_pixels(image, boxes, shape):
        raise ImageError(
            f"{words}. They are taken for micrometers: all other pixels would be masked. Write the "
            "pixel size in micrometers as the scale of each level. If the boxes are in pixels, "
            "write the unit 'micrometer' to the axes."
        )
    logger.warning("%s. They are taken for pixels: all other pixels are masked.", words)


def _negative_origin(
    image: Multiscale, axes: str, tables: Sequence[Table]
) -> Mapping[str, float] | None:
    """The smallest position on each axis with negative ones; None if there is no use in it."""
    shape = dict(zip(image.spatial, image.shape_in_space, strict=True))
    tables = [table for table in tables if table.names]  # an empty one may have no columns
    origin = {}
    for axis in axes:
        starts = [um for table in tables for um in table.column(f"{axis}_micrometer")]
        ends = [
            start + length
            for table in tables
            for start, length in zip(
                table.column(f"{axis}_micrometer"),
                table.column(f"len_{axis}_micrometer"),
                strict=True,
            )
        ]
        size = image.pixel_size_um[axis]
        if not starts or min(starts) >= -size / 2:
            continue
        if max(ends) - min(starts) > (shape[axis] + 1) * size:
            return None
        origin[axis] = min(starts)
    return origin or None


def _are_in_pixels(image: Multiscale, boxes: Sequence[Roi], shape: Mapping[str, int]) -> bool:
    """Whether boxes are on whole pixels, and whole fractions of the array made of whole chunks."""
    chunks = dict(zip(image.axes, image.levels[0].chunk, strict=True))
    for box in boxes:
        for axis, length in box.length_um.items():
            if shape.get(axis, 1) == 1:
                continue
            whole = round(length)
            values = (box.start_um[axis], length)
            if any(abs(value - round(value)) > _NOISE_PX for value in values) or whole < 1:
                return False
            if shape[axis] % whole or (chunks[axis] < shape[axis] and whole % chunks[axis]):
                return False
    return True
