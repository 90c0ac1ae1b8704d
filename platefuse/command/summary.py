"""What a run ends with: what is done and what is not, where it is, and what to type next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from platefuse.command.progress import Failure, Progress
from platefuse.errors import PlatefuseError, counted, listed
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.quality.model import ReportedPlate
from platefuse.records import RegistrationRecord
from platefuse.workflow.bad_wells import SKIPPED, read_list
from platefuse.workflow.config.model import Config
from platefuse.workflow.plates import Wells, open_plates
from platefuse.workflow.verdicts import (
    REPORT,
    flagged_warning,
    kept_originals_line,
    read_verdicts,
    unmeasured_warning,
)

_SHOWN = 10


@dataclass(frozen=True)
class PlateResult:
    """What there is of a plate after a run.

    Attributes
    ----------
    name : str
        Its name in the config.
    present : int
        Number of wells that can be processed.
    absent, skipped : int
        Number of wells that are listed and absent, and that were left out by ``on_bad_well``.
    verdicts : ReportedPlate or None
        The verdicts on its wells, if they were judged.
    results : Path
        Folder of its results.
    fused, report : Path or None
        The fused plate and the report, if they exist.
    originals : str
        How many originals are kept; empty if none is.
    unmeasured : str
        How many fields have no measured place; empty if none has, or wells are judged.
    gone : str
        The wells that were fused and are not in the fused plate; empty if all are.
    replaced : str
        The wells that were registered and are raw; empty if none is.
    """

    name: str
    present: int
    absent: int
    skipped: int
    verdicts: ReportedPlate | None
    results: Path
    fused: Path | None
    report: Path | None
    originals: str = ""
    unmeasured: str = ""
    gone: str = ""
    replaced: str = ""


def plate_results(config: Config) -> list[PlateResult]:
    """What there is of the plates of a config.

    Raises
    ------
    PlatefuseError
        If a plate cannot be opened.
    """
    plates = open_plates(config)
    wells = Wells(config, plates)
    absent = Counter(plate for plate, _, _ in wells.absent)
    results = []
    for name, plate in plates.items():
        folder = Path(config.results, name)
        skipped = len(read_list(folder / SKIPPED)) if config.on_bad_well == "skip" else 0
        fusion = config.by_plate[name].fusion
        fused = fused_plate_path(plate.path, fusion.output)
        results.append(
            PlateResult(
                name,
                len(wells.names(name)) - skipped,
                absent[name],
                skipped,
                read_verdicts(config, name),
                folder,
                fused if fusion.enabled and fused.is_dir() else None,
                folder / REPORT if (folder / REPORT).is_file() else None,
                kept_originals_line(Path(config.paths[name])),
                unmeasured_warning(config, name),
                _gone(folder, fused, wells.names(name)) if fusion.enabled else "",
                _replaced(folder, plate, wells.names(name)),
            )
        )
    return results


def summary(
    progress: Progress,
    plates: Sequence[PlateResult],
    *,
    seconds: float,
    again: str,
    interrupted: bool,
) -> Iterator[str]:
    """Lines that tell how a run ended.

    Parameters
    ----------
    progress : Progress
        What the run did.
    plates : sequence of PlateResult
        What there is of its plates.
    seconds : float
        How long it took.
    again : str
        The command that continues it.
    interrupted : bool
        Whether the user stopped it.
    """
    failures = progress.failures()
    present = sum(plate.present for plate in plates)
    left = min(progress.total - len(progress.wells), present)
    took = timedelta(seconds=round(seconds))
    new = len(progress.wells)
    before = f"{new} of them in this run ({took})" if new else f"none of them in this run ({took})"
    if not progress.planned:
        before = "by runs before: nothing was left to do"
    if progress.ends_early:
        jobs = listed([f"{number} {rule}" for rule, number in progress.finished.items()])
        yield f"Steps that are done: {jobs or 'none'} ({took}). The last step of the wells is not."
    else:
        yield f"{present - left} of {counted(present, 'well', 'wells')} done, {before}."
    is_done = not (failures or left or interrupted or progress.ends_early)
    for plate in plates:
        own = [failure for failure in failures if failure.job.plate == plate.name]
        # What is left may be just these.
        told = plate if is_done else replace(plate, gone="", replaced="")
        if lines := list(_plate_lines(told, own, progress.warnings)):
            yield f"plate {plate.name}:"
            yield from lines
    for failure in failures:
        if failure.job.plate not in {plate.name for plate in plates}:
            yield from _failure_lines(failure)
    if interrupted:
        yield f"Stopped. What is done is kept; the same command continues: {again}"
    elif failures or left:
        yield f"Next: remove the cause. The same command then does what is left: {again}"


def _gone(results: Path, fused: Path, wells: Sequence[str]) -> str:
    """The wells that somebody has removed from a fused plate: receipts alone say they are done."""
    gone = [
        well
        for well in wells
        if (results / well / "fuse_well.json").exists() and not (fused / well).is_dir()
    ]
    if not gone:
        return ""
    return (
        f"fused wells that are not in {fused} any more: {listed(gone)}. To fuse them again, add "
        "--forceall: nothing that is done is done again."
    )


def _replaced(results: Path, plate: Plate, wells: Sequence[str]) -> str:
    """The wells whose images somebody has put back: receipts alone say that they are registered."""
    raw = []
    for well in wells:
        with suppress(PlatefuseError):  # what is wrong with an image, the next run says
            if (results / well / "discard_backups.json").exists() and any(
                image.live.is_dir() and RegistrationRecord.read(image.live) is None
                for image in plate.well(*well.split("/")).images
            ):
                raw.append(well)
    if not raw:
        return ""
    return (
        f"wells that were registered and have raw images now: {listed(raw)}. To do them again, add "
        "--forceall: nothing that is done is done again."
    )


def _plate_lines(
    plate: PlateResult, failures: Sequence[Failure], told: Sequence[str]
) -> Iterator[str]:
    if failures:
        what = "well" if all(failure.job.well for failure in failures) else "job"
        yield f"  failed:      {counted(len(failures), what, f'{what}s')}"
        for failure in failures[:_SHOWN]:
            for line in _failure_lines(failure):
                yield f"    {line}"
        if len(failures) > _SHOWN:
            yield f"    and {len(failures) - _SHOWN} more"
    if plate.absent:
        absent = counted(plate.absent, "well", "wells")
        yield f"  left out:    {absent} listed by the plate and absent"
    if plate.skipped:
        file = plate.results / SKIPPED
        skipped = counted(plate.skipped, "well", "wells")
        yield f"  left out:    {skipped} skipped; {file} says why"
    sentences = [plate.replaced, plate.gone, plate.unmeasured]
    if plate.verdicts is not None and plate.verdicts.flagged:
        sentences.append(flagged_warning(plate.verdicts, plate.results / REPORT))
    for sentence in sentences:
        if sentence and sentence not in told:  # by the run, as a warning
            yield f"  look at:     {sentence.removeprefix(f'plate {plate.name}: ')}"
    if plate.fused:
        yield f"  fused plate: {plate.fused}"
    if plate.report:
        yield f"  report:      {plate.report}"
    if plate.originals:
        yield f"  originals:   {plate.originals}"


def _failure_lines(failure: Failure) -> Iterator[str]:
    job = failure.job
    yield f"{job.well or job.plate or 'run'}: {job.rule}: {failure.reason}"
    if failure.log:
        yield f"  log: {failure.log}"
