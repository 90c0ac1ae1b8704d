"""Fields that were not taken: all their pixels are zero, which is no data."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from platefuse.errors import ImageError
from platefuse.geometry import Box, grid_box, grid_indices
from platefuse.ngff.image import Multiscale
from platefuse.storage.arrays import StoredArray


def empty_fields(image: Multiscale, boxes: Sequence[Box]) -> set[int]:
    """The numbers of the boxes in which all pixels of an image are zero.

    Of an ordinary image some chunks of the coarsest level are read. Where they are zero, or there
    is one level only, chunks of the finest level are read until one has a pixel.

    Parameters
    ----------
    image : Multiscale
        The image.
    boxes : sequence of Box
        Pixels of the finest level, on all axes.
    """
    finest = StoredArray.open(image.level_paths[0])
    stored = {
        k
        for k, box in enumerate(boxes)
        if not all(finest.is_empty(index) for index in grid_indices(box, finest.chunk))
    }
    unsure = set(stored)
    if len(image.paths) > 1:
        with suppress(ImageError):  # what is wrong with a coarse level does not matter here
            unsure -= _with_pixels(image, boxes, unsure)
    taken = {k for k in unsure if _any_pixel(finest, boxes[k])}
    return set(range(len(boxes))) - (stored - unsure) - taken


def _with_pixels(image: Multiscale, boxes: Sequence[Box], among: set[int]) -> set[int]:
    """Those boxes in which the coarsest level has a pixel that is not zero."""
    coarse = StoredArray.open(image.level_paths[-1])
    inner = {k: _inside(boxes[k], image.shapes[0], coarse.shape) for k in among}
    found: set[int] = set()
    for index in grid_indices(Box.of_shape(coarse.shape), coarse.chunk):
        chunk = grid_box(index, coarse.chunk, coarse.shape)
        waiting = {k: box & chunk for k, box in inner.items() if k not in found}
        waiting = {k: box for k, box in waiting.items() if not box.empty}
        if waiting and not coarse.is_empty(index):
            pixels = coarse.decode(chunk)
            found |= {k for k, box in waiting.items() if pixels[box.within(chunk)].any()}
        if len(found) == len(among):
            break
    return found


def _inside(box: Box, shape: Sequence[int], coarse: Sequence[int]) -> Box:
    """The pixels of a coarser level that show nothing but a box."""
    axes = list(zip(box.start, box.stop, shape, coarse, strict=True))
    start = tuple(-(-a * m // n) for a, _, n, m in axes)
    return Box(
        start, tuple(max(s, b * m // n) for s, (_, b, n, m) in zip(start, axes, strict=True))
    )


def _any_pixel(array: StoredArray, box: Box) -> bool:
    for index in grid_indices(box, array.chunk):
        if array.is_empty(index):
            continue
        part = grid_box(index, array.chunk, array.shape) & box
        if array.decode(part).any():
            return True
    return False
