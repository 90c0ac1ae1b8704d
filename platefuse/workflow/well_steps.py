"""The steps of a well: which they are, whether one job does all of them, and such a job.

With `workflow.jobs: step` each step is a job, of its image or of its well. With `well` one job does
all steps of a well, in the same order and with the same functions.
"""

from __future__ import annotations

import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from platefuse.ngff.well import Well
from platefuse.records import ProcessedWell, Receipt
from platefuse.workflow.config.model import Config

logger = logging.getLogger(__name__)

PROCESS = "process_well"
"""The rule that does all steps of a well."""

IMAGE_STEPS = ("register_image", "copy_tables", "swap_image")
"""The steps that are done for each image; the others are done once for the well."""

STEPS = frozenset(
    (*IMAGE_STEPS, "discard_backups", "publish_registered", "fuse_part", "fuse_well", "check_well")
)
"""All steps that the job of a well may do; each is the name of a rule, too."""

FEW_WELLS = 8
"""A run of fewer wells than this has few."""

LARGE_BYTES = 2**30
"""An image of this size before compression is large."""

Do = Callable[[str | None], Receipt]
"""Does a step, for the image of this path or for the well."""


def steps_of(config: Config) -> tuple[str, ...]:
    """The steps of a well in their order, without measuring, which ends with the whole plate."""
    steps: tuple[str, ...] = ()
    if config.registration.writes_images:
        in_place = config.registration.request.overwrite_input
        last = ("swap_image", "discard_backups") if in_place else ("publish_registered",)
        steps += ("register_image", "copy_tables", *last)
    if config.fusion.enabled:
        steps += ("fuse_well",)
    if config.checks_wells:
        steps += ("check_well",)
    return steps


def last_steps_of(config: Config) -> tuple[str, ...]:
    """The steps of a well for which a plate or the run waits: it is done when these are."""
    ends = ("discard_backups", "publish_registered", "fuse_well", "check_well")
    return tuple(step for step in steps_of(config) if step in ends)


def ends_of(config: Config) -> dict[str, str]:
    """The step that is the last of a well, for each plate."""
    ends = ("check_well", "fuse_well")  # the backups may go at the same time
    return {
        plate: next((end for end in ends if end in steps), steps[-1])
        for plate, own in config.by_plate.items()
        if (steps := last_steps_of(own))
    }


@dataclass(frozen=True)
class Kind:
    """Plates whose wells end with the same steps.

    Attributes
    ----------
    rule : str
        Name of the rule that does all steps of such a well.
    last_steps : tuple of str
        The steps that a well ends with.
    plates : list of str
        The plates, by their names in the config.
    """

    rule: str
    last_steps: tuple[str, ...]
    plates: list[str]

    @property
    def pattern(self) -> str:
        """The plates as a regular expression."""
        return "|".join(map(re.escape, self.plates))


def kinds_of(config: Config) -> list[Kind]:
    """The kinds of plates in a run. The first has the rule `PROCESS`, others one that ends so.

    Each needs its own rule: the outputs of a Snakemake rule cannot depend on the plate.
    """
    kinds: dict[tuple[str, ...], list[str]] = {}
    for plate, own in config.by_plate.items():
        kinds.setdefault(last_steps_of(own), []).append(plate)
    return [
        Kind(PROCESS if number == 1 else f"kind{number}_{PROCESS}", steps, plates)
        for number, (steps, plates) in enumerate(kinds.items(), 1)
    ]


def jobs_of(
    config: Config,
    wells: int,
    image_bytes: float,
    *,
    on_nodes: bool = False,
    named: Literal["step", "well"] | None = None,
) -> Literal["step", "well"]:
    """How the work is cut into jobs.

    Parameters
    ----------
    config : Config
        The config.
    wells : int
        Number of wells of the run.
    image_bytes : float
        Size of an image before compression: the largest of the first images of the plates.
    on_nodes : bool
        Whether jobs are submitted to the nodes of a cluster, where each costs some seconds.
    named : str or None
        What the jobs must be for what the user has named (`NamedSteps`).

    Returns
    -------
    str
        ``"step"`` or ``"well"``: what the config says, or, with ``auto``, what was named, or
        ``step`` if the fusion of a well is shared by several jobs, or if the run has few and large
        wells on one machine, whose images are better registered at the same time.
    """
    if config.workflow.jobs != "auto":
        return config.workflow.jobs
    if named is not None:
        return named
    is_small = wells < FEW_WELLS and image_bytes >= LARGE_BYTES and not on_nodes
    return "step" if is_small or config.fusion.scatter > 1 else "well"


def process_well(well: Well, steps: Mapping[str, Do], receipts: Path) -> ProcessedWell:
    """Do all steps of a well, one after the other, and leave the receipt of each.

    The receipts are written when all steps are done. So those of a job that was killed do not
    exist, and the steps find in the plate what was done before, whatever did it.

    Parameters
    ----------
    well : Well
        The well.
    steps : mapping of str to callable
        What to do, in order, by the name of the rule.
    receipts : Path
        Folder of the receipts of the well.

    Returns
    -------
    ProcessedWell
        How long each step took.

    Raises
    ------
    PlatefuseError
        The error of the first step that fails. The steps before it have been done.
    """
    begun = time.perf_counter()
    names = [image.name for image in well.images]
    done: dict[Path, Receipt] = {}
    seconds: dict[str, float] = defaultdict(float)
    for step, do in steps.items():
        for image in names if step in IMAGE_STEPS else (None,):
            before = time.perf_counter()
            done[receipts / (image or "") / f"{step}.json"] = do(image)
            seconds[step] += time.perf_counter() - before
            logger.info("%s of %s: done", step, well.name if image is None else f"image {image}")
    for path, receipt in done.items():
        receipt.write(path)
    return ProcessedWell(
        well=well.name,
        images=tuple(names),
        steps={step: round(own, 3) for step, own in seconds.items()},
        seconds=round(time.perf_counter() - begun, 3),
    )
