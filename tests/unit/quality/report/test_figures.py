"""The maps of a plate as SVG files."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from platefuse.quality.model import WELL_FIGURES, PlateReport
from platefuse.quality.report.arrows import LONGEST, arrow, units_per_pixel
from platefuse.quality.report.figures import (
    figure_svg,
    shifts_svg,
    step_names,
    verdict_svg,
    write_plate_svgs,
)
from platefuse.quality.report.layout import SIZE
from platefuse.quality.report.scales import SCALES, STEPS
from tests.reports import Spec, make_report

SVG = "{http://www.w3.org/2000/svg}"
SPEC = Spec(faults={"A/02": {(1, 0): "misplaced"}}, absent=("A/03",), left_out=("B/02",))


@pytest.fixture(scope="module")
def report() -> PlateReport:
    return make_report(SPEC)


def wells(svg: str) -> dict[str, tuple[str, str]]:
    """Class of the square and text of every well, by its name."""
    root = ElementTree.fromstring(svg)
    found = {}
    for group in root.iter(f"{SVG}g"):
        title, rect = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
        if title is not None and rect is not None:
            name, _, text = str(title.text).partition(": ")
            found[name] = (str(rect.get("class")), text)
    return found


def test_every_figure_has_a_file(report: PlateReport, tmp_path: Path) -> None:
    files = write_plate_svgs(report, tmp_path / "figures")
    assert [f.name for f in files] == [
        f"{name}.svg" for name in ("verdict", *WELL_FIGURES, "shifts")
    ]
    for file in files:
        root = ElementTree.fromstring(file.read_text(encoding="utf-8"))
        assert root.tag == f"{SVG}svg"
        for tag in ("title", "desc"):
            node = root.find(f"{SVG}{tag}")
            assert node is not None
            assert node.text
            assert str(node.get("id")) in str(root.get("aria-labelledby")).split()


@pytest.mark.parametrize("name", WELL_FIGURES)
def test_a_map_has_colour_and_text_of_every_well(report: PlateReport, name: str) -> None:
    scale, found = SCALES[name], wells(figure_svg(report, name))
    for well in report.wells:
        value = well.figures[name]
        assert value is not None
        kind, text = found.pop(well.checked.well)
        assert kind == f"s{scale.step(value)}"
        assert text.startswith(scale.write(value))
    assert found == {
        "A/03": ("absent", "no well"),
        "B/02": ("absent", "left out: acquisition 2 has no image"),
    }


@pytest.mark.parametrize("name", WELL_FIGURES)
def test_a_map_of_unknown_values(report: PlateReport, name: str) -> None:
    changed = replace(report, wells=tuple(replace(w, figures={name: None}) for w in report.wells))
    assert {kind for kind, _ in wells(figure_svg(changed, name)).values()} == {"absent"}


def test_the_map_of_verdicts(report: PlateReport) -> None:
    found = wells(verdict_svg(report))
    assert found["A/02"] == ("v-bad", "bad; misplaced: FOV_1 of acquisition 1")
    assert found["A/01"] == ("v-good", "good")


def test_names_from_files_are_escaped(report: PlateReport) -> None:
    bad = '</text><script>&"'
    text = verdict_svg(replace(report, plate=bad, left_out={"B/02": bad}))
    root = ElementTree.fromstring(text)
    assert root.find(f".//{SVG}script") is None
    assert str(root.findtext(f"{SVG}title")).startswith(bad)


@pytest.mark.parametrize("name", SCALES)
def test_every_step_has_a_name(name: str) -> None:
    assert len(set(step_names(SCALES[name]))) == STEPS


def test_shifts_have_a_map_for_each_acquisition_that_moved(report: PlateReport) -> None:
    root = ElementTree.fromstring(shifts_svg(report))
    heads = [t.text for t in root.iter(f"{SVG}text") if t.get("class") == "panel"]
    assert [str(h).partition(":")[0] for h in heads] == ["Acquisition 1", "Acquisition 2"]
    arrows = [p for p in root.iter(f"{SVG}path") if "arrow" in str(p.get("class"))]
    assert len(arrows) == 2 * len(report.wells)


def test_arrows_of_a_turned_plate_circle_around_its_middle() -> None:
    spec = Spec(rows=8, columns=12, acquisitions=2, fields=9)
    for name, (_, text) in wells(shifts_svg(make_report(spec))).items():
        row, column = ord(name[0]) - ord("A"), int(name[2:]) - 1
        if abs(column - 5.5) > 2:
            assert (" up" in text) == (column < 5.5), name
        if abs(row - 3.5) > 2:
            assert (" right" in text) == (row < 3.5), name


def test_plates_without_shifts_have_a_figure() -> None:
    for spec in (Spec(acquisitions=1), Spec(rows=1, columns=1, absent=("A/01",))):
        assert "No shifts are known." in shifts_svg(make_report(spec))
    empty = PlateReport("empty", "fused.zarr", (), (), (), {}, {}, {})
    assert "No well was checked" in verdict_svg(empty)


def test_a_map_of_1536_wells() -> None:
    report = make_report(Spec(32, 48, acquisitions=1, fields=1, pictures=False))
    assert len(wells(figure_svg(report, "kept"))) == 1536


@pytest.mark.parametrize("shift", [(3.0, 4.0), (-3.0, 4.0), (0.0, -2.0), (60.0, 80.0)])
def test_an_arrow_points_where_its_shift_points(shift: tuple[float, float]) -> None:
    drawn = arrow(100.0, 200.0, shift, 2.0)
    x0, y0, x1, y1 = map(float, drawn.path.replace("M", " ").replace("L", " ").split()[:4])
    length = math.hypot(x1 - x0, y1 - y0)
    assert ((y0 + y1) / 2, (x0 + x1) / 2) == pytest.approx((100.0, 200.0), abs=0.1)
    assert length == pytest.approx(min(2 * math.hypot(*shift), LONGEST), abs=0.15)
    assert (y1 - y0) * math.hypot(*shift) == pytest.approx(shift[0] * length, abs=1)
    assert (x1 - x0) * math.hypot(*shift) == pytest.approx(shift[1] * length, abs=1)
    assert ("cut-off" in drawn.kind) == (2 * math.hypot(*shift) > LONGEST)


def test_small_shifts_stay_small() -> None:
    assert units_per_pixel([(0.1, 0.0), (0.0, 0.2)]) == SIZE - 2
    assert units_per_pixel([]) == SIZE - 2
    assert units_per_pixel([(0.0, 10.0)] * 100) == (SIZE - 2) / 10
    many = [(0.0, 10.0)] * 99 + [(500.0, 0.0)]
    assert units_per_pixel(many) == pytest.approx((SIZE - 2) / 10)  # one outlier changes nothing
