"""Judge the wells of a plate, and write its tables and its report."""

from pathlib import Path

import _job
from platefuse.quality.model import ReportedPlate
from platefuse.quality.options import QualityOptions
from platefuse.workflow import reporting


def report_plate(job: _job.Job) -> ReportedPlate:
    """Judge the wells of the plate."""
    given = job.given
    return reporting.report_plate(
        given["name"], job.plate, job.fused, Path(job.outputs[0]).parent,
        QualityOptions(**given["quality"]), given["settings"], places=given["places"],
    )  # fmt: skip


if __name__ == "__main__":
    _job.run(report_plate)
