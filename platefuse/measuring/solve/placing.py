"""Place the fields of one acquisition: by their own pairs, by their well, or by the plate. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from platefuse.measuring.model import (
    FieldKey,
    FieldStatus,
    PairMeasure,
    PairStatus,
    PlacedField,
    StageField,
    Vector,
)
from platefuse.measuring.solve.graph import Array, Indices, Mask, spread_of
from platefuse.measuring.solve.stitching import Stitched, stage_px, vector
from platefuse.measuring.solve.trend import Agreement, Shifts, Trend, find_agreement

Model = Literal["translation", "rigid"]

_REASONS: tuple[PairStatus, ...] = ("fixed_pattern", "too_far", "ambiguous", "empty")
"""Why a field was not measured, the one that tells the user most first."""
_SAME_PX = 0.75
"""How far the pairs of a field may be from each other, to be averaged."""
_LEAST_Z_PX = 1.0
_Z_SPREADS = 4.0
_WELL_NAME = re.compile(r"([A-Za-z]+)/?0*([0-9]+)")


@dataclass(frozen=True)
class AcquisitionModel:
    """What the shifts of an acquisition have in common.

    Attributes
    ----------
    trend : Trend
        How they change within a well.
    spread_px : float
        Standard deviation of the shifts in their wells, on one axis.
    measured, rejected : int
        Number of pairs that agree, and that do not.
    wells : mapping of str to tuple of float
        Shift on y and x at the centre of each well in which a shift was measured.
    """

    trend: Trend
    spread_px: float
    measured: int
    rejected: int
    wells: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Work:
    """What all acquisitions have in common.

    Attributes
    ----------
    pixel_um : tuple of float
        Pixel size of all fields.
    stitched : Stitched
        The reference acquisition.
    references : mapping of str to list of FieldKey
        Its fields by well.
    wells : sequence of str
        The wells of the plate.
    model : str
        ``translation`` or ``rigid``.
    """

    pixel_um: Vector
    stitched: Stitched
    references: Mapping[str, Sequence[FieldKey]]
    wells: Sequence[str]
    model: Model


def placed(
    work: Work,
    field: StageField,
    correction: Vector,
    angle_deg: float,
    score: float,
    sigma: float,
    status: FieldStatus,
) -> PlacedField:
    """A field with its correction, and the place that it gives."""
    z, y, x = (
        um + px * size
        for um, px, size in zip(field.stage_um, correction, work.pixel_um, strict=True)
    )
    return PlacedField(field, (z, y, x), correction, angle_deg, score, sigma, status)


@dataclass(frozen=True)
class _Acquisition:
    """One acquisition: its fields, its accepted or rejected pairs, and what they agree on."""

    fields: Sequence[StageField]
    pairs: Sequence[PairMeasure]
    level: Array  # shape (pairs, 3): shifts without what the stage's slopes have in them
    at: Array  # shape (pairs, 2): where they were measured, from the centre of the well
    agreement: Agreement
    heights: Array  # shape (wells,): shift in z
    height_limit: float


def place_acquisition(
    work: Work, fields: Sequence[StageField], pairs: Sequence[PairMeasure]
) -> tuple[list[PlacedField], AcquisitionModel]:
    """Place the fields of one acquisition.

    Parameters
    ----------
    work : Work
        What all acquisitions have in common.
    fields : sequence of StageField
        The fields of the acquisition, in the order of their keys.
    pairs : sequence of PairMeasure
        Their pairs with fields of the reference.
    """
    by_key = {f.key: f for f in fields}
    usable = sorted(
        (p for p in pairs if p.status == "measured"),
        key=lambda p: (p.moving, p.reference, p.shift_px),
    )
    number = {well: n for n, well in enumerate(work.wells)}
    well = np.array([number[p.moving.well] for p in usable], np.intp)
    at = np.array([overlap_centre(work, by_key[p.moving], p) for p in usable]).reshape(-1, 2)
    level = np.array([_level(work, by_key[p.moving], p) for p in usable]).reshape(-1, 3)
    weight = np.array([max(p.score * p.overlap, 1e-3) for p in usable])
    order = {field.key: n for n, field in enumerate(fields)}
    shifts = Shifts(
        well,
        at,
        level[:, 1:],
        np.array([order[p.moving] for p in usable], np.intp),
        np.array([_correction(work, p) for p in usable]).reshape(-1, 3)[:, 1:],
        weight,
        _rows_and_columns(work.wells),
    )
    agreement = find_agreement(shifts, rigid=work.model == "rigid")
    heights, limit = _heights(level[:, 0], well, agreement.accepted, len(work.wells))
    own = _Acquisition(fields, usable, level, at, agreement, heights, limit)
    places = _place_all(work, own, pairs)
    measured = int(agreement.accepted.sum())
    centres = zip(work.wells, agreement.well, strict=True)
    return places, AcquisitionModel(
        agreement.trend,
        agreement.spread,
        measured,
        len(usable) - measured,
        {name: (float(y), float(x)) for name, (y, x) in centres if not math.isnan(y)},
    )


def _place_all(work: Work, own: _Acquisition, pairs: Sequence[PairMeasure]) -> list[PlacedField]:
    accepted: dict[FieldKey, list[int]] = {}
    for k in np.flatnonzero(own.agreement.accepted).tolist():
        accepted.setdefault(own.pairs[k].moving, []).append(k)
    statuses: dict[FieldKey, set[PairStatus]] = {}
    for pair in pairs:
        statuses.setdefault(pair.moving, set()).add(pair.status)
    angle = own.agreement.trend.angle_deg if work.model == "rigid" else 0.0
    places = []
    for field in own.fields:
        if field.key in accepted:
            correction, score, sigma = _measured(work, own, field, accepted[field.key])
            places.append(placed(work, field, correction, angle, score, sigma, "measured"))
            continue
        correction, filled = _filled(work, own, field)
        status = _why(field, statuses.get(field.key, set()), filled)
        places.append(placed(work, field, correction, angle, math.nan, math.nan, status))
    return places


def _why(field: StageField, statuses: set[PairStatus], filled: FieldStatus | None) -> FieldStatus:
    """The status of a field that was not measured.

    A reason in its own pixels comes first, then how it was filled. Without a shift to fill by, it
    is why its pairs gave none.
    """
    if not field.texture > 0:
        return "empty"
    if statuses and "measured" not in statuses and statuses != {"empty"}:
        return next(reason for reason in _REASONS if reason in statuses)
    if filled is not None:
        return filled
    if not statuses:
        return "too_far"  # no field of the reference overlaps it
    return "empty" if statuses == {"empty"} else "ambiguous"


def _measured(
    work: Work, own: _Acquisition, field: StageField, chosen: Sequence[int]
) -> tuple[Vector, float, float]:
    """Correction, score and uncertainty by the accepted pairs of a field.

    The weighted mean of those that agree with each other, if there are several.
    """
    centre = field_centre(work, field)
    number = work.wells.index(field.key.well)
    found, weights, squares = [], [], []
    for k in chosen:
        pair, reference = own.pairs[k], work.stitched.fields[own.pairs[k].reference]
        shift = np.array(pair.shift_px)
        height = own.heights[number]
        if abs(own.level[k, 0] - height) > own.height_limit:
            shift[0] += height - own.level[k, 0]
        if work.model == "rigid":  # from where it was measured to the centre of the field
            shift[1:] += own.agreement.trend.at((centre - own.at[k])[None])[0]
        found.append(shift + reference.correction_px)
        weights.append(max(pair.score * pair.overlap, 1e-3))
        own_sigma = math.hypot(*pair.sigma_px[1:]) / math.sqrt(2)
        other = reference.sigma_px if reference.edges else 0.0
        squares.append(own_sigma**2 + other**2)
    places, weight = np.array(found), np.array(weights)
    away = places[:, None, 1:] - places[None, :, 1:]
    near = np.sqrt((away**2).sum(axis=2)) <= _SAME_PX
    best = near[int(np.argmax((near * weight).sum(axis=1)))]
    share = np.where(best, weight, 0.0) / weight[best].sum()
    sigma = math.sqrt(float((share**2 * np.array(squares)).sum()))
    score = max(own.pairs[k].score for k, agrees in zip(chosen, best, strict=True) if agrees)
    return vector((share[:, None] * places).sum(axis=0)), score, sigma


def _filled(work: Work, own: _Acquisition, field: StageField) -> tuple[Vector, FieldStatus | None]:
    """Correction by the shift of the well or of the plate; None if there is neither."""
    number = work.wells.index(field.key.well)
    base = _reference_correction(work, field)
    agreement = own.agreement
    status: FieldStatus | None = None
    shift = np.zeros(2)
    if np.isfinite(agreement.well[number]).all():
        shift, status = agreement.well[number], "filled_well"
    elif np.isfinite(agreement.plate[number]).all():
        shift, status = agreement.plate[number], "filled_plate"
    if status is not None:
        base[1:] += shift + agreement.trend.at(field_centre(work, field)[None])[0]
        base[0] += own.heights[number]
    return vector(base), status


def _reference_correction(work: Work, field: StageField) -> Array:
    """Correction that the stage needs where a field is, by the reference fields that it overlaps.

    Stage errors are alike at one place in all acquisitions, so a field has those of the reference
    fields there: the mean, by the area of the overlap. Elsewhere it is the stage model's.
    """
    model = work.stitched.models.get(field.key.well)
    if model is None:
        return np.zeros(3)
    (own,) = stage_px([field], work.pixel_um)
    total, area = np.zeros(3), 0.0
    for key in work.references.get(field.key.well, ()):
        other = work.stitched.fields[key]
        (there,) = stage_px([other.field], work.pixel_um)
        size = np.minimum(own + field.shape[1:], there + other.field.shape[1:])
        size -= np.maximum(own, there)
        if (size > 0).all():
            step = own - there
            share = float(size[0] * size[1])
            total += share * (
                np.array(other.correction_px) + model.step_px((float(step[0]), float(step[1])))
            )
            area += share
    if area:
        return np.asarray(total / area)
    return np.array(model.correction_px((float(own[0]), float(own[1]))))


def _correction(work: Work, pair: PairMeasure) -> Array:
    """The correction of the moving field that a pair gives."""
    return np.array(pair.shift_px) + work.stitched.fields[pair.reference].correction_px


def _level(work: Work, moving: StageField, pair: PairMeasure) -> Array:
    """A shift without what the stage's slopes have in it, if the fields are not at one place."""
    reference = work.stitched.fields[pair.reference].field
    one, other = stage_px([reference, moving], work.pixel_um)
    step = other - one
    model = work.stitched.models[moving.key.well]
    return np.array(pair.shift_px) - model.step_px((float(step[0]), float(step[1])))


