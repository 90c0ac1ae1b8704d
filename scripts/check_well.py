"""Compute the figures of one fused well, and draw its pictures."""

from pathlib import Path

import _job
from platefuse.quality import well
from platefuse.quality.model import CheckedWell


def check_well(job: _job.Job) -> CheckedWell:
    """Compare the well's acquisitions with the reference."""
    return well.check_well(
        job.well, job.fused, job.sources.reader(job.well), Path(job.outputs[0]).parent,
        reference=job.given["reference"], channel=job.given["channel"], threads=job.threads,
    )  # fmt: skip


if __name__ == "__main__":
    _job.run(check_well)
