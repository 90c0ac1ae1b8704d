"""The report in a real browser: what a reader does with it, by pointer and by keyboard."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from platefuse.quality.model import JudgedWell, PlateReport
from platefuse.quality.report import page
from platefuse.quality.report.arrows import arrow, units_per_pixel
from platefuse.quality.report.layout import PITCH, SIZE, Layout
from platefuse.quality.report.scales import SCALES, known
from platefuse.quality.report.summary import median_shift, summarize_acquisitions
from platefuse.quality.report.words import FIELD_COLUMNS
from tests.browser import chromium, console, emulate, resize, show
from tests.reports import Spec, make_pictures, make_report

SPEC = Spec(
    rows=3,
    columns=4,
    acquisitions=3,
    fields=4,
    faults={
        "A/02": {(2, 1): "misplaced"},
        "B/03": {(1, 0): "unfocused"},
        "C/04": {(1, 2): "saturated"},
    },
    absent=("A/04", "B/02"),
    left_out=("C/01",),
)
FIGURES = list(SCALES)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def report() -> PlateReport:
    made = make_report(SPEC)
    empty = replace(made.wells[-1], verdict="empty", figures=dict.fromkeys(FIGURES))
    return replace(made, wells=(*made.wells[:-1], empty))


@pytest.fixture(scope="module")
def written(report: PlateReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    make_pictures(report, folder, different=1)
    return write(report, folder)


@pytest.fixture
def opened(browser: Any, written: Path) -> Any:
    show(browser, written)
    return browser


def write(report: PlateReport, folder: Path) -> Path:
    file = folder / "report.html"
    file.write_text(page.render(report, folder), encoding="utf-8")
    return file


def find(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def find_all(browser: Any, selector: str) -> list[Any]:
    return list(browser.find_elements("css selector", selector))


def press(browser: Any, *keys: str) -> None:
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def js(browser: Any, script: str, *arguments: object) -> Any:
    return browser.execute_script(script, *arguments)


def choose(browser: Any, selector: str, value: str) -> None:
    js(
        browser,
        "const e = document.querySelector(arguments[0]); e.value = arguments[1];"
        "e.dispatchEvent(new Event('change'));",
        selector,
        value,
    )


def by_name(report: PlateReport) -> dict[str, JudgedWell]:
    return {w.checked.well: w for w in report.wells}


def names_in_table(browser: Any) -> list[str]:
    script = """return [...document.querySelectorAll("#well-table tbody tr")]
        .filter((row) => !row.hidden).map((row) => row.cells[0].textContent)"""
    return list(js(browser, script))


# ---- opening


def test_it_opens_without_a_word_on_the_console(opened: Any, report: PlateReport) -> None:
    assert console(opened) == []
    assert report.plate in opened.title
    assert find(opened, "h1").text == "2 of 9 wells need a look"


def test_nothing_is_requested_but_pictures_in_the_page(opened: Any) -> None:
    script = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert all(name.startswith("data:") for name in js(opened, script))


def test_the_policy_of_the_page_refuses_requests_and_scripts(opened: Any) -> None:
    js(
        opened,
        "const image = new Image(); image.src = 'https://example.org/a.png';"
        "const script = document.createElement('script'); script.textContent = 'window.ran = true';"
        "document.body.append(image, script);",
    )
    assert js(opened, "return window.ran") is None
    assert len([m for m in console(opened) if "Content Security Policy" in m]) == 2


def test_texts_from_files_stay_texts(browser: Any, report: PlateReport, tmp_path: Path) -> None:
    bad = "</script><script>window.ran=1</script><img src=x onerror='window.ran=1'>\"&amp;\ud800"
    well = report.wells[0]
    checked = replace(
        well.checked,
        channels={"0": bad, "1": bad, "2": bad},
        not_compared={"1": bad},
        pictures=tuple(replace(p, alt=bad) for p in well.checked.pictures),
    )
    fields = tuple(
        replace(f, status=bad, figures=replace(f.figures, field=bad, image=bad))
        for f in well.fields
    )
    hostile = replace(well, checked=checked, fields=fields, reasons=(bad,), verdict="bad")
    left_out = {"C/01": bad}
    changed = replace(
        report, plate=bad, fused=bad, wells=(hostile,), left_out=left_out, settings={bad: bad}
    )
    make_pictures(changed, tmp_path, different=1)
    show(browser, write(changed, tmp_path), "#well=A%2F01")
    shown = bad.replace("\ud800", "?")
    assert console(browser) == []
    assert js(browser, "return window.ran") is None
    assert find(browser, "#well figcaption").text.startswith(f"Overlay\n{shown}")
    assert find(browser, "#well .field-table tbody td:nth-child(3)").text == shown
    assert find(browser, "#well li").text == shown
    show(browser, tmp_path / "report.html")
    assert shown in find(browser, ".brand").text
    assert find(browser, "#left-out td").text == shown
    assert js(browser, "return [document.scripts.length, document.images.length]") == [4 + 0, 2]


def test_without_scripts_the_overview_is_complete(browser: Any, written: Path) -> None:
    command = "Emulation.setScriptExecutionDisabled"
    browser.execute_cdp_cmd(command, {"value": True})
    try:
        show(browser, written)
        assert "need JavaScript" in find(browser, "noscript").text
        assert len(find_all(browser, "#well-table tbody tr")) == 9
        signs = [node.text for node in find_all(browser, "#heat .well .sign")]
        assert sorted(signs) == sorted(["×", "!", "–"])
    finally:
        browser.execute_cdp_cmd(command, {"value": False})


# ---- maps


def test_the_map_has_the_colour_and_the_text_of_every_value(
    opened: Any, report: PlateReport
) -> None:
    script = """return [...document.querySelectorAll("#heat .well")].map((cell) =>
        [cell.getAttribute("aria-label"), cell.querySelector("rect").getAttribute("class")])"""
    words = {"good": "good", "bad": "bad", "look": "to look at", "empty": "empty"}
    for index, (name, scale) in enumerate(SCALES.items()):
        choose(opened, "#figure", str(index))
        expected = []
        for well in report.wells:
            value = well.figures[name]
            unit = " px" if scale.kind == "pixels" and value is not None else ""
            text = f"{well.checked.well}: {scale.title} {scale.write(value)}{unit}, "
            kind = "absent" if value is None else f"s{scale.step(value)}"
            expected.append([text + words[well.verdict], kind])
        assert js(opened, script) == expected


def test_the_colours_can_be_spread_over_the_range_of_the_plate(
    opened: Any, report: PlateReport
) -> None:
    script = """return new Set([...document.querySelectorAll("#heat .well rect")]
        .map((rect) => rect.getAttribute("class"))).size"""
    choose(opened, "#figure", str(FIGURES.index("kept")))
    fixed = js(opened, script)
    choose(opened, "#edges", "plate")
    assert js(opened, script) > fixed


def test_the_map_shows_verdicts_by_sign_as_well(opened: Any, report: PlateReport) -> None:
    script = """return Object.fromEntries([...document.querySelectorAll("#heat .well")]
        .map((cell) => [cell.getAttribute("aria-label").split(":")[0],
                        cell.querySelector("text")?.textContent ?? ""]))"""
    signs = {"bad": "×", "look": "!", "empty": "–", "good": ""}
    assert js(opened, script) == {w.checked.well: signs[w.verdict] for w in report.wells}


def test_a_well_under_the_pointer_is_described(opened: Any) -> None:
    from selenium.webdriver import ActionChains

    cell = find(opened, "#heat [aria-label^='A/02']")
    ActionChains(opened).move_to_element(cell).perform()
    assert find(opened, "#heat-readout").text.startswith("A/02\nbad · misplaced")


def test_arrows_are_those_of_the_svg_file(opened: Any, report: PlateReport) -> None:
    layout, middle = Layout.of(report), summarize_acquisitions(report)[2].shift_px
    assert middle is not None
    choose(opened, "#acquisition", "2")
    shifts = {}
    for spot in layout.spots:
        if spot.well and (own := median_shift(spot.well, 2)):
            shifts[spot.name] = spot, (own[0] - middle[0], own[1] - middle[1])
    unit = units_per_pixel(shift for _, shift in shifts.values())
    expected = []
    for spot, shift in shifts.values():
        y, x = (layout.margin + PITCH * k + SIZE / 2 for k in (spot.row, spot.column))
        assert spot.well is not None
        expected.append(arrow(y, x, shift, unit, "bad" if spot.well.verdict == "bad" else ""))
    script = """return [...document.querySelectorAll("#vectors .arrows path")]
        .map((path) => [path.getAttribute("class").trim(), path.getAttribute("d")])"""
    found = js(opened, script)
    assert [kind for kind, _ in found] == [a.kind for a in expected]
    assert [numbers(d) for _, d in found] == [
        pytest.approx(numbers(a.path), abs=0.3)
        for a in expected  # JSON has four digits
    ]


def numbers(path: str) -> list[float]:
    return [float(t) for t in path.replace("M", " ").replace("L", " ").split()]


def test_the_common_shift_can_be_seen_too(opened: Any, report: PlateReport) -> None:
    middle = summarize_acquisitions(report)[1].shift_px
    assert middle is not None
    assert f"{middle[0]:.2f} px down" in find(opened, "#vectors-scale").text
    label = "return document.querySelector('#vectors .well').getAttribute('aria-label')"
    without = js(opened, label)
    find(opened, "#common").click()
    own = median_shift(report.wells[0], 1)
    assert own is not None
    assert js(opened, label) != without
    assert js(opened, label).startswith(f"A/01: {own[0]:.1f}")


# ---- the table of wells


def sorted_names(report: PlateReport, key: Callable[[JudgedWell], Any], sign: int) -> list[str]:
    """Names in the order of a key; wells without a value are last, equal ones stay in order."""
    have = [w for w in report.wells if key(w) is not None]
    rest = [w for w in report.wells if key(w) is None]
    have.sort(key=key, reverse=sign < 0)
    if sign < 0:  # a reversed sort keeps equal ones in order, as it should
        assert have == sorted(have, key=key, reverse=True)
    return [w.checked.well for w in have + rest]


def test_the_table_sorts_by_every_column(opened: Any, report: PlateReport) -> None:
    order = ("bad", "look", "empty", "good")
    keys: list[Callable[[JudgedWell], Any]] = [
        lambda w: w.checked.well,
        lambda w: order.index(w.verdict),
        *(lambda w, name=name: shortened(w.figures[name]) for name in FIGURES),
        lambda w: w.reasons or None,
    ]
    heads = find_all(opened, "#well-table thead th")
    assert len(heads) == len(keys)
    assert heads[0].get_attribute("aria-sort") == "ascending"
    for column, key in enumerate(keys):
        for sign in (1, -1) if column else (-1, 1):  # it is sorted by the first column
            js(opened, "arguments[0].firstElementChild.click()", heads[column])
            assert names_in_table(opened) == sorted_names(report, key, sign)
            states = js(
                opened, "return arguments[0].map((h) => h.getAttribute('aria-sort'))", heads
            )
            here = "ascending" if sign > 0 else "descending"
            assert states == [here if k == column else None for k in range(len(heads))]


def shortened(value: float | None) -> float | None:
    value = known(value)
    return None if value is None else float(f"{value:.4g}")


def test_the_table_filters_by_verdict(opened: Any, report: PlateReport) -> None:
    fits = {"flagged": ("bad", "look"), "": ("bad", "look", "empty", "good")}
    for verdict in ("bad", "look", "empty", "good", "flagged", ""):
        choose(opened, "#verdict", verdict)
        expected = [w for w in report.wells if w.verdict in fits.get(verdict, (verdict,))]
        assert names_in_table(opened) == [w.checked.well for w in expected]
        assert find(opened, "#shown").text == f"{len(expected)} of {len(report.wells)} wells"


def test_the_table_filters_by_text(opened: Any, report: PlateReport) -> None:
    for text in ("b/0", "B03", "UNFOCUSED", " misplaced "):
        find(opened, "#text").clear()
        find(opened, "#text").send_keys(text)
        wanted = text.strip().lower()
        expected = [
            name
            for name, w in by_name(report).items()
            if wanted in "\n".join([name, name.replace("/", ""), *w.reasons]).lower()
        ]
        assert expected
        assert names_in_table(opened) == expected


def test_a_filter_without_results_can_be_removed(opened: Any, report: PlateReport) -> None:
    find(opened, "#text").send_keys("no such well")
    assert names_in_table(opened) == []
    find(opened, "#show-all").click()
    assert names_in_table(opened) == list(by_name(report))
    assert opened.switch_to.active_element.get_attribute("id") == "text"


def test_a_count_in_the_summary_filters_the_table(opened: Any) -> None:
    find(opened, ".tile[data-verdict=look]").click()
    assert names_in_table(opened) == ["B/03"]
    assert find(opened, "#verdict").get_attribute("value") == "look"


# ---- a well


@pytest.mark.parametrize("selector", ["#heat", "#vectors"])
def test_a_click_opens_the_well(opened: Any, selector: str) -> None:
    find(opened, f"{selector} [aria-label^='A/02']").click()
    wait_for_well(opened, "A/02")
    assert not find(opened, "#overview").is_displayed()
    assert js(opened, "return document.activeElement.tagName") == "H1"
    assert "misplaced: FOV_2 of acquisition 2" in find(opened, "#well ul").text
    assert console(opened) == []


def wait_for_well(browser: Any, name: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 10).until(lambda b: find(b, "#well h1").text.startswith(f"Well {name}"))


def wait_for_overview(browser: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 10).until(lambda b: find(b, "#overview").is_displayed())


def test_a_well_shows_its_pictures(browser: Any, written: Path, report: PlateReport) -> None:
    show(browser, written, "#well=A%2F02")
    wait_for_well(browser, "A/02")
    js(browser, "for (const image of document.images) image.loading = 'eager'")
    loaded = """return Promise.all([...document.querySelectorAll("#well img")].map(
        (image) => image.decode().then(() => [image.alt, image.naturalWidth])))"""
    pictures = by_name(report)["A/02"].checked.pictures
    assert js(browser, loaded) == [[p.alt, p.size_px[0]] for p in pictures]


def test_a_well_has_its_cycles_and_fields(browser: Any, written: Path, report: PlateReport) -> None:
    show(browser, written, "#well=A%2F02")
    wait_for_well(browser, "A/02")
    well = by_name(report)["A/02"]
    cycles = {(c.first, c.second): c for c in well.checked.cycles}
    cells = js(
        browser,
        """return [...document.querySelectorAll(".cycles tbody tr")].map(
        (row) => [...row.cells].map((cell) => cell.innerText))""",
    )
    for row, texts in enumerate(cells, 1):
        assert texts[0] == str(row)
        for column, text in enumerate(texts[1:]):
            c = cycles[column, row]
            assert text.split("\n") == [
                f"{c.median_px:.2f}",
                f"p95 {c.p95_px:.2f}",
                f"{100 * c.within_1px:.1f} % ≤ 1 px",
            ]
    rows = js(
        browser,
        """return [...document.querySelectorAll(".field-table tbody tr")].map(
        (row) => [...row.cells].map((cell) => cell.textContent))""",
    )
    assert [r[2] for r in rows] == [f.figures.field for f in well.fields]
    assert len(rows[0]) == len(FIELD_COLUMNS)
    misplaced = rows[2 * 4 + 1]
    assert misplaced[3] == "misplaced"
    assert misplaced[10:12] == ["+4.60", "−2.10"]


def test_zero_has_no_sign(browser: Any, report: PlateReport, tmp_path: Path) -> None:
    (well, *_) = report.wells
    small = replace(
        well.fields[-1].figures,
        residual_px=(-0.004, 0.004),
        before=-0.0004,
        shift_px=(0.005, -0.006),
    )
    field = replace(well.fields[-1], figures=small)
    changed = replace(well, fields=(field,), figures={"before": -0.0004})
    show(browser, write(replace(report, wells=(changed,)), tmp_path), "#well=A%2F01")
    wait_for_well(browser, "A/01")
    row = find_all(browser, ".field-table tbody td")
    texts = dict(zip([c.title for c in FIELD_COLUMNS[1:]], [c.text for c in row], strict=True))
    assert (texts["Residual y"], texts["Residual x"]) == ("0.00", "0.00")
    assert (texts["Shift y"], texts["Shift x"]) == ("+0.01", "−0.01")
    assert texts["Correlation before"] == "0.000"
    choose(browser, "#figure", str(FIGURES.index("before")))
    label = find(browser, "#heat .well").get_attribute("aria-label")
    assert label == "A/01: Correlation before 0.000, good"


def test_the_table_of_fields_sorts_and_filters(browser: Any, written: Path) -> None:
    show(browser, written, "#well=A%2F02")
    wait_for_well(browser, "A/02")
    first = (
        "return document.querySelector('.field-table tbody tr:not([hidden])').cells[3].innerText"
    )
    head = find_all(browser, ".field-table thead button")[12]
    head.click()
    head.click()
    assert js(browser, first) == "misplaced"
    find(browser, "#only-flagged").click()
    shown = "return document.querySelectorAll('.field-table tbody tr:not([hidden])').length"
    assert js(browser, shown) == 1


def test_residual_arrows_point_where_the_residual_points(browser: Any, written: Path) -> None:
    show(browser, written, "#well=A%2F02")
    wait_for_well(browser, "A/02")
    path = find(browser, ".field-maps .arrow.bad").get_attribute("d")
    x0, y0, x1, y1 = numbers(path)[:4]
    assert (y1 - y0) / (x1 - x0) == pytest.approx(4.6 / -2.1, rel=1e-3)
    assert y1 > y0
    figure = find_all(browser, ".field-maps figure")[2]
    assert "FOV_2 misplaced" in figure.find_element("css selector", "svg").get_attribute(
        "aria-label"
    )
    assert "1 flagged" in figure.text


def test_pictures_are_flipped_by_the_arrow_keys(browser: Any, written: Path) -> None:
    show(browser, written, "#well=A%2F02")
    wait_for_well(browser, "A/02")
    button = find_all(browser, ".pictures button")[1]
    button.click()
    title = find(browser, "#viewer-title")
    assert title.text == "Well A/02: Before, acquisition 1"
    press(browser, "\ue014")  # right
    assert title.text == "Well A/02: After, acquisition 1"
    press(browser, "\ue012", "\ue012")  # left
    assert title.text == "Well A/02: Overlay, acquisition 1"
    press(browser, "\ue00c")  # Escape closes the picture, not the well
    assert not find(browser, "#viewer").is_displayed()
    assert find(browser, "#well h1").is_displayed()
    assert browser.switch_to.active_element == button


def test_pictures_that_are_not_in_the_page_are_shown_from_their_files(
    browser: Any, report: PlateReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pictures(report, tmp_path, different=1)
    monkeypatch.setattr(page, "PAGE_LIMIT", 0)
    show(browser, write(report, tmp_path), "#well=A%2F02")
    wait_for_well(browser, "A/02")
    count = len(report.wells[0].checked.pictures)
    assert f"{count} of {count} pictures are not in this page" in find(browser, "#well").text
    js(browser, "for (const image of document.images) image.loading = 'eager'")
    loaded = """return Promise.all([...document.querySelectorAll("#well img")].map(
        (image) => image.decode().then(() => image.naturalWidth)))"""
    assert all(js(browser, loaded))
    assert console(browser) == []


def test_back_returns_to_the_well_in_the_map(opened: Any) -> None:
    cell = find(opened, "#heat [aria-label^='B/03']")
    cell.click()
    wait_for_well(opened, "B/03")
    opened.back()
    wait_for_overview(opened)
    assert opened.switch_to.active_element == cell
    opened.forward()
    wait_for_well(opened, "B/03")
    find(opened, "#back").click()
    wait_for_overview(opened)
    assert opened.switch_to.active_element == cell


def test_flagged_wells_are_walked_from_the_worst_on(opened: Any) -> None:
    find(opened, ".card h3 a").click()
    wait_for_well(opened, "A/02")
    opened.find_element("partial link text", "Next to look at").click()
    wait_for_well(opened, "B/03")


# ---- keyboard


def reachable(browser: Any) -> list[str]:
    """Press Tab until the focus is back at the start; what had the focus, as paths."""
    path = """let e = document.activeElement, path = [];
        for (; e && e !== document.body; e = e.parentElement)
            path.unshift(e.tagName + [...e.parentElement.children].indexOf(e));
        return path.join(">")"""
    found: list[str] = []
    for _ in range(500):
        press_tab(browser)
        here = js(browser, path)
        if here in found:
            return found
        if here:  # between the last element and the first one, the window itself has the focus
            found.append(here)
    raise AssertionError("the focus does not come back to the start")


def press_tab(browser: Any) -> None:
    for kind in ("rawKeyDown", "keyUp"):
        event = {"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
        browser.execute_cdp_cmd("Input.dispatchKeyEvent", event)


INTERACTIVE = """const path = (e) => { const path = [];
        for (; e && e !== document.body; e = e.parentElement)
            path.unshift(e.tagName + [...e.parentElement.children].indexOf(e));
        return path.join(">") };
    return [...document.querySelectorAll("a, button, select, input, [tabindex='0']")]
        .filter((e) => e.checkVisibility() && !e.disabled && e.tabIndex >= 0).map(path)"""


@pytest.mark.parametrize("fragment", ["", "#well=A%2F02"])
def test_a_walk_by_tab_reaches_everything(browser: Any, written: Path, fragment: str) -> None:
    show(browser, written, fragment)
    if fragment:
        wait_for_well(browser, "A/02")
    expected = js(browser, INTERACTIVE)
    assert len(expected) > 30
    assert set(reachable(browser)) == set(expected)


def test_what_has_the_focus_has_an_outline(opened: Any) -> None:
    script = """const e = document.activeElement, s = getComputedStyle(e);
        const rect = e.querySelector("rect");
        return rect ? getComputedStyle(rect).strokeWidth : s.outlineStyle + s.outlineWidth"""
    seen = set()
    for _ in range(25):
        press_tab(opened)
        seen.add(js(opened, script))
    assert seen <= {"solid3px", "6px"}
    assert "6px" in seen or len(seen) == 1


def test_arrow_keys_reach_every_well_and_enter_opens_it(opened: Any, report: PlateReport) -> None:
    js(opened, "document.querySelector('#heat [tabindex=\"0\"]').focus()")
    label = "return document.activeElement.getAttribute('aria-label').split(':')[0]"
    assert js(opened, label) == "A/01"
    right, down, left, home, end = "\ue014", "\ue015", "\ue012", "\ue011", "\ue010"
    seen = {js(opened, label)}
    for row in range(3):
        for _ in range(4):
            press(opened, right)
            seen.add(js(opened, label))
        press(opened, home)
        seen.add(js(opened, label))
        if row < 2:
            press(opened, down)
            seen.add(js(opened, label))
    assert seen == {*by_name(report), "C/01"}
    press(opened, end, left, left, "\ue013")  # up: B/02 is no well, so A/02
    assert js(opened, label) == "A/02"
    assert js(opened, "return document.querySelectorAll('#heat [tabindex=\"0\"]').length") == 1
    press(opened, "\ue007")
    wait_for_well(opened, "A/02")
    press(opened, "\ue00c")
    wait_for_overview(opened)
    assert js(opened, label) == "A/02"


# ---- accessibility, colours, sizes, print


def test_everything_has_a_name(browser: Any, written: Path) -> None:
    for fragment in ("", "#well=A%2F02"):
        show(browser, written, fragment)
        tree = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        named = {
            "button", "link", "combobox", "searchbox", "checkbox", "gridcell", "grid", "image",
            "img", "region", "navigation", "table", "search", "form",
        }  # fmt: skip
        nodes = [n for n in tree if n.get("role", {}).get("value") in named and not n["ignored"]]
        assert len(nodes) > 50
        nameless = [n["role"]["value"] for n in nodes if not n.get("name", {}).get("value")]
        assert nameless == []


def test_headings_descend_step_by_step(browser: Any, written: Path) -> None:
    for fragment in ("", "#well=A%2F02"):
        show(browser, written, fragment)
        script = """return [...document.querySelectorAll("h1, h2, h3, h4")]
            .filter((h) => h.checkVisibility()).map((h) => +h.tagName[1])"""
        levels = js(browser, script)
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(b <= a + 1 for a, b in pairwise(levels))


CONTRAST = """const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = (c) => c.slice(0, 3).map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
    const behind = (e) => { for (; e; e = e.parentElement) {
        const c = rgb(getComputedStyle(e).backgroundColor);
        if (c.length < 4 || c[3] > 0) return c; }
        return [255, 255, 255]; };
    const found = {};
    for (const e of document.querySelectorAll("body *")) {
        const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        if (!own || !e.checkVisibility() || e.closest("svg, :disabled, option, .skip")) continue;
        const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) found[e.tagName + "." + e.className] = ratio;
    }
    return found"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("fragment", ["", "#well=A%2F02"])
