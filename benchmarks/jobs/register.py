"""Job: register one image with platefuse."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.jobs.protocol import run_job


def prepare(image: str, table: str, threads: int) -> Callable[[], object]:
    from platefuse.storage.memory import reuse_blocks

    reuse_blocks()  # as in the workflow's jobs, before any thread is started
    from platefuse.registration.api import apply_registration_to_image

    return lambda: apply_registration_to_image(
        zarr_url=image, registered_roi_table=table, threads=threads
    )


if __name__ == "__main__":
    run_job(prepare)
