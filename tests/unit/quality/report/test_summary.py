"""What the summary of a plate says, on plates whose faults are known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from platefuse.quality.report.summary import (
    acquisitions,
    median_shift,
    summarize_acquisitions,
    verdict_counts,
    worst_first,
)
from tests.reports import Spec, make_report, shift_of

SPEC = Spec(
    rows=2,
    columns=3,
    faults={
        "A/02": {(1, 0): "unfocused"},
        "B/01": {(2, 0): "misplaced"},
        "B/03": {(2, 0): "misplaced", (1, 1): "unmatched"},
    },
    left_out=("A/03",),
)


def test_the_worst_wells_come_first() -> None:
    report = make_report(SPEC)
    names = [report.wells[i].checked.well for i in worst_first(report.wells)]
    assert names[:3] == ["B/03", "B/01", "A/02"]
    assert sorted(names) == ["A/01", "A/02", "B/01", "B/02", "B/03"]


def test_verdicts_are_counted() -> None:
    expected = {"bad": 2, "look": 1, "empty": 0, "good": 2, "left out": 1}
    assert verdict_counts(make_report(SPEC)) == expected


def test_the_shift_of_a_well_is_the_median_of_its_fields() -> None:
    report = make_report(SPEC)
    for index, well in zip((0, 1, 3, 4, 5), report.wells, strict=True):
        assert median_shift(well, 2) == pytest.approx(shift_of(SPEC, index, 2), abs=0.6)
        assert median_shift(well, 7) is None


def test_shifts_that_are_no_numbers_are_left_out() -> None:
    well = make_report(SPEC).wells[0]
    nan = replace(well.fields[0].figures, shift_px=(math.nan, 0.0), acquisition=5)
    assert median_shift(replace(well, fields=(replace(well.fields[0], figures=nan),)), 5) is None


def test_acquisitions_are_summed_up() -> None:
    report = make_report(SPEC)
    reference, first, second = summarize_acquisitions(report)
    assert (reference.reference, reference.residual_px, reference.flags) == (True, None, {})
    assert reference.shift_px == (0.0, 0.0)
    assert first.flags == {"unfocused": 1, "unmatched": 1}
    assert second.flags == {"misplaced": 2}
    assert (second.wells, second.channels, second.not_compared) == (5, "DAPI", 0)
    assert second.shift_px == pytest.approx((12.0, -8.0), abs=1.0)
    assert second.residual_px == pytest.approx(0.12 * 1.18, abs=0.06)  # the median of |N(0, σ²)|


def test_an_acquisition_that_no_well_could_be_compared_in_is_named() -> None:
    report = make_report(SPEC)
    checked = replace(report.wells[0].checked, not_compared={"9": "no channel DAPI"})
    changed = replace(report, wells=(replace(report.wells[0], checked=checked),))
    assert acquisitions(changed) == [0, 1, 2, 9]
    last = summarize_acquisitions(changed)[-1]
    assert (last.wells, last.not_compared, last.shift_px) == (0, 1, None)
