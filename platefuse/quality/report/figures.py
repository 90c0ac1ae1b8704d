"""Heat maps of a plate and its shifts as SVG files, which need no page around them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from platefuse.quality.model import WELL_FIGURES, JudgedWell, PlateReport
from platefuse.quality.report import words
from platefuse.quality.report.arrows import Arrow, arrow, units_per_pixel
from platefuse.quality.report.layout import PITCH, SIZE, Layout, Spot
from platefuse.quality.report.page import capital, environment, resource
from platefuse.quality.report.scales import SCALES, Scale, known
from platefuse.quality.report.summary import (
    Shift,
    median_shift,
    summarize_acquisitions,
    verdict_counts,
)
from platefuse.storage.files import write_text

_EDGE = 16
_TOP = 48
_ENTRY = 132  # width of an entry of the legend
_LINE = 30


@dataclass(frozen=True)
class Square:
    """One well in a map: its place, class, sign, and text for the pointer."""

    spot: Spot
    kind: str
    sign: str
    text: str


@dataclass(frozen=True)
class Panel:
    """One map of a figure, with the place of its corner."""

    x: int
    y: int
    title: str
    squares: Sequence[Square]
    arrows: Sequence[Arrow] = ()


@dataclass(frozen=True)
class Entry:
    """One entry of a legend; its place is set when the figure is drawn."""

    kind: str
    sign: str
    text: str
    x: int = 0
    y: int = 0


def write_plate_svgs(report: PlateReport, folder: Path) -> list[Path]:
    """Write the heat map of every figure, of the verdict, and the map of shifts.

    Parameters
    ----------
    report : PlateReport
        The plate.
    folder : Path
        Where the files are written; it is created if it does not exist.

    Returns
    -------
    list of Path
        ``verdict.svg``, ``<figure>.svg`` for the figures in
        `platefuse.quality.model.WELL_FIGURES`, and ``shifts.svg``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"verdict": verdict_svg(report)}
    drawn |= {name: figure_svg(report, name) for name in SCALES}
    drawn["shifts"] = shifts_svg(report)
    files = [folder / f"{name}.svg" for name in drawn]
    for file, text in zip(files, drawn.values(), strict=True):
        write_text(file, text)
    return files


def verdict_svg(report: PlateReport) -> str:
    """The verdicts about the wells, in plate layout."""
    counts = verdict_counts(report)
    layout = Layout.of(report)

    def square(spot: Spot, well: JudgedWell) -> Square:
        text = "; ".join([f"{spot.name}: {words.VERDICT_WORDS[well.verdict]}", *well.reasons])
        return Square(spot, f"v-{well.verdict}", words.VERDICT_SIGNS[well.verdict], text)

    squares = [square(s, s.well) if s.well else _absent(s) for s in layout.spots]
    legend = [
        Entry(f"v-{v}", words.VERDICT_SIGNS[v], f"{words.VERDICT_WORDS[v]} ({counts[v]})")
        for v in ("good", "look", "bad", "empty")
    ]
    legend += [Entry("absent", "o", f"left out ({counts['left out']})"), _NO_WELL]
    title = f"{report.plate}: verdict"
    return _draw(layout, title, words.headline(counts), [Panel(_EDGE, _TOP, "", squares)], legend)


def figure_svg(report: PlateReport, name: str) -> str:
    """One figure of the wells, in plate layout.

    Parameters
    ----------
    report : PlateReport
        The plate.
    name : str
        Name of the figure, of those in `platefuse.quality.model.WELL_FIGURES`.
    """
    scale, layout = SCALES[name], Layout.of(report)

    def square(spot: Spot, well: JudgedWell) -> Square:
        value = known(well.figures.get(name))
        kind = "absent" if value is None else f"s{scale.step(value)}"
        unit = " px" if scale.kind == "pixels" and value is not None else ""
        verdict = words.VERDICT_WORDS[well.verdict]
        text = f"{spot.name}: {scale.write(value)}{unit} ({verdict})"
        sign = "" if well.verdict == "empty" else words.VERDICT_SIGNS[well.verdict]
        return Square(spot, kind, sign, text)

    squares = [square(s, s.well) if s.well else _absent(s) for s in layout.spots]
    legend = [Entry(f"s{k}", "", text) for k, text in enumerate(step_names(scale))]
    legend.append(Entry("absent", "", "no figures"))
    better = "Low" if scale.worse == "high" else "High"
    signs = "Signs: × bad, ! to look at, o left out."
    description = f"{capital(WELL_FIGURES[name])}. {better} is better. {signs}"
    title = f"{report.plate}: {scale.title.lower()}"
    return _draw(
        layout, title, description, [Panel(_EDGE, _TOP, "", squares)], legend, [description]
    )


