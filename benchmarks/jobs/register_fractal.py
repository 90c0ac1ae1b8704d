"""Job: register one image with fractal-tasks-core."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from benchmarks.jobs.protocol import run_job


def prepare(image: str, table: str) -> Callable[[], object]:
    name = "apply_registration_to_image"
    try:
        module = import_module(f"fractal_tasks_core.tasks.{name}")
    except ModuleNotFoundError:
        module = import_module(f"fractal_tasks_core.{name}")
    return lambda: getattr(module, name)(zarr_url=image, registered_roi_table=table)


if __name__ == "__main__":
    run_job(prepare)
