"""Copy the tables of one acquisition into its staged image."""

import _job
from platefuse.records import ImageReceipt
from platefuse.registration import tables


def copy_tables(job: _job.Job) -> ImageReceipt:
    """Copy the reference's ROI tables and the image's other tables."""
    return tables.copy_tables(job.image, job.request)


if __name__ == "__main__":
    _job.run(copy_tables)
