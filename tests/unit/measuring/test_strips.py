"""Which strips are measured: those that tell more than the other pairs of the well."""

from __future__ import annotations

from dataclasses import replace

import pytest

from platefuse.measuring.candidates import Candidate
from platefuse.measuring.model import FieldKey, PairMeasure, PairStatus, StageField
from platefuse.measuring.strips import SURE_PX, strips_to_measure

# Four fields of the reference in a square (0 1 / 2 3), and a moving field over field 0.
PLACES = ((0, 0), (0, 90), (90, 0), (90, 90), (2, -3))
FIELDS = [
    StageField(
        FieldKey("B/03", int(number == 4), str(number), str(number)),
        (0.0, float(y), float(x)),
        (1, 100, 100),
        (1.0, 1.0, 1.0),
    )
    for number, (y, x) in enumerate(PLACES)
]
STRIPS = [Candidate("cycle", 1, 4, (0.0, 2.0, -93.0)), Candidate("cycle", 2, 4, (0.0, -88.0, -3.0))]


def pair(reference: int, moving: int, shift: tuple[float, float] = (0.0, 0.0)) -> PairMeasure:
    return PairMeasure(
        kind="neighbour" if moving < 4 else "cycle",
        reference=FIELDS[reference].key,
        moving=FIELDS[moving].key,
        shift_px=(0.0, *shift),
        score_at_zero=0.1,
        score=0.9,
        runner_up=0.9,
        sigma_px=(0.0, SURE_PX, SURE_PX / 2),
        overlap=0.1 if moving < 4 else 0.95,
        texture=0.9,
        status="measured",
    )


def square(*shifts: tuple[float, float]) -> list[PairMeasure]:
    """The four pairs of neighbours, and the moving field with its own field."""
    sides = [(0, 1), (0, 2), (1, 3), (2, 3)]
    neighbours = [pair(*side, shift) for side, shift in zip(sides, shifts, strict=True)]
    return [*neighbours, pair(0, 4)]


CLOSED = ((1.0, 2.0), (-3.0, 0.5), (-2.0, 1.5), (2.0, 3.0))  # 0 → 1 → 3 and 0 → 2 → 3: (-1, 3.5)


def test_sure_neighbours_need_no_strip() -> None:
    assert strips_to_measure(STRIPS, FIELDS, square(*CLOSED)) == []


@pytest.mark.parametrize("status", ["ambiguous", "empty", "fixed_pattern", "too_far"])
def test_a_neighbour_that_is_not_measured_does(status: PairStatus) -> None:
    pairs = square(*CLOSED)
    pairs[0] = replace(pairs[0], status=status)
    assert strips_to_measure(STRIPS, FIELDS, pairs) == STRIPS[:1]


@pytest.mark.parametrize("axis", [1, 2])
def test_an_uncertain_neighbour_does(axis: int) -> None:
    pairs = square(*CLOSED)
    sigma = [0.0, 0.0, 0.0]
    sigma[axis] = 1.01 * SURE_PX
    pairs[1] = replace(pairs[1], sigma_px=(sigma[0], sigma[1], sigma[2]))
    assert strips_to_measure(STRIPS, FIELDS, pairs) == STRIPS[1:]


def test_neighbours_that_contradict_each_other_do() -> None:
    wrong = (CLOSED[0], CLOSED[1], CLOSED[2], (2.0, 4.0))  # each of four is 0.25 px off
    assert strips_to_measure(STRIPS, FIELDS, square(*wrong)) == STRIPS


def test_a_field_that_its_own_field_does_not_place_is_compared_with_all() -> None:
    pairs = square(*CLOSED)
    pairs[-1] = replace(pairs[-1], status="ambiguous")
    assert strips_to_measure(STRIPS, FIELDS, pairs) == STRIPS


def test_a_field_that_was_thrown_is_compared_with_all() -> None:
    names = [FieldKey("B/03", 1, str(k), str(k)) for k in (5, 6, 7)]
    others = [replace(pair(k, 4), moving=name) for k, name in enumerate(names, 1)]
    usual = square(*CLOSED)
    assert strips_to_measure(STRIPS, FIELDS, [*usual, *others]) == []
    thrown = [*usual[:-1], pair(0, 4, (0.5, -20.0))]
    assert strips_to_measure(STRIPS, FIELDS, [*thrown, *others]) == STRIPS


def test_without_any_other_pair_all_strips_are_measured() -> None:
    assert strips_to_measure(STRIPS, FIELDS, []) == STRIPS
