"""Benchmark of registering one image: platefuse, fractal-tasks-core and the codec limit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from benchmarks.compare import LIMIT, LIMIT_OWN_CALLS, LIMITS, OURS, THREADS, Contest, Run
from benchmarks.data import cached, last_run, lend, run_folder, warm
from benchmarks.envs import FRACTAL
from benchmarks.measure import Job, Result
from benchmarks.tables import Section
from platefuse.testing import AcquisitionSpec, PlateSpec, make_plate

TABLE = "registered_FOV_ROI_table"
SHIFT_PX = (7, -12)
FINEST = "0"

CASE = PlateSpec(
    wells=("B/03",),
    acquisitions=(AcquisitionSpec(0), AcquisitionSpec(1, shift_px=SHIFT_PX)),
    field_shape=(2160, 2560),
    planes=4,
    levels=5,
)
SMALL = replace(CASE, field_shape=(270, 320), planes=1, levels=3)

TEXT = """\
One image of {shape} {dtype} (`{axes}`) with a {label_dtype} label, {levels} levels, chunks of \
one field, {compressor}, with camera noise; {fields} fields, shifted by {shift} pixels (y, x). \
{threads} threads. The call is `apply_registration_to_image` with everything that it does: \
tables, the exchange with the old image, and the removal of the old image. The codec limit \
decodes every chunk of the finest level and encodes every chunk of all levels. *Largest error* \
is over all pixels of the finest level of image and label."""


@dataclass(frozen=True)
class Plate:
    """An example plate on disk, whose acquisition 1 is to be registered."""

    spec: PlateSpec
    path: Path

    @classmethod
    def made(cls, name: str, spec: PlateSpec) -> Plate:
        """Return the plate of a spec; it is made if it does not exist."""
        return cls(spec, cached(name, repr(spec), lambda path: make_plate(path, spec)))

    @property
    def image(self) -> Path:
        """The image that is to be registered."""
        return self.path / self.spec.wells[0] / "1"

    @property
    def pyramids(self) -> list[Path]:
        """The image and its labels."""
        return [self.image, *(self.image / "labels" / name for name in self.spec.labels)]

    def levels(self) -> list[Path]:
        """The arrays of all levels, of the image and of its labels."""
        return [path / str(level) for path in self.pyramids for level in range(self.spec.levels)]

    def lent(self, run: str) -> Plate:
        """Return a copy that a run may change; its files are in the page cache."""
        copy = Plate(self.spec, lend(self.path, run_folder(run)))
        warm([copy.path / self.spec.wells[0]])
        return copy


def run_registration(*, rounds: int, small: bool = False, peers: bool = True) -> Section:
    """Measure all sides and compare their outputs with the truth and with platefuse's."""
    little = Plate.made("registration-small", SMALL)
    plate = little if small else Plate.made("registration", CASE)
    contest = Contest()
    contest.enter(OURS, run_ours(plate, OURS), warm_up=run_ours(little, OURS))
    if peers:
        contest.enter_peers(
            FRACTAL,
            lambda name, python: run_peer(plate, name, python),
            lambda name, python: run_peer(little, name, python),
        )
    template = written("template", plate)
    contest.enter(LIMIT, run_limit(plate, template, LIMIT), warm_up=run_ours(plate, "template"))
    contest.enter(LIMIT_OWN_CALLS, run_limit(plate, template, LIMIT_OWN_CALLS))
    contest.hold(rounds)
    outputs = {name: written(name, plate) for name in contest.results if name not in LIMITS}
    return Section(
        "registration",
        "Registering one image",
        describe(plate.spec),
        [
            contest.table(
                {
                    "largest error": {
                        name: f"{farthest_from_truth(plate, found):g}"
                        for name, found in outputs.items()
                    },
                    "finest levels equal to platefuse's": {
                        name: "bit for bit" if same_finest(found, outputs[OURS]) else "no"
                        for name, found in outputs.items()
                        if name != OURS and OURS in outputs
                    },
                }
            )
        ],
    )


def run_ours(plate: Plate, run: str) -> Run:
    """Return a function that runs platefuse once, on a copy of the plate."""

    def once() -> Result:
        image = str(plate.lent(run).image)
        return Job("register", {"image": image, "table": TABLE, "threads": THREADS}).run()

    return once


def run_peer(plate: Plate, run: str, python: Path) -> Run:
    """Return a function that runs a version of fractal-tasks-core once, on a copy of the plate."""

    def once() -> Result:
        image = str(plate.lent(run).image)
        return Job("register_fractal", {"image": image, "table": TABLE}, python).run()

    return once


def run_limit(plate: Plate, template: Plate, name: str) -> Run:
    """Return a function that decodes all chunks that are read and encodes all that are written."""

    def once() -> Result:
        sources = [str(path / FINEST) for path in plate.pyramids]
        warm(map(Path, sources))
        arguments = {
            "sources": sources,
            "templates": list(map(str, template.levels())),
            "output": str(run_folder(name)),
            "threads": THREADS,
            "own_calls": LIMITS[name],
        }
        return Job("codec", arguments).run()

    return once


def written(run: str, plate: Plate) -> Plate:
    """Return the plate that a run has written."""
    return Plate(plate.spec, last_run(run))


def farthest_from_truth(plate: Plate, found: Plate) -> float:
    """Return the largest error of any pixel of the finest level, of image and labels."""
    return max(
        _largest_difference(read(old / FINEST), read(new / FINEST), plate.spec)
        for old, new in zip(plate.pyramids, found.pyramids, strict=True)
    )


def registered(pixels: NDArray[Any], spec: PlateSpec) -> NDArray[Any]:
    """Compute the truth from the plate's specification: shifted fields, zeros around them."""
    out = np.zeros_like(pixels)
    for top in range(0, pixels.shape[-2], spec.field_shape[0]):
        for left in range(0, pixels.shape[-1], spec.field_shape[1]):
            corner = zip((top, left), spec.field_shape, SHIFT_PX, strict=True)
            # The tables keep the part of a field that all acquisitions show, in the position
            # that it has in the reference.
            spans = [(a + max(0, s), a + n + min(0, s), s) for a, n, s in corner]
            (top_to, bottom_to, down), (left_to, right_to, right) = spans
            out[..., top_to:bottom_to, left_to:right_to] = pixels[
                ..., top_to - down : bottom_to - down, left_to - right : right_to - right
            ]
    return out


def _largest_difference(source: NDArray[Any], found: NDArray[Any], spec: PlateSpec) -> float:
    truth = registered(source, spec)
    return max(
        float(np.abs(a.astype(np.int64) - b.astype(np.int64)).max())
        for a, b in zip(truth, found, strict=True)
    )


def same_finest(one: Plate, other: Plate) -> bool:
    """Whether the finest levels of image and labels are equal bit for bit."""
    pairs = zip(one.pyramids, other.pyramids, strict=True)
    return all(np.array_equal(read(a / FINEST), read(b / FINEST)) for a, b in pairs)


def read(path: Path) -> NDArray[Any]:
    """Read all pixels of an array."""
    return np.asarray(zarr.open_array(path, mode="r")[...])


def describe(spec: PlateSpec) -> str:
    """Return a description of the job, for the report."""
    return TEXT.format(
        shape=" × ".join(map(str, spec.image_shape)),
        dtype=spec.dtype,
        axes=spec.axes,
        label_dtype=spec.label_dtype,
        levels=spec.levels,
        compressor=spec.compressor,
        fields=" × ".join(map(str, spec.grid)),
        shift=SHIFT_PX,
        threads=THREADS,
    )
