"""Solve the places of all fields of a plate from the pairs that were measured in its wells."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from platefuse.errors import MeasureError
from platefuse.measuring.acceptance import Null, accepts
from platefuse.measuring.model import PairMeasure, PlacedField
from platefuse.measuring.options import MeasureOptions
from platefuse.measuring.receipt import MeasuredWell, SolvedPlate
from platefuse.measuring.results import field_place, write_pairs
from platefuse.measuring.solve.consensus import Consensus, doubtful
from platefuse.measuring.solve.places import solve_pairs
from platefuse.records import write_places

logger = logging.getLogger(__name__)

_WHOLE = 0.5
"""A pair that overlaps by more than this share is compared with null pairs that do so too."""

_SHOWN = 20


@dataclass(frozen=True)
class Solution:
    """The places of the fields of a plate, and what they were found from.

    Attributes
    ----------
    consensus : Consensus
        The places, and the models of the acquisitions.
    pairs : tuple of PairMeasure
        Every pair. Those that score no more than pairs that cannot match are ``ambiguous``.
    """

    consensus: Consensus
    pairs: tuple[PairMeasure, ...]

    @property
    def places(self) -> tuple[PlacedField, ...]:
        """Every field with its place."""
        return self.consensus.places

    @property
    def statuses(self) -> dict[str, int]:
        """Number of fields of each status."""
        return dict(sorted(Counter(place.status for place in self.places).items()))


def solve_plate(wells: Sequence[MeasuredWell], options: MeasureOptions, reference: int) -> Solution:
    """Find the place of every field of a plate.

    Parameters
    ----------
    wells : sequence of MeasuredWell
        What was measured in each well.
    options : MeasureOptions
        How to measure.
    reference : int
        Number of the reference acquisition.

    Raises
    ------
    MeasureError
        If the place of a field with tissue could not be measured, and `on_doubt` is ``stop``.
    """
    for well in wells:
        if well.problem is not None:
            logger.warning("well %s was not measured: %s", well.well, well.problem)
    fields = [field for well in wells for field in well.fields]
    pairs = judged([pair for well in wells for pair in well.pairs])
    solved = solve_pairs(
        fields,
        pairs,
        reference_acquisition=reference,
        stitching=options.stitch,
        model=options.model,
    )
    solution = Solution(solved.consensus, tuple(pairs))
    if options.on_doubt == "stop":
        check_doubts(solution.places)
    return solution


def write_solution(
    solution: Solution, wells: Sequence[MeasuredWell], plate: str, fields: str, pairs: str
) -> SolvedPlate:
    """Write the places of the fields and all pairs as tables, and return the receipt.

    Parameters
    ----------
    solution : Solution
        What was solved.
    wells : sequence of MeasuredWell
        What it was solved from.
    plate : str
        Name of the plate in the config.
    fields, pairs : str
        Paths of the two tables.
    """
    write_pairs(Path(pairs), plate, solution.pairs)
    write_places(Path(fields), [field_place(plate, placed) for placed in solution.places])
    models = sorted(solution.consensus.models.items())
    return SolvedPlate(
        wells=tuple(well.well for well in wells),
        statuses=solution.statuses,
        angles_deg={str(number): model.trend.angle_deg for number, model in models},
    )


def judged(pairs: Sequence[PairMeasure]) -> list[PairMeasure]:
    """Pairs of which those that score no more than chance are ``ambiguous``."""
    nulls = [
        Null.of(p.score for p in pairs if p.kind == "null" and (p.overlap > _WHOLE) is whole)
        for whole in (False, True)
    ]
    return [
        replace(pair, status="ambiguous")
        if pair.status == "measured" and not accepts(pair, nulls[pair.overlap > _WHOLE])
        else pair
        for pair in pairs
    ]


def check_doubts(places: Sequence[PlacedField]) -> None:
    """Check that no field with tissue has a place that was not measured.

    Raises
    ------
    MeasureError
        With the first such fields.
    """
    found = doubtful(places)
    if not found:
        return
    lines = [
        f"- well {key.well}, image {key.image}, field {key.field}: {place.status}"
        for place in found[:_SHOWN]
        for key in (place.field.key,)
    ]
    more = [f"- and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    raise MeasureError(
        "\n".join(
            [
                f"The places of {len(found)} of {len(places)} fields could not be measured:",
                *lines,
                *more,
                "Look at these fields (fields.tsv and pairs.tsv have the figures). Raise "
                "registration.measure.max_shift if fields are too_far, choose another channel, or "
                "set registration.measure.on_doubt: fill to take their places from their "
                "neighbours.",
            ]
        )
    )
