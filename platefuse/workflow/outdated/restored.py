"""Remove the receipts of wells whose originals were put back.

``platefuse restore`` may be given a plate alone, and does not know then where its receipts are. So
the next run looks, too: what counts is that an image is not registered any more, though a receipt
says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from platefuse.errors import PlatefuseError
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.records import RegistrationRecord
from platefuse.registration.originals import restored_original, restored_wells
from platefuse.storage.files import entries
from platefuse.workflow.config.model import Config
from platefuse.workflow.receipts import WellKey
from platefuse.workflow.well_steps import IMAGE_STEPS, PROCESS

_WELL_STEPS = (PROCESS, "check_well", "fuse_well", "discard_backups", "publish_registered")


def remove_receipts(well: Well, folder: Path) -> int:
    """Remove the receipts of a well that hold no more when its originals are back.

    What was measured holds: it was measured in the originals.

    Parameters
    ----------
    well : Well
        The well.
    folder : Path
        Folder of its receipts.

    Returns
    -------
    int
        Number of receipts that were removed.
    """
    files = [folder / f"{step}.json" for step in _WELL_STEPS]
    files += [
        Path(entry.path)
        for entry in entries(folder / "fuse_part")
        if entry.name.removesuffix(".json").isdigit()
    ]
    files += [
        folder / image.name / f"{step}.json"
        for image in well.listed_images
        for step in reversed(IMAGE_STEPS)
    ]
    there = [file for file in files if file.is_file()]
    for file in there:  # the last steps first: a kill leaves none that lacks what it needs
        file.unlink()
    return len(there)


def stale_wells(config: Config, plates: Mapping[str, Plate]) -> dict[WellKey, Well]:
    """The wells whose receipts say that their images are registered, and whose originals are back.

    Reads nothing of a plate of which no original was ever put back.
    """
    found: dict[WellKey, Well] = {}
    for name, plate in plates.items():
        for row, column in sorted(restored_wells(plate.path)):
            with suppress(PlatefuseError):  # the check of the well says what is wrong with it
                well = plate.well(row, column)
                if _is_stale(well, Path(config.results, name, row, column)):
                    found[name, row, column] = well
    return found


def follow_restored(config: Config, plates: Mapping[str, Plate]) -> None:
    """Remove the receipts of wells whose originals were put back since they were written."""
    for (name, row, column), well in stale_wells(config, plates).items():
        remove_receipts(well, Path(config.results, name, row, column))


def _is_stale(well: Well, folder: Path) -> bool:
    claims_all = (folder / "discard_backups.json").is_file()
    return any(
        (claims_all or (folder / image.name / "swap_image.json").is_file())
        and restored_original(image) is not None
        and RegistrationRecord.read(image.live) is None
        for image in well.images
    )
