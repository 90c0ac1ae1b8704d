"""Verdicts: thresholds, what is usual on the plate, and the words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platefuse.quality.judge import judge
from platefuse.quality.model import WELL_FIGURES, CheckedWell, CycleFigures, FieldFigures
from platefuse.quality.options import QualityOptions
from platefuse.quality.tables import CYCLES, DICTIONARY, FIELDS, WELLS, Tables
from platefuse.records import FieldKey
from platefuse.storage.tsv import read_rows

GOOD = FieldFigures(
    acquisition=1,
    image="1",
    field="FOV_1",
    box_px=(0, 0, 100, 120),
    shift_px=(3.0, -4.0),
    kept=0.9,
    blocks=4,
    matched=4,
    residual_px=(0.1, 0.0),
    median_px=0.1,
    p95_px=0.2,
    before=0.1,
    after=0.9,
    focus=0.2,
    saturated=0.0,
    gradient=0.1,
    seam=0.05,
)


def checked(*fields: FieldFigures, well: str = "B/03", **given: Any) -> CheckedWell:
    return CheckedWell(
        well=well,
        reference=0,
        channels={"0": "DAPI", "1": "DAPI"},
        fields=fields,
        cycles=given.get("cycles", (CycleFigures(0, 1, 4, 0.1, 0.2, 1.0),)),
        pictures=(),
        not_compared={},
        seconds=1.0,
    )


def reference(number: int = 1, focus: float | None = 0.2) -> FieldFigures:
    return FieldFigures(0, "0", f"FOV_{number}", (0, 0, 100, 120), (0, 0), 1.0, focus=focus)


def flags_of(field: FieldFigures, status: str = "", **options: Any) -> tuple[str, ...]:
    well = checked(reference(), field)
    key = FieldKey("B/03", field.acquisition, field.image, field.field)
    (judged,) = judge([well], QualityOptions(**options), {key: status} if status else None)
    return judged.fields[1].flags


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"median_px": 1.01}, "misplaced"),
        ({"matched": 1}, "unmatched"),
        ({"matched": 0, "residual_px": None, "median_px": None}, "unmatched"),
        ({"saturated": 0.011}, "saturated"),
        ({"kept": 0.49}, "cut"),
    ],
)
def test_each_threshold_has_its_flag(change: dict[str, Any], flag: str) -> None:
    assert flags_of(replace(GOOD, **change)) == (flag,)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"median_px": 1.0},
        {"matched": 2},
        {"blocks": 1, "matched": 0, "median_px": None},  # one block proves nothing
        {"blocks": 0, "matched": 0, "residual_px": None, "median_px": None, "focus": None},
        {"saturated": 0.01},
        {"kept": 0.5},
        {"gradient": 2.0, "seam": 1.0},
    ],
)
def test_nothing_else_is_flagged(change: dict[str, Any]) -> None:
    assert flags_of(replace(GOOD, **change)) == ()


def test_thresholds_come_from_the_options() -> None:
    field = replace(GOOD, median_px=1.5, kept=0.4)
    assert flags_of(field, max_residual=2.0, min_kept=0.3) == ()


@pytest.mark.parametrize("status", ["filled_well", "filled_plate", "ambiguous", "too_far"])
def test_a_place_of_neighbours_is_flagged_unless_the_blocks_confirm_it(status: str) -> None:
    assert flags_of(GOOD, status) == ()
    unknown = replace(GOOD, blocks=1, matched=0, residual_px=None, median_px=None)
    assert flags_of(unknown, status) == ("not measured",)
    assert flags_of(replace(unknown, focus=None), status) == ()  # nothing there to see
    assert flags_of(unknown, "measured") == ()


def test_tissue_over_an_empty_reference_is_flagged() -> None:
    alone = replace(GOOD, blocks=0, matched=0, residual_px=None, median_px=None)
    assert flags_of(alone, "empty") == ("not measured",)
    assert flags_of(replace(alone, focus=None), "empty") == ()
    assert flags_of(replace(alone, blocks=1), "empty") == ()


def test_focus_is_judged_by_what_is_usual_in_the_acquisition() -> None:
    def wells(focus: float) -> list[CheckedWell]:
        usual = [checked(reference(), GOOD, well=f"B/{number:02}") for number in range(2, 7)]
        return [*usual, checked(reference(), replace(GOOD, focus=focus), well="C/01")]

    assert judge(wells(0.11), QualityOptions())[-1].verdict == "good"
    blurred = judge(wells(0.09), QualityOptions())[-1]
    assert blurred.verdict == "look"
    assert blurred.fields[1].relative_focus == pytest.approx(0.45)


def test_smooth_tissue_is_not_out_of_focus() -> None:
    usual = [checked(reference(), GOOD, well=f"B/{number:02}") for number in range(2, 7)]
    smooth = checked(reference(focus=0.06), replace(GOOD, focus=0.06), well="C/01")
    assert judge([*usual, smooth], QualityOptions())[-1].verdict == "good"


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ([GOOD], "good"),
        ([replace(GOOD, kept=0.1)], "look"),
        ([replace(GOOD, kept=0.1), replace(GOOD, median_px=3.0)], "bad"),
        ([replace(GOOD, blocks=0, matched=0, focus=None, median_px=None)], "empty"),
        ([replace(GOOD, blocks=0, matched=0, median_px=None)], "empty"),  # of the reference
        ([reference()], "good"),
    ],
)
def test_the_verdict_is_that_of_the_worst_flag(
    fields: Sequence[FieldFigures], verdict: str
) -> None:
    (judged,) = judge([checked(*fields)], QualityOptions())
    assert judged.verdict == verdict


def test_reasons_name_the_first_fields() -> None:
    fields = [replace(GOOD, field=f"FOV_{k}", median_px=2.5) for k in range(1, 6)]
    (judged,) = judge([checked(*fields)], QualityOptions())
    assert judged.reasons == (
        "misplaced: field FOV_1 of acquisition 1 (2.5 px), field FOV_2 of acquisition 1 (2.5 px), "
        "field FOV_3 of acquisition 1 (2.5 px) and 2 more",
    )


def test_the_figures_of_a_well_are_those_of_its_worst_part() -> None:
    worse = replace(GOOD, field="FOV_2", kept=0.6, seam=0.3, shift_px=(0.0, 6.0))
    cycles = (
        CycleFigures(0, 1, 4, 0.1, 0.2, 1.0),
        CycleFigures(0, 2, 12, 0.4, 0.9, 0.5),
        CycleFigures(1, 2, 4, 5.0, 9.0, 0.0),  # not with the reference
    )
    (judged,) = judge([checked(reference(), GOOD, worse, cycles=cycles)], QualityOptions())

    assert set(judged.figures) == set(WELL_FIGURES)
    assert judged.figures["residual_px"] == 0.4
    assert judged.figures["p95_px"] == 0.9
    assert judged.figures["within_1px"] == pytest.approx((4 + 6) / 16)
    assert judged.figures["kept"] == 0.6
    assert judged.figures["seam"] == 0.3
    assert judged.figures["shift_px"] == 6.0
    assert judged.figures["matched"] == 1.0
    assert judged.figures["flagged_fields"] == 0


def test_an_empty_plate_has_no_figures() -> None:
    (judged,) = judge([checked(cycles=())], QualityOptions())
    assert judged.verdict == "empty"
    assert {name for name, value in judged.figures.items() if value is not None} == {
        "flagged_fields"
    }


def test_the_tables_have_the_columns_of_the_dictionary(tmp_path: Path) -> None:
    unknown = FieldFigures(0, "0", "FOV_1", (0, 0, 10, 10), (0, 0), 1.0)
    wells = judge([checked(unknown, replace(GOOD, median_px=7.0))], QualityOptions())
    files = [tmp_path / name for name in (FIELDS, WELLS, CYCLES)]

    Tables("screen", wells).write(tmp_path)

    fields, own, cycles = (
        [row for _, row in read_rows(file, tuple(DICTIONARY[file.name]))] for file in files
    )
    assert [row["median_px"] for row in fields] == ["", "7.0"]
    assert [row["flags"] for row in fields] == ["", "misplaced"]
    assert fields[1]["residual_y_px"] == "0.1"
    assert (fields[1]["bottom_px"], fields[1]["right_px"]) == ("100", "120")
    assert (own[0]["plate"], own[0]["well"], own[0]["verdict"]) == ("screen", "B/03", "bad")
    assert own[0]["flagged_fields"] == "1"
    assert (cycles[0]["first"], cycles[0]["second"], cycles[0]["within_1px"]) == ("0", "1", "1.0")
