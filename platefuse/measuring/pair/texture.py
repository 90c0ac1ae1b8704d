"""Whether a field has anything to measure by."""

from __future__ import annotations

from platefuse.measuring.pair.judge import LEAST_TEXTURE
from platefuse.measuring.pair.levels import Levels
from platefuse.measuring.pair.regions import Regions


def field_texture(field: Levels, regions: Regions) -> float:
    """Share of the variance of a field that is more than noise; 0 if it is too little.

    Parameters
    ----------
    field : Levels
        The field and its pyramid. The level of the search is read.
    regions : Regions
        Prepares it, if it has not done so for a pair.
    """
    found = regions.texture(field)
    return found if found >= LEAST_TEXTURE else 0.0
