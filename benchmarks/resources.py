"""Benchmark of what jobs ask for and what they use: memory and time of every kind of job."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.data import cached, lend, run_folder
from benchmarks.measure import run_process
from benchmarks.plate import ACQUISITIONS, PLATE, TINY, snakemake
from benchmarks.tables import Section, Table, megabytes, seconds
from platefuse.records import JobUsage
from platefuse.testing import AcquisitionSpec, PlateSpec, make_plate

TEXT = """\
Every kind of job of whole runs: the memory that its rule asked for (`mem_mb`), what its receipt \
says that it used (`used.memory_mb`), and the ratio; of several jobs, the one that used most. \
Seconds are those of the longest job. The time that is asked for is a limit, not an estimate: a \
job that exceeds it is killed, and a shared filesystem may be many times slower than this disk. \
Two acquisitions are measured, registered, fused and checked, with labels, if nothing else is \
said. {plates}"""

MEASURED: Mapping[str, Any] = {
    "registration": {"roi_table": "found_ROI_table", "measure": {"enabled": True}}
}
SMALL = replace(PLATE, wells=("B/02",), acquisitions=ACQUISITIONS[:2], noise=False)
SMALLEST = replace(TINY, wells=("B/02", "B/03"), noise=False)
LARGE = replace(SMALL, field_shape=(2160, 2560))
CYCLES = replace(
    SMALL,
    acquisitions=tuple(AcquisitionSpec(n, shift_px=(3 * n, -2 * n)) for n in range(8)),
    grid=(4, 4),
    labels=(),
)


@dataclass(frozen=True)
class _Case:
    """A run of a plate.

    Attributes
    ----------
    name : str
        Name in the table.
    text : str
        What the plate is.
    spec : PlateSpec
        The plate.
    config : mapping
        What the config says.
    threads : int
        Threads of each job; 0: as the rules have them.
    """

    name: str
    text: str
    spec: PlateSpec
    config: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 0

    def run(self) -> dict[str, list[JobUsage]]:
        """Run it; what was used by the jobs of each rule."""
        made = cached(
            f"resources-{self.name}", repr(self.spec), lambda path: make_plate(path, self.spec)
        )
        folder = run_folder(f"resources-{self.name}")
        lend(made, folder / "plate.zarr")
        config = {"plates": {"p": "plate.zarr"}, **self.config}
        (folder / "config.yaml").write_text(json.dumps(config))
        rules = ("process_well", "measure_well", "register_image", "fuse_well", "check_well")
        set_threads = [f"{rule}={self.threads}" for rule in rules]
        more = ["--set-threads", *set_threads] if self.threads else []
        run_process(snakemake(folder, *more))
        return usage(folder / "results")


STEPPED: Mapping[str, Any] = {**MEASURED, "workflow": {"jobs": "step"}}
ONE_PASS = {
    "registration": {**MEASURED["registration"], "store": False},
    "fusion": {"scatter": 2},
}
SHARDS = {"ngff_version": "0.5", "shards": {"y": 4096, "x": 4096}}
PLATES = (
    _Case("tiny", "2 wells × 4 acquisitions of 2 × 2 fields of 54 × 64", SMALLEST, STEPPED),
    _Case("tiny, by wells", "the same, a job for each well", SMALLEST, MEASURED),
    _Case("large", "2 acquisitions of 2 × 2 fields of 2160 × 2560", LARGE, STEPPED),
    _Case("large, by wells", "the same, a job for each well, 2 threads", LARGE, MEASURED, 2),
    _Case("one pass", "the same, nothing stored, fused in two parts", LARGE, ONE_PASS),
    _Case("stack", "as *large*, 4 planes, 2 threads", replace(LARGE, planes=4), STEPPED, 2),
    _Case("chunks", "as *large*, in 512 × 512", replace(LARGE, chunks=(512, 512)), STEPPED),
    _Case(
        "shards",
        "as *large*, without labels and measuring, fused into shards of 4096 × 4096",
        replace(LARGE, labels=()),
        {"workflow": {"jobs": "step"}, "fusion": SHARDS},
    ),
    _Case("mosaic", "6 × 6 fields of 1080 × 1280", replace(SMALL, grid=(6, 6)), STEPPED),
    _Case("cycles", "8 acquisitions of 4 × 4 such fields, without labels", CYCLES, ONE_PASS),
)


def usage(results: Path) -> dict[str, list[JobUsage]]:
    """What the receipts of a run say that its jobs used, by the name of the rule."""
    found: dict[str, list[JobUsage]] = defaultdict(list)
    for rule, receipt in sorted(_receipts(results)):
        if "used" in (content := json.loads(receipt.read_text())):
            found[rule].append(JobUsage(**content["used"]))
    return dict(found)


def _receipts(results: Path) -> Iterator[tuple[str, Path]]:
    for file in results.rglob("*.json"):
        yield (file.parent.name if file.stem.isdigit() else file.stem), file


def run_resources(*, small: bool = False) -> Section:
    """Measure what the jobs of all plates ask for and use."""
    table = Table([
        "plate", "job", "threads", "asked, MB", "used, MB", "asked / used", "asked, s", "used, s",
    ])  # fmt: skip
    cases = PLATES[1:2] if small else PLATES
    for case in cases:
        for rule, jobs in case.run().items():
            most = max(jobs, key=lambda used: used.memory_mb)
            longest = max(jobs, key=lambda used: used.seconds)
            asked_mb, asked_s = most.asked_mb or 0, longest.asked_seconds or 0
            table.add(
                case.name, f"`{rule}`", str(most.threads), megabytes(asked_mb),
                megabytes(most.memory_mb), f"{asked_mb / most.memory_mb:.2f}",
                f"{asked_s:.0f}", seconds(longest.seconds),
            )  # fmt: skip
    plates = " ".join(f"*{case.name}*: {case.text}." for case in cases)
    return Section("resources", "Memory and time of jobs", TEXT.format(plates=plates), [table])
