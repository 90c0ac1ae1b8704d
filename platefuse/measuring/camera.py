"""The fixed pattern of a camera, from the fields of a well and, if it takes more, of others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from platefuse.errors import PlatefuseError
from platefuse.fusion.fields.reader import LayerReader
from platefuse.measuring.decoded_chunks import DecodedChunks
from platefuse.measuring.field_pixels import FieldPixels, read_fields
from platefuse.measuring.pair.pattern import FixedPattern, fixed_pattern
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well

logger = logging.getLogger(__name__)

_FIELDS = 16
"""Fields from which the patterns of an acquisition are made: eight for each side of a pair. With
fewer the tissue does not average out."""


@dataclass(frozen=True)
class CameraPatterns:
    """The fixed pattern of an acquisition, made twice from different fields.

    Attributes
    ----------
    of_reference, of_moving : FixedPattern
        What is subtracted from a field if it is the reference of a pair, or the moving field.
    """

    of_reference: FixedPattern
    of_moving: FixedPattern


def wells_after(plate: Plate, well: Well) -> Iterator[Well]:
    """The other wells of a plate that can be read, from the one that follows on."""
    place = [each.name for each in plate.wells].index(well.name)
    for other in (*plate.wells[place + 1 :], *plate.wells[:place]):
        with suppress(PlatefuseError):
            yield plate.well(other.row, other.column)


def more_fields(
    reader: LayerReader, wells: Iterable[Well], channel: str | None, chunks: DecodedChunks
) -> Iterator[FieldPixels]:
    """The fields of more wells, one well after the other; those that cannot be read are left out.

    Parameters
    ----------
    reader : LayerReader
        Reads their images.
    wells : iterable of Well
        The wells.
    channel : str or None
        The channel to measure by.
    chunks : DecodedChunks
        Keeps the decoded chunks.
    """
    for well in wells:
        try:
            yield from read_fields(reader.read(well), well.name, channel, chunks)
        except PlatefuseError as error:  # its own job says so
            logger.info("%s is not used for the fixed pattern: %s", well.path, error)


def camera_patterns(
    own: Sequence[FieldPixels], more: Iterable[FieldPixels]
) -> dict[int, CameraPatterns]:
    """The fixed patterns of the acquisitions of a well, where there are enough fields of one shape.

    Parameters
    ----------
    own : sequence of FieldPixels
        The fields of the well.
    more : iterable of FieldPixels
        Fields of other wells, used until each acquisition has enough.
    """
    shapes = {p.field.key.acquisition: p.field.shape for p in reversed(own)}
    found: dict[int, list[FieldPixels]] = {number: [] for number in sorted(shapes)}

    def is_enough() -> bool:
        return all(len(fields) >= _FIELDS for fields in found.values())

    def add(field: FieldPixels) -> None:
        number = field.field.key.acquisition
        if number in found and field.field.shape == shapes[number]:
            found[number].append(field)

    for each in own:
        add(each)
    if not is_enough():
        for each in more:
            add(each)
            if is_enough():
                break
    return {
        number: CameraPatterns(
            fixed_pattern([list(p.levels) for p in fields[::2]]),
            fixed_pattern([list(p.levels) for p in fields[1::2]]),
        )
        for number, fields in found.items()
        if len(fields) >= _FIELDS
    }
