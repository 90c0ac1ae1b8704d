"""Check the images that a config names: one that no well has would be left out silently."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from platefuse.errors import ConfigError, PlatefuseError, listed
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.workflow.config.model import Config
from platefuse.workflow.receipts import WellKey


def check_images(config: Config, plates: Mapping[str, Plate], wells: Collection[WellKey]) -> None:
    """Check that some well has each image that is named.

    Plates with one list are looked at together: it may have images that only some have. The wells
    of a run are looked at first, and the others only if these do not have them all.

    Raises
    ------
    ConfigError
        If not.
    """
    together: dict[tuple[str, ...], list[str]] = {}
    for plate, own in config.by_plate.items():
        if own.images is not None:
            together.setdefault(tuple(own.images), []).append(plate)
    faults = []
    for images, names in together.items():
        missing, found = list(images), dict[str, None]()
        for well in _wells(plates, set(wells), names):
            found |= dict.fromkeys(image.name for image in well.listed_images)
            missing = [image for image in missing if image not in found]
            if not missing:
                break
        if missing and found:  # else no well can be read, which is said with the wells
            fault = (
                f"config.images names {missing}, and no well of plate {listed(names)} has "
                f"{'it' if len(missing) == 1 else 'them'}; the images are {listed(sorted(found))}. "
                "Take out what is not there, or correct it."
            )
            faults.append(config.located(names[0], fault))
    if faults:
        raise ConfigError(*faults)


def _wells(
    plates: Mapping[str, Plate], wells: Collection[WellKey], names: Iterable[str]
) -> Iterator[Well]:
    """The wells of some plates: first those of the run. What is wrong with one is said with it."""
    keys = [(name, well.row, well.column) for name in names for well in plates[name].wells]
    for name, row, column in sorted(keys, key=lambda key: key not in wells):
        with suppress(PlatefuseError):
            yield plates[name].well(row, column)
