from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from platefuse.measuring.solve.consensus import find_places
from platefuse.measuring.solve.places import SolvedPairs, solve_pairs
from platefuse.measuring.solve.stitching import Stitched, stitch
from tests.stages import Stage, StageSpec, make_stage

PLATE = tuple(f"{row}/{column:02d}" for row in "BC" for column in range(2, 7))


def solve(stage: Stage, *, stitching: bool = True) -> SolvedPairs:
    return solve_pairs(stage.fields, stage.pairs, reference_acquisition=0, stitching=stitching)


def errors(stage: Stage, found: Stitched) -> list[float]:
    result: list[float] = []
    for well in stage.spec.wells:
        keys = [key for key, field in found.fields.items() if key.well == well and field.edges]
        away = np.array([found.fields[k].correction_px[1:] - stage.correction(k) for k in keys])
        result += np.hypot(*(away - np.median(away, axis=0)).T).tolist()
    return result


@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_fields_that_overlap_several_of_the_reference_halve_its_errors(turn: float) -> None:
    spec = StageSpec(wells=PLATE, acquisitions=3, strips=True, outliers=0.05, turn_deg=turn)
    stage = make_stage(spec)
    references = [f for f in stage.fields if f.key.acquisition == 0]
    alone = errors(stage, stitch(references, stage.pairs))
    together = errors(stage, solve(stage).stitched)
    assert np.median(together) < 0.6 * np.median(alone)
    assert np.percentile(together, 99) < 0.1


def test_where_every_field_overlaps_one_the_first_solve_stands() -> None:
    stage = make_stage(StageSpec(acquisitions=2))
    found = solve(stage)
    references = [f for f in stage.fields if f.key.acquisition == 0]
    stitched = stitch(references, stage.pairs)
    assert repr(found.stitched) == repr(stitched)
    assert repr(found.consensus) == repr(find_places(stage.fields, stage.pairs, stitched))


def test_a_reference_without_overlaps_is_stitched_by_way_of_the_others() -> None:
    stage = make_stage(StageSpec(acquisitions=3, strips=True))
    pairs = [p for p in stage.pairs if p.kind == "cycle"]
    found = solve(replace(stage, pairs=pairs))
    assert all(field.edges for field in found.stitched.fields.values())
    assert np.percentile(errors(stage, found.stitched), 95) < 0.1


def test_without_stitching_the_reference_stays_where_the_stage_had_it() -> None:
    stage = make_stage(StageSpec(acquisitions=2, strips=True))
    found = solve(stage, stitching=False)
    own = [p for p in found.consensus.places if p.field.key.acquisition == 0]
    assert {p.shift_px for p in own} == {(0.0, 0.0, 0.0)}
    assert {p.status for p in own} == {"reference"}


def test_the_order_of_fields_and_pairs_does_not_matter() -> None:
    stage = make_stage(StageSpec(acquisitions=2, strips=True, outliers=0.1))
    mixed = replace(stage, fields=stage.fields[::-1], pairs=stage.pairs[::-1])
    assert repr(solve(mixed)) == repr(solve(stage))


def test_of_few_shifts_good_ones_are_kept() -> None:
    """Nine shifts are alike by chance now and then; one further away is then no outlier."""
    statuses = [
        place.status
        for seed in range(8)
        for spec in [StageSpec(wells=("B/02",), acquisitions=3, repeatability=0.85, seed=seed)]
        for stage in [make_stage(spec)]
        for place in solve_pairs(
            stage.fields, stage.pairs, reference_acquisition=0
        ).consensus.places
        if place.field.key.acquisition
    ]
    assert statuses.count("measured") >= 0.98 * len(statuses)
