"""What a job leaves that does all the work of a well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from platefuse.records.base import Receipt


@dataclass(frozen=True, kw_only=True)
class ProcessedWell(Receipt):
    """What a job did that takes a well through all of its steps.

    Each step leaves its own receipt as well: the same as that of its rule.

    Attributes
    ----------
    well : str
        Name of the well.
    images : tuple of str
        Paths of its images.
    steps : mapping of str to float
        Seconds of each step, by the name of its rule, in order.
    seconds : float
        Duration of the job.
    """

    well: str
    images: tuple[str, ...]
    steps: Mapping[str, float]
    seconds: float
