"""What a run says at its end: where the results are, and which wells and fields are in doubt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from platefuse.errors import QualityError, counted, quoted
from platefuse.measuring.receipt import SolvedPlate
from platefuse.ngff.metadata import is_node
from platefuse.ngff.paths import fused_plate_path, real_plate
from platefuse.quality.model import ReportedPlate
from platefuse.registration.originals import kept_originals
from platefuse.workflow.config.model import Config
from platefuse.workflow.receipts import FIELDS, SOLVED

REPORT = "report.html"
"""Name of the report in the results of a plate."""

_NAMED = 8
_SURE = ("reference", "measured", "empty")
"""The statuses of fields whose place was found, or that show nothing."""


def read_verdicts(config: Config, plate: str) -> ReportedPlate | None:
    """The verdicts on a plate of a run; None if its wells are not judged, or not yet."""
    receipt = Path(config.results, plate, "report_plate.json")
    is_there = config.by_plate[plate].checks_wells and receipt.exists()
    return ReportedPlate.read(receipt) if is_there else None


def flagged_warnings(config: Config) -> Iterator[str]:
    """A sentence for each plate of a run that has flagged wells."""
    for name in config.plates:
        receipt = read_verdicts(config, name)
        if receipt is not None and receipt.flagged:
            yield flagged_warning(receipt, Path(config.results, name, REPORT))


def unmeasured_warnings(config: Config) -> Iterator[str]:
    """A sentence for each measured plate with fields whose place was not found."""
    return filter(None, (unmeasured_warning(config, name) for name in config.plates))


def unmeasured_warning(config: Config, plate: str) -> str:
    """One sentence about the fields of a plate whose place was not found; empty if there are none.

    Where wells are checked, such a field flags its well, if it does not match at its place.
    """
    own, receipt = config.by_plate[plate], Path(config.results, plate, SOLVED)
    if own.checks_wells or not own.registration.measures or not receipt.exists():
        return ""
    statuses = SolvedPlate.read(receipt).statuses
    doubts = {status: n for status, n in statuses.items() if status not in _SURE and n}
    if not doubts:
        return ""
    named = ", ".join(f"{n} {status}" for status, n in doubts.items())
    return (
        f"plate {plate}: the places of {sum(doubts.values())} of {sum(statuses.values())} fields "
        f"could not be measured ({named}). {Path(config.results, plate, FIELDS)} lists them, with "
        "the places that they were given; quality.enabled: true checks these."
    )


def where_results_are(config: Config) -> Iterator[str]:
    """A sentence for each plate of a run: where its fused plate and its report are.

    What is not there is not named: a run may end before it (`--until`).
    """
    for name, path in config.paths.items():
        places, own = [], config.by_plate[name]
        fused = fused_plate_path(path, own.fusion.output)
        if own.fusion.enabled and is_node(fused):
            places.append(f"the fused plate is {fused}")
        report = Path(config.results, name, REPORT)
        if own.checks_wells and report.is_file():
            places.append(f"the report is {report}")
        if places:
            yield f"plate {name}: {', and '.join(places)}."
        if kept := kept_originals_line(Path(path)):
            yield f"plate {name}: {kept}."


def kept_originals_line(plate: Path) -> str:
    """How many originals of a plate are kept, and what to do; empty if none is."""
    kept = kept_originals(real_plate(plate))
    if not kept:
        return ""
    kept_words = counted(kept, "original is", "originals are")
    return f"{kept_words} kept; `platefuse clean --originals {quoted(plate)}` removes them"


def flagged_warning(receipt: ReportedPlate, report: Path) -> str:
    """One sentence that names the flagged wells of a plate."""
    some = list(receipt.flagged.items())[:_NAMED]
    named = "; ".join(f"{well} ({reason})" for well, reason in some)
    more = f"; and {len(receipt.flagged) - _NAMED} more" if len(receipt.flagged) > _NAMED else ""
    total = sum(receipt.verdicts.values())
    return (
        f"plate {receipt.plate}: {len(receipt.flagged)} of {counted(total, 'well', 'wells')} "
        f"{'is' if len(receipt.flagged) == 1 else 'are'} flagged: {named}"
        f"{more}. {report} shows them."
    )


def accept_plate(receipt: ReportedPlate, report: Path) -> None:
    """Check that no well of a plate is flagged.

    Raises
    ------
    QualityError
        If one is.
    """
    if receipt.flagged:
        raise QualityError(
            f"{flagged_warning(receipt, report)} Look at them. Where they cannot be better, change "
            "the threshold under `quality`, or set quality.on_flag: warn."
        )
