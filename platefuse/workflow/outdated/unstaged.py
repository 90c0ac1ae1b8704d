"""Remove the receipts of images that are not staged as these say.

A staged image waits for the others of its well. Until the next run `platefuse restore` or a user
may have removed it, or the image from which it was made may have changed. Snakemake would go on
with the step that needs it, run after run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from platefuse.errors import PlatefuseError
from platefuse.ngff.well import Well, WellImage
from platefuse.records import RegistrationRecord
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.staged import is_staged
from platefuse.workflow.config.model import Config
from platefuse.workflow.receipts import WellKey


def follow_staged(config: Config, wells: Mapping[WellKey, Well]) -> None:
    """Remove the receipts of images that are not staged as these say."""
    for key, images in unstaged_wells(config, wells).items():
        for image in images:
            for step in ("copy_tables", "register_image"):  # the last first, in case of a kill
                Path(config.results, *key, image.name, f"{step}.json").unlink(missing_ok=True)


def unstaged_wells(config: Config, wells: Mapping[WellKey, Well]) -> dict[WellKey, list[WellImage]]:
    """The images that are neither registered nor staged, though receipts say so, by their wells."""
    found: dict[WellKey, list[WellImage]] = {}
    for key, well in wells.items():
        registration = config.by_plate[key[0]].registration
        folder = Path(config.results, *key)
        if not registration.writes_images or (folder / "publish_registered.json").exists():
            continue
        for image in well.images:
            if _is_unstaged(image, registration.request, folder / image.name):
                found.setdefault(key, []).append(image)
    return found


def _is_unstaged(image: WellImage, request: RegistrationRequest, receipts: Path) -> bool:
    has_tables = (receipts / "copy_tables.json").exists()
    if not (has_tables or (receipts / "register_image.json").exists()):
        return False
    if (receipts / "swap_image.json").exists():
        return False
    try:
        if RegistrationRecord.read(request.destination(image)) is not None:
            return False
    except PlatefuseError:  # the check of the well says what is wrong with the record
        return False
    return not is_staged(image, request, tables=has_tables)
