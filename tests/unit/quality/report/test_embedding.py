"""Which pictures are in the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from platefuse.quality.model import PlateReport
from platefuse.quality.report import page
from platefuse.quality.report.embedding import Embedded, embed, picture_order, worst_overlay
from tests.reports import Spec, make_report

SPEC = Spec(
    rows=1,
    columns=4,
    acquisitions=3,
    faults={"A/02": {(1, 0): "unfocused"}, "A/03": {(2, 0): "misplaced"}},
)
PICTURES = 8  # of a well: four of each acquisition that is compared


def write(report: PlateReport, folder: Path, size: int = 1000) -> None:
    for well in report.wells:
        (folder / well.checked.well / "pictures").mkdir(parents=True)
        for picture in well.checked.pictures:
            (folder / well.checked.well / picture.file).write_bytes(b"x" * size)


def test_pictures_that_matter_most_come_first() -> None:
    report = make_report(SPEC)
    order = list(picture_order(report))
    assert len(set(order)) == len(order) == 4 * PICTURES
    overlays = [report.wells[i].checked.pictures[k] for i, k in order[:4]]
    assert {p.kind for p in overlays} == {"overlay"}
    assert [i for i, _ in order[:2]] == [2, 1]  # bad, to look at, …
    assert [p.acquisition for p in overlays[:2]] == [2, 1]  # … and the acquisition with the fault
    rest = [i for i, _ in order[4:]]
    assert rest[: 2 * (PICTURES - 1)] == [2] * (PICTURES - 1) + [1] * (PICTURES - 1)
    assert set(rest[2 * (PICTURES - 1) :]) == {0, 3}


def test_a_well_without_an_overlay_has_no_worst_one() -> None:
    report = make_report(Spec(rows=1, columns=1, pictures=False))
    assert worst_overlay(report.wells[0]) is None
    assert list(picture_order(report)) == []


@pytest.mark.parametrize("count", [0, 1, 5, 4 * PICTURES])
def test_pictures_are_embedded_while_there_is_room(tmp_path: Path, count: int) -> None:
    report = make_report(SPEC)
    write(report, tmp_path)
    one = len("data:image/webp;base64,") + 4 * 334 + 2
    embedded = embed(report, tmp_path, count * one)
    assert list(embedded.uris) == list(picture_order(report))[:count]
    assert (embedded.linked, embedded.missing) == (4 * PICTURES - count, 0)
    assert all(len(uri) + 2 == one for uri in embedded.uris.values())


def test_missing_pictures_are_counted(tmp_path: Path) -> None:
    report = make_report(SPEC)
    write(report, tmp_path)
    for file in (tmp_path / "A/01/pictures").iterdir():
        file.unlink()
    embedded = embed(report, tmp_path, 10**9)
    assert (len(embedded.uris), embedded.linked, embedded.missing) == (3 * PICTURES, 0, PICTURES)
    assert embed(report, tmp_path / "nowhere", 10**9) == Embedded({}, 0, 4 * PICTURES)


@pytest.mark.parametrize("limit", [0, 150_000, 400_000])
def test_a_page_is_not_larger_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    report = make_report(SPEC)
    write(report, tmp_path, 20_000)
    monkeypatch.setattr(page, "PAGE_LIMIT", limit)
    text = page.render(report, tmp_path)
    count = text.count("data:image/webp")
    size = len(text.encode("utf-8"))
    if limit == 0:
        assert count == 0
    else:
        assert count > 0
        assert limit - 30_000 < size <= limit  # no room for another picture remains
    assert f"{count} pictures are in this page; {4 * PICTURES - count} more are files" in text
