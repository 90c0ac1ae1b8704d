"""Warn of a fused plate that is given as a plate to fuse: it can be read like any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from platefuse.errors import PlatefuseError
from platefuse.ngff.plate import Plate
from platefuse.records import FusedPlateRecord
from platefuse.workflow.config.model import Config


def fused_again_warnings(config: Config, plates: Mapping[str, Plate]) -> Iterator[str]:
    """A sentence for each plate of a run that platefuse has fused, and that is to be fused."""
    for name, plate in plates.items():
        if config.by_plate[name].fusion.enabled and is_fused(plate.path):
            yield f"plate {name}: {fused_already(plate.path)}"


def fused_already(plate: Path) -> str:
    """A sentence about a fused plate that is to be fused again."""
    return (
        f"{plate} is a fused plate: platefuse has blended its fields already. Give the plate from "
        "which it was made."
    )


def is_fused(plate: Path) -> bool:
    """Whether platefuse has fused a plate."""
    with suppress(PlatefuseError):  # a record that is broken is not used here
        return FusedPlateRecord.read(plate) is not None
    return False
