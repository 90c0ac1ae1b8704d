"""What is said about flags, and which columns are explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import pytest

from platefuse.quality.model import VERDICTS, Flag
from platefuse.quality.report.data import well_data
from platefuse.quality.report.words import (
    FIELD_COLUMNS,
    VERDICT_MEANINGS,
    VERDICT_SIGNS,
    VERDICT_WORDS,
    next_steps,
)
from tests.reports import Spec, make_report


@pytest.mark.parametrize("flag", get_args(Flag))
def test_something_can_be_done_about_every_flag(flag: Flag) -> None:
    report = make_report(Spec(rows=1, columns=1, faults={"A/01": {(1, 0): flag}}))
    (step,) = next_steps(report.wells[0], report)
    assert step.startswith(f"{flag.capitalize()}: ")


def test_nothing_is_to_be_done_about_a_good_well() -> None:
    report = make_report(Spec(rows=1, columns=1))
    assert next_steps(report.wells[0], report) == []


@pytest.mark.parametrize(
    ("registration", "words", "restore"),
    [
        ({"enabled": False}, "`registration.enabled: true`", False),
        ({"measure": {"enabled": False}, "roi_table": "mine"}, "table `mine`", True),
        ({"measure": {"enabled": True}, "store": False}, "max_shift`", False),
        ({"measure": {"enabled": True}, "store": True}, "max_shift`", True),
        (
            {"measure": {"enabled": True}, "store": True, "overwrite_input": False},
            "max_shift`",
            False,
        ),
        (None, "table `registered_FOV_ROI_table`", True),
    ],
)
def test_what_to_do_about_a_misplaced_field_depends_on_the_settings(
    registration: Mapping[str, object] | None, words: str, restore: bool
) -> None:
    report = make_report(Spec(rows=1, columns=1, faults={"A/01": {(1, 0): "misplaced"}}))
    (step,) = next_steps(report.wells[0], replace(report, settings={"registration": registration}))
    assert words in step
    assert ("restore the originals" in step) == restore


def test_every_verdict_has_words() -> None:
    for mapping in (VERDICT_WORDS, VERDICT_MEANINGS, VERDICT_SIGNS):
        assert set(mapping) == set(VERDICTS)


def test_every_value_of_a_field_has_a_column_and_the_box_follows() -> None:
    (well,) = make_report(Spec(rows=1, columns=1)).wells
    rows = well_data(well)["F"]
    assert isinstance(rows, list)
    for row in rows:
        assert len(row) == len(FIELD_COLUMNS) + 1
        for value, column in zip(row, FIELD_COLUMNS, strict=False):
            kind = {"text": str, "words": list}.get(column.kind, int | float | None)
            assert isinstance(value, kind), column.title
