"""What the shifts of one acquisition have in common: a turn, a shift of each well, a plate. Pure.

Shifts and positions are on y, x, in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from platefuse.measuring.solve.graph import Array, Indices, Mask, held_spread, norm, spread_of

_USUAL_TURN, _USUAL_SCALE = 0.01, 0.001
"""Usual size of a turn, in radians, and of a change of scale: what few shifts are held by."""
_USUAL_STEP_PX = 2.0
"""The same of how much more the next well is shifted."""
_SHARPEST_PX = 0.05
_TAIL, _NARROWER, _ITERATIONS = 2.4, 0.7, 60
_REJECTED_PX, _REJECTED_SPREADS = 2.0, 4.0
_USUAL_PX = 1.0
"""Usual spread of the shifts of a well on one axis."""
_MOST_COMPARED = 2000
_CONFIRMED_PX = 0.75
"""Two shifts of one field confirm each other if its places by them are no further apart."""


@dataclass(frozen=True)
class Shifts:
    """The shifts of an acquisition against the reference.

    Attributes
    ----------
    well : ndarray of intp, shape (shifts,)
        Number of the well of each shift.
    at : ndarray of float64, shape (shifts, 2)
        Where in its well it was measured, relative to the well's centre.
    shift : ndarray of float64, shape (shifts, 2)
        The shifts.
    field : ndarray of intp, shape (shifts,)
        Number of the field of each shift.
    correction : ndarray of float64, shape (shifts, 2)
        The correction of the field's stage position that each shift gives.
    weight : ndarray of float64, shape (shifts,)
        Weights, above 0.
    wells : ndarray of float64, shape (wells, 2)
        Row and column of each well of the plate, also of those without shifts.
    """

    well: Indices
    at: Array
    shift: Array
    field: Indices
    correction: Array
    weight: Array
    wells: Array


@dataclass(frozen=True)
class Trend:
    """How shifts change within a well: the plate is turned, or its scale is another.

    Attributes
    ----------
    scale : float
        Increase of the length of a distance, relative to it, along its own direction.
    turn : float
        The same across it, from x to y.
    """

    scale: float
    turn: float

    @property
    def angle_deg(self) -> float:
        """The turn, from x to y, in degrees."""
        return float(np.rad2deg(np.arctan2(self.turn, 1 + self.scale)))

    def at(self, positions: Array) -> Array:
        """What is added to the shift at some positions, shape (positions, 2).

        Examples
        --------
        A point on the x axis is moved along y by a turn from x to y:

        >>> Trend(0.0, 0.01).at(np.array([[0.0, 100.0]])).tolist()
        [[1.0, 0.0]]
        """
        y, x = positions.T
        moved = [self.scale * y + self.turn * x, self.scale * x - self.turn * y]
        return np.stack(moved, axis=1)


@dataclass(frozen=True)
class Agreement:
    """What the shifts of an acquisition agree on.

    Attributes
    ----------
    trend : Trend
        How shifts change within a well.
    accepted : ndarray of bool, shape (shifts,)
        Which shifts agree, with their well or with each other.
    well : ndarray of float64, shape (wells, 2)
        Shift at the centre of each well; NaN where no shift was accepted.
    plate : ndarray of float64, shape (wells, 2)
        The same as the other wells have it; NaN if none was accepted on the plate.
    spread : float
        Standard deviation of the accepted shifts in their wells, on one axis, in pixels.
    """

    trend: Trend
    accepted: Mask
    well: Array
    plate: Array
    spread: float


def find_agreement(shifts: Shifts, *, rigid: bool) -> Agreement:
    """Find what most shifts of an acquisition agree on, and which of them do.

    Parameters
    ----------
    shifts : Shifts
        The shifts.
    rigid : bool
        Whether the scale is the same in all acquisitions.
    """
    count = len(shifts.wells)
    nothing = np.full((count, 2), np.nan)
    if not len(shifts.shift):
        return Agreement(Trend(0, 0), np.zeros(0, bool), nothing, nothing, 0.0)
    trend = fit_trend(shifts, rigid=rigid)
    level = shifts.shift - trend.at(shifts.at)
    limit, spread = _REJECTED_PX, 0.0
    for _ in range(3):  # the limit by the spread, and the spread by what is within the limit
        accepted, plate = _accept(shifts, level, limit)
        centre = _medians(level, shifts.well, accepted, count)
        spread = spread_of((level - centre[shifts.well])[accepted])
        likely = held_spread(spread, int(accepted.sum()), _USUAL_PX)
        limit = max(_REJECTED_PX, _REJECTED_SPREADS * likely)
    accepted = accepted | _confirmed(shifts, trend)
    return Agreement(trend, accepted, centre, plate, spread)


def _confirmed(shifts: Shifts, trend: Trend) -> Mask:
    """Shifts of fields that two fields of the reference, or more, have at the same place.

    The stage may have been far off for one field alone: then its shift is none that others have.
    Two wrong shifts that were measured in two images are not the same one by chance.
    """
    place = shifts.correction - trend.at(shifts.at)
    found = np.zeros(len(place), bool)
    order = np.argsort(shifts.field, kind="stable")
    ends = np.flatnonzero(np.diff(shifts.field[order])) + 1
    for own in np.split(order, ends):
        away = np.sqrt(((place[own, None] - place[None, own]) ** 2).sum(axis=2))
        found[own] = (away <= _CONFIRMED_PX).sum(axis=1) > 1
    return found


def fit_trend(shifts: Shifts, *, rigid: bool) -> Trend:
    """Turn and scale by all shifts of the plate, whatever the shift of each well is.

    They are seen twice: in the shifts of the fields of a well, where the stage's repeatability is
    the noise, and in the several pairs of one field, where only that of the measure is. Each counts
    by its precision.
    """
    per_well = _fit(shifts.well, shifts.at, shifts.shift, shifts.weight, rigid=rigid)
    per_field = _fit(shifts.field, shifts.at, shifts.correction, shifts.weight, rigid=rigid)
    total = per_well[1] + per_field[1]
    if not total:
        return per_well[0]
    share = per_field[1] / total
    turn = per_well[0].turn + share * (per_field[0].turn - per_well[0].turn)
    scale = per_well[0].scale + share * (per_field[0].scale - per_well[0].scale)
    return Trend(scale, turn)


def _fit(
    group: Indices, at: Array, shift: Array, weight: Array, *, rigid: bool
) -> tuple[Trend, float]:
    """Turn and scale by the shifts within groups, and their precision (1 / variance).

    Long tails (Cauchy) that are narrowed step by step make outliers lose their weight, as in
    `graph.solve_robust`.
    """
    count = int(group.max()) + 1
    free = len(group) - len(np.unique(group))
    if free < 2:
        return Trend(0.0, 0.0), 0.0
    every = np.ones(len(group), bool)
    rest = shift - _medians(shift, group, every, count)[group]
    inflate = float(np.sqrt(len(group) / free))
    spread = max(inflate * spread_of(rest), _SHARPEST_PX)
    width, trend, precision = 2 * spread, Trend(0.0, 0.0), 0.0
    for _ in range(_ITERATIONS):
        trust = weight * width**2 / (width**2 + norm(rest) ** 2)
        place = at - _means(at, group, trust, count)[group]
        own = shift - _means(shift, group, trust, count)[group]
        share = trust / np.median(weight)
        new = _solve_trend(place, own, share, spread, rigid=rigid)
        rest = own - new.at(place)
        still = abs(new.turn - trend.turn) + abs(new.scale - trend.scale) < 1e-9
        trend, spread = new, max(inflate * spread_of(rest), _SHARPEST_PX)
        precision = float((share * (place**2).sum(axis=1)).sum()) / spread**2
        if still and width <= _TAIL * spread:
            break
        width = max(width * _NARROWER, min(width, _TAIL * spread))
    return trend, precision


def _solve_trend(at: Array, shift: Array, weight: Array, spread: float, *, rigid: bool) -> Trend:
    """Least squares; turn and scale do not depend on each other."""
    moment = float((weight * (at**2).sum(axis=1)).sum())
    across = shift[:, 0] * at[:, 1] - shift[:, 1] * at[:, 0]
    turn = float((weight * across).sum()) / (moment + (spread / _USUAL_TURN) ** 2)
    if rigid:
        return Trend(float(np.sqrt(1 - turn**2)) - 1, turn)
    along = (shift * at).sum(axis=1)
    scale = float((weight * along).sum()) / (moment + (spread / _USUAL_SCALE) ** 2)
    return Trend(scale, turn)


def _accept(shifts: Shifts, level: Array, limit: float) -> tuple[Mask, Array]:
    """Which shifts agree with their well or with the plate, and the plate's shift of each well.

    A well is trusted if most of its shifts agree, and at least two. In the others a shift is
    accepted if it agrees with the plate.
    """
    count = len(shifts.wells)
    centre, support = np.full((count, 2), np.nan), np.zeros(count)
    total = np.bincount(shifts.well, minlength=count)
    for well in np.flatnonzero(total):
        centre[well], support[well] = _densest(level[shifts.well == well], limit)
    known = support > 0
    plate = fit_plate(shifts.wells, centre, support)
    trusted = (support >= 2) & (2 * support > total)
    checked = trusted if trusted.any() else known
    away = spread_of((centre - plate)[checked]) if checked.sum() > 2 else 0.0
    wide = max(limit, _REJECTED_SPREADS * away)
    near = trusted | (norm(centre - plate) <= wide)
    goal = np.where(near[:, None], centre, plate)
    reach = np.where(near, limit, wide)
    return norm(level - goal[shifts.well]) <= reach[shifts.well], plate


def _densest(values: Array, limit: float) -> tuple[Array, int]:
    """Where most values agree: the median of those near one of them, and how many there are."""
    middle = np.median(values, axis=0)
    if len(values) <= _MOST_COMPARED:
        near = np.sqrt(((values[:, None] - values[None]) ** 2).sum(axis=2)) <= limit
        count = near.sum(axis=1)
        # of several the one nearest the median
        best = np.lexsort((norm(values - middle), -count))[0]
        chosen = values[near[best]]
    else:
        chosen = values[norm(values - middle) <= limit]
    return (np.median(chosen, axis=0), len(chosen)) if len(chosen) else (middle, 1)


def fit_plate(wells: Array, centre: Array, support: Array) -> Array:
    """The shift of each well as all wells together have it: affine in row and column.

    Parameters
    ----------
    wells : ndarray of float64, shape (wells, 2)
        Row and column of each well.
    centre : ndarray of float64, shape (wells, 2)
        Shifts of the wells, where there is `support`.
    support : ndarray of float64, shape (wells,)
        Number of fields by which each was found.

    Returns
    -------
    ndarray of float64, shape (wells, 2)
        NaN without any support.
    """
    known = support > 0
    if not known.any():
        return np.full(centre.shape, np.nan)
    place = wells - np.median(wells[known], axis=0)
    design = np.concatenate([np.ones((len(wells), 1)), place], axis=1)
    found = np.repeat(np.median(centre[known], axis=0)[None], len(wells), axis=0)
    spread = max(spread_of((centre - found)[known]), _SHARPEST_PX)
    width = 2 * spread
    for _ in range(_ITERATIONS):
        weight = np.where(known, np.minimum(support, 4), 0.0)
        weight[known] *= width**2 / (width**2 + norm((centre - found)[known]) ** 2)
        normal = np.einsum("n,ni,nj->ij", weight, design, design)
        right = np.einsum("n,ni,nk->ik", weight, design, np.where(known[:, None], centre, 0.0))
        held = np.diag([0.0, 1.0, 1.0]) * (spread / _USUAL_STEP_PX) ** 2
        new = np.einsum("ni,ik->nk", design, np.linalg.solve(normal + held, right))
        still = np.abs(new - found).max() < 1e-6
        found, spread = new, max(spread_of((centre - new)[known]), _SHARPEST_PX)
        if still and width <= _TAIL * spread:
            break
        width = max(width * _NARROWER, min(width, _TAIL * spread))
    return np.asarray(found)


def _medians(values: Array, well: Indices, chosen: Mask, count: int) -> Array:
    """Median of the chosen values of each well, shape (wells, axes); NaN without any."""
    found = np.full((count, values.shape[1]), np.nan)
    for number in np.unique(well[chosen]):
        found[number] = np.median(values[chosen & (well == number)], axis=0)
    return found


def _means(values: Array, well: Indices, weight: Array, count: int) -> Array:
    """Weighted mean of the values of each well, shape (wells, axes); 0 without any."""
    total = np.maximum(np.bincount(well, weight, count), np.finfo(float).tiny)
    sums = [np.bincount(well, weight * column, count) / total for column in values.T]
    return np.stack(sums, axis=1)
