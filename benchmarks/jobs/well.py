"""Job: register and fuse one well with platefuse, or measure it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.jobs.protocol import run_job


def prepare(
    plate: str, fused: str, mode: str, threads: int, profiles: str | None = None
) -> Callable[[], object]:
    """Return the function that does the job: ``one pass``, ``two passes`` or ``measure``.

    Pixels are corrected by ``flat.tif`` and ``dark.tif`` of the folder `profiles`, if it is given.
    """
    from platefuse.storage.memory import reuse_blocks

    reuse_blocks()  # as in the workflow's jobs, before any thread is started
    from platefuse.fusion.fields.reader import LayerReader
    from platefuse.fusion.options import FusionOptions
    from platefuse.fusion.wells.well import fuse_well
    from platefuse.illumination.correction import Illumination
    from platefuse.measuring.options import PairOptions
    from platefuse.measuring.well import measure_well
    from platefuse.ngff.plate import Plate
    from platefuse.registration.api import apply_registration_to_image
    from platefuse.registration.request import RegistrationRequest
    from platefuse.workflow.sources import FusionSources

    request, options = RegistrationRequest(), FusionOptions()
    (well,) = Plate.open(plate).read_wells()
    files = {role: f"{profiles}/{role}.tif" for role in ("flat", "dark")}
    corrected = {"DAPI": files} if profiles else None
    illumination = Illumination.of_config(corrected, options.tile_table)

    def fuse(*, store: bool) -> object:
        sources = FusionSources(options, request=request, store=store, illumination=illumination)
        with sources.whole_reader(well, Path(fused)) as reader:
            return fuse_well(well, Path(fused), reader, threads=threads)

    def two_passes() -> object:
        for image in reversed(well.images):  # the reference last: the others need its tables
            apply_registration_to_image(
                zarr_url=image.live, registered_roi_table=request.roi_table, threads=threads
            )
        return fuse(store=True)

    def measure() -> object:
        return measure_well(well, LayerReader(options), PairOptions(), 0, threads=threads)

    calls: dict[str, Callable[[], Any]] = {
        "one pass": lambda: fuse(store=False),
        "two passes": two_passes,
        "measure": measure,
    }
    return calls[mode]


if __name__ == "__main__":
    run_job(prepare)
