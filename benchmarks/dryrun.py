"""Benchmark of planning a large screen: time and memory of ``snakemake --dry-run``."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from statistics import median

from benchmarks.data import cached, run_folder
from benchmarks.measure import ROOT, run_process
from benchmarks.tables import Section, Table, megabytes, seconds
from platefuse.testing import AcquisitionSpec, PlateSpec, make_plate

ROWS = "ABCDEFGHIJKLMNOP"
CASE = PlateSpec(
    wells=tuple(f"{row}/{column:02}" for row in ROWS for column in range(1, 25)),
    acquisitions=tuple(AcquisitionSpec(number) for number in range(10)),
    pixels=False,
)
SMALL = replace(CASE, wells=CASE.wells[:2], acquisitions=CASE.acquisitions[:2])

TEXT = """\
`snakemake --dry-run` for {wells} wells × {acquisitions} acquisitions without any results: \
registration and fusion, with the default config. The plate has only metadata and tables."""


def run_dryrun(*, rounds: int, small: bool = False) -> Section:
    """Measure the dry run of a plate, once in each round."""
    spec = SMALL if small else CASE
    name = f"plan-{len(spec.wells)}"
    plate = cached(name, repr(spec), lambda path: make_plate(path, spec))
    folder = run_folder("plan")
    folder.mkdir()
    config = folder / "config.yaml"
    config.write_text(json.dumps({"plates": {"plan": str(plate)}}))
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "2"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(config)]
    runs = [run_process(command) for _ in range(rounds)]
    table = Table(["jobs", "process, s", "peak MB"])
    table.add(
        f"{count_jobs(runs[0][1]):,}",
        seconds(median(result.process_s for result, _ in runs)),
        megabytes(median(result.peak_mb for result, _ in runs)),
    )
    text = TEXT.format(wells=len(spec.wells), acquisitions=len(spec.acquisitions))
    return Section("dryrun", "Planning a screen", text, [table])


def count_jobs(output: str) -> int:
    """Return the total number in Snakemake's table of jobs; 0 without a table.

    Examples
    --------
    >>> count_jobs("job       count\\n-----  -------\\nall          1\\ntotal       23\\n")
    23
    """
    found = re.findall(r"^total\s+(\d+)\s*$", output, re.MULTILINE)
    return int(found[-1]) if found else 0
