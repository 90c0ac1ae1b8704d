"""Fuse one of the disjoint parts over which a well is scattered."""

import _job
from platefuse.fusion.wells import well
from platefuse.records import FusionReceipt


def fuse_part(job: _job.Job) -> FusionReceipt:
    """Write the part's chunks to the staging folder."""
    return well.fuse_well_part(
        job.well, job.fused, job.sources.reader(job.well), job.part, job.scatter,
        threads=job.threads,
    )  # fmt: skip


if __name__ == "__main__":
    _job.run(fuse_part)
