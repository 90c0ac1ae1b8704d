from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from platefuse.measuring.model import StageField
from platefuse.measuring.stage_axes import (
    AS_WRITTEN,
    HYPOTHESES,
    Hypothesis,
    Probe,
    decide,
    describe,
    find_probes,
)
from tests.stages import StageSpec, make_stage

TRUE = make_stage(StageSpec(wells=("B/02", "B/03"), shape=(400, 512))).fields


def rewritten(fields: Sequence[StageField], hypothesis: Hypothesis) -> list[StageField]:
    """The fields at the positions that a hypothesis gives them."""
    return [
        replace(f, stage_um=(f.stage_um[0], *hypothesis.apply(*f.stage_um[1:]))) for f in fields
    ]


def inverse(hypothesis: Hypothesis) -> Hypothesis:
    """What writes right positions so that the hypothesis makes them right again."""
    if hypothesis.swap:
        return replace(hypothesis, flip_y=hypothesis.flip_x, flip_x=hypothesis.flip_y)
    return hypothesis


def matches(
    fields: Sequence[StageField], probes: dict[Hypothesis, tuple[Probe, ...]], chance: int = 0
) -> dict[Probe, bool]:
    """What a pair measure would find: a pair matches near its true offset, and some by chance."""
    place = {f.key: f.stage_um[1:] for f in fields}
    found = {}
    for n, probe in enumerate(dict.fromkeys(p for own in probes.values() for p in own)):
        (ay, ax), (by, bx) = place[probe.reference], place[probe.moving]
        away = math.dist(probe.offset_um, (by - ay, bx - ax))
        found[probe] = away < 15 or (chance > 0 and n % chance == 0)
    return found


@pytest.mark.parametrize("hypothesis", HYPOTHESES)
@pytest.mark.parametrize("chance", [0, 10])
def test_positions_that_were_written_in_another_way_are_recognised(
    hypothesis: Hypothesis, chance: int
) -> None:
    written = rewritten(TRUE, inverse(hypothesis))
    for right, again in zip(TRUE, rewritten(written, hypothesis), strict=True):
        assert again.stage_um == pytest.approx(right.stage_um)
    probes = find_probes(written)
    assert decide(probes, matches(TRUE, probes, chance)) == hypothesis


def test_few_pairs_are_probed_half_of_them_along_each_axis() -> None:
    probes = find_probes(TRUE)
    assert set(probes) == set(HYPOTHESES)
    for hypothesis, own in probes.items():
        assert len(own) == 12
        if not hypothesis.swap:  # fields that are not square overlap on one axis only if swapped
            assert sum(abs(p.offset_um[0]) < abs(p.offset_um[1]) for p in own) == 6
    every = {p for own in probes.values() for p in own}
    assert len(every) < 12 * len(HYPOTHESES)  # some are the same
    assert find_probes(TRUE[::-1]) == probes


def test_one_row_of_fields_cannot_tell_whether_y_is_flipped() -> None:
    row = make_stage(StageSpec(wells=("B/02",), grid=(1, 9))).fields
    probes = find_probes(row)
    assert decide(probes, matches(row, probes)) == AS_WRITTEN
    flipped = rewritten(row, Hypothesis(flip_x=True))
    probes = find_probes(flipped)
    assert decide(probes, matches(row, probes)) == Hypothesis(flip_x=True)


def test_noise_and_empty_fields_change_nothing() -> None:
    probes = find_probes(TRUE)
    nothing = dict.fromkeys((p for own in probes.values() for p in own), False)
    assert decide(probes, nothing) == AS_WRITTEN
    empty = [replace(f, texture=0.0) for f in TRUE]
    assert decide(find_probes(empty), {}) == AS_WRITTEN
    two = {AS_WRITTEN: probes[AS_WRITTEN], HYPOTHESES[1]: probes[HYPOTHESES[1]][:2]}
    found = nothing | dict.fromkeys(two[HYPOTHESES[1]], True)
    assert decide(two, found) == AS_WRITTEN  # two pairs are not enough


def test_the_fields_with_the_most_texture_are_probed() -> None:
    good = {f.key for f in TRUE if f.key.well == "B/03"}
    fields = [f if f.key in good else replace(f, texture=0.1) for f in TRUE]
    for hypothesis, own in find_probes(fields).items():
        if not hypothesis.swap:
            assert {p.reference.well for p in own} == {"B/03"}


def test_the_sentence_says_what_to_do() -> None:
    written = rewritten(TRUE, Hypothesis(flip_x=True, swap=True))
    probes = find_probes(written)
    found = matches(TRUE, probes)
    sentence = describe(decide(probes, found), probes, found)
    assert "y and x are swapped and y is flipped (12 of 12 pairs; as written " in sentence
    assert sentence.endswith(
        "write the positions with y and x exchanged and then with the other sign in y"
    )
    assert not describe(AS_WRITTEN, probes, found)
