"""Which pairs of fields are measured. Pure: looks at stage positions only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platefuse.measuring.model import Kind, StageField, Vector

_WHOLE_SHARE = 0.25
"""Fields that overlap by this share of the smaller one are no mere neighbours."""

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
    """The pairs of fields of a well to measure.

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
    pixel = np.array(fields[0].pixel_um) if fields else np.ones(3)
    low = np.array([f.stage_um for f in fields]).reshape(-1, 3) / pixel
    high = low + np.array([f.shape for f in fields]).reshape(-1, 3)
    still = [k for k, f in enumerate(fields) if f.key.acquisition == reference]
    moved = [k for k, f in enumerate(fields) if f.key.acquisition != reference]
    cycles = list(_cycles(low, high, still, moved, strips=stitch))
    neighbours = _neighbours(low, high, still) if stitch else []
    whole = [
        p
        for p in cycles
        if _overlap(low, high, p.reference, p.moving)
        >= _WHOLE_SHARE * _smaller(low, high, p.reference, p.moving)
    ]
    return [
        *cycles,
        *neighbours,
        *_nulls(low, high, still, moved or still, whole or neighbours, nulls),
        *_nulls(low, high, still, still, neighbours, nulls if whole else 0),
    ]


def _cycles(
    low: _Numbers, high: _Numbers, still: Sequence[int], moved: Sequence[int], *, strips: bool
) -> Iterator[Candidate]:
    """Each moving field with the fields of the reference that it overlaps.

    Strips, where it overlaps the neighbours of its own field, tell how these lie to each other.
    """
    shares = {
        (j, k): share for k in moved for j in still if (share := _overlap(low, high, j, k)) > 0
    }
    whole = {p: share / _smaller(low, high, *p) for p, share in shares.items()}
    narrow = [share for p, share in shares.items() if whole[p] < _WHOLE_SHARE]
    least = _LEAST_OF_MEDIAN * float(np.median(narrow)) if narrow else 0.0
    for k in moved:
        own = [p for p in shares if p[1] == k]
        best = max(own, key=lambda p: (whole[p], -p[0]), default=None)
        for pair in own:
            is_strip = strips and shares[pair] > least
            if whole[pair] >= _WHOLE_SHARE or pair == best or is_strip:
                yield _pair("cycle", low, *pair)


def _neighbours(low: _Numbers, high: _Numbers, still: Sequence[int]) -> list[Candidate]:
    """Fields of the reference that overlap at a side."""
    shares = {
        (i, j): share
        for a, i in enumerate(still)
        for j in still[a + 1 :]
        if (share := _overlap(low, high, i, j)) > 0
    }
    if not shares:
        return []
    least = _LEAST_OF_MEDIAN * float(np.median(list(shares.values())))
    return [_pair("neighbour", low, i, j) for (i, j), share in shares.items() if share > least]


def _nulls(
    low: _Numbers,
    high: _Numbers,
    still: Sequence[int],
    others: Sequence[int],
    like: Sequence[Candidate],
    count: int,
) -> Iterator[Candidate]:
    """Fields that do not overlap, compared at the offsets of real pairs; spread over all."""
    if not like or not count:
        return
    apart = [
        (j, k)
        for step in range(len(others))
        for place, j in enumerate(still)
        if (k := others[(place + step) % len(others)]) != j and _overlap(low, high, j, k) <= 0
    ]
    stride = max(1, len(apart) // count)
    for n, (j, k) in enumerate(apart[::stride][:count]):
        yield Candidate("null", j, k, like[n % len(like)].offset_px)


def _pair(kind: Kind, low: _Numbers, reference: int, moving: int) -> Candidate:
    z, y, x = (low[moving] - low[reference]).tolist()
    return Candidate(kind, reference, moving, (z, y, x))


def _overlap(low: _Numbers, high: _Numbers, i: int, j: int) -> float:
    """Area in pixels that two fields have in common in y and x; 0 without any."""
    sides = np.minimum(high[i], high[j])[1:] - np.maximum(low[i], low[j])[1:]
    return float(np.prod(sides)) if (sides > 0).all() else 0.0


def _smaller(low: _Numbers, high: _Numbers, i: int, j: int) -> float:
    return float(min(np.prod((high[k] - low[k])[1:]) for k in (i, j)))
