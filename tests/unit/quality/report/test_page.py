"""The page as text; `test_page_in_chromium` opens it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from platefuse.quality.model import WELL_FIGURES, PlateReport
from platefuse.quality.report.page import render
from platefuse.quality.report.scales import SCALES, UNKNOWN
from tests.reports import Spec, make_report

VOID = {"meta", "link", "img", "input", "br", "hr"}


class Outline(HTMLParser):
    """Elements of a page, their texts, and whether they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        name = self.elements[-1][1].get("id") if self.elements else None
        if name and self.open[-1:] == ["script"]:
            self.texts[name] = data

    def json(self, name: str) -> object:
        return json.loads(self.texts[name])


@pytest.fixture(scope="module")
def report() -> PlateReport:
    return make_report(Spec(faults={"A/02": {(1, 0): "misplaced"}}, left_out=("B/02",)))


def test_ids_are_unique_and_everything_is_closed(report: PlateReport, tmp_path: Path) -> None:
    page = Outline(render(report, tmp_path))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(set(ids)) == len(ids)
    targets = {a["href"] for tag, a in page.elements if tag == "a"}
    anchors = {str(t)[1:] for t in targets if str(t).startswith("#") and "=" not in str(t)}
    assert anchors <= set(ids)
    labels = {a["for"] for tag, a in page.elements if tag == "label" and "for" in a}
    assert labels <= set(ids)


def test_no_address_leads_out_of_the_page(report: PlateReport, tmp_path: Path) -> None:
    text = render(report, tmp_path)
    addresses = set(re.findall(r"https?://[^\s\"'<]*", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of a namespace


@pytest.mark.parametrize("name", WELL_FIGURES)
def test_every_figure_may_be_unknown(report: PlateReport, tmp_path: Path, name: str) -> None:
    for value in (None, float("nan"), float("inf")):
        wells = tuple(replace(w, figures={**w.figures, name: value}) for w in report.wells)
        page = Outline(render(replace(report, wells=wells), tmp_path))
        data = page.json("data")
        assert isinstance(data, dict)
        place = list(SCALES).index(name)
        assert {w["f"][place] for w in data["wells"]} == {None}


def test_wells_without_any_figure(report: PlateReport, tmp_path: Path) -> None:
    wells = tuple(replace(w, figures={}, fields=(), verdict="empty") for w in report.wells)
    text = render(replace(report, wells=wells), tmp_path)
    assert text.count(f"<td>{UNKNOWN}</td>") >= len(wells) * len(WELL_FIGURES)
    assert "No well is flagged" in text


def test_texts_are_escaped(report: PlateReport, tmp_path: Path) -> None:
    bad = "</script><script>alert(1)</script>\u2028\"'&"
    well = report.wells[0]
    pictures = tuple(replace(p, alt=bad, file=bad) for p in well.checked.pictures)
    checked = replace(well.checked, well=f"{bad}/1", channels={"1": bad}, pictures=pictures)
    fields = tuple(replace(f, status=bad) for f in well.fields)
    hostile = replace(well, checked=checked, fields=fields, reasons=(bad,), verdict="bad")
    changed = PlateReport(
        plate=bad,
        fused=bad,
        rows=(bad,),
        columns=("1", bad),
        wells=(hostile,),
        left_out={f"{bad}/2": bad},
        settings={bad: [bad]},
        versions={bad: bad},
        digests={bad: bad},
        folder=bad,
    )
    page = Outline(render(changed, tmp_path))
    scripts = [a for tag, a in page.elements if tag == "script"]
    assert [a.get("id") for a in scripts] == ["data", None, "well-0", "pictures-0"]
    details = page.json("well-0")
    assert isinstance(details, dict)
    assert details["P"][0][2:4] == [bad, bad]


def test_an_empty_plate(tmp_path: Path) -> None:
    empty = PlateReport("empty", "fused.zarr", (), (), (), {}, {}, {})
    text = render(empty, tmp_path)
    assert "No well was checked" in text
    Outline(text)


def test_wells_outside_the_layout_are_shown(report: PlateReport, tmp_path: Path) -> None:
    text = render(replace(report, rows=("A",), columns=()), tmp_path)
    assert text.count('class="well"') == 2 * len(report.wells)  # two maps


def test_the_settings_are_yaml(report: PlateReport, tmp_path: Path) -> None:
    settings = {"plates": {"µ": "a.zarr"}, "tuple": (1, 2), "path": Path("x")}
    text = render(replace(report, settings=settings), tmp_path)
    assert "plates:\n  µ: a.zarr\ntuple:\n- 1\n- 2\npath: x\n" in text


def test_the_worst_wells_are_named_first_and_the_rest_is_counted(tmp_path: Path) -> None:
    faults = {f"A/{k:02d}": {(1, 0): "misplaced"} for k in range(1, 13)}
    report = make_report(Spec(rows=1, columns=14, faults=faults))  # type: ignore[arg-type]
    text = render(report, tmp_path)
    assert "12 of 14 wells need a look" in text
    assert text.count('class="card ') == 10
    assert "All 12 flagged wells are in the table." in text
    assert "and 4 more</small>" in text


def test_a_good_plate_has_nothing_to_look_at(tmp_path: Path) -> None:
    text = render(make_report(Spec()), tmp_path)
    assert "All 6 wells are good" in text
    assert "Look at these first" not in text
