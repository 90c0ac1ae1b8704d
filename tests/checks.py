"""Checks of whole plates, and the wells of plates, for tests."""

from __future__ import annotations

from collections.abc import Mapping

from platefuse.fusion.options import FusionOptions
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.registration.request import RegistrationRequest
from platefuse.workflow.checks.preflight import check_swaps, check_well_fusion, is_interrupted
from platefuse.workflow.receipts import WellKey
from platefuse.workflow.sources import plan_well


def check_plate(plate: Plate, request: RegistrationRequest) -> None:
    """Check that every image of a plate can be registered."""
    for well in plate.read_wells():
        check_swaps(well, request)
        if not is_interrupted(well):
            plan_well(well, request)


def check_fusion(plate: Plate, options: FusionOptions) -> None:
    """Check that every well of a plate has fields that can be fused."""
    for well in plate.read_wells():
        if not is_interrupted(well):
            check_well_fusion(well, options)


def wells_of(plates: Mapping[str, Plate]) -> dict[WellKey, Well]:
    """Read the wells of some plates."""
    return {
        (name, well.row, well.column): well
        for name, plate in plates.items()
        for well in plate.read_wells()
    }
