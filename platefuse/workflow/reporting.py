"""The report of a plate: its wells are judged, its tables and its page are written."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from platefuse.errors import QualityError
from platefuse.ngff.plate import Plate
from platefuse.quality.judge import judge
from platefuse.quality.model import (
    FLAGGED,
    VERDICTS,
    CheckedWell,
    JudgedWell,
    PlateReport,
    ReportedPlate,
)
from platefuse.quality.options import QualityOptions
from platefuse.quality.report.figures import write_plate_svgs
from platefuse.quality.report.page import render
from platefuse.quality.tables import Tables
from platefuse.records import FieldKey, PlateReceipt, read_places, versions
from platefuse.storage.files import write_text
from platefuse.storage.typed_json import list_of, object_of
from platefuse.workflow.bad_wells import SKIPPED, read_reasons
from platefuse.workflow.plates import present_wells
from platefuse.workflow.provenance import command, result_digest
from platefuse.workflow.verdicts import REPORT

CHECKED = "check_well.json"
"""Name of the receipt with the figures of a well."""

FIGURES = "figures"
"""Name of the folder with the heat maps of the plate."""

FINISHED = "finish_fused_plate.json"
"""Name of the receipt of a fused plate."""


def report_plate(
    name: str,
    plate: Plate,
    fused: Path,
    results: Path,
    options: QualityOptions,
    settings: Mapping[str, object],
    *,
    places: str | None = None,
    folder: Path | None = None,
) -> ReportedPlate:
    """Judge the wells of a plate that have been checked, and write its report.

    Parameters
    ----------
    name : str
        Name of the plate in the config.
    plate : Plate
        The plate.
    fused : Path
        The fused plate.
    results : Path
        Folder of the results of the plate.
    options : QualityOptions
        When a field is flagged.
    settings : mapping
        The config, as JSON values.
    places : str, optional
        The file of the measured places; None if places were not measured.
    folder : Path, optional
        Where page, figures and tables are written; by default `results`.

    Raises
    ------
    PlatefuseError
        If no well has been checked, or a receipt is damaged.
    """
    receipts = [results / well.name / CHECKED for well in plate.wells]
    checked = [CheckedWell.read(receipt) for receipt in receipts if receipt.exists()]
    if not checked:
        raise QualityError(
            f"{results}: no well of plate {name} has been checked. Run the workflow first, with "
            "quality.enabled: true and the same `results`."
        )
    statuses: dict[FieldKey, str] = {}
    if places is not None:
        statuses = {key: place.status for key, place in read_places(Path(places)).items()}
    wells = judge(checked, options, statuses)
    folder = folder or results
    report = plate_report(name, plate, fused, wells, settings, results, folder)
    write_plate_svgs(report, folder / FIGURES)
    write_text(folder / REPORT, render(report, results))
    Tables(name, wells).write(folder)
    return _summed_up(name, wells)


def plate_report(
    name: str,
    plate: Plate,
    fused: Path,
    wells: Sequence[JudgedWell],
    settings: Mapping[str, object],
    results: Path,
    folder: Path,
) -> PlateReport:
    """What the report of a plate shows.

    Parameters
    ----------
    name : str
        Name of the plate in the config.
    plate : Plate
        The plate.
    fused : Path
        The fused plate.
    wells : sequence of JudgedWell
        Its wells, in the order of the plate.
    settings : mapping
        The config, as JSON values.
    results : Path
        Folder of the results of the plate.
    folder : Path
        Folder of the page.
    """
    present = present_wells(plate)
    checked = {well.checked.well for well in wells}
    reasons = read_reasons(results / SKIPPED)
    left_out = {
        well.name: reasons.get(well.name, "there is no folder of it")
        for well in plate.wells
        if well.name not in checked and (well.name in reasons or well not in present)
    }
    rows, columns = (
        tuple(str(object_of(entry).get("name")) for entry in list_of(plate.metadata.get(axis)))
        for axis in ("rows", "columns")
    )
    text = json.dumps(settings, sort_keys=True)
    return PlateReport(
        plate=name,
        fused=str(fused),
        rows=rows or tuple(dict.fromkeys(well.row for well in plate.wells)),
        columns=columns or tuple(dict.fromkeys(well.column for well in plate.wells)),
        wells=tuple(wells),
        left_out=left_out,
        settings=settings,
        versions=versions(),
        digests={
            "config": hashlib.sha256(text.encode()).hexdigest(),
            "options that decide the result": result_digest(settings),
        },
        command=_command(results / FINISHED),
        folder=os.path.relpath(results, folder),
    )


def _summed_up(name: str, wells: Sequence[JudgedWell]) -> ReportedPlate:
    counts = Counter(well.verdict for well in wells)
    return ReportedPlate(
        plate=name,
        verdicts={verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]},
        flagged={
            well.checked.well: "; ".join(well.reasons)
            for verdict in FLAGGED
            for well in wells
            if well.verdict == verdict
        },
    )


def _command(receipt: Path) -> str:
    """The command of this run, or of the one that finished the plate; empty if neither is known."""
    if found := command():
        return found
    return (PlateReceipt.read(receipt).command or "") if receipt.exists() else ""
