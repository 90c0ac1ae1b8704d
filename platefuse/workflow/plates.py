"""Open the plates of a run and check, from JSON only, what would stop it later.

Every process of a run does this while it plans the jobs, so it reads little.
`platefuse.workflow.preflight` checks the rest before the first job.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from platefuse.errors import ConfigError, PlateError, PlatefuseError
from platefuse.ngff.paths import fused_plate_path, staging_root
from platefuse.ngff.plate import Plate, Well
from platefuse.workflow.config import Config
from platefuse.workflow.receipts import NAME, WellKey, wells_of


def open_plates(config: Config) -> dict[str, Plate]:
    """Open the plates of a run by their names in the config.

    Raises
    ------
    PlatefuseError
        With a message for every plate that cannot be processed, or for all folders that overlap.
    """
    plates, faults = {}, []
    for name, path in config.plates.items():
        try:
            plates[name] = Plate.open(path, config.images)
        except PlatefuseError as error:
            faults.append(str(error))
    if faults:
        raise PlateError("\n".join(faults))
    if faults := list(_overlaps(config, plates)):
        raise ConfigError(*faults)
    return plates


def read_wells(config: Config, plates: Mapping[str, Plate]) -> dict[WellKey, Well]:
    """Read and check the metadata of all wells of a run.

    Raises
    ------
    PlateError
        With the first fault.
    """
    wells = wells_of(plates)
    for well in wells.values():
        check_well(well, config)
    return wells


def check_well(well: Well, config: Config) -> None:
    """Check the names in a well, and that it has images to process and their reference.

    Raises
    ------
    PlateError
        With the first fault.
    """
    for name in (well.row, well.column, *(image.name for image in well.images)):
        if not re.fullmatch(NAME, name):
            raise PlateError(
                f"{well.path}: {name!r} cannot be part of a receipt's path. Names of rows, columns "
                "and images may hold letters, digits, spaces and _ . + = -"
            )
    if not well.images:
        raise PlateError(
            f"{well.path}: config.images names {config.images}, but the well has "
            f"{[image.name for image in well.acquired_images]}. Name images that every well has."
        )
    if config.registration.enabled:
        for image in well.images:
            well.reference_image(image.name, config.registration.request.reference_acquisition)


def _overlaps(config: Config, plates: Mapping[str, Plate]) -> Iterator[str]:
    """Sentences for folders of a run that are the same, or of which one contains the other."""
    results = Path(config.results)
    if results.exists() and not results.is_dir():
        yield f"config.results, {str(results)!r}, is a file. Give a folder, or a new name."
        return
    folders = sorted(
        (folder.resolve().parts, what, folder) for what, folder in _folders(config, plates)
    )
    for (parts, what, folder), (others, other_what, other) in pairwise(folders):
        if others[: len(parts)] == parts:  # in sorted order the content follows its folder
            yield (
                f"{what}, {str(folder)!r}, and {other_what}, {str(other)!r}, are the same folder, "
                "or one is in the other, and what is written to one would damage the other. Choose "
                "separate folders."
            )


def _folders(config: Config, plates: Mapping[str, Plate]) -> Iterator[tuple[str, Path]]:
    """Every folder that a run writes to, with its name for messages."""
    for part in ("logs", "benchmarks", *plates):
        yield "config.results", Path(config.results) / part
    for name, plate in plates.items():
        key = f"config.plates.{name}"
        yield key, plate.path
        yield f"the staging of {key}", staging_root(plate.path)
        if config.fusion.enabled:
            fused = fused_plate_path(plate.path, config.fusion.output)
            yield f"the fused plate of {key} (config.fusion.output)", fused
            yield f"the staging of the fused plate of {key}", staging_root(fused)
