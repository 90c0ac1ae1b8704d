"""Job: stitch the first acquisition of the wells of a raw plate with m2stitch: no registration."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from benchmarks.jobs.protocol import run_job
from benchmarks.jobs.raw_fields import Place, RawField, Separately

NCC = 0.1
"""By default (0.5) it finds no good pair on the synthetic plates, and stops."""


def prepare(folder: str) -> Callable[[], object]:
    m2stitch, numpy = import_module("m2stitch"), import_module("numpy")

    def stitch(fields: list[RawField]) -> list[Place]:
        grid, _ = m2stitch.stitch_images(
            numpy.stack([field.pixels() for field in fields]),
            position_indices=numpy.array([field.row_column for field in fields]),
            position_initial_guess=numpy.array([field.stage_px for field in fields]),
            row_col_transpose=False,
            ncc_threshold=NCC,
        )
        return [(float(y), float(x)) for y, x in zip(grid["y_pos"], grid["x_pos"], strict=True)]

    return Separately(folder, stitch)


if __name__ == "__main__":
    run_job(prepare)
