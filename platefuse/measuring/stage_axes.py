"""Recognise stage positions with a flipped or swapped axis. Pure.

Neighbours are listed as each hypothesis has them (`find_probes`), the pair measure tells which of
them match, and `decide` says which hypothesis holds. Another unit shows in the positions alone:
`platefuse.fusion.fields.plausible` recognises it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from platefuse.measuring.model import FieldKey, StageField
from platefuse.measuring.solve.graph import Array

_MOST_PROBES, _MOST_FIELDS = 12, 400
_LEAST_MATCHES, _LEAST_SHARE, _CLEARLY = 3, 0.5, 0.3
_LEAST_OVERLAP, _MOST_OVERLAP = 0.01, 0.6
_LEAST_OF_MEDIAN = 1 / 3


@dataclass(frozen=True, order=True)
class Hypothesis:
    """How positions may have been written wrongly.

    Attributes
    ----------
    swap : bool
        Whether y and x are exchanged.
    flip_y, flip_x : bool
        Whether the sign is the other one; after the exchange.
    """

    swap: bool = False
    flip_y: bool = False
    flip_x: bool = False

    @property
    def changes(self) -> int:
        """How many things it changes: the simplest hypothesis is tried first."""
        return self.swap + self.flip_y + self.flip_x

    def apply(self, y: float, x: float) -> tuple[float, float]:
        """A position as it would be right."""
        y, x = (x, y) if self.swap else (y, x)
        return -y if self.flip_y else y, -x if self.flip_x else x


AS_WRITTEN = Hypothesis()
HYPOTHESES = tuple(
    sorted(
        (Hypothesis(*flags) for flags in itertools.product((False, True), repeat=3)),
        key=lambda h: (h.changes, h),
    )
)
"""The eight ways in which two axes can be written, the simplest first."""


@dataclass(frozen=True)
class Probe:
    """Two fields that a hypothesis makes neighbours.

    Attributes
    ----------
    reference, moving : FieldKey
        The fields.
    offset_um : tuple of float
        Position of `moving` minus that of `reference` on y, x, in micrometres.
    """

    reference: FieldKey
    moving: FieldKey
    offset_um: tuple[float, float]


def find_probes(
    fields: Sequence[StageField], hypotheses: Sequence[Hypothesis] = HYPOTHESES
) -> dict[Hypothesis, tuple[Probe, ...]]:
    """Pairs of fields to measure, for each hypothesis.

    At most 12, in the wells with the most texture, as far as possible half of them along each
    axis: a pair along x cannot tell whether y is flipped. A pair that two hypotheses have at the
    same offset is the same probe, and needs to be measured once.

    Parameters
    ----------
    fields : sequence of StageField
        Fields of one acquisition.
    hypotheses : sequence of Hypothesis
        What to probe.
    """
    wells: dict[str, list[StageField]] = {}
    for field in sorted(fields, key=lambda f: (-f.texture, f.key)):
        if field.texture > 0:
            wells.setdefault(field.key.well, []).append(field)
    return {hypothesis: _probes(list(wells.values()), hypothesis) for hypothesis in hypotheses}


def decide(
    probes: Mapping[Hypothesis, Sequence[Probe]], matches: Mapping[Probe, bool]
) -> Hypothesis:
    """The hypothesis that holds: positions as they are written, unless another is clearly better.

    It must make three pairs and half of its pairs match, and 30 % more than match as written. Of
    several that are equally good the simplest holds.

    Parameters
    ----------
    probes : mapping of Hypothesis to sequence of Probe
        See `find_probes`.
    matches : mapping of Probe to bool
        Whether the pair measure accepted the pair with this offset.
    """
    least = max(_LEAST_SHARE, _share(AS_WRITTEN, probes, matches) + _CLEARLY)
    share = {h: _share(h, probes, matches) for h in probes}
    good = [
        h
        for h in probes
        if share[h] >= least and sum(matches[probe] for probe in probes[h]) >= _LEAST_MATCHES
    ]
    return min(good, key=lambda h: (-share[h], h.changes, h), default=AS_WRITTEN)


def is_as_written(
    probes: Mapping[Hypothesis, Sequence[Probe]], matches: Mapping[Probe, bool]
) -> bool:
    """Whether so many pairs match as written that `decide` needs no other to be measured."""
    return _share(AS_WRITTEN, probes, matches) + _CLEARLY > 1


def _share(
    hypothesis: Hypothesis,
    probes: Mapping[Hypothesis, Sequence[Probe]],
    matches: Mapping[Probe, bool],
) -> float:
    """Share of the pairs of a hypothesis that match."""
    own = probes.get(hypothesis, ())
    return sum(matches[probe] for probe in own) / len(own) if own else 0.0


def describe(
    hypothesis: Hypothesis,
    probes: Mapping[Hypothesis, Sequence[Probe]],
    matches: Mapping[Probe, bool],
) -> str:
    """One sentence on positions that were written in another way; empty if they are right.

    Examples
    --------
    >>> a, b = (FieldKey("A/01", 0, "0", name) for name in "ab")
    >>> one, two = Probe(a, b, (90.0, 0.0)), Probe(a, b, (-90.0, 0.0))
    >>> flipped = Hypothesis(flip_y=True)
    >>> describe(flipped, {AS_WRITTEN: [one], flipped: [two]}, {one: False, two: True})
    'the overlaps correlate only when y is flipped (1 of 1 pairs; as written 0 of 1): write the
    positions with the other sign in y'
    """
    if hypothesis == AS_WRITTEN:
        return ""
    axes = [a for a, flip in (("y", hypothesis.flip_y), ("x", hypothesis.flip_x)) if flip]
    found, remedies = [], []
    if hypothesis.swap:
        found.append("y and x are swapped")
        remedies.append("with y and x exchanged")
    if axes:
        found.append(f"{' and '.join(axes)} {'are' if len(axes) > 1 else 'is'} flipped")
        remedies.append(f"with the other sign in {' and '.join(axes)}")
    own, written = probes[hypothesis], probes.get(AS_WRITTEN, ())
    return (
        f"the overlaps correlate only when {' and '.join(found)} "
        f"({sum(matches[p] for p in own)} of {len(own)} pairs; as written "
        f"{sum(matches[p] for p in written)} of {len(written)}): write the positions "
        f"{' and then '.join(remedies)}"
    )


def _probes(wells: Sequence[Sequence[StageField]], hypothesis: Hypothesis) -> tuple[Probe, ...]:
    along: tuple[list[Probe], list[Probe]] = ([], [])
    for fields in wells:
        for probe in _neighbours(fields[:_MOST_FIELDS], hypothesis):
            y, x = (abs(um) for um in probe.offset_um)
            along[y < x].append(probe)
        if min(map(len, along)) >= _MOST_PROBES // 2:
            break
    half = _MOST_PROBES // 2
    first = along[0][: max(half, _MOST_PROBES - len(along[1]))]
    return (*first, *along[1][: _MOST_PROBES - len(first)])


def _neighbours(fields: Sequence[StageField], hypothesis: Hypothesis) -> list[Probe]:
    """Neighbours of a well, those with the most texture first."""
    place = np.array([hypothesis.apply(*f.stage_um[1:]) for f in fields])
    size: Array = np.array([np.array(f.shape[1:]) * f.pixel_um[1:] for f in fields])
    low = np.maximum(place[:, None], place[None])
    high = np.minimum((place + size)[:, None], (place + size)[None])
    area = size.prod(axis=1)
    share = np.clip(high - low, 0, None).prod(axis=2) / np.minimum(area[:, None], area[None])
    neighbour = np.triu((share > _LEAST_OVERLAP) & (share < _MOST_OVERLAP), 1)
    if neighbour.any():  # fields that meet at a corner have too little in common
        neighbour &= share > _LEAST_OF_MEDIAN * np.median(share[neighbour])
    found = []
    for i, j in np.argwhere(neighbour):
        # by name, so that two hypotheses name a pair in the same order
        one, two = sorted((int(i), int(j)), key=lambda n: fields[n].key)
        y, x = place[two] - place[one]
        weak = min(fields[one].texture, fields[two].texture)
        found.append((-weak, -share[i, j], Probe(fields[one].key, fields[two].key, (y, x))))
    ordered = sorted(found, key=lambda entry: (*entry[:2], entry[2].reference, entry[2].moving))
    return [
        replace(p, offset_um=(float(p.offset_um[0]), float(p.offset_um[1]))) for *_, p in ordered
    ]
