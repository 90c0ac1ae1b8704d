"""Check the live images of one well, then remove their backups."""

from functools import partial

import _job
from platefuse.records import WellReceipt
from platefuse.registration import swap
from platefuse.registration.verify import verify_image


def discard_backups(job: _job.Job) -> WellReceipt:
    """Remove what the swaps left in the staging folder."""
    verify = partial(verify_image, verify=job.verify, threads=job.threads)
    return swap.discard_backups(
        job.well, job.request, keep_originals=job.keep_originals, verify=verify
    )


if __name__ == "__main__":
    _job.run(discard_backups)
