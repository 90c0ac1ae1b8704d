"""The room that a run needs on its disks, estimated from the files of a few wells."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from math import prod
from pathlib import Path

from platefuse.errors import PlateError, PlatefuseError
from platefuse.ngff.image import Multiscale
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.records import FusedWellRecord, RegistrationRecord
from platefuse.storage.typed_json import object_of
from platefuse.workflow.config.model import Config
from platefuse.workflow.plates import WellFacts
from platefuse.workflow.receipts import WellKey

_SAMPLE = 3
"""Wells of each plate whose files are counted."""

_CERTAIN = 0.5
"""A run is stopped if less than this share of the estimate is free: it may be too high, because
fields overlap and images compress better or worse."""


@dataclass(frozen=True)
class Room:
    """What a run needs on one disk.

    Attributes
    ----------
    folder : Path
        A folder that exists on the disk.
    needed, free : float
        Bytes that the run will probably write and keep, and that are free.
    what : tuple of str
        What is written there.
    """

    folder: Path
    needed: float
    free: float
    what: tuple[str, ...]

    @property
    def words(self) -> str:
        """One phrase for the terminal."""
        folder = os.path.abspath(self.folder)  # noqa: PTH100  # without `.` and `..`
        return (
            f"{' and '.join(self.what)} need about {_size(self.needed)} in {folder}, where "
            f"{_size(self.free)} are free"
        )


def rooms(
    config: Config,
    plates: Mapping[str, Plate],
    wells: Mapping[WellKey, Well],
    facts: Mapping[WellKey, WellFacts] | None = None,
) -> list[Room]:
    """The room that is needed on each disk for the images that are not done yet.

    Parameters
    ----------
    config : Config
        The config.
    plates : mapping of str to Plate
        Its plates.
    wells : mapping of WellKey to Well
        The wells of the run.
    facts : mapping of WellKey to WellFacts, optional
        What is known of them; a well that is missing is looked at.
    """
    by_disk: dict[int, list[tuple[Path, float, str]]] = defaultdict(list)
    for name, plate in plates.items():
        own = {well: (facts or {}).get(key) for key, well in wells.items() if key[0] == name}
        for target, needed, what in _parts(config.by_plate[name], plate, own):
            if needed:
                folder = next(p for p in (target, *target.absolute().parents) if p.exists())
                by_disk[folder.stat().st_dev].append((folder, needed, what))
    return [
        Room(
            parts[0][0],
            sum(needed for _, needed, _ in parts),
            shutil.disk_usage(parts[0][0]).free,
            tuple(dict.fromkeys(what for *_, what in parts)),
        )
        for parts in by_disk.values()
    ]


def check_room(found: Sequence[Room]) -> Iterator[str]:
    """Check that a run will not fill a disk.

    Yields
    ------
    str
        A warning for each disk whose room may not be enough.

    Raises
    ------
    PlateError
        If it cannot be enough.
    """
    short = [room for room in found if room.free < _CERTAIN * room.needed]
    if short:
        raise PlateError(
            "\n".join(f"Not enough room: {room.words}." for room in short)
            + "\nMake room, write the fused plate to another disk (fusion.output), or process some "
            "wells only (wells.include)."
        )
    for room in found:
        if room.free < room.needed:
            yield f"the room may not be enough: {room.words}"


def _parts(
    config: Config, plate: Plate, wells: Mapping[Well, WellFacts | None]
) -> Iterator[tuple[Path, float, str]]:
    """Each folder that is written to, how many bytes, and what they are."""
    registration, fusion = config.registration, config.fusion
    if registration.writes_images:
        left = _left(
            {
                well: registered_images(well, config) if known is None else known.registered
                for well, known in wells.items()
            }
        )
        kept = registration.keep_originals or not registration.request.overwrite_input
        # Without originals that are kept, only the wells that are in work are there twice.
        yield (
            plate.path.parent,
            _bytes_of(left) * (1 if kept else min(1, 2 / max(1, len(left)))),
            "registered images",
        )
    if fusion.enabled:
        target = fused_plate_path(plate.path, fusion.output)
        left = _left({well: _fused_images(target / well.row / well.column) for well in wells})
        yield target, _bytes_of(left) * _coarser(config, list(left)), "fused wells"


def _left(done: Mapping[Well, Set[str]]) -> dict[Well, Set[str]]:
    """The images that are left to be made, of each well that has any."""
    left = {well: {image.name for image in well.images} - done[well] for well in done}
    return {well: names for well, names in left.items() if names}


def _bytes_of(left: Mapping[Well, Set[str]]) -> float:
    """Bytes of some images of wells, from those of a few wells."""
    wells = list(left)
    sample = wells[:: max(1, len(wells) // _SAMPLE)][:_SAMPLE]
    images = [image for well in sample for image in well.images if image.name in left[well]]
    return len(wells) * sum(_tree_bytes(image.live) for image in images) / max(1, len(sample))


def _fused_images(fused_well: Path) -> Set[str]:
    """The images that a fused well was made from; none if there is no fused well."""
    record = FusedWellRecord.read(fused_well)
    return object_of(record and record.fingerprint.get("sources")).keys()


def _tree_bytes(folder: Path) -> int:
    """Bytes of all files in a folder; what cannot be read counts nothing."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(f"{place}/{name}").st_size
            except OSError:
                continue
    return total


def _coarser(config: Config, wells: Sequence[Well]) -> float:
    """How many pixels of the output there are for one of the source."""
    spacing = config.fusion.options.output_spacing
    if spacing is None or not wells:
        return 1.0
    try:
        size = Multiscale.read(wells[0].images[0].live).pixel_size_um
    except (PlatefuseError, OSError):
        return 1.0
    return prod(size[axis] / spacing.get(axis, size[axis]) for axis in size)


def registered_images(well: Well, config: Config) -> Set[str]:
    """The images of a well that are registered in the plate."""
    request = config.registration.request
    return {image.name for image in well.images if _has_record(request.destination(image))}


def _has_record(image: Path) -> bool:
    try:
        return RegistrationRecord.read(image) is not None
    except (PlatefuseError, OSError):
        return False


def _size(nbytes: float) -> str:
    """Bytes in words.

    Examples
    --------
    >>> _size(3.21e12), _size(4.4e7), _size(594_080), _size(12.0)
    ('3.2 TB', '44 MB', '590 kB', '12 bytes')
    """
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if nbytes >= unit:
            return f"{float(f'{nbytes / unit:.2g}'):g} {name}"
    return f"{nbytes:.0f} bytes"
