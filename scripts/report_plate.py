"""Judge the wells of a plate, and write its tables and its report."""

from pathlib import Path

import _job
from platefuse.quality.model import CheckedWell, ReportedPlate
from platefuse.quality.options import QualityOptions
from platefuse.workflow import reporting


def report_plate(job: _job.Job) -> ReportedPlate:
    """Judge the wells of the plate."""
    given, wells = job.given, [Path(own) for own in job.inputs if own.endswith("_well.json")]
    judged = reporting.judged_plate(
        [CheckedWell.read(own.with_name("check_well.json")) for own in wells],
        QualityOptions(**given["quality"]),
        given["places"],
    )
    _, *tables, page, _ = job.outputs
    reporting.write_page(given["name"], job.plate, job.fused, judged, given["settings"], Path(page))
    return reporting.write_tables(given["name"], judged, *tables)


if __name__ == "__main__":
    _job.run(report_plate)
