"""Benchmark of platefuse's memory on a small well and on a well sixteen times larger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks import fusion, registration
from benchmarks.compare import OURS, Run
from benchmarks.measure import JobFailedError, Result, interleave, typical
from benchmarks.scenes import FieldsSpec, tissue
from benchmarks.tables import Section, Table, megabytes, seconds

GRIDS = ((2, 2), (8, 8))

TEXT = """\
Peak resident memory of the whole process, for wells of {fields} fields of {shape} pixels, one \
channel; registration includes a label. The other tables show the memory of other programs."""


def run_memory(*, rounds: int, small: bool = False) -> Section:
    """Measure the memory of registering and fusing a small and a large well."""
    shape = (2, 270, 320) if small else (4, 2160, 2560)
    works = {"register": _registration, "fuse": _fusion}
    peaks = [f"{a} × {b} fields, peak MB" for a, b in GRIDS]
    table = Table(["work", *peaks, "grows by", "call, s"])
    for name, work in works.items():
        runs = {grid: work(grid, shape) for grid in GRIDS}
        found = interleave({str(grid): run for grid, run in runs.items()}, rounds)
        _add_row(table, name, [found[str(grid)] for grid in GRIDS])
    text = TEXT.format(
        fields=" and ".join(f"{a} × {b}" for a, b in GRIDS), shape=" × ".join(map(str, shape))
    )
    return Section("memory", "Memory", text, [table])


def _add_row(table: Table, name: str, found: list[list[Result] | JobFailedError]) -> None:
    failures = [str(one) for one in found if isinstance(one, JobFailedError)]
    if failures:
        table.add(name, f"not measured: {failures[0]}")
        return
    small, large = (typical(one) for one in found if not isinstance(one, JobFailedError))
    growth = large.peak_mb / small.peak_mb - 1
    table.add(
        name,
        megabytes(small.peak_mb),
        megabytes(large.peak_mb),
        f"{100 * growth:.0f} %",
        f"{seconds(small.call_s)}, {seconds(large.call_s)}",
    )


def _registration(grid: tuple[int, int], shape: tuple[int, int, int]) -> Run:
    spec = replace(
        registration.CASE,
        grid=grid,
        field_shape=shape[1:],
        planes=shape[0],
        channels=("DAPI",),
        levels=5,
    )
    name = f"memory-{grid[0]}x{grid[1]}-{shape[1]}"
    return registration.run_ours(registration.Plate.made(name, spec), OURS)


def _fusion(grid: tuple[int, int], shape: tuple[int, int, int]) -> Run:
    name = f"memory-{grid[0]}x{grid[1]}-{shape[1]}"
    spec = FieldsSpec(name, grid=grid, field_shape=shape, channels=1)
    case = fusion.Case(name, spec, fusion.PLANES, shape)
    fields: Path = case.fields(tissue)
    return fusion.run_ours(case, fields, OURS)
