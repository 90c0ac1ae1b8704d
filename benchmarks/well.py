"""Benchmark of a whole well: registered and fused in one pass, in two passes, and measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from benchmarks.compare import LIMITS, OURS, THREADS, Contest, Run
from benchmarks.data import cached, last_run, lend, run_folder, size_mb, warm
from benchmarks.measure import Job, Result
from benchmarks.tables import Section
from platefuse.testing import AcquisitionSpec, PlateSpec, make_plate

ONE, TWO, MEASURE = OURS, "platefuse, two passes", "platefuse, measuring alone"
MODES = {ONE: "one pass", TWO: "two passes", MEASURE: "measure"}
WELL = "B/03"

CASE = PlateSpec(
    wells=(WELL,),
    acquisitions=(
        AcquisitionSpec(0),
        AcquisitionSpec(1, shift_px=(7, -12)),
        AcquisitionSpec(2, shift_px=(-5, 9)),
    ),
    field_shape=(2160, 2560),
    channels=("DAPI",),
    levels=5,
)
SMALL = replace(CASE, field_shape=(270, 320), levels=3)

TEXT = f"""\
One well of 3 acquisitions of 2 × 2 fields of 2160 × 2560 uint16 with a uint32 label and 5 levels, \
with camera noise and whole-pixel shifts. *platefuse* registers and fuses it in one pass \
(`registration.store: false`); *two passes* registers every image in place and fuses then; \
*measuring alone* measures its pairs of fields (30 µm, with stitching). {THREADS} threads. The \
codec limit of one pass decodes every chunk of the finest levels and encodes every chunk of the \
fused levels."""


def run_well(*, rounds: int, small: bool = False) -> Section:
    """Measure all sides."""
    little, spec = _made("well-small", SMALL), SMALL if small else CASE
    plate = little if small else _made("well", CASE)
    contest = Contest()
    for name in MODES:
        contest.enter(name, _run(plate, name), warm_up=_run(little, name))
    limit_of = _run(plate, ONE)
    for name in LIMITS:
        contest.enter(name, _limit(plate, spec, name), warm_up=limit_of)
    contest.hold(rounds)
    written = {
        name: f"{size_mb(last_run(name)):.0f}" for name in (ONE, TWO) if name in contest.results
    }
    return Section("well", "Registering and fusing one well", TEXT, [
        contest.table({"MB on disk afterwards": written})
    ])  # fmt: skip


def _made(name: str, spec: PlateSpec) -> Path:
    return cached(name, repr(spec), lambda path: make_plate(path, spec))


def _run(plate: Path, name: str) -> Run:
    def once() -> Result:
        folder = run_folder(name)
        copy = lend(plate, folder / "plate.zarr")
        warm([copy / WELL])
        arguments = {
            "plate": str(copy),
            "fused": str(folder / "fused.zarr"),
            "mode": MODES[name],
            "threads": THREADS,
        }
        return Job("well", arguments).run()

    return once


def _limit(plate: Path, spec: PlateSpec, name: str) -> Run:
    """Decode all finest levels of the plate, encode all levels of the fused well of one pass."""

    def once() -> Result:
        sources = _arrays(plate / WELL, ["0"])
        templates = _arrays(last_run(ONE) / "fused.zarr" / WELL, map(str, range(spec.levels)))
        warm(map(Path, sources))
        arguments = {
            "sources": sources,
            "templates": templates,
            "output": str(run_folder(name)),
            "threads": THREADS,
            "own_calls": LIMITS[name],
        }
        return Job("codec", arguments).run()

    return once


def _arrays(well: Path, levels: Iterable[str]) -> list[str]:
    """The arrays of the images and labels of a well at some levels."""
    wanted = list(levels)
    images = sorted(path for path in well.iterdir() if path.is_dir())
    groups = [g for image in images for g in (image, *sorted((image / "labels").glob("[!.]*")))]
    return [str(group / level) for group in groups if group.is_dir() for level in wanted]
