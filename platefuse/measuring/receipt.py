"""What measuring leaves: the fields and pairs of a well, and what was solved for a plate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from platefuse.measuring.model import PairMeasure, StageField
from platefuse.records import Receipt


@dataclass(frozen=True, kw_only=True)
class MeasuredWell(Receipt):
    """The pairs of fields of a well that were measured.

    Attributes
    ----------
    well : str
        Name of the well.
    fields : tuple of StageField
        The fields of all acquisitions.
    pairs : tuple of PairMeasure
        Every pair, also those of the null distribution.
    made_from : mapping of str to object
        What the result depends on: options and the state of the images. JSON values.
    read_bytes : int
        Bytes of decoded pixels.
    seconds : float
        Duration of the job.
    problem : str, optional
        Why the well could not be measured, if other wells must not wait for it.
    """

    well: str
    fields: tuple[StageField, ...]
    pairs: tuple[PairMeasure, ...]
    made_from: Mapping[str, object]
    read_bytes: int
    seconds: float
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class SolvedPlate(Receipt):
    """The places of the fields of a plate.

    Attributes
    ----------
    wells : tuple of str
        Names of its wells.
    statuses : mapping of str to int
        Number of fields of each status.
    angles_deg : mapping of str to float
        Turn of each acquisition against the reference, by its number.
    """

    wells: tuple[str, ...]
    statuses: Mapping[str, int]
    angles_deg: Mapping[str, float]
