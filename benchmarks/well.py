"""Benchmark of a whole well: registered and fused in one pass, in two, by the peers; measured."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from tifffile import imwrite

from benchmarks.compare import LIMITS, OURS, THREADS, Contest, Run
from benchmarks.data import cached, last_run, lend, run_folder, warm
from benchmarks.envs import FRACTAL, STITCHER, EnvironmentFailedError
from benchmarks.measure import Job, Result, in_turn, typical
from benchmarks.registration import TABLE
from benchmarks.tables import Section
from platefuse.ngff.tables.table import read_table
from platefuse.testing import AcquisitionSpec, PlateSpec, make_plate

ONE, FLAT = OURS, "platefuse, with flat-field"
TWO, MEASURE = "platefuse, two passes", "platefuse, measuring alone"
MODES = {ONE: "one pass", FLAT: "one pass", TWO: "two passes", MEASURE: "measure"}
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
(`registration.store: false`); *with flat-field* corrects the pixels by an image of the flat and \
one of the dark; *two passes* registers every image in place and fuses then; \
*measuring alone* measures its pairs of fields (30 µm, with stitching). {THREADS} threads. The \
rows of multiview-stitcher are a loop over the peers: {FRACTAL[0].name} registers each image in \
place, then this version of multiview-stitcher fuses the fields of each ({THREADS} joblib \
processes); it fuses no label. The codec limit of one pass decodes every chunk of the finest \
levels and encodes every chunk of the fused levels. *Read* and *written* are the bytes that the \
calls passed to files or got from them, also from the page cache."""


def run_well(*, rounds: int, small: bool = False, peers: bool = True) -> Section:
    """Measure all sides."""
    little, spec = _made("well-small", SMALL), SMALL if small else CASE
    plate = little if small else _made("well", CASE)
    contest = Contest()
    for name in MODES:
        contest.enter(name, _run(plate, spec, name), warm_up=_run(little, SMALL, name))
    limit_of = _run(plate, spec, ONE)
    for name in LIMITS:
        contest.enter(name, _limit(plate, spec, name), warm_up=limit_of)
    if peers:
        _enter_loops(contest, (plate, spec), (little, SMALL))
    contest.hold(rounds)
    extra = {
        f"{header}, MB": {
            name: f"{typical(results).notes[key]:.0f}" for name, results in contest.results.items()
        }
        for header, key in (("read", "read_mb"), ("written", "written_mb"))
    }
    return Section("well", "Registering and fusing one well", TEXT, [contest.table(extra)])


def _made(name: str, spec: PlateSpec) -> Path:
    return cached(name, repr(spec), lambda path: make_plate(path, spec))


def _run(plate: Path, spec: PlateSpec, name: str) -> Run:
    profiles = cached("profiles", repr(spec), lambda path: _write_profiles(path, spec))

    def once() -> Result:
        folder = run_folder(name)
        copy = lend(plate, folder / "plate.zarr")
        warm([copy / WELL])
        arguments = {
            "plate": str(copy),
            "fused": str(folder / "fused.zarr"),
            "mode": MODES[name],
            "threads": THREADS,
            "profiles": str(profiles) if name == FLAT else None,
        }
        return Job("well", arguments).run()

    return once


def _write_profiles(folder: Path, spec: PlateSpec) -> None:
    """Write a flat that decreases to the corners by a third, and a dark of about 100."""
    folder.mkdir()
    y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in spec.field_shape)]
    flat = 1 - (y**2 + x**2) / 6
    imwrite(folder / "flat.tif", (flat / flat.mean()).astype(np.float32))
    imwrite(folder / "dark.tif", (100 + 5 * x + 0 * y).astype(np.float32))


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


def _enter_loops(
    contest: Contest, timed: tuple[Path, PlateSpec], little: tuple[Path, PlateSpec]
) -> None:
    """Add a loop over the peers for each version of multiview-stitcher."""
    try:
        fractal = FRACTAL[0].ensure()
    except EnvironmentFailedError as failure:
        contest.failures[FRACTAL[0].name] = f"its environment cannot be made: {failure}"
        return
    contest.enter_peers(
        STITCHER,
        lambda name, python: peer_loop(*timed, name, fractal, python),
        lambda name, python: peer_loop(*little, name, fractal, python),
    )


def peer_loop(plate: Path, spec: PlateSpec, name: str, fractal: Path, stitcher: Path) -> Run:
    """A loop over the peers: register every image of the well, then fuse each of them.

    Parameters
    ----------
    plate : Path
        A plate with the well `WELL`.
    spec : PlateSpec
        How it was made.
    name : str
        Name of the folder of the run.
    fractal, stitcher : Path
        Interpreters with fractal-tasks-core and with multiview-stitcher. Each image is a process of
        each, one after another.
    """

    def once() -> Result:
        folder = run_folder(name)
        well = lend(plate, folder / "plate.zarr") / WELL
        warm([well])
        numbers = [str(each.number) for each in spec.acquisitions]
        runs = []
        for number in reversed(numbers):  # the reference last: the others need its tables
            arguments = {"image": str(well / number), "table": TABLE}
            runs.append(Job("register_fractal", arguments, fractal).run())
        for number in numbers:
            fields = folder / f"fields-{number}"
            describe_fields(well / number, spec, fields)
            to_fuse = {
                "fields": str(fields),
                "output": str(folder / f"fused-{number}.zarr"),
                "chunks": {"z": 1, "y": spec.field_shape[0], "x": spec.field_shape[1]},
                "threads": THREADS,
            }
            runs.append(Job("fuse_stitcher", to_fuse, stitcher).run())
        return in_turn(runs)

    return once


def describe_fields(image: Path, spec: PlateSpec, folder: Path) -> None:
    """Write the ``fields.json`` of the fields of a mosaic, at the positions of its table."""
    table = read_table(image, "FOV_ROI_table")
    spacing = dict(zip("zyx", spec.pixel_size_um, strict=True))
    fields = []
    for row in range(len(table.names)):
        corner = [round(table.column(f"{axis}_micrometer")[row] / spacing[axis]) for axis in "yx"]
        box = [[n, n + size] for n, size in zip(corner, spec.field_shape, strict=True)]
        stage = {axis: table.column(f"{axis}_micrometer_original")[row] for axis in "yx"}
        affine = [[float(i == j) for j in range(4)] for i in range(4)]
        path = str(image / "0")
        fields.append({"path": path, "box": box, "origin": {"z": 0.0} | stage, "affine": affine})
    described = {
        "space": "zyx",
        "channels": list(spec.channels),
        "spacing": spacing,
        "fields": fields,
    }
    folder.mkdir()
    (folder / "fields.json").write_text(json.dumps(described))


def _arrays(well: Path, levels: Iterable[str]) -> list[str]:
    """The arrays of the images and labels of a well at some levels."""
    wanted = list(levels)
    images = sorted(path for path in well.iterdir() if path.is_dir())
    groups = [g for image in images for g in (image, *sorted((image / "labels").glob("[!.]*")))]
    return [str(group / level) for group in groups if group.is_dir() for level in wanted]
