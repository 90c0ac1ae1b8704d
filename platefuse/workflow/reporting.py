"""The report of a plate: its tables, its page, and the verdict with which a run ends."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from platefuse import __version__
from platefuse.errors import QualityError
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.quality.judge import judge
from platefuse.quality.model import VERDICTS, CheckedWell, JudgedWell, PlateReport, ReportedPlate
from platefuse.quality.options import QualityOptions
from platefuse.quality.tables import FILES as TABLES
from platefuse.quality.tables import Tables
from platefuse.records import FieldKey, read_places
from platefuse.report.figures import write_plate_svgs
from platefuse.report.page import render
from platefuse.storage.files import write_text
from platefuse.storage.typed_json import list_of, object_of
from platefuse.workflow.bad_wells import SKIPPED, read_reasons
from platefuse.workflow.config import Config, settings_of
from platefuse.workflow.receipts import FIELDS

REPORT = "report.html"
"""Name of the report in the results of a plate."""

CHECKED = "check_well.json"
"""Name of the receipt with the figures of a well."""

FIGURES = "figures"
"""Name of the folder with the heat maps of the plate."""

_FLAGGED = ("bad", "look")
_NAMED = 8
_LIBRARIES = ("numpy", "scipy", "zarr", "zarrs", "numcodecs", "anndata", "snakemake")


def report_plate(config: Config, name: str, plate: Plate, folder: Path) -> ReportedPlate:
    """Judge the wells of a plate that have been checked so far, and write its report.

    Parameters
    ----------
    config : Config
        The config of the run.
    name : str
        Name of the plate in it.
    plate : Plate
        The plate.
    folder : Path
        Where page, figures and tables are written; `<results>/<plate>`, or another folder.

    Raises
    ------
    PlatefuseError
        If no well has been checked, or a receipt is damaged.
    """
    results = Path(config.results, name)
    receipts = [results / well.name / CHECKED for well in plate.wells]
    checked = [CheckedWell.read(receipt) for receipt in receipts if receipt.exists()]
    if not checked:
        raise QualityError(
            f"{results}: no well of plate {name} has been checked. Run the workflow first, with "
            "quality.enabled: true and the same `results`."
        )
    places = str(results / FIELDS) if config.registration.measures else None
    wells = judged_plate(checked, config.quality.options, places)
    fused = fused_plate_path(plate.path, config.fusion.output)
    report = plate_report(name, plate, fused, wells, settings_of(config), results)
    link = os.path.relpath(results, folder)
    write_plate_svgs(report, folder / FIGURES)
    write_text(folder / REPORT, render(replace(report, folder=link), results))
    return write_tables(name, wells, *(str(folder / own) for own in TABLES))


def judged_plate(
    wells: Sequence[CheckedWell], options: QualityOptions, places: str | None
) -> list[JudgedWell]:
    """Judge the wells of a plate; `places` is the file of the measured places, if there is one."""
    statuses: dict[FieldKey, str] = {}
    if places is not None:
        statuses = {key: place.status for key, place in read_places(Path(places)).items()}
    return judge(wells, options, statuses)


def plate_report(
    name: str,
    plate: Plate,
    fused: Path,
    wells: Sequence[JudgedWell],
    settings: Mapping[str, object],
    results: Path,
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
        Its wells.
    settings : mapping
        The config, as JSON values.
    results : Path
        Folder of the results of the plate.
    """
    listed = [well.name for well in plate.wells]
    checked = {well.checked.well for well in wells}
    reasons = read_reasons(results / SKIPPED)
    left_out = {
        well: reasons.get(well, "there is no folder of it")
        for well in listed
        if well not in checked and (well in reasons or not (plate.path / well).exists())
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
        wells=tuple(sorted(wells, key=lambda well: listed.index(well.checked.well))),
        left_out=left_out,
        settings=settings,
        versions=dict(_versions()),
        digests={"config": hashlib.sha256(text.encode()).hexdigest()},
    )


def write_page(
    name: str,
    plate: Plate,
    fused: Path,
    wells: Sequence[JudgedWell],
    settings: Mapping[str, object],
    page: Path,
) -> None:
    """Write the report of a plate, and its figures into `FIGURES`; see `plate_report`."""
    report = plate_report(name, plate, fused, wells, settings, page.parent)
    write_plate_svgs(report, page.with_name(FIGURES))
    write_text(page, render(report, page.parent))


def write_tables(name: str, wells: Sequence[JudgedWell], *files: str) -> ReportedPlate:
    """Write the three tables of a plate, and sum them up."""
    Tables(name, wells).write(*map(Path, files))
    counts = Counter(well.verdict for well in wells)
    return ReportedPlate(
        plate=name,
        verdicts={verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]},
        flagged={
            well.checked.well: "; ".join(well.reasons)
            for verdict in _FLAGGED
            for well in wells
            if well.verdict == verdict
        },
    )


def flagged_warnings(config: Config) -> Iterator[str]:
    """A sentence for each plate of a run that has flagged wells."""
    if not config.checks_wells:
        return
    for name in config.plates:
        folder = Path(config.results) / name
        receipt = folder / "report_plate.json"
        if receipt.exists():
            warning = flagged_warning(ReportedPlate.read(receipt), folder / REPORT)
            if warning:
                yield warning


def where_results_are(config: Config) -> Iterator[str]:
    """A sentence for each plate of a run: where its fused plate and its report are."""
    for name, path in config.plates.items():
        places = []
        if config.fusion.enabled:
            places.append(f"the fused plate is {fused_plate_path(path, config.fusion.output)}")
        if config.checks_wells:
            places.append(f"the report is {Path(config.results, name, REPORT)}")
        if places:
            yield f"plate {name}: {', and '.join(places)}."


def flagged_warning(receipt: ReportedPlate, report: Path) -> str:
    """One sentence that names the flagged wells of a plate; empty if there is none."""
    if not receipt.flagged:
        return ""
    some = list(receipt.flagged.items())[:_NAMED]
    named = "; ".join(f"{well} ({reason})" for well, reason in some)
    more = f"; and {len(receipt.flagged) - _NAMED} more" if len(receipt.flagged) > _NAMED else ""
    total = sum(receipt.verdicts.values())
    return (
        f"plate {receipt.plate}: {len(receipt.flagged)} of {total} wells are flagged: {named}"
        f"{more}. {report} shows them."
    )


def accept_plate(receipt: ReportedPlate, report: Path) -> None:
    """Check that no well of a plate is flagged.

    Raises
    ------
    QualityError
        If one is.
    """
    warning = flagged_warning(receipt, report)
    if warning:
        raise QualityError(
            f"{warning} Look at them; where they are as good as they can be, raise the threshold "
            "under `quality`, or set quality.on_flag: warn."
        )


def _versions() -> Iterator[tuple[str, str]]:
    yield "platefuse", __version__
    for library in _LIBRARIES:
        try:
            yield library, version(library)
        except PackageNotFoundError:  # the job of a site that has no Snakemake on its nodes
            continue
