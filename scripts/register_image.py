"""Write the registered image of one acquisition to the staging folder: all levels, all labels."""

import _job
from platefuse.records import ImageReceipt
from platefuse.registration import stage


def register_image(job: _job.Job) -> ImageReceipt:
    """Stage the registered image."""
    job.check_measured()
    return stage.register_image(
        job.image, job.request, illumination=job.illumination, threads=job.threads
    )


if __name__ == "__main__":
    _job.run(register_image)
