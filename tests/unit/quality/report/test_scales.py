"""Figures as text and colour."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from platefuse.quality.model import WELL_FIGURES
from platefuse.quality.report.scales import (
    SCALES,
    STEPS,
    UNKNOWN,
    plate_edges,
    quantile,
    significant,
    write_value,
)

FINITE = st.floats(-1e6, 1e6, allow_nan=False)


def test_every_figure_of_a_well_has_a_scale() -> None:
    assert list(SCALES) == list(WELL_FIGURES)


@pytest.mark.parametrize("name", SCALES)
def test_edges_rise_and_bound_all_steps(name: str) -> None:
    edges = SCALES[name].edges
    assert len(edges) == STEPS - 1
    assert all(a < b for a, b in pairwise(edges))


@pytest.mark.parametrize("name", SCALES)
@given(one=FINITE, other=FINITE)
def test_a_worse_value_never_has_a_better_step(name: str, one: float, other: float) -> None:
    scale = SCALES[name]
    low, high = sorted((one, other))
    better, worse = (low, high) if scale.worse == "high" else (high, low)
    assert 0 <= scale.step(better) <= scale.step(worse) < STEPS


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [
        ("residual_px", 0.1, 0),  # a value on an edge has the better of the two steps
        ("residual_px", 1.0, 4),
        ("residual_px", 1.01, 5),
        ("matched", 0.99, 0),
        ("matched", 0.5, 6),
        ("saturated", 0.0, 0),
        ("flagged_fields", 1.0, 1),
    ],
)
def test_steps_at_the_edges(name: str, value: float, step: int) -> None:
    assert SCALES[name].step(value) == step


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_unknown(value: float | None) -> None:
    assert {scale.write(value) for scale in SCALES.values()} == {UNKNOWN}
    assert significant(value) is None


def test_halves_are_rounded_away_from_zero_as_the_page_does() -> None:
    assert write_value(0.125, "pixels") == "0.13"
    assert write_value(-0.125, "pixels") == "-0.13"
    assert write_value(0.0005, "share") == "0.05 %"


def test_zero_has_no_sign() -> None:
    assert write_value(-0.0004, "number") == "0.000"
    assert write_value(-0.0, "count") == "0"


@given(FINITE)
def test_a_shortened_value_is_close_and_is_shortened_once(value: float) -> None:
    short = significant(value)
    assert short is not None
    assert short == pytest.approx(value, rel=5e-4)
    assert significant(short) == short


@given(st.lists(FINITE, min_size=1), st.floats(0, 1))
def test_a_quantile_is_between_the_ends(values: list[float], share: float) -> None:
    assert min(values) - 1e-6 <= quantile(values, share) <= max(values) + 1e-6


@given(st.lists(st.floats(0, 100) | st.none()))
@example([0.0, 5e-324])
@example([1e6, 1e6 + 1e-9])
@example([math.pi, math.nextafter(math.pi, 4)])
def test_edges_of_a_plate_rise(values: list[float | None]) -> None:
    edges = plate_edges(SCALES["residual_px"], values)
    assert len(edges) == STEPS - 1
    assert all(a < b for a, b in pairwise(edges))


def test_edges_of_a_plate_span_its_values_but_the_extremes() -> None:
    edges = plate_edges(SCALES["after"], [k / 1000 for k in range(900, 1001)])
    assert (edges[0], edges[-1]) == (0.902, 0.998)


def test_a_plate_of_equal_values_has_the_usual_edges() -> None:
    scale = SCALES["after"]
    assert plate_edges(scale, [0.5, 0.5, None]) == scale.edges
    assert plate_edges(scale, []) == scale.edges