def step_names(scale: Scale) -> list[str]:
    """The range of every step of a scale, from the best to the worst.

    Examples
    --------
    >>> step_names(SCALES["flagged_fields"])[:2], step_names(SCALES["matched"])[-1]
    (['0', '≤ 1'], '< 25 %')
    """
    share, unit = scale.kind == "share", " px" if scale.kind == "pixels" else ""
    texts = [f"{100 * e:.3g} %" if share else f"{e:g}{unit}" for e in scale.edges]
    if scale.worse == "low":
        return [*(f"≥ {text}" for text in reversed(texts)), f"< {texts[0]}"]
    first = texts[0] if scale.edges[0] == 0 else f"≤ {texts[0]}"
    return [first, *(f"≤ {text}" for text in texts[1:]), f"> {texts[-1]}"]


def shifts_svg(report: PlateReport) -> str:
    """The median shift of every well as an arrow, one map for each acquisition that was moved.

    The common shift of the plate is subtracted and written above its map: what remains shows a
    turned plate, a drifting stage and single wells. All maps have one scale.
    """
    layout = Layout.of(report)
    moved = [a for a in summarize_acquisitions(report) if not a.reference and a.shift_px]
    common: Mapping[int, Shift] = {a.number: a.shift_px for a in moved if a.shift_px}
    rest = {
        (s.index, number): (shift[0] - middle[0], shift[1] - middle[1])
        for number, middle in common.items()
        for s in layout.spots
        if s.well and (shift := median_shift(s.well, number))
    }
    unit = units_per_pixel(rest.values())
    places = _places(layout, len(common))
    panels = [
        _shift_panel(
            layout,
            place,
            f"Acquisition {number}: {words.direction(middle)}",
            {s.name: rest[s.index, number] for s in layout.spots if (s.index, number) in rest},
            unit,
        )
        for place, (number, middle) in zip(places, common.items(), strict=True)
    ]
    notes = [
        "One arrow for each well: its median shift without the common shift that is above the map.",
        f"An arrow as long as a well is wide is {SIZE / unit:.3g} px. Dashed: longer than drawn.",
    ]
    if not panels:
        notes = ["No shifts are known."]
    title = f"{report.plate}: shifts over the plate"
    return _draw(layout, title, " ".join(notes), panels, [], notes)


def _shift_panel(
    layout: Layout, place: tuple[int, int], title: str, shifts: Mapping[str, Shift], unit: float
) -> Panel:
    squares, arrows = [], []
    for spot in layout.spots:
        shift = shifts.get(spot.name)
        if not spot.well or not shift:
            squares.append(_absent(spot))
            continue
        squares.append(Square(spot, "plain", "", f"{spot.name}: {words.direction(shift)}"))
        y, x = (layout.margin + PITCH * k + SIZE / 2 for k in (spot.row, spot.column))
        arrows.append(arrow(y, x, shift, unit, "bad" if spot.well.verdict == "bad" else ""))
    return Panel(place[1], place[0], title, squares, arrows)


def _places(layout: Layout, count: int) -> Iterator[tuple[int, int]]:
    """Corners of maps that are arranged in a block about as wide as high: y and x."""
    ratio = (layout.height + _LINE) / layout.width
    across = max(1, min(count, round(math.sqrt(count * ratio))))
    for k in range(count):
        yield (
            _TOP + _LINE + (k // across) * (layout.height + 2 * _LINE),
            _EDGE + (k % across) * (layout.width + 2 * _EDGE),
        )


_NO_WELL = Entry("absent", "", "no well")


def _absent(spot: Spot) -> Square:
    if spot.left_out:
        return Square(spot, "absent", "o", f"{spot.name}: left out: {spot.left_out}")
    return Square(spot, "absent", "", f"{spot.name}: no {'figures' if spot.well else 'well'}")


def _draw(
    layout: Layout,
    title: str,
    description: str,
    panels: Sequence[Panel],
    legend: Sequence[Entry],
    notes: Sequence[str] = (),
) -> str:
    """A figure: maps, and below them the legend and notes."""
    right = max([p.x + layout.width for p in panels], default=0)
    bottom = max([p.y + layout.height for p in panels], default=_TOP) + _EDGE
    longest = max(map(len, [title, *notes]))
    width = max(right + _EDGE, min(8 * longest, 900) + 2 * _EDGE, 3 * _ENTRY)
    across = max(1, (width - _EDGE) // _ENTRY)
    entries = [
        Entry(e.kind, e.sign, e.text, _EDGE + _ENTRY * (k % across), bottom + _LINE * (k // across))
        for k, e in enumerate(legend)
    ]
    notes_y = bottom + _LINE * -(-len(legend) // across) + _EDGE
    text = (
        environment()
        .get_template("figure.svg")
        .render(
            layout=layout,
            title=title,
            description=description,
            css=Markup(resource("map.css") + resource("figure.css")),
            panels=panels,
            legend=entries,
            notes=notes,
            notes_y=notes_y,
            width=width,
            height=notes_y + 20 * len(notes),
        )
    )
    return text.encode("utf-8", errors="replace").decode("utf-8") + "\n"
