"""Which strips are worth their time, by what the other pairs of a well told. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from platefuse.measuring.candidates import Candidate
from platefuse.measuring.model import FieldKey, PairMeasure, StageField, Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

SURE_PX = 0.01
"""Uncertainty from which a strip gains nothing: a tenth of the tenth of a pixel that is the aim."""

_CLOSED_PX = 0.1
"""Loops of neighbours that are sure close to this, on each axis."""

_ALIKE_PX = 2.0
"""Shifts of fields of one acquisition that differ less are believed without another pair."""


def strips_to_measure(
    strips: Sequence[Candidate], fields: Sequence[StageField], pairs: Sequence[PairMeasure]
) -> list[Candidate]:
    """The strips of a well that tell more than its other pairs.

    A strip joins two neighbours in the reference by way of a field of another acquisition. It is
    left out if these neighbours are sure by their own pair, and the moving field is measured by its
    own field, as far away as the others of its acquisition. One that the stage threw needs two
    pairs to be believed (`platefuse.measuring.solve.trend`).

    Parameters
    ----------
    strips : sequence of Candidate
        All strips.
    fields : sequence of StageField
        The fields that they name.
    pairs : sequence of PairMeasure
        The other pairs of the well, measured.
    """
    sure = _sure_neighbours([pair for pair in pairs if pair.kind == "neighbour"])
    own = _homes([pair for pair in pairs if pair.kind == "cycle" and pair.status == "measured"])
    found = []
    for strip in strips:
        side, moving = fields[strip.reference].key, fields[strip.moving].key
        if not any(frozenset((home, side)) in sure for home in own.get(moving, ())):
            found.append(strip)
    return found


def _homes(pairs: Sequence[PairMeasure]) -> dict[FieldKey, list[FieldKey]]:
    """The fields of the reference by which fields are measured, as far away as most others."""
    shifts: dict[int, list[Vector]] = {}
    for pair in pairs:
        shifts.setdefault(pair.moving.acquisition, []).append(pair.shift_px)
    middle = {number: np.median(own, axis=0) for number, own in shifts.items()}
    homes: dict[FieldKey, list[FieldKey]] = {}
    for pair in pairs:
        away = np.subtract(pair.shift_px, middle[pair.moving.acquisition])[1:]
        if np.abs(away).max() <= _ALIKE_PX:
            homes.setdefault(pair.moving, []).append(pair.reference)
    return homes


def _sure_neighbours(neighbours: Sequence[PairMeasure]) -> set[frozenset[FieldKey]]:
    """The neighbours of a well that need no other pair: certain by themselves, and by their loops.

    Where certain pairs contradict each other, none of the well is sure.

    Parameters
    ----------
    neighbours : sequence of PairMeasure
        The pairs of neighbours of one well.
    """
    certain = [
        pair
        for pair in neighbours
        if pair.status == "measured" and max(pair.sigma_px[1:]) <= SURE_PX
    ]
    if not certain or np.abs(_left_by_loops(certain)).max() > _CLOSED_PX:
        return set()
    return {frozenset((pair.reference, pair.moving)) for pair in certain}


def _left_by_loops(pairs: Sequence[PairMeasure]) -> NDArray[np.float64]:
    """What the best places of the fields leave of each shift on y and x, in pixels."""
    names = sorted({key for pair in pairs for key in (pair.reference, pair.moving)})
    index = {key: n for n, key in enumerate(names)}
    steps = np.zeros((len(pairs), len(index)))
    for row, pair in zip(steps, pairs, strict=True):
        row[index[pair.reference]], row[index[pair.moving]] = -1, 1
    shifts = np.array([pair.shift_px[1:] for pair in pairs])
    return np.asarray(shifts - steps @ np.linalg.lstsq(steps, shifts)[0])
