"""Solve the places of all fields of a plate."""

import _job
from platefuse.measuring import plate
from platefuse.measuring.receipt import MeasuredWell, SolvedPlate
from platefuse.measuring.registered import write_registered_tables


def solve_plate(job: _job.Job) -> SolvedPlate:
    """Write the places of the fields, and the pairs that they come from."""
    wells = [MeasuredWell.read(receipt) for receipt in job.inputs]
    solved = plate.solve_plate(wells, job.measure, job.request.reference_acquisition)
    if job.given["store"]:
        write_registered_tables(job.plate, solved.places, job.request, job.given["tile_table"])
    return plate.write_solution(solved, wells, job.given["name"], *job.outputs[1:])


if __name__ == "__main__":
    _job.run(solve_plate)
