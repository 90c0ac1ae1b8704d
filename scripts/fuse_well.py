"""Fuse the fields of one well into the fused plate."""

import _job
from platefuse.fusion import well
from platefuse.records import FusionReceipt


def fuse_well(job: _job.Job) -> FusionReceipt:
    """Fuse the well's images."""
    return well.fuse_well(
        job.well, job.fused, job.options,
        registered_copies=job.registered_copies, read_as=job.read_as,
        scatter=job.scatter, threads=job.threads,
    )  # fmt: skip


if __name__ == "__main__":
    _job.run(fuse_well)
