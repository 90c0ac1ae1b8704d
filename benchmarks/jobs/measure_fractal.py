"""Job: register the fields of a raw plate as fractal-tasks-core does: no stitching.

The method is the task's own, with its rescaling, at its default level of the pyramid. The consensus
changes the size of the ROIs of all acquisitions alike, so shifts stay as they were measured.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from benchmarks.jobs.protocol import run_job
from benchmarks.jobs.raw_fields import Place, RawField, Separately

LEVEL, QUANTILES = 2, (0.0, 0.99)


def prepare(folder: str) -> Callable[[], object]:
    numpy = import_module("numpy")
    task = import_module("fractal_tasks_core.tasks.calculate_registration_image_based")
    method = task.RegistrationMethod.PHASE_CROSS_CORRELATION

    def register(reference: RawField, moving: RawField) -> Place:
        images = []
        for field in (reference, moving):
            pixels = field.pixels(LEVEL)
            limits = tuple(numpy.quantile(pixels, q) for q in QUANTILES)
            images.append(task.rescale_intensity(pixels, in_range=limits))
        y, x = (float(v) * 2**LEVEL for v in method.register(*images)[0])
        return y, x

    return Separately(folder, register=register)


if __name__ == "__main__":
    run_job(prepare)
