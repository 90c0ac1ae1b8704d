"""Do all steps of one well: each as the script of its own rule does it."""

from functools import partial
from importlib import import_module
from pathlib import Path

import _job
from platefuse.records import ProcessedWell
from platefuse.workflow import well_steps


def process_well(job: _job.Job) -> ProcessedWell:
    """Do the steps that the config asks for, in their order."""
    # Only their scripts are imported: a run without checks needs nothing of those.
    steps = {
        name: partial(job.do, getattr(import_module(name), name)) for name in job.given["steps"]
    }
    return well_steps.process_well(job.well, steps, Path(job.outputs[-1]).parent)


if __name__ == "__main__":
    _job.run(process_well)
