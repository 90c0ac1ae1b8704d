"""Maps from the pixels of camera fields to the stage, and to the pixels of a frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from platefuse.fusion.fields.field import Field
from platefuse.fusion.frame import Frame, PixelMap
from platefuse.geometry import Box, snap
from platefuse.ngff.image import Multiscale

_Numbers = NDArray[np.float64]


def precision_px(fields: Sequence[Field], image: Multiscale, *, has_table: bool) -> float:
    """How far a position may be from the whole pixel that it means.

    Parameters
    ----------
    fields : sequence of Field
        The fields.
    image : Multiscale
        The image that holds them.
    has_table : bool
        Whether a tile table says where they are: it holds float32. Numbers in JSON and in text
        are read as float64.
    """
    number = np.float32 if has_table else np.float64
    size = image.pixel_size_um
    farthest = max(abs(f.stage_um[a]) / size[a] for f in fields for a in image.spatial)
    return min(0.25, max(1e-3, 4 * float(np.finfo(number).eps) * farthest))


def pixel_map(field: Field, image: Multiscale, frame: Frame, precision_px: float) -> PixelMap:
    """The map from the pixels of an image or label to those of a frame, for one field.

    Offsets within the precision of a whole pixel of the image are whole, but not of a turned field.
    """
    size = np.array([image.pixel_size_um[a] for a in image.spatial])
    spacing = np.array(frame.spacing)
    if field.angle_deg:
        turn, moved = turn_of(field, image)
        offset = (turn @ (size / 2) + moved - np.array(frame.origin)) / spacing
        matrix = turn * size / spacing[:, None]
        return PixelMap(matrix, tuple(offset.tolist()), tuple(size.tolist()), is_shift=False)
    offset = (np.array(field.shift_um(image)) + size / 2 - np.array(frame.origin)) / spacing
    is_shift = bool(np.allclose(size, spacing, rtol=1e-6))
    if is_shift:
        whole = [snap(float(o), precision_px) for o in offset]
    else:
        steps = [snap(float(s), precision_px) for s in offset * spacing / size]
        whole = (np.array(steps) * size / spacing).tolist()
    for k, axis in enumerate(image.spatial):
        if axis in image.flat_axes and frame.shape[k] == 1:  # one plane is the whole depth
            whole[k] = 0.0
    return PixelMap(np.diag(size / spacing), tuple(whole), tuple(size.tolist()), is_shift)


def turn_of(field: Field, image: Multiscale) -> tuple[_Numbers, _Numbers]:
    """The rigid map of a field from its array to the stage, on the image's axes in space.

    Returns
    -------
    turn : ndarray of float64, shape (n, n)
        The rotation.
    moved_um : ndarray of float64, shape (n,)
        What is added afterwards: stage = turn @ array + moved, in micrometres.
    """
    axes = image.spatial
    y, x = axes.index("y"), axes.index("x")
    angle = math.radians(field.angle_deg)
    turn = np.eye(len(axes))
    turn[[y, x], [y, x]] = math.cos(angle)
    turn[y, x], turn[x, y] = math.sin(angle), -math.sin(angle)
    flat = image.flat_axes
    first = np.array([0.0 if a in flat else field.array_um[a] for a in axes])
    centre = first + np.array([0.0 if a in flat else field.length_um[a] / 2 for a in axes])
    return turn, centre + np.array(field.shift_um(image)) - turn @ centre


def extent_of(
    field: Field, image: Multiscale, reference_image: Multiscale
) -> tuple[_Numbers, _Numbers]:
    """Lowest and highest position on the stage of the field's pixel centres, in micrometres.

    Parameters
    ----------
    field, image, reference_image
        See `Field.box`.
    """
    size = np.array([image.pixel_size_um[a] for a in image.spatial])
    box = field.box(image, reference_image)
    low, high = (np.array(box.start) + 0.5) * size, (np.array(box.stop) - 0.5) * size
    if not field.angle_deg:
        shift = np.array(field.shift_um(image))
        return low + shift, high + shift
    turn, moved = turn_of(field, image)
    corners = np.array(list(product(*zip(low, high, strict=True)))) @ turn.T + moved
    return corners.min(axis=0), corners.max(axis=0)


def placed_box(field: Field, image: Multiscale, frame: Frame, precision_px: float) -> Box:
    """The pixels of a frame that a field covers: those whose centres lie in it.

    Of a turned field, the smallest box that holds them.
    """
    box, pixels = field.box(image, image), pixel_map(field, image, frame, precision_px)
    ends = zip(np.array(box.start) - 0.5, np.array(box.stop) - 0.5, strict=True)
    corners = np.array(list(product(*ends))) @ pixels.matrix.T + np.array(pixels.offset)
    edges = (corners.min(axis=0), corners.max(axis=0))
    start, stop = (tuple(np.ceil(edge - 1e-9).astype(int).tolist()) for edge in edges)
    return Box(start, stop) & Box.of_shape(frame.shape)
