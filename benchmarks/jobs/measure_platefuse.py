"""Job: find the places of the fields of a raw plate with platefuse, as the workflow does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from benchmarks.jobs.protocol import run_job
from benchmarks.jobs.raw_fields import read_raw_fields

Model = Literal["translation", "rigid"]


class Measuring:
    """Measures all wells and solves the plate when it is called."""

    def __init__(self, folder: str, threads: int, model: Model, max_shift_px: float) -> None:
        from platefuse.ngff.plate import Plate

        self._fields = read_raw_fields(Path(folder))
        plate = self._fields[0].path.parents[2]
        self._plate, self._threads = Plate.open(plate), threads
        self._model, self._max_shift_px = model, max_shift_px
        self.notes: dict[str, Any] = {}

    def __call__(self) -> None:
        from platefuse.fusion.fields.reader import LayerReader
        from platefuse.fusion.options import FusionOptions
        from platefuse.measuring.options import MeasureOptions
        from platefuse.measuring.plate import solve_plate
        from platefuse.measuring.well import measure_well

        reader = LayerReader(FusionOptions())
        wells = [self._plate.well(*field.well.split("/")) for field in self._fields]
        wells = list({well.path: well for well in wells}.values())
        pixel = reader.read(wells[0])[0].images[0].image.pixel_size_um["x"]
        options = MeasureOptions(max_shift=self._max_shift_px * pixel, model=self._model)
        measured = [
            measure_well(well, reader, options.of_pairs, 0, threads=self._threads) for well in wells
        ]
        solution = solve_plate(measured, options, 0)
        found = {(p.field.key.well, p.field.key.image): p for p in solution.places}
        own = [found[field.well, field.path.name] for field in self._fields]
        self.notes = {
            "places": [[um / pixel for um in place.place_um[1:]] for place in own],
            "statuses": [place.status for place in own],
            "failed": {},
        }


def prepare(folder: str, threads: int, model: Model, max_shift_px: float) -> Callable[[], object]:
    from platefuse.storage.memory import reuse_blocks

    reuse_blocks()  # as in the workflow's jobs
    import platefuse.measuring.plate
    import platefuse.measuring.well  # noqa: F401  # imports are not timed

    return Measuring(folder, threads, model, max_shift_px)


if __name__ == "__main__":
    run_job(prepare)
