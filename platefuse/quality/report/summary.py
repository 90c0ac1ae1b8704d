"""What the summary of a plate says: counts, the worst wells, acquisitions, shifts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from platefuse.quality.model import FLAGGED, VERDICTS, JudgedField, JudgedWell, PlateReport
from platefuse.quality.report.scales import known, quantile

Shift = tuple[float, float]
"""Shift on the axes y and x, in pixels."""


def worst_first(wells: tuple[JudgedWell, ...]) -> list[int]:
    """Indices of all wells: by verdict, number of flagged fields and residual, the worst first."""

    def badness(index: int) -> tuple[float, ...]:
        well = wells[index]
        flagged = sum(bool(f.flags) for f in well.fields)
        residual = known(well.figures.get("residual_px"))
        return (VERDICTS.index(well.verdict), -flagged, -(residual or 0.0), index)

    return sorted(range(len(wells)), key=badness)


def is_flagged(well: JudgedWell) -> bool:
    """Whether a well is to be looked at."""
    return well.verdict in FLAGGED


def verdict_counts(report: PlateReport) -> dict[str, int]:
    """Number of wells with each verdict, and of those that were left out."""
    counts = Counter(w.verdict for w in report.wells)
    return {**{v: counts[v] for v in VERDICTS}, "left out": len(report.left_out)}


def acquisitions(report: PlateReport) -> list[int]:
    """Numbers of all acquisitions of a plate, rising."""
    numbers = {f.figures.acquisition for w in report.wells for f in w.fields}
    numbers |= {int(a) for w in report.wells for a in w.checked.not_compared}
    return sorted(numbers)


def acquisition_badness(well: JudgedWell, acquisition: int) -> tuple[float, ...]:
    """Orders the acquisitions of a well: the largest is the worst."""
    fields = [f for f in well.fields if f.figures.acquisition == acquisition]
    residuals = [known(f.figures.median_px) or 0.0 for f in fields]
    return (
        sum(bool({"misplaced", "unmatched"} & set(f.flags)) for f in fields),
        sum(bool(f.flags) for f in fields),
        max(residuals, default=0.0),
    )


def median_shift(well: JudgedWell, acquisition: int) -> Shift | None:
    """Median shift of the fields of an acquisition; None if it has none."""
    shifts = [f.figures.shift_px for f in well.fields if f.figures.acquisition == acquisition]
    shifts = [s for s in shifts if all(map(math.isfinite, s))]
    return _median(shifts)


def _median(shifts: list[Shift]) -> Shift | None:
    if not shifts:
        return None
    return quantile((y for y, _ in shifts), 0.5), quantile((x for _, x in shifts), 0.5)


@dataclass(frozen=True)
class AcquisitionSummary:
    """One acquisition in all wells of a plate. None: there is nothing to compute it from.

    Attributes
    ----------
    number : int
        Its number.
    reference : bool
        Whether it is the reference in every well.
    channels : str
        The channels that are compared, separated by commas.
    wells, not_compared : int
        Number of wells that have it, and of those where it cannot be compared.
    residual_px : float, optional
        Median over the fields of the median residual.
    p95_px : float, optional
        95th percentile over the fields of the same.
    shift_px : Shift, optional
        Median over the wells of the median shift.
    spread_px : float, optional
        95th percentile of how far the shift of a well is from the plate's.
    flags : dict of str to int
        Number of fields with each flag.
    """

    number: int
    reference: bool
    channels: str
    wells: int
    not_compared: int
    residual_px: float | None
    p95_px: float | None
    shift_px: Shift | None
    spread_px: float | None
    flags: dict[str, int]


def summarize_acquisitions(report: PlateReport) -> list[AcquisitionSummary]:
    """A summary of every acquisition of a plate."""
    fields: dict[int, list[JudgedField]] = {number: [] for number in acquisitions(report)}
    for well in report.wells:
        for f in well.fields:
            fields[f.figures.acquisition].append(f)
    return [_summarize(report, number, found) for number, found in fields.items()]


def _summarize(report: PlateReport, number: int, fields: list[JudgedField]) -> AcquisitionSummary:
    wells = [w for w in report.wells if number in {f.figures.acquisition for f in w.fields}]
    names = (w.checked.channels.get(str(number)) for w in report.wells)
    residuals = [r for f in fields if (r := known(f.figures.median_px)) is not None]
    shifts = [s for w in wells if (s := median_shift(w, number)) is not None]
    middle = _median(shifts)
    return AcquisitionSummary(
        number=number,
        reference=bool(wells) and all(w.checked.reference == number for w in wells),
        channels=", ".join(dict.fromkeys(filter(None, names))),
        wells=len(wells),
        not_compared=sum(str(number) in w.checked.not_compared for w in report.wells),
        residual_px=quantile(residuals, 0.5) if residuals else None,
        p95_px=quantile(residuals, 0.95) if residuals else None,
        shift_px=middle,
        spread_px=quantile(_distances(shifts, middle), 0.95) if middle else None,
        flags=dict(Counter(flag for f in fields for flag in f.flags)),
    )


def _distances(shifts: list[Shift], middle: Shift) -> Iterator[float]:
    return (math.hypot(y - middle[0], x - middle[1]) for y, x in shifts)
