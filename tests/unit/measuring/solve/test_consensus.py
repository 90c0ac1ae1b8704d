from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from platefuse.measuring.model import FieldKey, PairStatus, PlacedField, StageField
from platefuse.measuring.solve.consensus import Consensus, doubtful, find_places
from platefuse.measuring.solve.placing import Model
from platefuse.measuring.solve.stitching import stitch
from tests.stages import PIXEL_UM, Stage, StageSpec, key_of, make_stage, relabelled, without

PLATE = tuple(f"{row}/{column:02d}" for row in "BCDE" for column in range(2, 7))


def place(stage: Stage, *, model: Model = "translation", stitched: bool = True) -> Consensus:
    references = [f for f in stage.fields if f.key.acquisition == 0]
    found = stitch(references, stage.pairs if stitched else [])
    return find_places(stage.fields, stage.pairs, found, model=model)


def by_key(found: Consensus) -> dict[FieldKey, PlacedField]:
    return {p.field.key: p for p in found.places}


def error(stage: Stage, found: Consensus, key: FieldKey) -> float:
    """Error of a field's place against that of the reference field at its place, in pixels."""
    places = by_key(found)
    reference = replace(key, acquisition=0, image="0")
    shift = np.array(places[key].shift_px[1:]) - places[reference].shift_px[1:]
    return math.dist(shift, stage.correction(key) - stage.correction(reference))


def moving(stage: Stage) -> list[StageField]:
    return [f for f in stage.fields if f.key.acquisition > 0]


@pytest.mark.parametrize("stitched", [True, False])
def test_every_shift_is_found(stitched: bool) -> None:
    stage = make_stage(StageSpec(acquisitions=3, noise=0, by_row=(1, 0.5), by_column=(0, -2)))
    found = place(stage, stitched=stitched)
    for field in moving(stage):
        assert by_key(found)[field.key].status == "measured"
        assert error(stage, found, field.key) < 1e-6
    assert {p.status for p in found.places if p.field.key.acquisition == 0} == {"reference"}
    assert not doubtful(found.places)


def test_places_are_stage_positions_and_shifts() -> None:
    stage = make_stage(StageSpec(acquisitions=2))
    for found in place(stage).places:
        size = np.array(found.field.pixel_um)
        expected = np.array(found.field.stage_um) + np.array(found.shift_px) * size
        assert np.allclose(found.place_um, expected, rtol=0, atol=1e-9)


def test_outliers_are_rejected_and_their_fields_filled_from_the_well() -> None:
    stage = make_stage(StageSpec(acquisitions=3, wells=PLATE, outliers=0.15))
    found = by_key(place(stage))
    whole = place(stage)
    for field in moving(stage):
        reference = replace(field.key, acquisition=0, image="0")
        wrong = (reference, field.key) in stage.wrong
        own = found[field.key]
        limit = 2.0 + 4 * 0.9 if wrong else 0.3
        if own.status == "measured":
            assert error(stage, whole, field.key) < limit
        else:
            assert own.status == "filled_well"
            assert error(stage, whole, field.key) < 4  # the repeatability of the stage
            assert math.isnan(own.score)
    rejected = sum(model.rejected for model in whole.models.values())
    assert rejected == sum(own.status == "filled_well" for k, own in found.items() if k.acquisition)
    assert {p.field.key for p in doubtful(whole.places)} >= {
        key for key, own in found.items() if own.status == "filled_well"
    }


@pytest.mark.parametrize(("strips", "status"), [(True, "measured"), (False, "filled_well")])
def test_a_field_that_the_stage_threw_needs_two_pairs(strips: bool, status: str) -> None:
    stage = make_stage(StageSpec(acquisitions=2, strips=strips))
    thrown = (20.0, -15.0)
    key = key_of("B/02", 1, 4)
    pairs = [
        replace(p, shift_px=(p.shift_px[0], p.shift_px[1] + thrown[0], p.shift_px[2] + thrown[1]))
        if p.moving == key
        else p
        for p in stage.pairs
    ]
    assert sum(p.moving == key for p in pairs) == (5 if strips else 1)
    found = place(replace(stage, pairs=pairs))
    true = by_key(place(stage))
    assert by_key(found)[key].status == status
    for name, own in by_key(found).items():
        moved = np.subtract(own.shift_px[1:], true[name].shift_px[1:])
        expected = thrown if name == key and strips else (0, 0)
        assert np.abs(moved - expected).max() < (0.05 if own.status != "filled_well" else 2)


