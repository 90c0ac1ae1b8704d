"""Measure many pairs of the fields of a well."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from operator import itemgetter

from platefuse.measuring.acceptance import Null, accepts, shows_fixed_pattern
from platefuse.measuring.camera import CameraPatterns
from platefuse.measuring.candidates import Candidate
from platefuse.measuring.field_pixels import FieldPixels
from platefuse.measuring.model import PairMeasure, Vector
from platefuse.measuring.options import PairOptions
from platefuse.measuring.pair.judge import CAMERA_PX
from platefuse.measuring.pair.measure import measure_levels
from platefuse.measuring.pair.pattern import FixedPattern
from platefuse.measuring.pair.regions import Regions
from platefuse.measuring.pair.search import level_of_search
from platefuse.measuring.pair.texture import field_texture
from platefuse.measuring.stage_axes import Probe

NO_PATTERNS: Mapping[int, CameraPatterns] = {}


@dataclass(frozen=True)
class Measuring:
    """The fields of a well, and how pairs of them are measured.

    Attributes
    ----------
    pixels : sequence of FieldPixels
        The fields.
    options : PairOptions
        How to measure.
    pool : ThreadPoolExecutor
        Its threads measure; results do not depend on their number.
    regions : Regions
        Regions of the fields, which pairs share.
    """

    pixels: Sequence[FieldPixels]
    options: PairOptions
    pool: ThreadPoolExecutor
    regions: Regions = field(default_factory=Regions)

    def measure(
        self,
        candidates: Sequence[Candidate],
        patterns: Mapping[int, CameraPatterns] = NO_PATTERNS,
    ) -> list[PairMeasure]:
        """Measure pairs.

        Parameters
        ----------
        candidates : sequence of Candidate
            The pairs.
        patterns : mapping of int to CameraPatterns
            The fixed patterns of the acquisitions that have any.
        """
        # One place after the other: its pairs share regions, and chunks of its fields.
        order = sorted(range(len(candidates)), key=lambda n: _place(candidates[n]))
        found = self.pool.map(lambda n: self._measure(candidates[n], patterns), order)
        return [pair for _, pair in sorted(zip(order, found, strict=True), key=itemgetter(0))]

    def textures(self) -> list[float]:
        """Texture of each field."""
        return list(self.pool.map(lambda p: field_texture(p.image, self.regions), self.pixels))

    def matches(self, probes: Sequence[Probe]) -> list[bool]:
        """Whether the pairs match at the offsets of some probes."""
        index = {p.field.key: n for n, p in enumerate(self.pixels)}
        pixel = self.pixels[0].field.pixel_um
        pairs = [
            Candidate(
                "neighbour",
                index[probe.reference],
                index[probe.moving],
                (0.0, probe.offset_um[0] / pixel[1], probe.offset_um[1] / pixel[2]),
            )
            for probe in probes
        ]
        return [accepts(pair, Null.of(())) for pair in self.measure(pairs)]

    def is_suspicious(self, pairs: Sequence[PairMeasure], candidates: Sequence[Candidate]) -> bool:
        """Whether the fixed pattern of the camera may have been measured in place of tissue."""
        nulls = [p for p in pairs if p.kind == "null" and p.overlap > 0.5]
        return shows_fixed_pattern(nulls) or any(
            pair.status == "fixed_pattern"
            or (pair.kind == "cycle" and _on_camera(pair, candidate.offset_px))
            for pair, candidate in zip(pairs, candidates, strict=True)
        )

    def _measure(self, pair: Candidate, patterns: Mapping[int, CameraPatterns]) -> PairMeasure:
        reference, moving = self.pixels[pair.reference], self.pixels[pair.moving]
        numbers = reference.field.key.acquisition, moving.field.key.acquisition
        # Patterns of different fields: what chance leaves in them must not be the same.
        first, second = (patterns.get(number) for number in numbers)
        factor = level_of_search(reference.image, moving.image)
        return measure_pair(
            pair,
            (reference, moving),
            [self.options.max_shift / um for um in moving.field.pixel_um],
            (
                _fitting(first.of_reference if first else None, reference, factor),
                _fitting(second.of_moving if second else None, moving, factor),
            ),
            self.regions,
        )


def measure_pair(
    pair: Candidate,
    pixels: tuple[FieldPixels, FieldPixels],
    max_shift_px: Sequence[float],
    patterns: tuple[FixedPattern | None, FixedPattern | None] = (None, None),
    regions: Regions | None = None,
) -> PairMeasure:
    """Measure a pair of fields; one that cannot match is only searched.

    What is not known is finite, too: a shift is 0, its uncertainty the largest shift.

    Parameters
    ----------
    pair : Candidate
        The pair.
    pixels : (FieldPixels, FieldPixels)
        Its reference and its moving field.
    max_shift_px : sequence of float
        Largest shift on z, y, x or on y, x.
    patterns : pair of FixedPattern or None
        Fixed pattern of each field.
    regions : Regions, optional
        Regions that are shared with other pairs.
    """
    reference, moving = pixels
    axes = len(reference.levels[0].shape)
    found = measure_levels(
        (reference.image, moving.image),
        pair.offset_px[-axes:],
        max_shift_px[-axes:],
        patterns,
        regions or Regions(),
        refined=pair.kind != "null",
    )
    measured = found.as_pair(pair.kind, reference.field.key, moving.field.key)

    def known(values: Vector, otherwise: float) -> Vector:
        z, y, x = (v if math.isfinite(v) else otherwise for v in values)
        return z, y, x

    return replace(
        measured,
        shift_px=known(measured.shift_px, 0.0),
        sigma_px=known(measured.sigma_px, max(max_shift_px)),
    )


def _fitting(pattern: FixedPattern | None, field: FieldPixels, factor: int) -> FixedPattern | None:
    """A pattern, unless it is of fields of another shape."""
    return pattern if pattern and pattern.fits(field.image.shape, factor) else None


def _place(pair: Candidate) -> tuple[bool, int, int]:
    return pair.kind == "null", pair.reference, pair.moving


def _on_camera(pair: PairMeasure, offset: Vector) -> bool:
    """Whether the shift puts the same pixels of the camera on each other."""
    moved = (o + s for o, s in zip(offset[1:], pair.shift_px[1:], strict=True))
    return pair.status == "measured" and all(abs(v) < CAMERA_PX for v in moved)
