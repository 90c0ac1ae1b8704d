"""Measure the pairs of fields of one well."""

import _job
from platefuse.errors import PlatefuseError
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.options import FusionOptions
from platefuse.measuring import well
from platefuse.measuring.camera import wells_after
from platefuse.measuring.receipt import MeasuredWell


def measure_well(job: _job.Job) -> MeasuredWell:
    """Measure the well's fields against the reference, and against their neighbours."""
    reader = LayerReader(FusionOptions(tile_table=job.given["tile_table"]), job.read_as)
    nulls = max(2, -(-well.NULLS // len(job.plate.wells)))  # the plate needs enough of all wells
    try:
        return well.measure_well(
            job.well, reader, job.pairs, job.given["reference"],
            others=wells_after(job.plate, job.well), nulls=nulls, threads=job.threads,
        )  # fmt: skip
    except PlatefuseError as error:
        if job.config["on_bad_well"] == "stop":
            raise
        return well.not_measured(job.well, error)


if __name__ == "__main__":
    _job.run(measure_well)
