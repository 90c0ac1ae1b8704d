"""Write the plate metadata of the fused plate."""

import _job
from platefuse.fusion import plate
from platefuse.records import PlateReceipt


def finish_fused_plate(job: _job.Job) -> PlateReceipt:
    """Make the fused wells a plate."""
    return plate.finish_fused_plate(job.plate, job.fused, job.options, job.wells)


if __name__ == "__main__":
    _job.run(finish_fused_plate)
