"""Judge the wells of a plate by their figures, and by what is usual on the plate."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from platefuse.quality.model import (
    CheckedWell,
    FieldFigures,
    Flag,
    JudgedField,
    JudgedWell,
    Verdict,
)
from platefuse.quality.options import QualityOptions
from platefuse.records import FieldKey

_PLACE: frozenset[Flag] = frozenset({"misplaced", "unmatched"})
"""Flags that say that a field is not where it belongs."""

_NOT_MEASURED = frozenset({"filled_well", "filled_plate", "ambiguous", "too_far", "fixed_pattern"})
_NAMED = 3
"""A reason names so many fields."""

_LEAST_BLOCKS = 2
"""A field is only called unmatched if so many of its blocks have structure."""


def judge(
    wells: Sequence[CheckedWell],
    options: QualityOptions,
    statuses: Mapping[FieldKey, str] | None = None,
) -> list[JudgedWell]:
    """Judge the wells of a plate.

    Parameters
    ----------
    wells : sequence of CheckedWell
        All wells of the plate: the focus of a field is compared with what is usual there.
    options : QualityOptions
        When a field is flagged.
    statuses : mapping of FieldKey to str, optional
        How the places of fields were found, if they were measured.
    """
    usual = _usual_focus(wells)
    return [_judged(well, options, usual, statuses or {}) for well in wells]


def _judged(
    well: CheckedWell,
    options: QualityOptions,
    usual: Mapping[int, float],
    statuses: Mapping[FieldKey, str],
) -> JudgedWell:
    fields = []
    for figures, focus in zip(well.fields, _relative_focus(well.fields, usual), strict=True):
        key = FieldKey(well.well, figures.acquisition, figures.image, figures.field)
        status = statuses.get(key, "")
        flags = _flags(figures, focus, status, options)
        fields.append(JudgedField(figures, focus, status, flags))
    return JudgedWell(
        well,
        tuple(fields),
        _verdict(fields, well.reference),
        tuple(_reasons(fields)),
        _well_figures(well, fields),
    )


def _usual_focus(wells: Iterable[CheckedWell]) -> dict[int, float]:
    """The median focus of all fields of each acquisition."""
    values: dict[int, list[float]] = defaultdict(list)
    for well in wells:
        for field in well.fields:
            if field.focus:
                values[field.acquisition].append(field.focus)
    return {acquisition: median(own) for acquisition, own in values.items()}


def _relative_focus(
    fields: Sequence[FieldFigures], usual: Mapping[int, float]
) -> list[float | None]:
    """The focus of each field as a share of what is usual.

    Tissue can be smoother at one place than at others. It is so in all acquisitions, so the share
    is compared with the median of those of the other acquisitions at the place, where these are
    below what is usual.
    """
    shares = [
        None if f.focus is None or f.acquisition not in usual else f.focus / usual[f.acquisition]
        for f in fields
    ]
    relative: list[float | None] = []
    for field, share in zip(fields, shares, strict=True):
        if share is None:
            relative.append(None)
            continue
        nearest: dict[int, tuple[float, float]] = {}
        for other, value in zip(fields, shares, strict=True):
            if other.acquisition != field.acquisition and value is not None:
                found = _distance(field, other), value
                nearest[other.acquisition] = min(nearest.get(other.acquisition, found), found)
        there = [value for _, value in nearest.values() if value > 0]
        relative.append(share / min(1.0, median(there)) if there else share)
    return relative


def _distance(one: FieldFigures, other: FieldFigures) -> float:
    ends = zip(one.box_px, other.box_px, strict=True)
    return sum(abs(a - b) for a, b in ends)


def _flags(
    field: FieldFigures, focus: float | None, status: str, options: QualityOptions
) -> tuple[Flag, ...]:
    matches = field.blocks > 0 and field.matched >= options.min_matched * field.blocks
    near = field.median_px is not None and field.median_px <= options.max_residual
    flags: list[Flag] = []
    if field.median_px is not None and not near:
        flags.append("misplaced")
    if field.blocks >= _LEAST_BLOCKS and not matches:
        flags.append("unmatched")
    if focus is not None and focus < options.min_focus:
        flags.append("unfocused")
    if field.saturated > options.max_saturated:
        flags.append("saturated")
    if field.kept < options.min_kept:
        flags.append("cut")
    # `empty` may also be what lies there in the reference: then no block is compared
    unknown = status in _NOT_MEASURED or (status == "empty" and not field.blocks)
    if unknown and field.focus is not None and not (matches and near):
        flags.append("not measured")
    return tuple(flags)


def _verdict(fields: Sequence[JudgedField], reference: int) -> Verdict:
    """The verdict of a well; by an empty reference nothing can be judged."""
    flags = {flag for field in fields for flag in field.flags}
    if flags & _PLACE:
        return "bad"
    if flags:
        return "look"
    has_structure = any(
        own.blocks or (own.focus is not None and own.acquisition == reference)
        for own in (field.figures for field in fields)
    )
    return "good" if has_structure else "empty"


def _reasons(fields: Sequence[JudgedField]) -> Iterable[str]:
    """One phrase for each flag that occurs."""
    by_flag: dict[Flag, list[str]] = defaultdict(list)
    for field in fields:
        for flag in field.flags:
            by_flag[flag].append(_described(field, flag))
    for flag, own in by_flag.items():
        more = f" and {len(own) - _NAMED} more" if len(own) > _NAMED else ""
        yield f"{flag}: {', '.join(own[:_NAMED])}{more}"


def _described(field: JudgedField, flag: Flag) -> str:
    own = field.figures
    texts = {
        "misplaced": f"{own.median_px or 0:.1f} px",
        "unmatched": f"{own.matched} of {own.blocks} blocks found again",
        "unfocused": f"focus {field.relative_focus or 0:.0%} of the usual",
        "saturated": f"{own.saturated:.1%} of the pixels",
        "cut": f"{own.kept:.0%} kept",
        "not measured": field.status,
    }
    return f"field {own.field} of acquisition {own.acquisition} ({texts[flag]})"


def _well_figures(well: CheckedWell, fields: Sequence[JudgedField]) -> dict[str, float | None]:
    """The figures of a well by their names in `WELL_FIGURES`."""
    own = [field.figures for field in fields]
    compared = [f for f in own if f.blocks]
    blocks = sum(f.blocks for f in compared)
    cycles = [c for c in well.cycles if well.reference in (c.first, c.second)]
    known = sum(c.blocks for c in cycles)
    return {
        "residual_px": max((c.median_px for c in cycles), default=None),
        "p95_px": max((c.p95_px for c in cycles), default=None),
        "within_1px": sum(c.within_1px * c.blocks for c in cycles) / known if known else None,
        "matched": sum(f.matched for f in compared) / blocks if blocks else None,
        "before": _median([f.before for f in compared]),
        "after": _median([f.after for f in compared]),
        "shift_px": max((math.hypot(*f.shift_px) for f in own), default=None),
        "kept": min((f.kept for f in own), default=None),
        "focus": min(
            (f.relative_focus for f in fields if f.relative_focus is not None), default=None
        ),
        "saturated": max((f.saturated for f in own), default=None),
        "gradient": max((f.gradient for f in own if f.gradient is not None), default=None),
        "seam": max((f.seam for f in own if f.seam is not None), default=None),
        "flagged_fields": float(sum(bool(field.flags) for field in fields)),
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
