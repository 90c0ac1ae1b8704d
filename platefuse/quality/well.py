"""Compute the figures of one fused well."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np

from platefuse.errors import ViewError
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.wells.stack import frames_for
from platefuse.fusion.wells.well import fused_images
from platefuse.measuring.decoded_chunks import DecodedChunks
from platefuse.ngff.well import Well
from platefuse.quality.compared import Seen, look_at
from platefuse.quality.model import CheckedWell, CycleFigures
from platefuse.quality.pictures import draw_well
from platefuse.quality.planes import Look, names_of, open_looks
from platefuse.records import FusedWellRecord
from platefuse.storage.once import reading_once


def check_well(
    well: Well,
    fused: Path,
    reader: LayerReader,
    results: Path,
    *,
    reference: int = 0,
    channel: str | None = None,
    threads: int = 1,
) -> CheckedWell:
    """Compute the figures of a fused well, and draw its pictures.

    Parameters
    ----------
    well : Well
        The well that was fused.
    fused : Path
        Folder of the fused plate.
    reader : LayerReader
        Reads the images that were fused, as `platefuse.fusion.wells.well.fuse_well` did.
    results : Path
        Folder of the receipts of the well; the pictures are written to `pictures` in it.
    reference : int
        Number of the acquisition with which the others are compared; the first of the well if it
        has none of this number.
    channel : str or None
        Label or wavelength of the channel that is looked at; None: the first that all have.
    threads : int
        Number of threads; the result does not depend on it.

    Returns
    -------
    CheckedWell

    Raises
    ------
    PlatefuseError
        If the well is not fused, or its images cannot be read.

    Notes
    -----
    Each acquisition is compared with the reference in blocks of 160 × 160 pixels at full
    resolution, up to four in each field, where the reference has most structure. The residual of a
    block is the maximum of their correlation, interpolated by a polynomial
    (`platefuse.measuring.pair.correlate`). The residuals between two other acquisitions are the
    differences of those against the reference.
    """
    begun, chunks = time.perf_counter(), DecodedChunks()
    folder = fused / well.row / well.column
    if FusedWellRecord.read(folder) is None:
        raise ViewError(f"{folder}: not fused yet. Run `fuse_well` before it is checked.")
    with reading_once():
        images = fused_images(reader.read(well), reader.options)
        frames = frames_for([layers for _, layers in images], reader.options)
        opened, without = open_looks(folder, images, frames, channel, chunks)
    looks = list({look.acquisition: look for look in reversed(opened)}.values())[::-1]
    first = next((look for look in looks if look.acquisition == reference), looks[0])
    with ThreadPoolExecutor(max(1, threads)) as pool:
        still, seen = look_at(looks, first, without, pool)
        lights = list(pool.map(lambda one: one.light(chunks), seen))
    fields = [
        figures
        for one, light in zip(seen, lights, strict=True)
        for figures in one.figures(still.placed, light)
    ]
    others = [one for one in seen if one is not still and one.look.frame == first.frame]
    parts = {one.look.acquisition: part for one in others if (part := one.worst(still.placed))}
    without |= _repeated(opened)
    return CheckedWell(
        well=well.name,
        reference=first.acquisition,
        channels=names_of(looks),
        fields=tuple(fields),
        cycles=tuple(_cycles(seen, first.acquisition)),
        pictures=tuple(draw_well(results, first, [one.look for one in others], fields, parts)),
        not_compared=without,
        seconds=round(time.perf_counter() - begun, 3),
    )


def _repeated(looks: Sequence[Look]) -> dict[str, str]:
    """Acquisitions with several images that are no fields, of which the first is looked at."""
    numbers = [str(look.acquisition) for look in looks]
    why = "the well has several images of it, of which the first is compared"
    return {number: why for number in numbers if numbers.count(number) > 1}


def _cycles(seen: Sequence[Seen], reference: int) -> Iterator[CycleFigures]:
    """The figures of all pairs of acquisitions whose blocks are the same."""
    shifts = {
        one.look.acquisition: [None if c is None else c.residual_px for c in one.compared]
        for one in seen
        if any(one.compared)
    }
    if shifts:
        shifts[reference] = [(0.0, 0.0)] * len(next(iter(shifts.values())))
    for first, second in combinations(sorted(shifts), 2):
        pairs = zip(shifts[first], shifts[second], strict=True)
        vectors = [np.subtract(b, a) for a, b in pairs if a is not None and b is not None]
        if vectors:
            lengths = np.hypot(*np.array(vectors).T)
            yield CycleFigures(
                first,
                second,
                len(vectors),
                float(np.median(lengths)),
                float(np.percentile(lengths, 95)),
                float((lengths <= 1).mean()),
            )
