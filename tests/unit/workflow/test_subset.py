"""The wells that a user names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platefuse.errors import ConfigError
from platefuse.ngff.plate import WellName
from platefuse.workflow.subset import select_wells

ROWS, COLUMNS = "ABCDEFGH", [f"{k:02}" for k in range(1, 13)]
PLATE = [WellName(row, column) for row in ROWS for column in COLUMNS]
LISTED = {"screen": PLATE}


def names(include: object = None, exclude: object = None) -> set[str]:
    chosen = select_wells(LISTED, include, exclude)  # type: ignore[arg-type]
    return {f"{row}{column}" for _, row, column in chosen}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("B03", {"B03"}),
        ("B/03", {"B03"}),
        ("b3", {"B03"}),
        ("B", {f"B{c}" for c in COLUMNS}),
        ("3", {f"{r}03" for r in ROWS}),
        ("03", {f"{r}03" for r in ROWS}),
        ("B03:C04", {"B03", "B04", "C03", "C04"}),
        ("C04:B03", {"B03", "B04", "C03", "C04"}),
        ("G:H", {f"{r}{c}" for r in "GH" for c in COLUMNS}),
        ("9:11", {f"{r}{c}" for r in ROWS for c in ("09", "10", "11")}),
        (" B03 : B05 ", {"B03", "B04", "B05"}),
    ],
)
def test_a_pattern_names_wells(pattern: str, expected: set[str]) -> None:
    assert names([pattern]) == expected


@pytest.mark.parametrize(
    "pattern", ["Z", "B13", "13", "B03:C", "B:3", "B03:", ":", "", "B03:C04:D05", "B/", "/03"]
)
def test_what_is_no_well_is_an_error(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"no well of the plate.*A01, A02") as error:
        names([pattern])
    assert "wells.include" in str(error.value)


MIXED = [WellName(*name.split("/")) for name in ("A/03", "a/03", "B/3", "B/03", "b/3", "C/4")]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("A", {"A/03"}),
        ("a", {"a/03"}),
        ("a3", {"a/03"}),
        ("A3", {"A/03"}),
        ("B03", {"B/03"}),
        ("B/3", {"B/3"}),
        ("B003", {"B/3", "B/03"}),
        ("c4", {"C/4"}),
        ("3", {"A/03", "a/03", "B/3", "B/03", "b/3"}),
        ("A:C", {"A/03", "B/3", "B/03", "C/4"}),
        ("a3:b3", {"a/03", "b/3"}),
    ],
)
def test_names_that_differ_in_case_or_zeros_only_are_told_apart(
    pattern: str, expected: set[str]
) -> None:
    """The order of a set of names differs between processes, so all orders are tried."""
    for wells in (MIXED, MIXED[::-1]):
        chosen = select_wells({"p": wells}, [pattern], None)
        assert {f"{row}/{column}" for _, row, column in chosen} == expected


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        names(["B03", "Z", "13"])
    assert len(error.value.args) == 2


def test_null_is_all_and_numbers_are_columns() -> None:
    assert len(names()) == 96
    assert names([3]) == names(["3"])
    assert names(None, ["A", "H", 1, 12]) == {f"{r}{c}" for r in ROWS[1:-1] for c in COLUMNS[1:-1]}


def test_no_well_left_is_an_error() -> None:
    with pytest.raises(ConfigError, match="leaves no well"):
        names(["B03"], ["B"])


@given(st.sampled_from(PLATE), st.sampled_from(PLATE), st.sampled_from(PLATE))
def test_a_block_holds_what_lies_between_its_corners(
    one: WellName, other: WellName, well: WellName
) -> None:
    chosen = names([f"{one.row}{one.column}:{other.row}{other.column}"])
    inside = min(one.row, other.row) <= well.row <= max(one.row, other.row) and min(
        one.column, other.column
    ) <= well.column <= max(one.column, other.column)
    assert (f"{well.row}{well.column}" in chosen) == inside


def test_rows_beyond_z_are_in_order() -> None:
    rows = [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "AA", "AB"]
    listed = {"p": [WellName(row, "1") for row in rows]}
    found = {row for _, row, _ in select_wells(listed, ["Y:AA"], None)}
    assert found == {"Y", "Z", "AA"}


def test_a_table_may_name_plates(tmp_path: Path) -> None:
    table = tmp_path / "wells.tsv"
    table.write_text("plate\twell\tdrug\nscreen\tB03\tx\nother\tB02:B03\ty\n")
    listed = {"screen": PLATE, "other": PLATE}
    found = select_wells(listed, str(table), None)
    assert found == {("screen", "B", "03"), ("other", "B", "02"), ("other", "B", "03")}

    table.write_text("well\nB03\n")
    assert {plate for plate, *_ in select_wells(listed, str(table), None)} == {"screen", "other"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name\nB03\n", r"the columns \['name'\]; expected .* a column `well`"),
        ("well\nB03\nB99\n", "line 3, names 'B99', which is no well"),
        ("plate\twell\nnone\tB03\n", "the plate 'none'; the plates of this run are screen"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_table_is_an_error(tmp_path: Path, content: str | None, message: str) -> None:
    table = tmp_path / "wells.tsv"
    if content is not None:
        table.write_text(content)
    with pytest.raises(ConfigError, match=message):
        names(str(table))


def test_a_table_of_all_plates_may_be_that_of_one(tmp_path: Path) -> None:
    table = tmp_path / "wells.tsv"
    table.write_text("plate\twell\nscreen\tB03\nother\tC04\n")
    chosen = select_wells(LISTED, str(table), None, plates=("screen", "other"))
    assert chosen == {("screen", "B", "03")}
    with pytest.raises(ConfigError, match=r"line 3, names the plate 'other'.* run are screen\."):
        select_wells(LISTED, str(table), None)


def test_with_several_plates_a_pattern_needs_one_of_them() -> None:
    listed = {"small": PLATE[:2], "large": PLATE}
    assert select_wells(listed, ["H12"], None) == {("large", "H", "12")}
