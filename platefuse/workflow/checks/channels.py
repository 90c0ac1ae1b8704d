"""The channels that a config names: to correct their illumination, and to compare wells by.

Without these checks a name that no image has would change nothing, and nobody would be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from platefuse.errors import ConfigError, PlatefuseError
from platefuse.illumination.correction import Illumination
from platefuse.ngff.channels import channel_names
from platefuse.ngff.image import Multiscale
from platefuse.ngff.well import Well
from platefuse.workflow.config.model import Config
from platefuse.workflow.receipts import WellKey


def illumination_of(config: Config) -> Illumination | None:
    """The flat-field correction of a run."""
    return Illumination.of_config(config.illumination, config.fusion.options.tile_table)


def check_channels(config: Config, wells: Mapping[WellKey, Well]) -> None:
    """Check that some image of the run has each channel that is to be corrected or compared.

    Plates with one correction are looked at together: it may be of channels that only some have.

    Raises
    ------
    ConfigError
        If not.
    """
    for plate, own in config.by_plate.items():
        is_measured = own.registration.measures and own.quality.options.channel is None
        if own.checks_wells and own.checked_channel is not None and not is_measured:
            _check_compared(plate, own, {key: wells[key] for key in wells if key[0] == plate})
    together: list[tuple[Illumination, list[str]]] = []
    for plate, own in config.by_plate.items():
        illumination = illumination_of(own)
        if illumination is None:
            continue
        for other, plates in together:
            if other == illumination:
                plates.append(plate)
                break
        else:
            together.append((illumination, [plate]))
    for illumination, plates in together:
        own_wells = {key: wells[key] for key in wells if key[0] in plates}
        try:
            illumination.check_channels(_readable_images(own_wells))
        except ConfigError as error:
            faults = (config.located(plates[0], fault) for fault in error.args)
            raise ConfigError(*faults) from error


def _check_compared(plate: str, own: Config, wells: Mapping[WellKey, Well]) -> None:
    """Check that an image of a plate has the channel by which its wells are to be compared."""
    known: dict[str, None] | None = None
    for image in _readable_images(wells):
        known = (known or {}) | dict.fromkeys(channel_names(image))
        if own.checked_channel in known:
            return
    if known is not None:  # else no image can be read, which is said with their wells
        key = "quality" if own.quality.options.channel else "registration.measure"
        fault = (
            f"config.{key}.channel is {own.checked_channel!r}, and no image of plate {plate} has "
            f"it, so no well could be compared; their channels are {sorted(known)}. Name a label "
            "or wavelength_id of theirs, or null."
        )
        raise ConfigError(own.located(plate, fault))


def _readable_images(wells: Mapping[WellKey, Well]) -> Iterator[Multiscale]:
    """The images of some wells. What is wrong with another one is said with its well."""
    for key in wells:
        with suppress(PlatefuseError):
            for image in wells[key].images:
                yield Multiscale.read(image.live)
