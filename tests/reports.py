"""Reports of plates that were never imaged, with figures, faults and pictures as real ones have.

`make_report` knows its truth: the faults that it is given, and a plate that is turned a little in
every acquisition. `make_pictures` draws the pictures that the report names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image
from scipy import ndimage

from platefuse.quality.model import (
    CheckedWell,
    CycleFigures,
    FieldFigures,
    Flag,
    JudgedField,
    JudgedWell,
    Picture,
    PlateReport,
    Verdict,
)

FLAGS: tuple[Flag, ...] = get_args(Flag)
FIELD = 2048
KINDS = ("overlay", "before", "after", "fields")
SETTINGS: Mapping[str, object] = {
    "plates": {"screen": "/data/screen.zarr"},
    "results": "results",
    "registration": {
        "enabled": True,
        "store": False,
        "roi_table": "registered_FOV_ROI_table",
        "measure": {"enabled": True, "channel": "DAPI", "max_shift": 30.0},
    },
    "quality": {"max_residual": 1.0, "min_focus": 0.5, "on_flag": "warn"},
}


@dataclass(frozen=True)
class Spec:
    """A plate that is to be made up.

    Attributes
    ----------
    rows, columns : int
        Its layout.
    acquisitions, fields : int
        How many there are in a well.
    faults : mapping
        Flags by the name of a well: ``{"B/03": {(acquisition, field): flag}}``.
    absent, left_out : tuple of str
        Wells that are not there, and that were left out.
    pictures : bool
        Whether wells have pictures.
    """

    rows: int = 2
    columns: int = 3
    acquisitions: int = 3
    fields: int = 4
    faults: Mapping[str, Mapping[tuple[int, int], Flag]] | None = None
    absent: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    pictures: bool = True
    seed: int = 1


def row_name(index: int) -> str:
    """Name of a row: A to Z, then AA, AB, …"""
    letter = chr(ord("A") + index % 26)
    return letter if index < 26 else row_name(index // 26 - 1) + letter


def make_report(spec: Spec) -> PlateReport:
    """The report of a plate that was made up."""
    rows = tuple(row_name(i) for i in range(spec.rows))
    columns = tuple(f"{i + 1:02d}" for i in range(spec.columns))
    names = [f"{row}/{column}" for row in rows for column in columns]
    wells = tuple(
        _well(spec, name, k)
        for k, name in enumerate(names)
        if name not in spec.absent + spec.left_out
    )
    return PlateReport(
        plate="screen",
        fused="/data/screen_fused.zarr",
        rows=rows,
        columns=columns,
        wells=wells,
        left_out=dict.fromkeys(spec.left_out, "acquisition 2 has no image"),
        settings=SETTINGS,
        versions={"platefuse": "0.2.0", "numpy": "2.3.5", "zarr": "3.1.5"},
        digests={"config": "sha256:" + "ab" * 32},
    )


def _well(spec: Spec, name: str, index: int) -> JudgedWell:
    rng = np.random.default_rng([spec.seed, index])
    faults = (spec.faults or {}).get(name, {})
    fields = tuple(
        _field(spec, rng, index, acquisition, number, faults.get((acquisition, number)))
        for acquisition in range(spec.acquisitions)
        for number in range(spec.fields)
    )
    flags = [flag for f in fields for flag in f.flags]
    verdict: Verdict = (
        "bad" if {"misplaced", "unmatched"} & set(flags) else "look" if flags else "good"
    )
    checked = CheckedWell(
        well=name,
        reference=0,
        channels={str(a): "DAPI" for a in range(spec.acquisitions)},
        fields=tuple(f.figures for f in fields),
        cycles=_cycles(spec, rng, fields),
        pictures=tuple(_pictures(spec, name)) if spec.pictures else (),
        not_compared={},
        seconds=3.5,
    )
    return JudgedWell(checked, fields, verdict, _reasons(fields), _figures(fields))


def _field(
    spec: Spec,
    rng: np.random.Generator,
    index: int,
    acquisition: int,
    number: int,
    flag: Flag | None,
) -> JudgedField:
    side = math.ceil(math.sqrt(spec.fields))
    top, left = (round(k * FIELD * 0.9) for k in divmod(number, side))
    figures = FieldFigures(
        acquisition=acquisition,
        image=str(acquisition),
        field=f"FOV_{number + 1}",
        box_px=(top, left, top + FIELD, left + FIELD),
        shift_px=(0.0, 0.0),
        kept=0.31 if flag == "cut" else float(rng.uniform(0.975, 0.995)),
        blocks=100,
        focus=float(rng.uniform(0.1, 0.2)),
        saturated=0.034 if flag == "saturated" else float(rng.gamma(1, 0.0001)),
        gradient=float(rng.uniform(0.05, 0.2)),
        seam=float(rng.uniform(0.02, 0.08)),
    )
    focus = 0.28 if flag == "unfocused" else float(rng.normal(1, 0.05))
    flags = (flag,) if flag else ()
    if not acquisition:
        return JudgedField(figures, focus, "reference", flags)
    figures = _compared(figures, rng, shift_of(spec, index, acquisition), flag)
    return JudgedField(
        figures, focus, "filled_well" if flag == "not measured" else "measured", flags
    )


def shift_of(spec: Spec, index: int, acquisition: int) -> tuple[float, float]:
    """The shift of a well, y and x: that of the plate, which is also turned about its middle."""
    y, x = divmod(index, spec.columns)
    y_px, x_px = y - (spec.rows - 1) / 2, x - (spec.columns - 1) / 2
    turn = 0.35 * acquisition
    return 6.0 * acquisition + turn * x_px, -4.0 * acquisition - turn * y_px


def _compared(
    figures: FieldFigures,
    rng: np.random.Generator,
    shift: tuple[float, float],
    flag: Flag | None,
) -> FieldFigures:
    """The figures of a field of an acquisition that is compared with the reference."""
    noise = rng.normal(0, 0.3, 2)
    y, x = (4.6, -2.1) if flag == "misplaced" else map(float, rng.normal(0, 0.12, 2))
    few = flag in ("misplaced", "unmatched")
    return replace(
        figures,
        shift_px=(shift[0] + float(noise[0]), shift[1] + float(noise[1])),
        matched=int(rng.integers(35, 60) if few else rng.integers(92, 100)),
        residual_px=(y, x),
        median_px=math.hypot(y, x),
        p95_px=math.hypot(y, x) + float(rng.gamma(2, 0.1)),
        before=float(rng.uniform(0.1, 0.4)),
        after=float(rng.uniform(0.4, 0.6) if flag else rng.uniform(0.86, 0.97)),
    )


def _reasons(fields: Sequence[JudgedField]) -> tuple[str, ...]:
    found: dict[str, list[str]] = {}
    for f in fields:
        for flag in f.flags:
            where = f"{f.figures.field} of acquisition {f.figures.acquisition}"
            found.setdefault(flag, []).append(where)
    return tuple(f"{flag}: {', '.join(where)}" for flag, where in found.items())


def _figures(fields: Sequence[JudgedField]) -> dict[str, float | None]:
    compared = [f.figures for f in fields if f.figures.median_px is not None]
    if not compared:
        return {"flagged_fields": 0.0}
    lengths = np.array([f.median_px for f in compared], float)
    every = [f.figures for f in fields]
    return {
        "residual_px": float(np.median(lengths)),
        "p95_px": float(np.quantile([f.p95_px for f in compared if f.p95_px], 0.95)),
        "within_1px": float(np.mean(lengths < 1)),
        "matched": sum(f.matched for f in compared) / sum(f.blocks for f in compared),
        "before": float(np.median([f.before for f in compared if f.before])),
        "after": float(np.median([f.after for f in compared if f.after])),
        "shift_px": max(math.hypot(*f.shift_px) for f in every),
        "kept": min(f.kept for f in every),
        "focus": min(f.relative_focus for f in fields if f.relative_focus),
        "saturated": max(f.saturated for f in every),
        "gradient": max(f.gradient for f in every if f.gradient),
        "seam": max(f.seam for f in every if f.seam),
        "flagged_fields": float(sum(bool(f.flags) for f in fields)),
    }


def _cycles(
    spec: Spec, rng: np.random.Generator, fields: Sequence[JudgedField]
) -> tuple[CycleFigures, ...]:
    wrong = {f.figures.acquisition for f in fields if "misplaced" in f.flags}
    found = []
    for first in range(spec.acquisitions):
        for second in range(first + 1, spec.acquisitions):
            bad = bool({first, second} & wrong)
            median = float(rng.uniform(0.1, 0.25)) + 1.1 * bad
            share = float(rng.uniform(0.7, 0.8) if bad else rng.uniform(0.97, 1.0))
            found.append(CycleFigures(first, second, 390, median, 2.5 * median + 2.6 * bad, share))
    return tuple(found)


def _pictures(spec: Spec, name: str) -> list[Picture]:
    found = []
    for a in range(1, spec.acquisitions):
        texts = {
            "overlay": f"Well {name}: reference magenta, acquisition {a} green, both white.",
            "before": f"A part of well {name}: acquisition {a} without registration.",
            "after": f"The same part of well {name} with registration.",
            "fields": f"Well {name}: outlines of the fields of acquisition {a}, and shifts.",
        }
        for kind, text in texts.items():
            size = (512, 512) if kind in ("overlay", "fields") else (400, 400)
            found.append(Picture(kind, a, f"pictures/{kind}_{a}.webp", text, size))  # type: ignore[arg-type]
    return found


def make_pictures(report: PlateReport, folder: Path, *, different: int = 8) -> None:
    """Write the pictures of a report; wells beyond the first few have those of another well."""
    drawn: dict[tuple[int, int, str, bool], Path] = {}
    for index, well in enumerate(report.wells):
        bad = {f.figures.acquisition for f in well.fields if "misplaced" in f.flags}
        for p in well.checked.pictures:
            key = (index % different, p.acquisition % 4, p.kind, p.acquisition in bad)
            file = folder / well.checked.well / p.file
            file.parent.mkdir(parents=True, exist_ok=True)
            if key in drawn:
                file.hardlink_to(drawn[key])
                continue
            _draw(p.kind, p.size_px[0], seed=index % different, wrong=p.acquisition in bad).save(
                file, quality=72
            )
            drawn[key] = file


def _draw(kind: str, size: int, *, seed: int, wrong: bool) -> Image.Image:
    """Nuclei in two colours: shifted against each other if they are not registered."""
    part = kind in ("before", "after")
    nuclei = _nuclei(size, 24 if part else 260, 16.0 if part else 5.0, seed)
    shift = {"before": (9.0, -14.0), "after": (4.6, -2.1) if wrong else (0.0, 0.0)}.get(
        kind, (4.6, -2.1) if wrong else (0.0, 0.0)
    )
    rng = np.random.default_rng(seed)
    first = np.clip(nuclei + rng.normal(0.03, 0.02, nuclei.shape), 0, 1)
    moved = ndimage.shift(nuclei, shift, order=1)
    second = np.clip(moved + rng.normal(0.03, 0.02, nuclei.shape), 0, 1)
    if kind == "fields":
        first = second
    pixels = np.stack([first, second, first], axis=-1)
    return Image.fromarray((255 * pixels).astype(np.uint8))


def _nuclei(size: int, count: int, radius: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.zeros((size, size), np.float32)
    reach = math.ceil(1.4 * radius)
    for cy, cx, a, b, angle, level in zip(
        *rng.uniform(0, size, (2, count)),
        *(radius * rng.uniform(0.8, 1.3, (2, count))),
        rng.uniform(0, np.pi, count),
        rng.uniform(0.4, 0.95, count),
        strict=True,
    ):
        top, left = (max(0, int(c) - reach) for c in (cy, cx))
        part = image[top : int(cy) + reach, left : int(cx) + reach]
        y, x = np.mgrid[: part.shape[0], : part.shape[1]].astype(np.float32)
        y, x = y + top - cy, x + left - cx
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        part[:] = np.maximum(part, level * ((u / a) ** 2 + (v / b) ** 2 < 1))
    texture = ndimage.gaussian_filter(rng.normal(0, 1, image.shape), 2)
    return np.asarray(ndimage.gaussian_filter(image * (1 + 0.25 * texture), radius / 8))


def faulty(spec: Spec, every: int = 17) -> Spec:
    """A spec with one fault in one of so many wells, and every flag in turn."""
    names = [f"{row_name(r)}/{c + 1:02d}" for r in range(spec.rows) for c in range(spec.columns)]
    chosen = names[5::every]
    faults = {
        name: {(1 + k % (spec.acquisitions - 1), k % spec.fields): FLAGS[k % len(FLAGS)]}
        for k, name in enumerate(chosen)
    }
    return replace(spec, faults=faults)
