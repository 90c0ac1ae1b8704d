"""Positions of the fields of an example plate: in the array, on the stage and between acquisitions.

There are three coordinate frames, all in pixels of level 0, axes z, y, x:

array
    The image on disk; the fields are side by side.
scene
    The tissue, in the coordinates of the reference acquisition. Its origin is the place of the
    first field in the grid. A field of the reference that covers position *q* shows the tissue at
    *q*.
acquisition
    In an acquisition that is shifted by *d*, pixel *u* of a field at *s* shows the tissue at
    *s + u + d*. What the reference shows at *p* is therefore at *p - d* in the acquisition, and *d*
    is the shift of its registered boxes, (start_ref - start_acq) / pixel size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platefuse.errors import ConfigError
from platefuse.testing.spec import AcquisitionSpec, PlateSpec

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Boxes:
    """Named boxes in the array frame.

    Attributes
    ----------
    names : tuple of str
        One name per box.
    start_px, size_px : ndarray of float64, shape (boxes, 3)
        First corner and size of each box, pixels, axes zyx; not always whole numbers.
    """

    names: tuple[str, ...]
    start_px: Floats
    size_px: Floats


def field_origins(spec: PlateSpec) -> NDArray[np.int64]:
    """First pixel of every field in the array, row by row.

    Returns
    -------
    ndarray of int64, shape (fields, 2)
        Pixels, axes yx.

    Examples
    --------
    >>> field_origins(PlateSpec(grid=(1, 2), field_shape=(30, 40))).tolist()
    [[0, 0], [0, 40]]
    """
    origins: NDArray[np.int64] = _places(spec) * np.array(spec.field_shape)
    return origins


def stage_positions(spec: PlateSpec) -> Floats:
    """Position of every field on the stage, in the scene frame.

    Returns
    -------
    ndarray of float64, shape (fields, 2)
        Pixels, axes yx; whole numbers unless the plate has a jitter of fractions.

    Examples
    --------
    >>> stage_positions(PlateSpec(grid=(1, 2), field_shape=(30, 40), overlap=4)).tolist()
    [[0.0, 0.0], [0.0, 36.0]]
    """
    pitch = np.array(spec.field_shape) - np.array(spec.overlap_px)
    positions: Floats = (_places(spec) * pitch).astype(float)
    if spec.stage_jitter_px:
        rng = np.random.default_rng([spec.seed, 1])
        jitter = rng.uniform(-spec.stage_jitter_px, spec.stage_jitter_px, positions.shape)
        positions += np.trunc(jitter) if spec.whole_pixel_stage else jitter
    return positions


def stage_errors(spec: PlateSpec) -> Floats:
    """What the tables have more than the true position of every field on the stage.

    Returns
    -------
    ndarray of float64, shape (fields, 2)
        Pixels, axes yx.
    """
    rng = np.random.default_rng([spec.seed, 4])
    return rng.normal(0, 1, (len(_places(spec)), 2)) * spec.stage_error_px


def field_shifts(spec: PlateSpec, acquisition: AcquisitionSpec) -> Floats:
    """Shift of every field of an acquisition against the reference.

    Returns
    -------
    ndarray of float64, shape (fields, 3)
        Pixels, axes zyx.
    """
    shifts = np.zeros((len(_places(spec)), 3))
    shifts[:] += _zyx(acquisition.shift_px)
    for index, extra in enumerate(acquisition.field_shifts_px):
        shifts[index] += _zyx(extra)
    return shifts


def field_boxes(spec: PlateSpec) -> Boxes:
    """The whole fields in the array; the same for all acquisitions."""
    origins = field_origins(spec)
    start = np.column_stack([np.zeros(len(origins)), origins])
    size = np.tile(np.array([spec.planes, *spec.field_shape], float), (len(start), 1))
    return Boxes(_field_names(len(start)), start, size)


def well_boxes(spec: PlateSpec) -> Boxes:
    """One box: the whole array."""
    lengths = spec.lengths
    size = np.array([[lengths["z"], lengths["y"], lengths["x"]]], float)
    return Boxes(("well_1",), np.zeros((1, 3)), size)


def registered_field_boxes(spec: PlateSpec, acquisition: AcquisitionSpec) -> Boxes:
    """For each field, the box of an acquisition with the tissue that all acquisitions show.

    In the reference it is the intersection of the fields of all acquisitions. In an acquisition
    that is shifted by *d*, the box has the same size and starts *d* earlier.
    """
    moved = np.stack([field_shifts(spec, other) for other in spec.acquisitions])
    return _consensus(field_boxes(spec), moved, field_shifts(spec, acquisition), spec)


def registered_well_box(spec: PlateSpec, acquisition: AcquisitionSpec) -> Boxes:
    """The same for the whole array, by the shift of the acquisition."""
    moved = np.stack([_zyx(other.shift_px)[None] for other in spec.acquisitions])
    return _consensus(well_boxes(spec), moved, _zyx(acquisition.shift_px)[None], spec)


def _consensus(whole: Boxes, all_shifts: Floats, shift: Floats, spec: PlateSpec) -> Boxes:
    start = whole.start_px + all_shifts.max(axis=0)
    stop = whole.start_px + whole.size_px + all_shifts.min(axis=0)
    if spec.whole_pixel_rois:
        start, stop = np.ceil(start), np.floor(stop)
    if not (stop - start >= 1).all():
        raise ConfigError(
            "The acquisitions of the example plate have no tissue in common: their shifts leave "
            f"boxes of {(stop - start).min(axis=0).tolist()} pixels (z, y, x). "
            "Use smaller shifts or larger fields."
        )
    return Boxes(whole.names, start - shift, stop - start)


def _places(spec: PlateSpec) -> NDArray[np.int64]:
    rows, columns = np.indices(spec.grid)
    return np.column_stack([rows.ravel(), columns.ravel()])


def _field_names(count: int) -> tuple[str, ...]:
    return tuple(f"FOV_{index + 1}" for index in range(count))


def _zyx(shift: tuple[float, ...]) -> Floats:
    return np.array([0.0, *shift][-3:])
