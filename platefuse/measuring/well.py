"""Measure the pairs of fields of one well."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

from platefuse.errors import ImageError, MeasureError, PlateError, RecordError
from platefuse.fusion.fields.layers import Layer
from platefuse.fusion.fields.measured import pixel_state
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.wells.fingerprint import identity
from platefuse.measuring.camera import camera_patterns, more_fields
from platefuse.measuring.candidates import choose_pairs, choose_strips
from platefuse.measuring.decoded_chunks import DecodedChunks
from platefuse.measuring.field_pixels import FieldPixels, read_fields
from platefuse.measuring.model import PairMeasure, StageField
from platefuse.measuring.options import PairOptions
from platefuse.measuring.pairs import NO_PATTERNS, Measuring
from platefuse.measuring.receipt import MeasuredWell
from platefuse.measuring.stage_axes import (
    AS_WRITTEN,
    HYPOTHESES,
    Probe,
    decide,
    describe,
    find_probes,
    is_as_written,
)
from platefuse.measuring.strips import strips_to_measure
from platefuse.ngff.well import Well

logger = logging.getLogger(__name__)

_MATCHING = 0.3
"""Share of the neighbours that match if the axes of the stage are right."""

_PLACED = 0.75
"""Share of the fields of an acquisition that match the reference if its axes are right."""

NULLS = 24
"""Pairs of each kind in the null distribution of a plate, at least."""


def measure_well(
    well: Well,
    reader: LayerReader,
    options: PairOptions,
    reference: int,
    *,
    others: Iterable[Well] = (),
    nulls: int = NULLS,
    threads: int = 1,
) -> MeasuredWell:
    """Measure every field of a well against the fields of the reference that it overlaps.

    Neighbours in the reference acquisition are measured too, and pairs that cannot match, whose
    scores are the null distribution. Nothing is judged here: see `platefuse.measuring.plate`.

    Parameters
    ----------
    well : Well
        The well.
    reader : LayerReader
        Reads its raw images.
    options : PairOptions
        How to measure.
    reference : int
        Number of the reference acquisition.
    others : iterable of Well
        More wells of the plate, for the fixed pattern of the camera, if it takes more fields than
        the well has.
    nulls : int
        Most pairs of each kind that the well adds to the null distribution of its plate.
    threads : int
        Number of threads; the result does not depend on it.

    Raises
    ------
    PlatefuseError
        If the images cannot be used, the reference acquisition is missing, or the axes of the
        stage are written wrongly.
    """
    begun, chunks = time.perf_counter(), DecodedChunks()
    layers = reader.read(well)
    check_reference(well, layers, reference)
    source = made_from(layers, reader, options, reference)  # before any pixel is read
    if is_registered(well, layers):
        logger.info("%s: registered before, so there is nothing to measure", well.path)
        layers = []
    pixels = read_fields(layers, well.name, options.channel, chunks)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        work = Measuring(pixels, options, pool)
        stage = [each.field for each in pixels]
        more = more_fields(reader, others, options.channel, chunks)  # read only if they are used
        pairs = _measure_pairs(well, reference, nulls, work, more)
        # Last, because most fields have been prepared for their pairs.
        fields = [replace(f, texture=t) for f, t in zip(stage, work.textures(), strict=True)]
        check_stage(well, fields, reference, pairs, work)
    return MeasuredWell(
        well=well.name,
        fields=tuple(fields),
        pairs=tuple(pairs),
        made_from=source,
        read_bytes=chunks.nbytes,
        seconds=round(time.perf_counter() - begun, 3),
    )


def _measure_pairs(
    well: Well, reference: int, nulls: int, work: Measuring, more: Iterable[FieldPixels]
) -> list[PairMeasure]:
    """The pairs of a well, again without the fixed pattern if it is suspicious, and then strips."""
    stage, stitch = [each.field for each in work.pixels], work.options.stitch
    candidates = choose_pairs(stage, reference, stitch=stitch, nulls=nulls)
    pairs, patterns = work.measure(candidates), NO_PATTERNS
    if work.is_suspicious(pairs, candidates):
        patterns = camera_patterns(work.pixels, more)
        if patterns:
            logger.info("%s: measured again without the fixed pattern", well.path)
            pairs = work.measure(candidates, patterns)
    strips = choose_strips(stage, reference) if stitch else []
    return [*pairs, *work.measure(strips_to_measure(strips, stage, pairs), patterns)]


def not_measured(well: Well, error: Exception) -> MeasuredWell:
    """The receipt of a well that cannot be measured, for which the others do not wait."""
    logger.error("%s", error)
    return MeasuredWell(
        well=well.name,
        fields=(),
        pairs=(),
        made_from={},
        read_bytes=0,
        seconds=0.0,
        problem=str(error),
    )


def check_stage(
    well: Well,
    fields: Sequence[StageField],
    reference: int,
    pairs: Sequence[PairMeasure],
    work: Measuring,
) -> None:
    """Check that neighbours match where the stage has them, if they match anywhere.

    An acquisition is looked at if most neighbours in the reference along an axis do not match, or
    many of its fields do not match the reference.

    Parameters
    ----------
    well : Well
        The well.
    fields : sequence of StageField
        The fields of all acquisitions.
    reference : int
        Number of the reference acquisition.
    pairs : sequence of PairMeasure
        What was measured.
    work : Measuring
        Measures more pairs.

    Raises
    ------
    MeasureError
        If those of an acquisition match only when an axis of the stage is flipped, or both are
        swapped.
    """
    by_number: dict[int, list[StageField]] = {}
    for field in fields:
        by_number.setdefault(field.key.acquisition, []).append(field)
    every = any(_mismatch(by_number.get(reference, []), pairs, axis) for axis in (1, 2))
    found = {
        number: words
        for number, own in sorted(by_number.items())
        if every or (number != reference and _many_unplaced(own, pairs))
        if (words := _written_otherwise(own, work))
    }
    if found:
        words = "; ".join(f"in acquisition {number} {said}" for number, said in found.items())
        raise MeasureError(f"{well.path}: {words}.")


def _written_otherwise(fields: Sequence[StageField], work: Measuring) -> str:
    """How the positions of an acquisition were written in another way; empty if they are right."""
    probes = find_probes(fields)
    matches: dict[Probe, bool] = {}
    for hypotheses in ([AS_WRITTEN], HYPOTHESES):  # most are as written, and then it ends here
        wanted = list(dict.fromkeys(p for h in hypotheses for p in probes[h] if p not in matches))
        matches |= zip(wanted, work.matches(wanted), strict=True)
        if is_as_written(probes, matches):
            return ""
    return describe(decide(probes, matches), probes, matches)


def _many_unplaced(fields: Sequence[StageField], pairs: Sequence[PairMeasure]) -> bool:
    """Whether many fields with texture match no field of the reference.

    If an axis is flipped or both are swapped, up to half of the fields are where they were.
    """
    placed = {p.moving for p in pairs if p.kind == "cycle" and p.status == "measured"}
    known = [field.key in placed for field in fields if field.texture > 0]
    return sum(known) < _PLACED * len(known)


def _mismatch(fields: Sequence[StageField], pairs: Sequence[PairMeasure], axis: int) -> bool:
    """Whether most neighbours along an axis of z, y, x do not match."""
    at = {field.key: field.stage_um for field in fields}
    found = []
    for pair in pairs:
        if pair.kind == "neighbour" and pair.texture > 0:
            step = [abs(b - a) for a, b in zip(at[pair.reference], at[pair.moving], strict=True)]
            if step[axis] == max(step[1:]):
                found.append(pair.status == "measured")
    return bool(found) and sum(found) < _MATCHING * len(found)


def check_reference(well: Well, layers: Sequence[Layer], reference: int) -> None:
    """Check that a well has the reference acquisition, each once, and pixels to measure by.

    Raises
    ------
    PlatefuseError
        If not.
    """
    for part in (part for layer in layers for part in layer.images):
        if part.dtype.kind not in "iuf":
            raise ImageError(
                f"{part.image.path}: its pixels are {part.dtype}, and shifts are measured in "
                "integers or floating-point numbers. Convert the image, or name the images to "
                "process under `images`."
            )
    numbers = [layer.acquisition or 0 for layer in layers]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        names = [layer.name for layer in layers if (layer.acquisition or 0) in twice]
        raise PlateError(
            f"{well.path}: the images {names} are of the same acquisitions {twice}. Expected one "
            "mosaic for each acquisition: name the images to process under `images`, or give each "
            "its `acquisition` in the well's metadata."
        )
    if reference not in numbers:
        raise PlateError(
            f"{well.path}: no image is of the reference acquisition {reference}; its acquisitions "
            f"are {sorted(numbers)}. Set registration.reference_acquisition to one that every well "
            "has."
        )


def is_registered(well: Well, layers: Sequence[Layer]) -> bool:
    """Whether the images of a well were registered by platefuse: their pixels have been moved.

    Raises
    ------
    RecordError
        If only some were.
    """
    records = {part.name: part.source.record for layer in layers for part in layer.images}
    done = [name for name, record in records.items() if record is not None]
    if done and len(done) < len(records):
        raise RecordError(
            f"{well.path}: the images {done} are registered, and "
            f"{sorted(set(records) - set(done))} are not, so shifts between them cannot be "
            "measured. Put the originals back (`platefuse restore PLATE`, if they were kept), so "
            "that all images are measured together. If no image was added since, the run that "
            "registered them was interrupted, and its results are gone: restore the results."
        )
    return bool(done)


def made_from(
    layers: Sequence[Layer], reader: LayerReader, options: PairOptions, reference: int
) -> dict[str, object]:
    """What the pairs of a well depend on: JSON values."""
    table = reader.options.tile_table
    images = [part for layer in layers for part in layer.images]
    return {
        "images": {part.name: identity(part, table) for part in images},
        "pixels": {part.name: pixel_state(part.image) for part in images},
        "reference": reference,
        **asdict(options),
    }