def test_texts_stand_out_from_their_background(
    browser: Any, written: Path, scheme: str, fragment: str
) -> None:
    show(browser, written, fragment)
    emulate(browser, scheme=scheme)
    background = js(browser, "return getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 24, 31)"}[scheme]
    assert js(browser, CONTRAST) == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_steps_of_the_scale_fall_in_lightness(browser: Any, written: Path, scheme: str) -> None:
    show(browser, written)
    emulate(browser, scheme=scheme)
    choose(browser, "#figure", "0")
    script = """return [...document.querySelectorAll("#legend rect:not(.absent)")]
        .map((rect) => getComputedStyle(rect).fill.match(/\\d+/g).map(Number))"""
    lightness = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in js(browser, script)]
    assert len(lightness) == 9
    steps = [b - a for a, b in pairwise(lightness)]
    assert all(s < -8 for s in steps) if scheme == "light" else all(s > 8 for s in steps)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_not_wider_than_the_window(browser: Any, written: Path, width: int) -> None:
    try:
        for fragment in ("", "#well=A%2F02"):
            show(browser, written, fragment)
            resize(browser, width, 800)
            assert js(browser, "return document.documentElement.scrollWidth") <= width
    finally:
        resize(browser, 1280, 1000)


def test_print_shows_whole_tables_and_no_controls(opened: Any, report: PlateReport) -> None:
    emulate(opened, media="print", scheme="dark")
    assert js(opened, "return getComputedStyle(document.body).backgroundColor") in (
        "rgb(255, 255, 255)"
    )
    for selector in (".bar", ".controls", "footer"):
        assert not find(opened, selector).is_displayed(), selector
    assert js(
        opened,
        """const box = document.querySelector("#wells .scroll");
        return box.clientHeight >= box.firstElementChild.offsetHeight""",
    )
    pdf = base64.b64decode(opened.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF")


# ---- other plates


def test_plates_of_any_size_open(browser: Any, tmp_path: Path) -> None:
    for spec in (
        Spec(rows=1, columns=1, acquisitions=1, fields=1),
        Spec(rows=32, columns=48, acquisitions=2, fields=1, pictures=False),
        Spec(rows=1, columns=2, absent=("A/01", "A/02")),
    ):
        show(browser, write(make_report(spec), tmp_path))
        count = spec.rows * spec.columns - len(spec.absent)
        assert console(browser) == []
        assert len(find_all(browser, "#heat .well")) == count
        assert len(names_in_table(browser)) == count


def test_wells_of_1536_are_large_enough_to_be_pointed_at(browser: Any, tmp_path: Path) -> None:
    spec = Spec(rows=32, columns=48, acquisitions=2, fields=1, pictures=False)
    show(browser, write(make_report(spec), tmp_path))
    size = "return document.querySelector('#heat .well rect').getBoundingClientRect().width"
    assert js(browser, size) >= 16
