"""Measure the pairs of fields of one well."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

from platefuse.errors import PlateError, RecordError
from platefuse.fusion.fingerprint import identity
from platefuse.fusion.layer_reader import LayerReader
from platefuse.fusion.layers import Layer
from platefuse.measuring.acceptance import shows_fixed_pattern
from platefuse.measuring.candidates import Candidate, choose_pairs
from platefuse.measuring.field_pixels import FieldPixels, ReadCounter, read_fields
from platefuse.measuring.model import PairMeasure, Vector
from platefuse.measuring.options import PairOptions
from platefuse.measuring.pair import measure_shift
from platefuse.measuring.pattern import FixedPattern, fixed_pattern
from platefuse.measuring.receipt import MeasuredWell
from platefuse.measuring.texture import field_texture
from platefuse.ngff.plate import Well

logger = logging.getLogger(__name__)

NULLS = 12
"""Most pairs of each kind that a well adds to the null distribution of its plate."""

_FIELDS_OF_PATTERN = 8
_CAMERA_PX = 0.5


def measure_well(
    well: Well,
    reader: LayerReader,
    options: PairOptions,
    reference: int,
    *,
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
    threads : int
        Number of threads; the result does not depend on it.

    Raises
    ------
    PlatefuseError
        If the images cannot be used, or the reference acquisition is missing.
    """
    begun, counter = time.perf_counter(), ReadCounter()
    layers = reader.read(well)
    check_reference(well, layers, reference)
    if is_registered(well, layers):
        logger.info("%s: registered before, so there is nothing to measure", well.path)
        layers = []
    pixels = read_fields(layers, well.name, options.channel, counter)
    candidates = choose_pairs(
        [p.field for p in pixels], reference, stitch=options.stitch, nulls=NULLS
    )
    with ThreadPoolExecutor(max(1, threads)) as pool:
        textures = list(pool.map(lambda p: field_texture(p.levels), pixels))
        work = _Work(pixels, options, pool)
        pairs = work.measure(candidates, {})
        if _is_suspicious(pairs, candidates):
            patterns = _patterns(pixels)
            if patterns:
                logger.info("%s: measured again without the fixed pattern", well.path)
                pairs = work.measure(candidates, patterns)
    return MeasuredWell(
        well=well.name,
        fields=tuple(replace(p.field, texture=t) for p, t in zip(pixels, textures, strict=True)),
        pairs=tuple(pairs),
        made_from=made_from(layers, reader, options, reference),
        read_bytes=counter.nbytes,
        seconds=round(time.perf_counter() - begun, 3),
    )


def check_reference(well: Well, layers: Sequence[Layer], reference: int) -> None:
    """Check that a well has the reference acquisition.

    Raises
    ------
    PlateError
        If not.
    """
    numbers = [layer.acquisition or 0 for layer in layers]
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
            "measured. The run that registered them was interrupted, and its results are gone: "
            "restore the results or the images."
        )
    return bool(done)


def made_from(
    layers: Sequence[Layer], reader: LayerReader, options: PairOptions, reference: int
) -> dict[str, object]:
    """What the pairs of a well depend on: JSON values."""
    table = reader.options.tile_table
    return {
        "images": {x.name: identity(x, table) for layer in layers for x in layer.images},
        "reference": reference,
        **asdict(options),
    }


@dataclass(frozen=True)
class _Work:
    """What pairs are measured with."""

    pixels: Sequence[FieldPixels]
    options: PairOptions
    pool: ThreadPoolExecutor

    def measure(
        self, candidates: Sequence[Candidate], patterns: Mapping[int, FixedPattern]
    ) -> list[PairMeasure]:
        """Measure pairs; the patterns are those of the acquisitions."""
        return list(self.pool.map(lambda pair: self._measure(pair, patterns), candidates))

    def _measure(self, pair: Candidate, patterns: Mapping[int, FixedPattern]) -> PairMeasure:
        reference, moving = self.pixels[pair.reference], self.pixels[pair.moving]
        axes = len(reference.levels[0].shape)
        found = measure_shift(
            list(reference.levels),
            list(moving.levels),
            offset_px=pair.offset_px[-axes:],
            max_shift_px=[self.options.max_shift / um for um in moving.field.pixel_um[-axes:]],
            reference_pattern=patterns.get(reference.field.key.acquisition),
            moving_pattern=patterns.get(moving.field.key.acquisition),
        )
        measured = found.as_pair(pair.kind, reference.field.key, moving.field.key)
        return finite(measured, self.options.max_shift / moving.field.pixel_um[-1])


def finite(pair: PairMeasure, most_px: float) -> PairMeasure:
    """A pair without NaN and infinity: nothing was found, and is as uncertain as can be."""

    def of(values: Vector, otherwise: float) -> Vector:
        z, y, x = (v if abs(v) <= 1e6 else otherwise for v in values)
        return z, y, x

    return replace(pair, shift_px=of(pair.shift_px, 0.0), sigma_px=of(pair.sigma_px, most_px))


def _is_suspicious(pairs: Sequence[PairMeasure], candidates: Sequence[Candidate]) -> bool:
    """Whether a fixed pattern of the camera may have been measured in place of tissue."""
    nulls = [p for p in pairs if p.kind == "null" and p.overlap > 0.5]
    return shows_fixed_pattern(nulls) or any(
        pair.status == "fixed_pattern"
        or (pair.kind == "cycle" and _on_camera(pair, candidate.offset_px))
        for pair, candidate in zip(pairs, candidates, strict=True)
    )


def _on_camera(pair: PairMeasure, offset: Vector) -> bool:
    """Whether the shift puts the same pixels of the camera on each other."""
    moved = (o + s for o, s in zip(offset[1:], pair.shift_px[1:], strict=True))
    return pair.status == "measured" and all(abs(v) < _CAMERA_PX for v in moved)


def _patterns(pixels: Sequence[FieldPixels]) -> dict[int, FixedPattern]:
    """The fixed pattern of each acquisition that has enough fields of one shape."""
    found: dict[int, FixedPattern] = {}
    for number in sorted({p.field.key.acquisition for p in pixels}):
        own = [p for p in pixels if p.field.key.acquisition == number]
        if len(own) >= _FIELDS_OF_PATTERN and len({p.field.shape for p in own}) == 1:
            found[number] = fixed_pattern([list(p.levels) for p in own])
    return found
