"""The data of the page as compact JSON, of which its script makes the details of a well."""

from __future__ import annotations

import json
from collections.abc import Mapping

from platefuse.quality.model import (
    WELL_FIGURES,
    CycleFigures,
    JudgedField,
    JudgedWell,
    PlateReport,
)
from platefuse.quality.report.scales import SCALES, plate_edges, significant
from platefuse.quality.report.summary import acquisitions, median_shift, worst_first
from platefuse.quality.report.words import FIELD_COLUMNS, VERDICT_SIGNS, VERDICT_WORDS, next_steps


def overview_data(report: PlateReport) -> dict[str, object]:
    """What the overview of the plate needs, as JSON values.

    Keys of what there are many of are one letter: ``n`` name, ``v`` verdict, ``r`` reasons, ``t``
    next steps (indices of ``steps``), ``f`` figures in the order of ``figures``, ``c`` channels,
    ``x`` acquisitions that are not compared, ``s`` median shifts in the order of ``acquisitions``.
    """
    steps: dict[str, int] = {}
    numbers = acquisitions(report)
    return {
        "folder": report.folder,
        "verdicts": dict(VERDICT_WORDS),
        "signs": dict(VERDICT_SIGNS),
        "figures": [_figure(report, name) for name in SCALES],
        "columns": [[c.title, c.kind, c.meaning] for c in FIELD_COLUMNS],
        "acquisitions": numbers,
        "worst": worst_first(report.wells),
        "wells": [_well(report, well, numbers, steps) for well in report.wells],
        "steps": list(steps),
    }


def as_json(content: object) -> str:
    r"""Compact JSON that may be the text of a ``script`` element: it holds no ``<``.

    Examples
    --------
    >>> as_json(["</script>", None])
    '["\\u003c/script>",null]'
    """
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _figure(report: PlateReport, name: str) -> Mapping[str, object]:
    scale = SCALES[name]
    return {
        "key": name,
        "title": scale.title,
        "meaning": WELL_FIGURES.get(name, ""),
        "kind": scale.kind,
        "worse": scale.worse,
        "fixed": scale.edges,
        "plate": plate_edges(scale, (w.figures.get(name) for w in report.wells)),
    }


def well_data(well: JudgedWell) -> dict[str, object]:
    """The details of a well, as JSON values.

    ``F`` fields (in the order of ``columns``, and the box), ``C`` pairs of acquisitions, ``P``
    pictures.
    """
    return {
        "F": [_field(f) for f in well.fields],
        "C": [_cycle(c) for c in well.checked.cycles],
        "P": [[p.kind, p.acquisition, p.file, p.alt, *p.size_px] for p in well.checked.pictures],
    }


def _well(
    report: PlateReport, well: JudgedWell, numbers: list[int], steps: dict[str, int]
) -> Mapping[str, object]:
    checked = well.checked
    return {
        "n": checked.well,
        "v": well.verdict,
        "r": well.reasons,
        "t": [steps.setdefault(step, len(steps)) for step in next_steps(well, report)],
        "f": [significant(well.figures.get(name)) for name in SCALES],
        "ref": checked.reference,
        "c": dict(checked.channels),
        "x": dict(checked.not_compared),
        "s": [_rounded(median_shift(well, number)) for number in numbers],
    }


def _rounded(vector: tuple[float, float] | None) -> list[float | int | None] | None:
    return None if vector is None else [significant(v) for v in vector]


def _field(judged: JudgedField) -> list[object]:
    """One field: a value for each of `FIELD_COLUMNS`, and its box."""
    f = judged.figures
    residual = f.residual_px or (None, None)
    return [
        f.acquisition,
        f.image,
        f.field,
        list(judged.flags),
        judged.status,
        *map(significant, f.shift_px),
        significant(f.kept),
        f.blocks,
        f.matched,
        *map(significant, residual),
        *map(significant, (f.median_px, f.p95_px, f.before, f.after)),
        *map(significant, (judged.relative_focus, f.saturated, f.gradient, f.seam)),
        list(f.box_px),
    ]


def _cycle(c: CycleFigures) -> list[object]:
    values = map(significant, (c.median_px, c.p95_px, c.within_1px))
    return [c.first, c.second, *values, c.blocks]
