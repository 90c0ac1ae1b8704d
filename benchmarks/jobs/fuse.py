"""Job: fuse one image with platefuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.jobs.protocol import run_job
from benchmarks.jobs.sims import KEY, load_sims


def prepare(fields: str, output: str, chunks: dict[str, int], threads: int) -> Callable[[], object]:
    from platefuse.storage.memory import reuse_blocks

    reuse_blocks()  # as in the workflow's jobs, before any thread is started
    from platefuse.fusion.api import fuse

    sims: list[Any] = load_sims(Path(fields))
    return lambda: fuse(
        sims,
        transform_key=KEY,
        output_chunksize=chunks,
        output_zarr_url=output,
        zarr_options={"ome_zarr": True},
        threads=threads,
    )


if __name__ == "__main__":
    run_job(prepare)
