"""What every plate of the writers holds. Runs in the writers' environments: numpy and nothing else.

The fields of a well and acquisition are cut from one scene, so that a fused image must equal it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

PIXEL_UM = 0.325
Z_UM = 1.5
CHANNELS = ("DAPI", "GFP")
PLANES = 2
SHAPE = (20, 24)
STEP = (16, 18)
COLUMNS = 2
# Where the stage has the first field: far from 0, as on a microscope.
STAGE_PX = (-4096, 6400)
# Fields of each acquisition of each well. The last field of one acquisition was not taken.
WELLS = {"A/01": {0: 4, 1: 4}, "B/02": {0: 4, 1: 3}}
# In mosaics the tissue of acquisition 1 lies this much further down and to the right in its fields,
# and the registered boxes hold what the fields of both acquisitions show.
SHIFTS_PX = ((0, 0), (2, -3))
REGISTERED_SHAPE = (SHAPE[0] - 2, SHAPE[1] - 3)


@dataclass(frozen=True)
class Field:
    """One field of a well.

    Attributes
    ----------
    well, acquisition
        Where it belongs.
    number : int
        Its number in the acquisition, from 0.
    index : int
        Its number in the well, from 0.
    pixels : array
        (2 channels, 2 planes, y, x), uint16.
    """

    well: str
    acquisition: int
    number: int
    index: int
    pixels: np.ndarray[Any, Any]

    @property
    def origin_um(self) -> tuple[float, float]:
        """Stage position (y, x) of its first pixel, in µm."""
        y, x = (s + o for s, o in zip(STAGE_PX, origin(self.number), strict=True))
        return y * PIXEL_UM, x * PIXEL_UM


def origin(number: int) -> tuple[int, int]:
    """First pixel (y, x) of a field in the scene."""
    return number // COLUMNS * STEP[0], number % COLUMNS * STEP[1]


def scene(well: str, acquisition: int) -> np.ndarray[Any, Any]:
    """Pixels of a well: (2 channels, 2 planes, y, x), never 0."""
    shape = (len(CHANNELS), PLANES, STEP[0] + SHAPE[0], STEP[1] + SHAPE[1])
    seed = sum(map(ord, well)) * 10 + acquisition
    return np.random.default_rng(seed).integers(1, 60_000, shape, dtype=np.uint16)


def fields(well: str, acquisition: int) -> Iterator[Field]:
    """Fields of one acquisition of a well."""
    whole, before = scene(well, acquisition), sum(list(WELLS[well].values())[:acquisition])
    for number in range(WELLS[well][acquisition]):
        y, x = origin(number)
        pixels = whole[..., y : y + SHAPE[0], x : x + SHAPE[1]]
        yield Field(well, acquisition, number, before + number, np.ascontiguousarray(pixels))


def all_fields() -> Iterator[Field]:
    """Fields of all wells."""
    for well, acquisitions in WELLS.items():
        for acquisition in acquisitions:
            yield from fields(well, acquisition)


def fused(well: str, acquisition: int) -> np.ndarray[Any, Any]:
    """The scene of a well as far as its fields cover it, 0 elsewhere: (c, z, y, x)."""
    result = np.zeros_like(scene(well, acquisition))
    for each in fields(well, acquisition):
        y, x = origin(each.number)
        result[..., y : y + SHAPE[0], x : x + SHAPE[1]] = each.pixels
    return result


def registered_start(acquisition: int) -> tuple[int, int]:
    """First pixel (y, x) of the registered box in every field of an acquisition of a mosaic."""
    dy, dx = SHIFTS_PX[acquisition]
    return dy, 3 + dx


def registered_and_fused(well: str, acquisition: int) -> np.ndarray[Any, Any]:
    """The registered boxes of a mosaic where acquisition 0 has them: (c, z, y, x), their extent."""
    result = np.zeros_like(scene(well, acquisition))
    (top, left), (dy, dx) = registered_start(0), registered_start(acquisition)
    height, width = REGISTERED_SHAPE
    for each in fields(well, acquisition):
        y, x = origin(each.number)
        pixels = each.pixels[..., dy : dy + height, dx : dx + width]
        result[..., y + top : y + top + height, x + left : x + left + width] = pixels
    return result[..., top : STEP[0] + top + height, left : STEP[1] + left + width]
