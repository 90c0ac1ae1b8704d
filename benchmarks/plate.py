"""Benchmark of whole plates: end to end through Snakemake, with a job for each step or well."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from benchmarks.data import cached, lend, run_folder
from benchmarks.envs import FRACTAL, STITCHER, EnvironmentFailedError
from benchmarks.measure import ROOT, Job, JobFailedError, Result, run_process
from benchmarks.tables import Section, Table, megabytes, seconds
from benchmarks.well import WELL, peer_loop
from platefuse.testing import AcquisitionSpec, PlateSpec, make_plate

CORES = 2
ACQUISITIONS = tuple(
    AcquisitionSpec(number, shift_px=shift)
    for number, shift in enumerate([(0, 0), (7, -12), (-5, 9), (3, 4)])
)
PLATE = PlateSpec(
    wells=tuple(f"{row}/{column:02}" for row in "AB" for column in range(1, 5)),
    acquisitions=ACQUISITIONS[:3],
    field_shape=(1080, 1280),
    channels=("DAPI",),
    levels=5,
)
FOUR = replace(PLATE, channels=("DAPI", "CD3", "CD8", "CD20"))
TINY = replace(
    PLATE,
    wells=tuple(f"{row}/{column:02}" for row in "ABCDEFGH" for column in range(1, 13)),
    acquisitions=ACQUISITIONS,
    field_shape=(54, 64),
    levels=2,
)

TEXT = f"""\
`snakemake --cores {CORES}` on whole plates, registered in place and fused, from the command to \
its end. *Plate*: {len(PLATE.wells)} wells × 3 acquisitions of 2 × 2 fields of 1080 × 1280 uint16 \
with a label. *Four*: the same with four channels. *Tiny*: {len(TINY.wells)} wells × 4 \
acquisitions of 2 × 2 fields of 54 × 64, where nearly nothing is pixels (`step`: 24 wells). \
*Checked*: with figures, pictures and the report (`quality.enabled`). *Measured*: with \
`registration.measure`, else the shifts are those of the tables. *Stored*: no means \
`registration.store: false`. *Not pixels*: the part of the processor time that one process does \
not need for the same pixels; what this process needs for a tiny well is not counted as pixels, \
and measuring neither. *Peers*: {FRACTAL[0].name} registers each image in place, then \
{STITCHER[-1].name} fuses the fields of each, but no label; measured on one well and multiplied \
by the number of wells."""


@dataclass(frozen=True)
class _Case:
    name: str
    spec: PlateSpec

    def made(self, wells: int | None = None) -> Path:
        spec = replace(self.spec, wells=self.spec.wells[:wells])
        name = f"plate-{self.name}-{len(spec.wells)}"
        return cached(name, repr(spec), lambda path: make_plate(path, spec))


@dataclass(frozen=True)
class _Kind:
    """What is done with a plate.

    Attributes
    ----------
    jobs : str
        ``well`` or ``step``.
    stores, measures, checks : bool
        Whether registered images are stored, shifts are measured, and the result is checked.
    """

    jobs: str = "well"
    stores: bool = True
    measures: bool = False
    checks: bool = False

    @property
    def config(self) -> dict[str, object]:
        """What the config says."""
        registration: dict[str, object] = {"store": self.stores}
        if self.measures:
            registration |= {"roi_table": "found_ROI_table", "measure": {"enabled": True}}
        return {
            "workflow": {"jobs": self.jobs},
            "quality": {"enabled": self.checks},
            "registration": registration,
        }


def run_plate(*, rounds: int, small: bool = False, peers: bool = True) -> Section:
    """Measure both plates with both kinds of jobs, each once in each round, and the peers' loop."""
    plate, four, tiny = _Case("plate", PLATE), _Case("four", FOUR), _Case("tiny", TINY)
    if small:
        plate = _Case("small", replace(TINY, wells=TINY.wells[:2]))
        four, tiny = replace(plate, name="four"), replace(plate, name="tiny")
    pixels_s = {case.name: _pixels_s(case) for case in (plate, four)}
    table = Table([
        "plate", "`workflow.jobs`", "stored", "measured", "checked", "process, s",
        "s per well", "processor, s", "not pixels", "peak MB",
    ])  # fmt: skip
    fewer = replace(tiny, spec=replace(tiny.spec, wells=tiny.spec.wells[:24]))
    for case, kind in (
        (plate, _Kind(checks=True)),
        (plate, _Kind()),
        (plate, _Kind(measures=True)),
        (plate, _Kind(stores=False)),
        (plate, _Kind(stores=False, measures=True)),
        (plate, _Kind("step")),
        (four, _Kind()),
        (four, _Kind(stores=False)),
        (tiny, _Kind()),
        (fewer, _Kind("step")),
    ):
        runs = [_run(case, kind) for _ in range(rounds)]
        wells, cpu_s = len(case.spec.wells), median(run.cpu_s for run in runs)
        whole_s = median(run.process_s for run in runs)
        share = 1 - wells * pixels_s.get(case.name, 0.0) / cpu_s
        table.add(
            case.name, kind.jobs,
            *("yes" if each else "no" for each in (kind.stores, kind.measures, kind.checks)),
            seconds(whole_s), seconds(whole_s / wells), seconds(cpu_s),
            f"{share:.0%}" if case.name in pixels_s else "",
            megabytes(median(run.peak_mb for run in runs)),
        )  # fmt: skip
    if peers:
        table.add(*_peers_row(plate, rounds))
    return Section("plate", "Whole plates", TEXT, [table])


