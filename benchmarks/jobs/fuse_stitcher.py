"""Job: fuse one image with multiview-stitcher, with one process for each thread of the others."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from benchmarks.jobs.protocol import run_job
from benchmarks.jobs.sims import KEY, load_sims

BLOCKS_AT_ONCE = 8


def prepare(fields: str, output: str, chunks: dict[str, int], threads: int) -> Callable[[], object]:
    fuse = import_module("multiview_stitcher.fusion").fuse
    misc_utils = import_module("multiview_stitcher.misc_utils")
    sims = load_sims(Path(fields))
    return lambda: fuse(
        sims,
        transform_key=KEY,
        output_chunksize=chunks,
        output_zarr_url=output,
        zarr_options={"ome_zarr": True},
        batch_options={
            "batch_func": misc_utils.process_batch_using_joblib,
            "n_batch": BLOCKS_AT_ONCE,
            "batch_func_kwargs": {"n_jobs": threads},
        },
    )


if __name__ == "__main__":
    run_job(prepare)