def test_a_well_of_wrong_shifts_is_filled_from_the_plate() -> None:
    stage = make_stage(StageSpec(acquisitions=2, wells=PLATE, by_row=(2, 0), by_column=(0, -3)))
    rng = np.random.default_rng(0)
    pairs = [
        replace(p, shift_px=(0.0, float(rng.uniform(-40, 40)), float(rng.uniform(-40, 40))))
        if p.kind == "cycle" and p.moving.well == "C/03"
        else p
        for p in stage.pairs
    ]
    found = place(replace(stage, pairs=pairs))
    for n in range(9):
        key = key_of("C/03", 1, n)
        assert by_key(found)[key].status == "filled_plate"
        assert error(stage, found, key) < 3.5


def test_wells_of_one_field_are_compared_with_the_plate() -> None:
    spec = StageSpec(acquisitions=2, wells=PLATE, grid=(1, 1), outliers=0.15, by_row=(2, 1))
    stage = make_stage(spec)
    found = place(stage)
    statuses = {"measured": 0, "filled_plate": 0}
    for field in moving(stage):
        status = by_key(found)[field.key].status
        statuses[status] += 1
        assert error(stage, found, field.key) < (0.3 if status == "measured" else 4)
    assert statuses["filled_plate"] == len(stage.wrong) > 0


def test_an_empty_well_is_empty_and_goes_where_the_plate_goes() -> None:
    empty = frozenset(("C/03", n) for n in range(9))
    stage = make_stage(StageSpec(acquisitions=3, wells=PLATE, empty=empty))
    found = place(stage)
    for acquisition in range(3):
        for n in range(9):
            own = by_key(found)[key_of("C/03", acquisition, n)]
            assert own.status == "empty"
            assert math.isnan(own.score)
            assert math.isnan(own.sigma_px)
            if not acquisition:
                continue
            assert error(stage, found, own.field.key) < 9  # stage errors of this well are unknown
            shift = np.array(own.shift_px[1:]) - np.array((8.0, -5.0)) * acquisition
            assert np.hypot(*shift) < 1.0
    assert all(p.status != "empty" for p in doubtful(found.places))


def test_over_an_empty_reference_a_field_follows_its_well_or_its_plate() -> None:
    stage = make_stage(StageSpec(acquisitions=2, wells=PLATE))
    dark = [key_of("B/02", 0, 4), *(key_of("C/03", 0, n) for n in range(9))]
    stage = _with_texture(stage, dict.fromkeys(dark, 0.0))
    found = by_key(place(stage))
    for key in dark:
        assert found[key].status == "empty"
    assert found[key_of("B/02", 1, 4)].status == "filled_well"
    assert {found[key_of("C/03", 1, n)].status for n in range(9)} == {"filled_plate"}


def _with_texture(stage: Stage, texture: dict[FieldKey, float]) -> Stage:
    fields = [replace(f, texture=texture.get(f.key, f.texture)) for f in stage.fields]
    pairs = [
        relabelled(p, "empty") if p.reference in texture or p.moving in texture else p
        for p in stage.pairs
    ]
    return replace(stage, fields=fields, pairs=pairs)


@pytest.mark.parametrize("status", ["fixed_pattern", "ambiguous", "too_far"])
def test_the_reason_of_the_pair_is_kept_and_the_place_filled(status: PairStatus) -> None:
    stage = make_stage(StageSpec(acquisitions=2))
    key = key_of("B/03", 1, 4)
    pairs = [relabelled(p, status) if p.moving == key else p for p in stage.pairs]
    found = place(replace(stage, pairs=pairs))
    own = by_key(found)[key]
    assert own.status == status
    assert error(stage, found, key) < 4
    assert own in doubtful(found.places)


def test_where_nothing_was_measured_nothing_is_made_up() -> None:
    stage = make_stage(StageSpec(acquisitions=2))
    cases: dict[PairStatus, str] = {"empty": "empty", "ambiguous": "ambiguous"}
    for status, expected in cases.items():
        pairs = [relabelled(p, status) if p.kind == "cycle" else p for p in stage.pairs]
        found = place(replace(stage, pairs=pairs), stitched=False)
        moved = [p for p in found.places if p.field.key.acquisition]
        assert {p.status for p in moved} == {expected}
        assert {p.shift_px for p in moved} == {(0.0, 0.0, 0.0)}
    alone = place(replace(stage, pairs=[]))
    assert {p.status for p in alone.places if p.field.key.acquisition} == {"too_far"}


