"""The report of a plate as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from platefuse import __version__
from platefuse.errors import listed
from platefuse.quality.model import WELL_FIGURES, JudgedWell, PlateReport
from platefuse.quality.report import words
from platefuse.quality.report.data import as_json, overview_data, well_data
from platefuse.quality.report.embedding import Embedded, embed, worst_overlay
from platefuse.quality.report.layout import Layout
from platefuse.quality.report.scales import SCALES, Scale, write_value
from platefuse.quality.report.summary import (
    AcquisitionSummary,
    is_flagged,
    summarize_acquisitions,
    verdict_counts,
    worst_first,
)
from platefuse.storage.files import is_unicode

PAGE_LIMIT = 29_500_000
"""Most bytes of a page. Pictures that do not fit are links."""

_WORST = 10  # wells under "Look at these first"
_NAMED = 8  # wells named after a step
_UNITS = {"pixels": "px", "share": "%", "number": "-1 to 1", "ratio": "ratio", "count": "number"}


def render(report: PlateReport, pictures: Path) -> str:
    """The report of a plate as an HTML page.

    All of it is text, but the pictures: those are embedded in the order of
    `embedding.picture_order` until the page has `PAGE_LIMIT` bytes, and the rest are links to
    files. The link is relative: `PlateReport.folder` leads to them from the page.

    Parameters
    ----------
    report : PlateReport
        What the page shows.
    pictures : Path
        The folder with the pictures, ``<results>/<plate>``; it has a folder ``row/column`` for each
        well.

    Returns
    -------
    str
        The page, to be written as UTF-8.
    """
    shared = _shared(report)
    count = sum(len(well.checked.pictures) for well in report.wells)
    without = _page(report, Embedded({}, linked=count, missing=count), shared)
    room = PAGE_LIMIT - len(without.encode("utf-8"))
    return _page(report, embed(report, pictures, room), shared)


@cache
def environment() -> Environment:
    """The templates. Everything that is not made by them is escaped."""
    return Environment(
        loader=PackageLoader("platefuse.quality.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )


@cache
def resource(name: str) -> str:
    """The text of a file of the package's templates."""
    return (files("platefuse.quality.report") / "templates" / name).read_text(encoding="utf-8")


def _page(report: PlateReport, embedded: Embedded, shared: Mapping[str, object]) -> str:
    pieces = (
        environment()
        .get_template("page.html")
        .generate(
            shared,
            picture_blocks=_picture_blocks(report, embedded),
            pictures_note=_pictures_note(embedded),
        )
    )
    return "".join(map(_encodable, pieces))  # not as a whole: it is mostly pictures


def _encodable(text: str) -> str:
    """A text that UTF-8 can write: a name from a file may hold half of a pair of UTF-16 codes."""
    return text if is_unicode(text) else text.encode("utf-8", errors="replace").decode("utf-8")


def _shared(report: PlateReport) -> dict[str, object]:
    """What the template shows, apart from pictures and data."""
    css, js = resource("map.css") + resource("page.css"), resource("page.js")
    order = [i for i in worst_first(report.wells) if is_flagged(report.wells[i])]
    counts = verdict_counts(report)
    summaries = summarize_acquisitions(report)
    return {
        "report": report,
        "version": __version__,
        "policy": _policy(css, js),
        "css": Markup(css),
        "js": Markup(js),
        "layout": Layout.of(report),
        "headline": words.headline(counts),
        "counts": counts,
        "words": words.VERDICT_WORDS,
        "meanings": words.VERDICT_MEANINGS,
        "signs": words.VERDICT_SIGNS,
        "worst": [_card(report.wells[i], i) for i in order[:_WORST]],
        "flagged": len(order),
        "advice": _advice(report, (report.wells[i] for i in order)),
        "acquisitions": summaries,
        "first_shift": _first_shift(summaries),
        "scales": SCALES,
        "figures": WELL_FIGURES,
        "dictionary": _dictionary(),
        "settings": _as_yaml(report.settings),
        "data": _block("data", overview_data(report)),
        "well_blocks": [_block(f"well-{i}", well_data(w)) for i, w in enumerate(report.wells)],
        "px": lambda value: write_value(value, "pixels"),
        "direction": words.direction,
    }


def _policy(css: str, js: str) -> str:
    """The content security policy: no request, and no script and style but those of the page."""
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: 'self' file:; "
        f"style-src '{_digest(css)}'; script-src '{_digest(js)}'"
    )


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _block(name: str, content: object) -> Markup:
    text = Markup(as_json(content))
    return Markup('<script type="application/json" id="{}">{}</script>').format(name, text)


def _picture_blocks(report: PlateReport, embedded: Embedded) -> Iterator[Markup]:
    """The pictures of each well, null for those that are links. A block is read on demand."""
    for index, well in enumerate(report.wells):
        count = len(well.checked.pictures)
        yield _block(f"pictures-{index}", [embedded.uris.get((index, k)) for k in range(count)])


def _pictures_note(embedded: Embedded) -> str:
    sentences = []
    if embedded.linked:
        sentences.append(
            f"{len(embedded.uris)} pictures are in this page; {embedded.linked} more are files in "
            "the folders of the wells beside it, because the page would become too large. Keep the "
            "page in its folder to see them."
        )
    if embedded.missing:
        sentences.append(
            f"{embedded.missing} pictures are missing: their files were removed or never written."
        )
    return " ".join(sentences)


def _card(well: JudgedWell, index: int) -> Mapping[str, object]:
    return {"well": well, "index": index, "picture": worst_overlay(well)}


def _advice(report: PlateReport, flagged: Iterable[JudgedWell]) -> list[tuple[str, str]]:
    """What to do next, with the wells that it is for."""
    wells: dict[str, list[str]] = {}
    for well in flagged:
        for step in words.next_steps(well, report):
            wells.setdefault(step, []).append(well.checked.well)
    return [(step, listed(names, _NAMED)) for step, names in wells.items()]


def _first_shift(summaries: list[AcquisitionSummary]) -> int:
    """Index of the first acquisition that is not the reference."""
    return next((i for i, a in enumerate(summaries) if not a.reference), 0)


def _dictionary() -> Mapping[str, Iterable[words.Column]]:
    return {
        "Wells": [_well_column(name, scale) for name, scale in SCALES.items()],
        "Fields": words.FIELD_COLUMNS,
        "Two acquisitions": words.CYCLE_COLUMNS,
    }


def _well_column(name: str, scale: Scale) -> words.Column:
    meaning = WELL_FIGURES[name].removesuffix(", pixels")
    better = "low" if scale.worse == "high" else "high"
    return words.Column(
        f"{scale.title} ({name})",
        _UNITS[scale.kind],
        f"{capital(meaning)}.",
        better,
    )


def capital(text: str) -> str:
    """A text with a capital letter at its start."""
    return text[:1].upper() + text[1:]


def _as_yaml(settings: Mapping[str, object]) -> str:
    if not settings:
        return "# no settings are recorded"
    plain = json.loads(json.dumps(settings, default=str))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100))
