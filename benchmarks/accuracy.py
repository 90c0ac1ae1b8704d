"""Benchmark of measured registration: raw plates with known truth, and a real mosaic."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import raw
from benchmarks.compare import OURS, THREADS
from benchmarks.data import cached, warm
from benchmarks.envs import ALIGNER, FRACTAL, MIST, STITCHER, EnvironmentFailedError, Peer
from benchmarks.measure import Job, JobFailedError, Result, interleave, typical
from benchmarks.raw import RawSpec
from benchmarks.tables import Section, Table, megabytes, seconds

Floats = NDArray[np.float64]

SHARED = Path(__file__).parents[2] / "shared" / "data"
FLUNG_PX = 10.0
MAX_SHIFT_PX = 40.0
HEADER = (
    "side",
    "shifts: median, p95, worst",
    "positions: median, p95, worst",
    f"> {FLUNG_PX:.0f} px",
    "call, s",
    "processor, s",
    "peak MB",
    "remarks",
)
TEXT = f"""\
Raw plates in the `fields` layout: one well of 3 × 3 fields of 512² pixels with 10 % overlap, 3 \
acquisitions moved by (9.4, -7.3) and (-11.6, 4.2) px; error of the stage 2.5 px, repeatability \
0.6 px (on each axis); Poisson and read noise. The tissue is computed at the true positions, so \
the truth has no rounding. *Shifts*: fields of the second and third acquisition against the field \
of the first. *Positions*: fields of the first acquisition, without a common shift of all. All \
errors are lengths of vectors on y and x, in pixels, of fields with tissue; *> {FLUNG_PX:.0f} px* \
counts all fields, empty ones too. The programs start from the positions of the stage. \
fractal-tasks-core does not stitch, m2stitch does not register. Not by default: axis-aligned \
pairs of multiview-stitcher; `filter_sigma` 1 of ashlar, against noise; `ncc_threshold` 0.1 of \
m2stitch, which stops on the clean plate without."""

SPECS = (
    RawSpec("clean"),
    RawSpec("sparse", cell_px=110.0),
    RawSpec("dirty", vignetting=0.4, pattern=0.04, dust=0.3, debris=8),
    RawSpec("turned", angles_deg=(0.0, 0.3, -0.3)),
    RawSpec("half", empty=0.5),
)
CAPTIONS = {
    "clean": "Clean: many cells.",
    "sparse": "Sparse: about 20 cells in a field, 2 in an overlap.",
    "dirty": "Vignetting of 40 %, fixed pattern of the camera (4 % grain, 40 dust grains), and 8 "
    "bright pieces of debris in each field, elsewhere in each acquisition.",
    "turned": "Turned by 0.3° and -0.3° in the second and third acquisition (platefuse: `model: "
    "rigid`). Shifts are those of the centres of the fields.",
    "half": "Four of nine fields are empty, in all acquisitions.",
    "brain": "Brain mosaic: 54 tiles of 512² pixels, stage and camera turned by 0.95° against each "
    "other. Positions against Fiji's, of the tiles where Fiji is within 3 px of an affine stage; "
    "all tiles against this stage for the number beyond 10 px.",
}
PLATES = tuple(CAPTIONS)


@dataclass(frozen=True)
class Truth:
    """Where the fields of a plate are.

    Attributes
    ----------
    places_px : ndarray, shape (fields, 2)
        Where each field begins.
    known : ndarray of bool
        Fields whose errors count.
    first : ndarray of int
        Index of the field of the first acquisition with the same number.
    well : sequence of str
        The well of each field.
    stage_px : ndarray, shape (fields, 2)
        Where the stage had them.
    """

    places_px: Floats
    known: NDArray[np.bool_]
    first: NDArray[np.intp]
    well: Sequence[str]
    stage_px: Floats = field(repr=False)


@dataclass(frozen=True)
class Errors:
    """Errors of a program on a plate, in pixels.

    Attributes
    ----------
    shifts, positions : ndarray
        Of the fields with tissue.
    flung : int
        Number of fields, of all, that are further off than `FLUNG_PX`.
    """

    shifts: Floats
    positions: Floats
    flung: int


def errors_of(places: Sequence[Sequence[float] | None], truth: Truth) -> Errors:
    """Compare places with the truth.

    Parameters
    ----------
    places : sequence of (float, float) or None
        Where a program has each field; None if it does not say.
    truth : Truth
        Where they are.
    """
    found = np.array([p or (np.nan, np.nan) for p in places], np.float64).reshape(-1, 2)
    away = found - truth.places_px
    is_first = truth.first == np.arange(len(truth.first))
    shift = np.hypot(*(away - away[truth.first]).T)
    position = np.full(len(away), np.nan)
    for well in set(truth.well):
        own = is_first & np.array([w == well for w in truth.well])
        middle = np.median(away[own & truth.known], axis=0)
        position[own] = np.hypot(*(away[own] - middle).T)
    both = truth.known & truth.known[truth.first]
    every = np.where(is_first, position, shift)
    return Errors(
        _finite(shift[both & ~is_first]),
        _finite(position[truth.known & is_first]),
        int((every > FLUNG_PX).sum()),
    )


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _spread(errors: Floats) -> str:
    """Median, 95th percentile and largest of some errors."""
    if not len(errors):
        return "–"
    return ", ".join(
        f"{v:.3f}" for v in (np.median(errors), np.quantile(errors, 0.95), errors.max())
    )


def read_truth(folder: Path) -> Truth:
    """Read the truth of a synthetic plate."""
    described = json.loads((folder / "fields.json").read_text())
    fields, true = described["fields"], json.loads((folder / "truth.json").read_text())
    number = {(f["well"], f["number"]): n for n, f in enumerate(fields) if f["acquisition"] == 0}
    return Truth(
        np.array([t["centre_px"] for t in true]) - described["side"] / 2,
        np.array([not t["empty"] for t in true]),
        np.array([number[f["well"], f["number"]] for f in fields]),
        [f["well"] for f in fields],
        np.array([f["stage_px"] for f in fields]),
    )


def affine_stage(stage: Floats, places: Floats) -> Floats:
    """Where an affine stage has the fields, fitted to most places, whatever the others are."""
    rows = np.column_stack([stage, np.ones(len(stage))])
    weight = np.ones(len(stage))
    for _ in range(100):  # Cauchy weights
        scaled = rows * weight[:, None]
        model = np.linalg.solve(rows.T @ scaled, scaled.T @ places)
        away = np.hypot(*(places - rows @ model).T)
        weight = 1 / (1 + (away / max(0.5, float(np.median(away)))) ** 2)
    return np.asarray(rows @ model)


def brain_case(folder: Path) -> None:
    """Describe the brain mosaic as a raw plate, with what Fiji found as its truth."""
    with (SHARED / "brain_wsi.positions.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    stage, fiji = (
        np.array([[float(row[f"{name}_{axis}_px"]) for axis in "yx"] for row in rows])
        for name in ("stage", "fiji")
    )
    model = affine_stage(stage, fiji)
    good = np.hypot(*(fiji - model).T) <= 3
    grid = np.rint((stage - stage.min(axis=0)) / 460).astype(int)
    fields = [
        {
            "well": "A/1",
            "acquisition": 0,
            "number": n,
            "image": row["image"],
            "row_column": grid[n].tolist(),
            "stage_px": stage[n].tolist(),
        }
        for n, row in enumerate(rows)
    ]
    folder.mkdir()
    plate = str(SHARED / "brain_wsi.zarr")
    described = {"side": 512, "pixel_um": 0.5, "plate": plate, "fields": fields}
    (folder / "fields.json").write_text(json.dumps(described))
    place = np.where(good[:, None], fiji, model) + 256
    truth = [{"centre_px": p.tolist(), "empty": not g} for p, g in zip(place, good, strict=True)]
    (folder / "truth.json").write_text(json.dumps(truth))


def run_accuracy(
    *, rounds: int, small: bool = False, peers: bool = True, only: Sequence[str] = ()
) -> Section:
    """Measure errors, time and memory of all programs on all plates."""
    tables = []
    for name, folder in plates(small=small).items():
        if only and name not in only:
            continue
        warm([folder])
        sides, failures = jobs(name, folder, peers=peers)
        found = interleave({side: job.run for side, job in sides.items()}, rounds)
        tables.append(table_of(name, read_truth(folder), {**found, **failures}))
    return Section("accuracy", "Accuracy of measured shifts and positions", TEXT, tables)


def plates(*, small: bool) -> dict[str, Path]:
    """The folders of all plates, made if they do not exist."""
    found = {}
    source = Path(raw.__file__).read_text()
    tiny = replace(SPECS[0], side=160, grid=(2, 2), overlap=0.2)
    for spec in (tiny,) if small else SPECS:
        found[spec.name] = cached(f"raw-{spec.name}", f"{spec} {source}", spec.write)
    if (SHARED / "brain_wsi.zarr").is_dir() and not small:
        found["brain"] = cached("raw-brain", Path(__file__).read_text(), brain_case)
    return found


def jobs(
    name: str, folder: Path, *, peers: bool
) -> tuple[dict[str, Job], dict[str, EnvironmentFailedError]]:
    """The programs that can do a plate, and those whose environment cannot be made."""
    given: dict[str, Any] = {"folder": str(folder)}
    pixel_um = json.loads((folder / "fields.json").read_text())["pixel_um"]
    model = "rigid" if name == "turned" else "translation"
    ours = {**given, "threads": THREADS, "model": model, "max_shift_px": MAX_SHIFT_PX}
    found = {OURS: Job("measure_platefuse", ours)}
    failures = {}
    others: list[tuple[Peer, str, dict[str, Any]]] = [
        (STITCHER[1], "measure_stitcher", {**given, "threads": THREADS}),
        (ALIGNER, "measure_ashlar", {**given, "pixel_um": pixel_um}),
        (MIST, "measure_m2stitch", given),
    ]
    if name != "brain":  # one acquisition: nothing to register
        others.append((FRACTAL[0], "measure_fractal", given))
    for peer, module, arguments in others if peers else []:
        try:
            found[peer.name] = Job(module, arguments, peer.ensure())
        except EnvironmentFailedError as error:
            failures[peer.name] = error
    return found, failures


def table_of(
    name: str,
    truth: Truth,
    found: Mapping[str, Sequence[Result] | JobFailedError | EnvironmentFailedError],
) -> Table:
    """The table of a plate; its first row is what the stage alone gives."""
    table = Table(HEADER, caption=CAPTIONS[name])
    stage = errors_of([tuple(place) for place in truth.stage_px.tolist()], truth)
    table.add("(stage)", _spread(stage.shifts), _spread(stage.positions), str(stage.flung))
    for side, results in found.items():
        if isinstance(results, Exception):
            table.add(side, f"not measured: {results}")
            continue
        result = typical(results)
        errors = errors_of(result.notes["places"], truth)
        table.add(
            side,
            _spread(errors.shifts),
            _spread(errors.positions),
            str(errors.flung),
            seconds(result.call_s),
            seconds(result.cpu_s),
            megabytes(result.peak_mb),
            _remarks(result.notes),
        )
    return table


def _remarks(notes: Mapping[str, Any]) -> str:
    """Errors of the program, and the statuses of the fields that it did not measure."""
    said = [f"{count} × {error}" for error, count in notes["failed"].items()]
    for status in dict.fromkeys(notes.get("statuses", ())):
        if status not in ("reference", "measured"):
            said.append(f"{notes['statuses'].count(status)} {status}")
    return "; ".join(said)
