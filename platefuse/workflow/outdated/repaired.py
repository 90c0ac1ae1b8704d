"""Remove the receipts of wells that could not be measured and were changed since.

With ``on_bad_well: skip`` such a well has a receipt too, so that the others need not wait. So has
one whose images were registered already, of which nothing is measured; their originals may have
been put back since. Snakemake would take each for the receipt of a measured well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from platefuse.errors import PlatefuseError
from platefuse.measuring.receipt import MeasuredFrom
from platefuse.ngff.plate import Plate
from platefuse.workflow.config.model import Config
from platefuse.workflow.receipts import SOLVED, WellKey


def follow_repaired(config: Config, plates: Mapping[str, Plate]) -> None:
    """Remove the receipts of wells that could not be measured and were changed since.

    That of their plate goes first: Snakemake makes no input again of an output that is there.
    """
    for (plate, _, _), receipt in repaired_wells(config, plates).items():
        Path(config.results, plate, SOLVED).unlink(missing_ok=True)
        receipt.unlink(missing_ok=True)


def repaired_wells(config: Config, plates: Mapping[str, Plate]) -> dict[WellKey, Path]:
    """The receipts of wells that could not be measured and were changed since, by their wells."""
    found: dict[WellKey, Path] = {}
    for name, plate in plates.items():
        if not config.by_plate[name].registration.measures:
            continue
        for well in plate.wells:
            folder = Path(config.results, name, well.row, well.column)
            if (folder / "fuse_well.json").exists():  # so it has a place in the solved plate
                continue
            receipt = folder / "measure_well.json"
            if _lacks_measures(receipt) and _is_newer(plate.path / well.name, receipt):
                found[name, well.row, well.column] = receipt
    return found


def _lacks_measures(receipt: Path) -> bool:
    with suppress(PlatefuseError):  # the job that reads it says what is wrong with it
        found = MeasuredFrom.read(receipt)
        return receipt.is_file() and (found.problem is not None or not found.has_fields)
    return False


def _is_newer(folder: Path, receipt: Path) -> bool:
    """Whether anything in a folder was changed after a receipt was written.

    It is the time of change that counts: a file that is restored from a copy may have an old
    time of modification.
    """
    made_ns = receipt.stat().st_mtime_ns
    paths = (
        Path(root, name)
        for root, folders, files in os.walk(folder)
        for name in (".", *folders, *files)
    )
    return any(path.lstat().st_ctime_ns > made_ns for path in paths)
