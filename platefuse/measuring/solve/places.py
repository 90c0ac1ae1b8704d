"""From the pairs of a plate to a place for every field. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from platefuse.measuring.model import FieldKey, PairMeasure, StageField, Vector
from platefuse.measuring.solve.consensus import Consensus, find_places
from platefuse.measuring.solve.placing import Model, Work, field_centre, overlap_centre
from platefuse.measuring.solve.stitching import Stitched, common_pixel, stitch


@dataclass(frozen=True)
class SolvedPairs:
    """The pairs of a plate, solved.

    Attributes
    ----------
    stitched : Stitched
        The reference acquisition.
    consensus : Consensus
        The places of all fields.
    """

    stitched: Stitched
    consensus: Consensus


def solve_pairs(
    fields: Sequence[StageField],
    pairs: Sequence[PairMeasure],
    *,
    reference_acquisition: int,
    stitching: bool = True,
    model: Model = "translation",
) -> SolvedPairs:
    """Find a place for every field of a plate.

    Two pairs of one field with two fields of the reference say how these two lie to each other.
    They are used like pairs of neighbours, in a second solve.

    Parameters
    ----------
    fields : sequence of StageField
        The fields of all acquisitions.
    pairs : sequence of PairMeasure
        All pairs. Those with the status ``measured`` must have been accepted.
    reference_acquisition : int
        The acquisition onto which the others are moved.
    stitching : bool
        Whether the places within the reference are corrected by its overlaps.
    model : str
        ``translation`` or ``rigid``.

    Raises
    ------
    MeasureError
        If two fields have one name, or pixel sizes differ.
    """
    references = [f for f in fields if f.key.acquisition == reference_acquisition]
    neighbours = [p for p in pairs if p.kind == "neighbour"] if stitching else []
    stitched = stitch(references, neighbours)
    consensus = find_places(fields, pairs, stitched, model=model)
    if stitching:
        more = pairs_by_way_of_others(fields, pairs, stitched, consensus)
        if more:
            stitched = stitch(references, [*neighbours, *more])
            consensus = find_places(fields, pairs, stitched, model=model)
    return SolvedPairs(stitched, consensus)


def pairs_by_way_of_others(
    fields: Sequence[StageField],
    pairs: Sequence[PairMeasure],
    stitched: Stitched,
    consensus: Consensus,
) -> list[PairMeasure]:
    """Pairs of fields of the reference, by a field of another acquisition that overlaps both.

    Parameters
    ----------
    fields, pairs
        As in `solve_pairs`.
    stitched, consensus
        A first solution: how much each acquisition is turned.
    """
    pixel_um = common_pixel(fields)
    references: dict[str, list[FieldKey]] = {}
    for key in stitched.fields:
        references.setdefault(key.well, []).append(key)
    work = Work(pixel_um, stitched, references, sorted(references), "translation")
    by_key = {field.key: field for field in fields}
    of_field: dict[FieldKey, list[PairMeasure]] = {}
    for pair in pairs:
        if pair.kind == "cycle" and pair.status == "measured":
            of_field.setdefault(pair.moving, []).append(pair)
    found = []
    for key, own in sorted(of_field.items()):
        ordered = sorted(own, key=lambda p: (-p.overlap * p.score, p.reference, p.shift_px))
        trend = consensus.models[key.acquisition].trend
        shifts = []
        for pair in ordered:
            lever = field_centre(work, by_key[key]) - overlap_centre(work, by_key[key], pair)
            shifts.append(np.array(pair.shift_px[1:]) + trend.at(lever[None])[0])
        # all by way of the best one: pairs of the others have no new information
        for pair, shift in zip(ordered[1:], shifts[1:], strict=True):
            found.append(_between(ordered[0], pair, shifts[0] - shift))
    return found


def _between(one: PairMeasure, two: PairMeasure, shift: Sequence[float]) -> PairMeasure:
    """The pair of the references of two pairs with one moving field."""
    depth = one.shift_px[0] - two.shift_px[0]
    z, y, x = (math.hypot(a, b) for a, b in zip(one.sigma_px, two.sigma_px, strict=True))
    sigma: Vector = (z, y, x)
    weakest = min((one, two), key=lambda p: p.score * p.overlap)
    return PairMeasure(
        kind="neighbour",
        reference=one.reference,
        moving=two.reference,
        shift_px=(depth, float(shift[0]), float(shift[1])),
        score_at_zero=weakest.score_at_zero,
        score=weakest.score,
        runner_up=min(one.runner_up, two.runner_up),
        sigma_px=sigma,
        overlap=weakest.overlap,
        texture=min(one.texture, two.texture),
        status="measured",
    )
