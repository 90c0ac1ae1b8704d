"""Stop a run whose plate has flagged wells."""

from pathlib import Path

import _job
from platefuse.quality.model import ReportedPlate
from platefuse.workflow import verdicts


def accept_plate(job: _job.Job) -> ReportedPlate:
    """Check that no well of the plate is flagged."""
    path = Path(job.inputs[0])
    receipt = ReportedPlate.read(path)
    verdicts.accept_plate(receipt, path.with_name(verdicts.REPORT))
    return receipt


if __name__ == "__main__":
    _job.run(accept_plate)
