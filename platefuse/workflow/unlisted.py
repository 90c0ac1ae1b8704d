"""Wells of a fused plate that its plate does not list any more: they stay, and the run says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from platefuse.errors import PlatefuseError, counted, listed
from platefuse.ngff.metadata import is_node
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.records import FusedWellRecord
from platefuse.workflow.config.model import Config


def unlisted_warnings(config: Config, plates: Mapping[str, Plate]) -> Iterator[str]:
    """A sentence for each plate from which a well was taken that is still in the fused plate."""
    for name, plate in plates.items():
        fusion = config.by_plate[name].fusion
        if not fusion.enabled:
            continue
        fused = fused_plate_path(plate.path, fusion.output)
        if wells := unlisted_wells(plate, fused):
            yield (
                f"plate {name}: {fused} has {counted(len(wells), 'well', 'wells')} that the plate "
                f"does not list any more ({listed(wells, 5)}). What was fused is kept. To take it "
                "out, remove these folders from the fused plate, and start again with --forcerun "
                "finish_fused_plate."
            )


def unlisted_wells(plate: Plate, fused: Path) -> list[str]:
    """The wells of a fused plate that were fused from this plate, and that it does not list."""
    known = {(well.row, well.column) for well in plate.wells}
    found: list[str] = []
    with suppress(PlatefuseError):  # what is wrong with the fused plate is said before it is used
        there = Plate.open(fused).wells if is_node(fused) else ()
        for well in there:
            if (well.row, well.column) in known:
                continue
            record = FusedWellRecord.read(fused / well.row / well.column)
            if record is not None and record.plate == plate.path.name:
                found.append(f"{well.row}/{well.column}")
    return found