def _peers_row(case: _Case, rounds: int) -> Sequence[str]:
    """The row of a loop over the peers: one well, times the number of wells."""
    alone = _Case(f"{case.name}-peers", replace(case.spec, wells=(WELL,)))
    name = f"peers: {FRACTAL[0].name}, {STITCHER[-1].name}"
    try:
        interpreters = [peer.ensure() for peer in (FRACTAL[0], STITCHER[-1])]
        loop = peer_loop(alone.made(), alone.spec, name, *interpreters)
        runs = [loop() for _ in range(rounds)]
    except (EnvironmentFailedError, JobFailedError) as failure:
        return case.name, f"{name}: not measured: {failure}"
    whole_s, cpu_s = (median(getattr(r, key) for r in runs) for key in ("process_s", "cpu_s"))
    wells = len(case.spec.wells)
    return (
        case.name, name, "yes", "no", "no", seconds(wells * whole_s), seconds(whole_s),
        seconds(wells * cpu_s), "", megabytes(median(r.peak_mb for r in runs)),
    )  # fmt: skip


def _run(case: _Case, kind: _Kind) -> Result:
    folder = run_folder(f"{case.name}-{kind.jobs}")
    lend(case.made(), folder / "plate.zarr")
    config = {"plates": {"p": "plate.zarr"}, **kind.config}
    (folder / "config.yaml").write_text(json.dumps(config))
    return run_process(snakemake(folder))[0]


def snakemake(folder: Path, *more: str) -> Sequence[str]:
    """The command for the config in a folder, as a user types it: bytecode is kept."""
    command = ["env", "-u", "PYTHONDONTWRITEBYTECODE", sys.executable, "-m", "snakemake"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    return [*command, "--cores", str(CORES), "--configfile", str(folder / "config.yaml"), *more]


def _pixels_s(case: _Case) -> float:
    """Processor seconds that one process needs for the pixels of a well, registered and fused."""
    empty = replace(case.spec, field_shape=TINY.field_shape, levels=TINY.levels)
    return _in_one_process(case) - _in_one_process(_Case(f"{case.name}-empty", empty))


def _in_one_process(case: _Case) -> float:
    """Processor seconds of one well that is registered and fused in one process."""
    folder = run_folder(f"{case.name}-alone")
    copy = lend(case.made(1), folder / "plate.zarr")
    arguments = {"plate": str(copy), "fused": str(folder / "fused.zarr")}
    return Job("well", {**arguments, "mode": "two passes", "threads": 1}).run().cpu_s
