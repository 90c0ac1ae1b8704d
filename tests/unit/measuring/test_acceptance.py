"""The null distribution of a plate."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from platefuse.measuring.acceptance import (
    FALLBACK_SCORE,
    LEAST_PAIRS,
    LEAST_Z,
    Null,
    accepts,
    shows_fixed_pattern,
)
from platefuse.measuring.model import FieldKey, PairMeasure

KEY = FieldKey("B/03", 0, "0", "FOV_1")
PAIR = PairMeasure("cycle", KEY, KEY, (0, 1, 2), 0.1, 0.5, 0.9, (0, 0.1, 0.1), 0.9, 0.9, "measured")


def test_scores_of_a_normal_distribution() -> None:
    scores = np.random.default_rng(0).normal(0.1, 0.02, 20_000)
    null = Null.of(scores)
    assert null.middle == pytest.approx(0.1, abs=0.001)
    assert null.spread == pytest.approx(0.02, rel=0.03)
    assert np.mean([null.exceeded_by(score) for score in scores]) == pytest.approx(0.001, abs=6e-4)


def test_a_few_true_pairs_among_the_null_hardly_change_it() -> None:
    scores = np.random.default_rng(0).normal(0.1, 0.02, 200)
    null = Null.of([*scores, *[0.95] * 10])
    assert null.z(0.1 + 5 * 0.02) > LEAST_Z


def test_scores_that_are_all_alike_have_a_spread() -> None:
    assert Null.of([0.01] * 50).z(0.011) < 1


def test_too_few_pairs_are_no_distribution() -> None:
    null = Null.of([0.1] * (LEAST_PAIRS - 1) + [math.nan] * 10)
    assert not null.is_enough
    assert math.isnan(null.z(0.9))
    assert null.exceeded_by(FALLBACK_SCORE + 0.01)
    assert not null.exceeded_by(FALLBACK_SCORE - 0.01)
    assert not Null.of([]).is_enough


def test_only_what_is_measured_is_accepted() -> None:
    null = Null.of(np.linspace(0.05, 0.15, 40))
    assert accepts(PAIR, null)
    assert not accepts(replace(PAIR, score=0.12), null)
    assert not accepts(replace(PAIR, status="ambiguous"), null)


def test_a_pattern_that_all_fields_have_shows_in_pairs_that_cannot_match() -> None:
    rng = np.random.default_rng(1)
    nulls = [replace(PAIR, kind="null", score_at_zero=float(v)) for v in rng.normal(0, 0.02, 60)]
    assert not shows_fixed_pattern(nulls)
    assert shows_fixed_pattern([replace(n, score_at_zero=n.score_at_zero + 0.04) for n in nulls])
    assert not shows_fixed_pattern([replace(PAIR, score_at_zero=0.9)] * (LEAST_PAIRS - 1))
