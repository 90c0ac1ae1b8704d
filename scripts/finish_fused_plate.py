"""Write the plate metadata of the fused plate."""

from dataclasses import replace

import _job
from platefuse.fusion.wells import plate
from platefuse.records import FusedPlateRecord, PlateReceipt, versions
from platefuse.workflow.provenance import command


def finish_fused_plate(job: _job.Job) -> PlateReceipt:
    """Make the fused wells a plate."""
    made = FusedPlateRecord(versions=versions(), config_digest=job.given["config_digest"])
    receipt = plate.finish_fused_plate(job.plate, job.fused, job.options, job.wells, made)
    # Not in the plate: the same plate comes from commands with other numbers of cores.
    return replace(receipt, command=command())


if __name__ == "__main__":
    _job.run(finish_fused_plate)
