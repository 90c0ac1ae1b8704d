"""Put the staged image in the place of the live one."""

import _job
from platefuse.records import ImageReceipt
from platefuse.registration import swap


def swap_image(job: _job.Job) -> ImageReceipt:
    """Exchange the staged and the live image."""
    return swap.swap_image(job.image, job.request, keep_original=job.keep_originals)


if __name__ == "__main__":
    _job.run(swap_image)
