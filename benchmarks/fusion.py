"""Benchmark of fusing one image: platefuse, multiview-stitcher and the codec limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.compare import LIMIT, LIMIT_OWN_CALLS, LIMITS, OURS, THREADS, Contest, Run
from benchmarks.data import cached, last_run, run_folder, warm
from benchmarks.envs import STITCHER
from benchmarks.measure import Job, Result
from benchmarks.scenes import Content, FieldsSpec, distance_from_waves, tissue, waves
from benchmarks.tables import Section, Table


@dataclass(frozen=True)
class Case:
    """One case of the suite.

    Attributes
    ----------
    title : str
        Title in the report.
    spec : FieldsSpec
        The fields.
    chunks : dict of str to int
        Chunk shape of the fused image, in pixels.
    small : tuple of int
        Shape of a field in the small version of the case, whose output is compared with the
        truth, in pixels.
    """

    title: str
    spec: FieldsSpec
    chunks: dict[str, int]
    small: tuple[int, ...]

    @property
    def twin(self) -> Case:
        """The same case with smaller fields."""
        name = f"{self.spec.name}-small"
        chunk = tuple(map(min, self.spec.chunk, self.small)) if self.spec.chunk else ()
        spec = replace(self.spec, name=name, field_shape=self.small, chunk=chunk)
        return replace(self, spec=spec)

    def fields(self, content: Content) -> Path:
        """Folder of the fields; they are made if they do not exist."""
        name = f"fields-{self.spec.name}-{content.__name__}"
        return cached(name, repr(self.spec), lambda folder: self.spec.write(folder, content))


PLANES = {"z": 1, "y": 2048, "x": 2048}
BLOCKS = {"z": 16, "y": 512, "x": 512}
PLANE = {"y": 2048, "x": 2048}
THIN = (2, 270, 320)

CASES = (
    Case("2 × 2 fields, whole-pixel shifts", FieldsSpec("mosaic"), PLANES, THIN),
    Case(
        "2 × 2 fields, fractional shifts",
        FieldsSpec("fractional", whole_pixels=False),
        PLANES,
        THIN,
    ),
    Case(
        "2 × 2 fields, each rotated by 1° to 2°",
        FieldsSpec("rotated", whole_pixels=False, rotation_deg=2.0),
        PLANES,
        THIN,
    ),
    Case(
        "2 × 2 stacks, fractional shifts in z, y, x",
        FieldsSpec(
            "stacks",
            field_shape=(32, 1080, 1280),
            channels=1,
            jitter_px=(1.5, 4, 4),
            whole_pixels=False,
            chunk=(16, 540, 640),
        ),
        BLOCKS,
        (8, 135, 160),
    ),
    Case(
        "10 × 20 small fields, whole-pixel shifts",
        FieldsSpec("many", grid=(10, 20), field_shape=(400, 400), channels=1),
        PLANE,
        (64, 64),
    ),
)

TEXT = f"""\
Fields of uint16 with camera noise, {{overlap}} % overlap, blosc-lz4, as dask arrays over Zarr \
in the multiview-stitcher data model. They are fused by weighted average with default blending \
into an OME-Zarr 0.4 image with its pyramid. {THREADS} threads, or {THREADS} joblib processes; \
the fields are opened before the call. The codec limit decodes every chunk of the fields and \
encodes every chunk of all levels that platefuse writes. *Largest error* is measured in a \
separate run with the same geometry, on smaller fields that show a formula without noise. The \
first number is for pixels that exactly one field covers, the second for all covered pixels."""


def run_fusion(
    *, rounds: int, small: bool = False, peers: bool = True, only: Sequence[str] = ()
) -> Section:
    """Measure all sides on each case; `only` selects cases by name."""
    chosen = [case for case in CASES if not only or case.spec.name in only]
    tables = [run_case(case, rounds=rounds, small=small, peers=peers) for case in chosen]
    text = TEXT.format(overlap=round(100 * CASES[0].spec.overlap))
    return Section("fusion", "Fusing one image", text, tables)


def run_case(case: Case, *, rounds: int, small: bool, peers: bool) -> Table:
    """Measure one case; the warm-up runs are the small case, compared with the truth."""
    timed = case.twin if small else case
    fields = timed.fields(tissue)
    formula = case.twin.fields(waves)
    contest = Contest()
    contest.enter(
        OURS,
        run_ours(timed, fields, OURS),
        warm_up=run_ours(case.twin, formula, truth_run(case, OURS)),
    )
    if peers:
        contest.enter_peers(
            STITCHER,
            lambda name, python: run_peer(timed, fields, name, python),
            lambda name, python: run_peer(case.twin, formula, truth_run(case, name), python),
        )
    template = last_run("template")
    made = run_ours(timed, fields, "template")
    contest.enter(LIMIT, run_limit(fields, template, LIMIT), warm_up=made)
    contest.enter(LIMIT_OWN_CALLS, run_limit(fields, template, LIMIT_OWN_CALLS))
    contest.hold(rounds)
    distances = {
        name: distance_from_waves(case.twin.spec, last_run(truth_run(case, name)))
        for name in contest.results
        if name not in LIMITS
    }
    extra = {
        "largest error": {
            name: f"{found.alone:.1f}, {found.anywhere:.1f}" for name, found in distances.items()
        }
    }
    return contest.table(extra, caption=f"{timed.title}: {describe(timed.spec)}.")


def truth_run(case: Case, side: str) -> str:
    """Name of the run whose output is compared with the truth."""
    return f"truth {case.spec.name} {side}"


def run_ours(case: Case, fields: Path, run: str) -> Run:
    """Return a function that runs platefuse once."""
    return lambda: _run("fuse", case, fields, run)


def run_peer(case: Case, fields: Path, run: str, python: Path) -> Run:
    """Return a function that runs a version of multiview-stitcher once."""
    return lambda: _run("fuse_stitcher", case, fields, run, python)


def run_limit(fields: Path, template: Path, name: str) -> Run:
    """Return a function that decodes all chunks that are read and encodes all that are written."""

    def once() -> Result:
        warm([fields])
        arguments = {
            "sources": sorted(map(str, fields.glob("*.zarr"))),
            "templates": sorted(str(found.parent) for found in template.glob("*/.zarray")),
            "output": str(run_folder(name)),
            "threads": THREADS,
            "own_calls": LIMITS[name],
        }
        return Job("codec", arguments).run()

    return once


def describe(spec: FieldsSpec) -> str:
    """Return the shape of all fields together, for the report."""
    shape = " × ".join(map(str, spec.field_shape))
    axes = ", ".join(["fields", "c", *spec.space])
    return f"{math.prod(spec.grid)} × {spec.channels} × {shape} pixels ({axes})"


def _run(module: str, case: Case, fields: Path, run: str, python: Path | None = None) -> Result:
    warm([fields])
    arguments = {
        "fields": str(fields),
        "output": str(run_folder(run)),
        "chunks": case.chunks,
        "threads": THREADS,
    }
    return (Job(module, arguments, python) if python else Job(module, arguments)).run()
