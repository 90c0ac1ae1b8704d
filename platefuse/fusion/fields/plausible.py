"""Whether stage positions can be true: errors for a wrong unit, warnings for what is odd."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from platefuse.errors import ViewError
from platefuse.fusion.fields.layers import Layer
from platefuse.ngff.units import likely_unit

logger = logging.getLogger(__name__)

LARGEST_WELL_UM = 130_000.0
"""A whole plate is 127.76 mm wide: a well is smaller."""

_FAR = 20
"""A field that is farther from all others, in field lengths, is odd."""
_REMEDY = (
    "Correct the positions (the tile table's *_micrometer_original, the images' translation, the "
    "OME-XML or the table under `input.positions`)."
)

_Numbers = NDArray[np.float64]


def check_positions(layers: Sequence[Layer]) -> None:
    """Check that the fields of some acquisitions can be where their positions say.

    Odd positions that are possible are told by a warning.

    Raises
    ------
    ViewError
        If all fields of an acquisition are at one place, or they are farther apart than a plate
        is wide.
    """
    for layer in layers:
        _check_apart(layer)
    _check_extent(layers)
    for layer in layers:
        for words in _oddities(layer):
            logger.warning("%s: %s", layer.image.path, words)


def _check_apart(layer: Layer) -> None:
    """Check that several fields are not all at one place, as if in a larger unit."""
    places, length = _places(layer), _length(layer)
    count = len(places)
    if count < 2:
        return
    spread = float(np.max(np.ptp(places, axis=0)))
    pixel = max(layer.image.pixel_size_um[a] for a in "yx")
    # In millimetres a grid of fields is as wide as a thousandth of its fields together.
    if spread > max(pixel, min(0.05, 0.003 * count) * length):
        return
    unit = likely_unit(spread, length, count)
    guess = f"They are probably in {unit}. " if unit else ""
    raise ViewError(
        f"{layer.image.path}: the positions of its {count} fields are all within {spread:.3g} µm, "
        f"and a field is {length:.4g} µm long: they would be averaged on one place. Expected "
        f"positions in micrometers. {guess}{_REMEDY}"
    )


def _check_extent(layers: Sequence[Layer]) -> None:
    """Check that all fields fit into a well."""
    places = np.concatenate([_places(layer) for layer in layers])
    extent = np.ptp(places, axis=0)
    if extent.max() <= LARGEST_WELL_UM:
        return
    names = [name for layer in layers for name in _names(layer)]
    away = np.abs(places - np.median(places, axis=0)).max(axis=1)
    stray = int(np.argmax(away))
    y, x = places[stray]
    raise ViewError(
        f"{layers[0].image.path}: its {len(names)} fields extend over {extent[0] / 1000:.4g} × "
        f"{extent[1] / 1000:.4g} mm (y, x), and a plate is {LARGEST_WELL_UM / 1000:g} mm wide. "
        f"Farthest from the others is {names[stray]}, at y {y:.6g} and x {x:.6g} µm. Expected "
        f"positions in micrometers. {_REMEDY}"
    )


def _oddities(layer: Layer) -> Iterator[str]:
    """Sentences for positions that are odd but possible."""
    places, length, names = _places(layer), _length(layer), _names(layer)
    if len(places) < 2:
        return
    distance = np.abs(places[:, None] - places[None]).max(axis=2)
    np.fill_diagonal(distance, np.inf)
    same = np.argwhere(np.triu(distance < min(layer.image.pixel_size_um[a] for a in "yx") / 2))
    if len(same):
        i, j = same[0]
        more = f", and {len(same) - 1} other pairs" if len(same) > 1 else ""
        yield f"{names[i]} and {names[j]} have the same position{more}: they are blended."
    for k in np.flatnonzero(distance.min(axis=1) > _FAR * length):
        yield (
            f"{names[k]} is {distance[k].min() / 1000:.4g} mm away from all other fields, "
            f"{distance[k].min() / length:.0f} field lengths. Is its position right?"
        )
    in_array = np.array([[field.array_um[a] for a in "yx"] for _, field in layer.fields])
    for axis, name in enumerate("yx"):
        if _is_mirrored(in_array[:, axis], places[:, axis]):
            yield (
                f"the positions of its fields in {name} run against those in the array. If the "
                "axis of the stage points the other way, fields are blended with others than "
                "their neighbours."
            )


def _is_mirrored(in_array: _Numbers, on_stage: _Numbers) -> bool:
    if np.ptp(in_array) == 0 or np.ptp(on_stage) == 0:
        return False
    return bool(np.corrcoef(in_array, on_stage)[0, 1] < -0.9)


def _places(layer: Layer) -> _Numbers:
    """Position of each field in y and x, in micrometres."""
    return np.array([[field.stage_um[a] for a in "yx"] for _, field in layer.fields])


def _length(layer: Layer) -> float:
    """Length of the longest field in y or x, in micrometres."""
    return max(field.length_um[a] for _, field in layer.fields for a in "yx")


def _names(layer: Layer) -> list[str]:
    """Each field in words."""
    return [
        f"field {field.name!r} of image {part.name}" if part.has_table else f"image {part.name}"
        for part, field in layer.fields
    ]