def overlap_centre(work: Work, moving: StageField, pair: PairMeasure) -> Array:
    """Where in `moving` the shift of a pair holds: (y, x) from the well's centre, in pixels."""
    reference = work.stitched.fields[pair.reference].field
    one, other = stage_px([reference, moving], work.pixel_um)
    other = other + np.array(pair.shift_px[1:])
    low = np.maximum(one, other)
    high = np.minimum(one + reference.shape[1:], other + moving.shape[1:])
    if not (high > low).all():
        return field_centre(work, moving)
    middle = (low + high) / 2 - pair.shift_px[1:]
    return np.asarray(middle + pair.at_px - _well_centre(work, moving.key.well))


def field_centre(work: Work, field: StageField) -> Array:
    """Centre of a field by the stage: (y, x) from the centre of the well, in pixels."""
    (own,) = stage_px([field], work.pixel_um)
    return np.asarray(own + np.array(field.shape[1:]) / 2 - _well_centre(work, field.key.well))


def _well_centre(work: Work, well: str) -> Array:
    """Where shifts of a well are compared: the middle of the centres of its reference fields."""
    model = work.stitched.models.get(well)
    if model is None:
        return np.zeros(2)
    shape = work.stitched.fields[work.references[well][0]].field.shape
    return np.array(model.centre_px) + np.array(shape[1:]) / 2


def _rows_and_columns(wells: Sequence[str]) -> Array:
    """Row and column of each well by its name; 0 if a name tells none."""
    places = np.zeros((len(wells), 2))
    for number, well in enumerate(wells):
        if match := _WELL_NAME.fullmatch(well):
            row = 0
            for letter in match[1].upper():
                row = 26 * row + ord(letter) - ord("A") + 1
            places[number] = row, int(match[2])
    return places


def _heights(level: Array, well: Indices, accepted: Mask, count: int) -> tuple[Array, float]:
    """Shift in z of each well, the plate's where none was measured, and how far one may be off."""
    if not accepted.any():
        return np.zeros(count), _LEAST_Z_PX
    heights = np.full(count, np.median(level[accepted]))
    for number in np.unique(well[accepted]):
        heights[number] = np.median(level[accepted & (well == number)])
    spread = spread_of((level - heights[well])[accepted])
    return heights, max(_LEAST_Z_PX, _Z_SPREADS * spread)
