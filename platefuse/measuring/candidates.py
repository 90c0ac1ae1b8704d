"""Which pairs of fields are measured. Pure: looks at stage positions only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platefuse.measuring.model import WHOLE_SHARE, Kind, StageField, Vector

_LEAST_OF_MEDIAN = 1 / 3
"""Neighbours are compared if their overlap is at least this share of the usual one: corners that
just meet have too little in common."""

_Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A pair of fields that is measured.

    Attributes
    ----------
    kind : str
        What for.
    reference, moving : int
        Indices of the fields.
    offset_px : tuple of float
        Nominal position of pixel 0 of `moving` in the pixels of `reference`, on z, y, x.
    """

    kind: Kind
    reference: int
    moving: int
    offset_px: Vector


def choose_pairs(
    fields: Sequence[StageField], reference: int, *, stitch: bool, nulls: int
) -> list[Candidate]:
    """The pairs of fields of a well that are measured in any case.

    Parameters
    ----------
    fields : sequence of StageField
        The fields of all acquisitions of the well.
    reference : int
        Number of the reference acquisition.
    stitch : bool
        Whether neighbours in the reference acquisition are measured.
    nulls : int
        Largest number of pairs that cannot show the same tissue, for the pairs of each kind.
    """
    stage = _Stage.of(fields, reference)
    cycles = [_pair("cycle", stage.low, j, k) for j, k in (*stage.whole, *stage.nearest)]
    whole = cycles[: len(stage.whole)]
    still = {k: stage.overlaps[k] for k in stage.still}
    neighbours = _neighbours(stage.low, still) if stitch else []
    like, others = whole or neighbours, stage.moved or stage.still
    return [
        *sorted(cycles, key=lambda pair: (pair.moving, pair.reference)),
        *neighbours,
        *_nulls(stage, others, like, nulls),
        *_nulls(stage, stage.still, neighbours, nulls if whole else 0),
    ]


def choose_strips(fields: Sequence[StageField], reference: int) -> list[Candidate]:
    """Pairs of a moving field with the neighbours of its own field, which it overlaps by a strip.

    They tell how these two fields of the reference lie to each other, and where the moving field
    lies if its own field does not tell.

    Parameters
    ----------
    fields, reference
        As in `choose_pairs`.
    """
    stage = _Stage.of(fields, reference)
    return [_pair("cycle", stage.low, j, k) for j, k in stage.strips]


@dataclass(frozen=True)
class _Stage:
    """What overlaps what by the stage.

    Attributes
    ----------
    low : ndarray of float64, shape (fields, 3)
        Positions on z, y, x, in pixels.
    size : ndarray of float64, shape (fields, 2)
        Pixels on y, x.
    still, moved : list of int
        The fields of the reference acquisition, and the others.
    overlaps : mapping
        For each field the fields of the reference that it overlaps, each with the area in pixels.
    whole, nearest, strips : list of (int, int)
        Pairs of a field of the reference and one of another acquisition that overlap by much, that
        overlap most where none does by much, and that overlap by a strip at a side.
    """

    low: _Numbers
    size: _Numbers
    still: list[int]
    moved: list[int]
    overlaps: dict[int, dict[int, float]]
    whole: list[tuple[int, int]]
    nearest: list[tuple[int, int]]
    strips: list[tuple[int, int]]

    @classmethod
    def of(cls, fields: Sequence[StageField], reference: int) -> _Stage:
        pixel = np.array(fields[0].pixel_um) if fields else np.ones(3)
        low = np.array([f.stage_um for f in fields]).reshape(-1, 3) / pixel
        size = np.array([f.shape[1:] for f in fields], float).reshape(-1, 2)
        still = [k for k, f in enumerate(fields) if f.key.acquisition == reference]
        moved = [k for k, f in enumerate(fields) if f.key.acquisition != reference]
        overlaps = {k: _overlaps(low, size, still, k) for k in (*moved, *still)}
        cycles = {(j, k): found for k in moved for j, found in overlaps[k].items()}
        area = size.prod(axis=1)
        share = {(j, k): found / min(area[j], area[k]) for (j, k), found in cycles.items()}
        whole = [pair for pair in cycles if share[pair] >= WHOLE_SHARE]
        narrow = [pair for pair in cycles if share[pair] < WHOLE_SHARE]
        least = _LEAST_OF_MEDIAN * float(np.median([cycles[p] for p in narrow])) if narrow else 0.0
        best = {k: max(overlaps[k], key=lambda j: (share[j, k], -j), default=-1) for k in moved}
        nearest = [(j, k) for j, k in narrow if j == best[k]]
        strips = [(j, k) for j, k in narrow if j != best[k] and cycles[j, k] > least]
        return cls(low, size, still, moved, overlaps, whole, nearest, strips)


def _overlaps(low: _Numbers, size: _Numbers, still: Sequence[int], k: int) -> dict[int, float]:
    """The fields of the reference that a field overlaps, each with the area in pixels."""
    own, place = list(still), low[still][:, 1:]
    first = np.maximum(place, low[k, 1:])
    last = np.minimum(place + size[own], low[k, 1:] + size[k])
    sides = np.clip(last - first, 0, None)
    return {j: area for j, area in zip(own, sides.prod(axis=1).tolist(), strict=True) if area > 0}


def _neighbours(low: _Numbers, overlaps: Mapping[int, Mapping[int, float]]) -> list[Candidate]:
    """Fields of the reference that overlap at a side."""
    areas = {
        (j, k): area for k, own in overlaps.items() for j, area in sorted(own.items()) if j < k
    }
    if not areas:
        return []
    least = _LEAST_OF_MEDIAN * float(np.median(list(areas.values())))
    return [_pair("neighbour", low, j, k) for (j, k), area in sorted(areas.items()) if area > least]


def _nulls(
    stage: _Stage, others: Sequence[int], like: Sequence[Candidate], count: int
) -> Iterator[Candidate]:
    """Fields that do not overlap, compared at the offsets of real pairs; spread over all."""
    still, size = stage.still, stage.size
    pairs = len(still) * len(others)
    if not like or not count or not pairs:
        return
    # Of equally spaced pairs of all, each with the next that does not overlap.
    chosen: dict[tuple[int, int], None] = {}
    for start in range(0, pairs, max(1, pairs // count)):
        for n in range(start, start + len(others)):
            j, k = still[n // len(others) % len(still)], others[n % len(others)]
            if j != k and j not in stage.overlaps[k] and (j, k) not in chosen:
                chosen[j, k] = None
                break
    for n, (j, k) in enumerate(list(chosen)[:count]):
        real = like[n % len(like)]
        # Fields of other sizes may share too little at this offset, or nothing at all.
        shared = _shared(size[j], size[k], real.offset_px)
        if shared >= _shared(size[real.reference], size[real.moving], real.offset_px) / 2:
            yield Candidate("null", j, k, real.offset_px)


def _shared(reference: _Numbers, moving: _Numbers, offset: Vector) -> float:
    """Pixels that two fields share at an offset."""
    start = np.maximum(offset[1:], 0)
    sides = np.minimum(reference, moving + offset[1:]) - start
    return float(np.clip(sides, 0, None).prod())


def _pair(kind: Kind, low: _Numbers, reference: int, moving: int) -> Candidate:
    z, y, x = (low[moving] - low[reference]).tolist()
    return Candidate(kind, reference, moving, (z, y, x))
