"""Measure many pairs of the fields of a well."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from platefuse.measuring.acceptance import Null, accepts, shows_fixed_pattern
from platefuse.measuring.camera import CameraPatterns
from platefuse.measuring.candidates import Candidate
from platefuse.measuring.field_pixels import FieldPixels
from platefuse.measuring.model import PairMeasure, Vector
from platefuse.measuring.options import PairOptions
from platefuse.measuring.pair import measure_shift, score_shift
from platefuse.measuring.pattern import FixedPattern
from platefuse.measuring.stage_axes import Probe

_CAMERA_PX = 0.5
"""A displacement smaller than this puts the same pixels of the camera on each other."""

_NO_PATTERNS: Mapping[int, CameraPatterns] = {}


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
    """

    pixels: Sequence[FieldPixels]
    options: PairOptions
    pool: ThreadPoolExecutor

    def measure(
        self,
        candidates: Sequence[Candidate],
        patterns: Mapping[int, CameraPatterns] = _NO_PATTERNS,
    ) -> list[PairMeasure]:
        """Measure pairs.

        Parameters
        ----------
        candidates : sequence of Candidate
            The pairs.
        patterns : mapping of int to CameraPatterns
            The fixed patterns of the acquisitions that have any.
        """
        return list(self.pool.map(lambda pair: self._measure(pair, patterns), candidates))

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
        return measure_pair(
            pair,
            (reference, moving),
            [self.options.max_shift / um for um in moving.field.pixel_um],
            (
                None if first is None else first.of_reference,
                None if second is None else second.of_moving,
            ),
        )


def measure_pair(
    pair: Candidate,
    pixels: tuple[FieldPixels, FieldPixels],
    max_shift_px: Sequence[float],
    patterns: tuple[FixedPattern | None, FixedPattern | None] = (None, None),
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
    """
    reference, moving = pixels
    axes = len(reference.levels[0].shape)
    measure = score_shift if pair.kind == "null" else measure_shift
    found = measure(
        list(reference.levels),
        list(moving.levels),
        offset_px=pair.offset_px[-axes:],
        max_shift_px=max_shift_px[-axes:],
        reference_pattern=patterns[0],
        moving_pattern=patterns[1],
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


def _on_camera(pair: PairMeasure, offset: Vector) -> bool:
    """Whether the shift puts the same pixels of the camera on each other."""
    moved = (o + s for o, s in zip(offset[1:], pair.shift_px[1:], strict=True))
    return pair.status == "measured" and all(abs(v) < _CAMERA_PX for v in moved)
