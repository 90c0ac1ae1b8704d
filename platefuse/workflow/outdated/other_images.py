"""Remove the receipts of wells that list other images than they were made from.

A plate grows: another cycle is imaged, and its acquisition is added to the wells. Snakemake would
find the receipts of the wells, and say that everything is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from platefuse.errors import PlatefuseError
from platefuse.measuring.receipt import MeasuredFrom
from platefuse.ngff.well import Well
from platefuse.records import FusionReceipt, ProcessedWell, RegistrationRecord
from platefuse.workflow.config.model import Config
from platefuse.workflow.outdated.restored import remove_receipts
from platefuse.workflow.receipts import SOLVED, WellKey
from platefuse.workflow.well_steps import PROCESS

_PLATE_STEPS = ("accept_plate", "report_plate", "finish_fused_plate")


def follow_images(config: Config, wells: Mapping[WellKey, Well]) -> None:
    """Remove the receipts of wells that list other images than when they were done.

    What is done to an image is in its record, so nothing is done twice to those that stay.
    """
    for key, well in changed_wells(config, wells).items():
        folder = _folder(config, key)
        # Those of the plate first: Snakemake makes no input again of an output that is there.
        for step in _PLATE_STEPS:
            Path(config.results, key[0], f"{step}.json").unlink(missing_ok=True)
        remove_receipts(well, folder)
        registration = config.by_plate[key[0]].registration
        # Of images that are registered in the plate, what was measured cannot be measured again.
        if registration.measures and not (registration.store and _is_registered(well)):
            Path(config.results, key[0], SOLVED).unlink(missing_ok=True)
            (folder / "measure_well.json").unlink(missing_ok=True)


def changed_wells(config: Config, wells: Mapping[WellKey, Well]) -> dict[WellKey, Well]:
    """The wells that list other images than when they were done, or measured if that is all."""
    return {
        key: well
        for key, well in wells.items()
        if (done := _images_done(config, key)) is not None
        and done != {image.name for image in well.images}
    }


def _images_done(config: Config, key: WellKey) -> set[str] | None:
    """The images that a well was made from, as its last receipt says; None if unknown."""
    folder = _folder(config, key)
    try:
        if (whole := folder / f"{PROCESS}.json").is_file():
            return set(ProcessedWell.read(whole).images)
        if (fused := folder / "fuse_well.json").is_file():
            sources = FusionReceipt.read(fused).sources
            return None if sources is None else set(sources)
        # A run was stopped after it, or the originals of the well were put back.
        if config.by_plate[key[0]].registration.measures:
            return set(MeasuredFrom.read(folder / "measure_well.json").pixels) or None
    except PlatefuseError:  # damaged, or not one of platefuse
        pass
    return None


def _is_registered(well: Well) -> bool:
    try:
        return any(RegistrationRecord.read(image.live) is not None for image in well.images)
    except PlatefuseError:  # the check of the well says what is wrong with it
        return True


def _folder(config: Config, key: WellKey) -> Path:
    return Path(config.results, *key)
