"""Fuse the fields of one well into the fused plate."""

import _job
from platefuse.fusion.wells import well
from platefuse.records import FusionReceipt


def fuse_well(job: _job.Job) -> FusionReceipt:
    """Fuse the well's images."""
    with job.sources.whole_reader(job.well, job.fused) as reader:
        return well.fuse_well(job.well, job.fused, reader, scatter=job.scatter, threads=job.threads)


if __name__ == "__main__":
    _job.run(fuse_well)
