"""What is measured, and what is found: fields, pairs of fields, and places.

Conventions: vectors are on the axes ``z, y, x``, also of flat images (their z is 0). A shift brings
the moving field onto the reference field: it is added to the position of the moving field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from platefuse.records.places import FieldKey, FieldStatus, Vector

__all__ = [
    "SAME_PIXEL",
    "WHOLE_SHARE",
    "FieldKey",
    "FieldStatus",
    "Kind",
    "PairMeasure",
    "PairStatus",
    "PlacedField",
    "StageField",
    "Vector",
]

WHOLE_SHARE = 0.25
"""Fields that overlap by this share of the smaller one are no mere neighbours."""

Kind = Literal["cycle", "neighbour", "null"]
"""A pair of one place in two acquisitions, of neighbours in one acquisition, or of two fields that
cannot show the same tissue (what such pairs score is the null distribution)."""

PairStatus = Literal["measured", "empty", "fixed_pattern", "ambiguous", "too_far"]

SAME_PIXEL = 1e-3
"""Pixel sizes that differ by a smaller share are the same."""


@dataclass(frozen=True)
class StageField:
    """A field where the stage had it.

    Attributes
    ----------
    key : FieldKey
        Its name.
    stage_um : tuple of float
        Position of its first pixel's corner, in micrometres.
    shape : tuple of int
        Its pixels on z, y, x.
    pixel_um : tuple of float
        Pixel size, in micrometres.
    texture : float
        How much there is to measure by: 0 if nothing.
    """

    key: FieldKey
    stage_um: Vector
    shape: tuple[int, int, int]
    pixel_um: Vector
    texture: float = 1.0


@dataclass(frozen=True)
class PairMeasure:
    """The shift between two fields.

    Attributes
    ----------
    kind : str
        What the pair is for.
    reference, moving : FieldKey
        The fields.
    shift_px : tuple of float
        What is added to the position of `moving`, relative to that of `reference`, so that both
        show the same tissue at the same place, in pixels.
    score_at_zero, score : float
        Zero-normalised correlation (-1 to 1) in the overlap, at shift zero and at the shift found.
    runner_up : float
        How much better the best shift is than the second best: (best - second) / best.
    sigma_px : tuple of float
        Uncertainty of the shift on each axis, in pixels.
    overlap : float
        Share of the smaller field that overlaps the other at the shift found.
    texture : float
        How much there is to measure by in the overlap: 0 if nothing.
    status : str
        What the pair says for itself, before it is compared with others.
    at_px : (float, float)
        Where the shift holds on y and x, from the centre of the overlap, in pixels: of turned
        fields it is not the same everywhere.
    """

    kind: Kind
    reference: FieldKey
    moving: FieldKey
    shift_px: Vector
    score_at_zero: float
    score: float
    runner_up: float
    sigma_px: Vector
    overlap: float
    texture: float
    status: PairStatus
    at_px: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class PlacedField:
    """A field where it was found to be.

    Attributes
    ----------
    field : StageField
        The field where the stage had it.
    place_um : tuple of float
        Position of its first pixel's corner in the frame of the well, in micrometres: that of the
        reference acquisition.
    shift_px : tuple of float
        What was added to its stage position, in pixels: the shift of its acquisition and the
        correction of the stage.
    angle_deg : float
        Turn of the field about its centre, from x to y, in degrees.
    score : float
        Correlation of the pair by which it was measured; NaN without one.
    sigma_px : float
        Uncertainty of the place in y and x, in pixels; NaN if it was not measured.
    status : str
        How the place was found.
    """

    field: StageField
    place_um: Vector
    shift_px: Vector
    angle_deg: float
    score: float
    sigma_px: float
    status: FieldStatus