def test_a_field_of_the_reference_without_pairs_is_flagged() -> None:
    stage = make_stage(StageSpec())
    lost = key_of("B/03", 0, 0)
    touching = [p for p in stage.pairs if lost in (p.reference, p.moving)]
    pairs = without(stage.pairs, lost) + [relabelled(p, "ambiguous") for p in touching]
    pairs = [relabelled(p, "ambiguous") if p.moving.well == "C/02" else p for p in pairs]
    found = by_key(place(replace(stage, pairs=pairs)))
    assert found[lost].status == "filled_well"
    assert {found[key_of("C/02", 0, n)].status for n in range(9)} == {"filled_plate"}
    assert found[key_of("B/02", 0, 0)].status == "reference"


@pytest.mark.parametrize("turn", [0.2, 0.3, -0.3])
@pytest.mark.parametrize("strips", [False, True])
def test_a_turned_plate_is_placed_by_its_angle(turn: float, strips: bool) -> None:
    spec = StageSpec(acquisitions=2, wells=PLATE, turn_deg=turn, outliers=0.05, strips=strips)
    stage = make_stage(spec)
    found = place(stage, model="rigid")
    angle = found.models[1].trend.angle_deg
    assert abs(angle - turn) < (0.002 if strips else 0.01)
    away = []
    for field in moving(stage):
        own = by_key(found)[field.key]
        assert own.angle_deg == angle
        if own.status == "measured" and _reference(found, field).status == "reference":
            away.append(error(stage, found, field.key))
    assert len(away) > 0.85 * len(moving(stage))
    assert np.percentile(away, 98) < 0.2
    assert {p.angle_deg for p in place(stage).places} == {0.0}


def _reference(found: Consensus, field: StageField) -> PlacedField:
    return by_key(found)[replace(field.key, acquisition=0, image="0")]


def test_the_turn_is_from_x_to_y() -> None:
    """By hand: fields to the right of the centre go down, those below it go left."""
    turn = 0.005
    places = {"left": (0, -1000), "right": (0, 1000), "above": (-1000, 0), "below": (1000, 0)}
    fields = []
    pairs: list[Any] = []
    for name, (y, x) in places.items():
        for acquisition in (0, 1):
            key = FieldKey("A/01", acquisition, str(acquisition), name)
            um = (0.0, y * PIXEL_UM, x * PIXEL_UM)
            fields.append(StageField(key, um, (1, 100, 100), (1.0, PIXEL_UM, PIXEL_UM)))
        one, two = fields[-2].key, fields[-1].key
        shift = (0.0, 7 + turn * x, -3 - turn * y)  # y' = y + turn * x, x' = x - turn * y
        sample = make_stage(StageSpec(acquisitions=2)).pairs[-1]
        pairs.append(replace(sample, reference=one, moving=two, shift_px=shift))
    found = find_places(fields, pairs, stitch([f for f in fields if not f.key.acquisition], []))
    assert found.models[1].trend.turn == pytest.approx(turn, rel=1e-3)
    assert found.models[1].wells["A/01"] == pytest.approx((7, -3), abs=0.03)
    rigid = find_places(
        fields, pairs, stitch([f for f in fields if not f.key.acquisition], []), model="rigid"
    )
    angles = {p.angle_deg for p in rigid.places if p.field.key.acquisition}
    assert len(angles) == 1
    assert angles.pop() == pytest.approx(math.degrees(turn), rel=1e-3)


def test_heights_follow_the_well_where_a_plane_is_off() -> None:
    stage = make_stage(StageSpec(acquisitions=2))
    odd = key_of("B/03", 1, 4)
    pairs = [
        replace(p, shift_px=(9.0 if p.moving == odd else 2.0, *p.shift_px[1:]))
        if p.kind == "cycle"
        else p
        for p in stage.pairs
    ]
    found = place(replace(stage, pairs=pairs))
    assert {p.shift_px[0] for p in found.places if p.field.key.acquisition} == {2.0}


def test_the_order_of_fields_and_pairs_does_not_matter() -> None:
    stage = make_stage(StageSpec(acquisitions=3, outliers=0.1, turn_deg=0.2, strips=True))
    expected = place(stage, model="rigid")
    mixed = random.Random(1)
    for _ in range(3):
        fields, pairs = list(stage.fields), list(stage.pairs)
        mixed.shuffle(fields)
        mixed.shuffle(pairs)
        # NaN is not equal to itself, its text is
        again = place(replace(stage, fields=fields, pairs=pairs), model="rigid")
        assert repr(again) == repr(expected)
