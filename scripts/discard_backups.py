"""Check the live images of one well, then remove their backups."""

import _job
from platefuse.records import WellReceipt
from platefuse.registration import swap


def discard_backups(job: _job.Job) -> WellReceipt:
    """Remove what the swaps left in the staging folder."""
    return swap.discard_backups(job.well, job.request, keep_originals=job.keep_originals)


if __name__ == "__main__":
    _job.run(discard_backups)
