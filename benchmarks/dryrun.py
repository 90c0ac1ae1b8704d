"""Benchmark of planning a large screen: time and memory of ``snakemake --dry-run``."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.data import cached, run_folder
from benchmarks.measure import run_process
from benchmarks.plate import snakemake
from benchmarks.tables import Section, Table, megabytes, seconds
from platefuse.testing import AcquisitionSpec, PlateSpec, make_plate

CASES = ((384, 10, "well"), (384, 10, "step"), (1536, 20, "well"))
SMALL = ((2, 2, "well"), (2, 2, "step"))
SPEC = PlateSpec(pixels=False)

TEXT = """\
`snakemake --dry-run` without any results: registration and fusion, with the default config but \
`workflow.jobs`. The plates have only metadata and tables."""


def run_dryrun(*, rounds: int, small: bool = False) -> Section:
    """Measure the dry runs of plates, each once in each round."""
    table = Table([
        "wells", "acquisitions", "`workflow.jobs`", "jobs", "process, s", "processor, s", "peak MB"
    ])  # fmt: skip
    for wells, acquisitions, mode in SMALL if small else CASES:
        plate = _plate(wells, acquisitions)
        folder = run_folder("plan")
        folder.mkdir()
        config = {"plates": {"plan": str(plate)}, "workflow": {"jobs": mode}}
        (folder / "config.yaml").write_text(json.dumps(config))
        runs = [run_process(snakemake(folder, "--dry-run")) for _ in range(rounds)]
        table.add(
            f"{wells:,}",
            str(acquisitions),
            mode,
            f"{count_jobs(runs[0][1]):,}",
            seconds(median(result.process_s for result, _ in runs)),
            seconds(median(result.cpu_s for result, _ in runs)),
            megabytes(median(result.peak_mb for result, _ in runs)),
        )
    return Section("dryrun", "Planning a screen", TEXT, [table])


def well_names(count: int) -> list[str]:
    """The first wells of a plate with 24 columns and, above 384 wells, 48.

    Examples
    --------
    >>> well_names(1536)[0], well_names(1536)[-1], well_names(384)[-1]
    ('A/01', 'AF/48', 'P/24')
    """
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    rows = [*letters, *(f"A{letter}" for letter in letters)]
    columns = range(1, 25 if count <= 384 else 49)
    return [f"{row}/{column:02}" for row in rows for column in columns][:count]


def _plate(wells: int, acquisitions: int) -> Path:
    names = well_names(wells)
    images = tuple(AcquisitionSpec(number) for number in range(acquisitions))
    spec = replace(SPEC, wells=(names[0],), acquisitions=images)

    def make(path: Path) -> None:
        make_plate(path, spec)
        repeat_well(path, names)

    return cached(f"plan-{wells}-{acquisitions}", repr((spec, wells)), make)


def repeat_well(plate: Path, names: Sequence[str]) -> None:
    """Let a plate with one well have wells of these names, whose files are links to the first's."""
    first, *others = names
    for name in others:
        shutil.copytree(plate / first, plate / name, copy_function=os.link)
        if (plate / name).parent != (plate / first).parent:
            shutil.copy((plate / first).parent / ".zgroup", (plate / name).parent)
    attributes = json.loads((plate / ".zattrs").read_text())
    parts = [name.split("/") for name in names]
    rows, columns = (list(dict.fromkeys(own[i] for own in parts)) for i in (0, 1))
    wells = [
        {
            "path": "/".join(own),
            "rowIndex": rows.index(own[0]),
            "columnIndex": columns.index(own[1]),
        }
        for own in parts
    ]
    named = {"rows": [{"name": n} for n in rows], "columns": [{"name": n} for n in columns]}
    attributes["plate"] |= {**named, "wells": wells}
    (plate / ".zattrs").write_text(json.dumps(attributes))


def count_jobs(output: str) -> int:
    """Return the total number in Snakemake's table of jobs; 0 without a table.

    Examples
    --------
    >>> count_jobs("job       count\\n-----  -------\\nall          1\\ntotal       23\\n")
    23
    """
    found = re.findall(r"^total\s+(\d+)\s*$", output, re.MULTILINE)
    return int(found[-1]) if found else 0
