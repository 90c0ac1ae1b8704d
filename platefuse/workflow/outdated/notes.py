"""Wells that are done again although their receipts say that they are done: why, in words.

The receipts go before the jobs are planned. A dry run removes nothing, so it tells of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from platefuse.errors import listed
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.workflow.config.model import Config
from platefuse.workflow.outdated.other_images import changed_wells
from platefuse.workflow.outdated.repaired import repaired_wells
from platefuse.workflow.outdated.restored import stale_wells
from platefuse.workflow.outdated.unstaged import unstaged_wells
from platefuse.workflow.receipts import WellKey


def outdated_notes(
    config: Config, plates: Mapping[str, Plate], wells: Mapping[WellKey, Well]
) -> Iterator[str]:
    """What a dry run does not show: a sentence for each reason to do wells again.

    Parameters
    ----------
    config : Config
        The config.
    plates : mapping of str to Plate
        Its plates.
    wells : mapping of WellKey to Well
        The wells of the run.
    """
    found: dict[str, Mapping[WellKey, object]] = {
        "Wells whose originals were put back after they were done": stale_wells(config, plates),
        "Wells that could not be measured, and were changed since": repaired_wells(config, plates),
        "Wells that list other images than when they were done": changed_wells(config, wells),
        "Wells with images that are not staged any more as they were": unstaged_wells(
            config, wells
        ),
    }
    for why, keys in found.items():
        if keys:
            names = [f"{plate} {row}/{column}" for plate, row, column in keys]
            yield (
                f"{why}: {listed(names, 5)}. A run does them again; this dry run does not show it."
            )
