"""Do all steps of one well: each as the script of its own rule does it."""

from functools import partial
from pathlib import Path

import _job
from check_well import check_well
from copy_tables import copy_tables
from discard_backups import discard_backups
from fuse_well import fuse_well
from platefuse.records import ProcessedWell
from platefuse.workflow import well_steps
from publish_registered import publish_registered
from register_image import register_image
from swap_image import swap_image

STEPS = (
    register_image, copy_tables, swap_image, discard_backups, publish_registered, fuse_well,
    check_well,
)  # fmt: skip


def process_well(job: _job.Job) -> ProcessedWell:
    """Do the steps that the config asks for, in their order."""
    known = {step.__name__: step for step in STEPS}
    steps = {name: partial(job.do, known[name]) for name in job.given["steps"]}
    return well_steps.process_well(job.well, steps, Path(job.outputs[-1]).parent)


if __name__ == "__main__":
    _job.run(process_well)
