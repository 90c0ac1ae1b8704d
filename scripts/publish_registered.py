"""Move the staged images of one well next to the originals and list them in its metadata."""

import _job
from platefuse.records import WellReceipt
from platefuse.registration import swap


def publish_registered(job: _job.Job) -> WellReceipt:
    """Add every `<image>_registered` to the well."""
    return swap.publish_registered(job.well, job.request)


if __name__ == "__main__":
    _job.run(publish_registered)
