"""Judge the wells of a plate, and write its tables and its report."""

from pathlib import Path

import _job
from platefuse.quality.model import CheckedWell, ReportedPlate
from platefuse.quality.options import QualityOptions
from platefuse.workflow import reporting


def report_plate(job: _job.Job) -> ReportedPlate:
    """Judge the wells of the plate."""
    given, receipts = job.given, [p for p in job.inputs if p.endswith("check_well.json")]
    wells = reporting.judged_plate(
        [CheckedWell.read(receipt) for receipt in receipts],
        QualityOptions(**given["quality"]),
        given["places"],
    )
    *tables, page = job.outputs[1:]
    reporting.write_page(given["name"], job.plate, job.fused, wells, given["settings"], Path(page))
    return reporting.write_tables(given["name"], wells, *tables)


if __name__ == "__main__":
    _job.run(report_plate)
