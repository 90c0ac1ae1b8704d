"""Synthetic stages: fields of wells with known places, and what a pair measure would find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from platefuse.measuring.model import FieldKey, PairMeasure, PairStatus, StageField

Array = NDArray[np.float64]
PIXEL_UM = 0.65


@dataclass(frozen=True)
class StageSpec:
    """How the stage of a synthetic plate moves. Lengths are in pixels.

    `stage_error` is of a place, the same in all acquisitions; `repeatability` differs between
    them. `slope` is the affine error of the stage: ``error = position @ slope``. The plate is
    turned by `turn_deg` and moved by `plate_shift` in each acquisition after the first.
    """

    wells: Sequence[str] = ("B/02", "B/03", "C/02", "C/03")
    grid: tuple[int, int] = (3, 3)
    shape: tuple[int, int] = (512, 512)
    overlap: float = 0.1
    stage_error: float = 2.5
    repeatability: float = 0.6
    slope: Sequence[Sequence[float]] = ((0.0, 0.0), (0.0, 0.0))
    noise: float = 0.05
    outliers: float = 0.0
    reach: float = 40.0
    acquisitions: int = 1
    plate_shift: tuple[float, float] = (8.0, -5.0)
    by_row: tuple[float, float] = (0.0, 0.0)
    by_column: tuple[float, float] = (0.0, 0.0)
    turn_deg: float = 0.0
    empty: frozenset[tuple[str, int]] = field(default_factory=frozenset)
    strips: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Stage:
    """A synthetic plate: its fields, what is measured, and the truth.

    `place_px` is the true place of each field's corner (z, y, x) in the frame of the first
    acquisition, `wrong` the pairs that are outliers.
    """

    spec: StageSpec
    fields: list[StageField]
    pairs: list[PairMeasure]
    place_px: dict[FieldKey, Array]
    stage_px: dict[FieldKey, Array]
    wrong: set[tuple[FieldKey, FieldKey]]

    def correction(self, key: FieldKey) -> Array:
        """True place minus stage position of a field, on y and x."""
        return self.place_px[key] - self.stage_px[key]


def key_of(well: str, acquisition: int, number: int) -> FieldKey:
    return FieldKey(well, acquisition, str(acquisition), f"FOV_{number:04d}")


def make_stage(spec: StageSpec) -> Stage:
    """Fields and pairs of a synthetic plate."""
    rng = np.random.default_rng(spec.seed)
    rows, columns = spec.grid
    pitch = np.array(spec.shape) * (1 - spec.overlap)
    grid = np.array([(r, c) for r in range(rows) for c in range(columns)]) * pitch
    middle = grid.mean(axis=0)
    fields, place = [], {}
    turn = np.deg2rad(spec.turn_deg)
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array([[cos, sin], [-sin, cos]])  # from x to y: on (y, x) as a column
    for number, well in enumerate(spec.wells):
        error = rng.normal(0, spec.stage_error, (len(grid), 2))
        error += (grid - middle) @ np.array(spec.slope)
        row, column = "ABCDEFGHIJKLMNOP".index(well[0]), int(well[2:])
        for acquisition in range(spec.acquisitions):
            again = rng.normal(0, spec.repeatability, (len(grid), 2)) if acquisition else 0.0
            true = grid + error + again
            if acquisition:
                half = np.array(spec.shape) / 2
                shift = np.array(spec.plate_shift) * acquisition
                shift = shift + row * np.array(spec.by_row) + column * np.array(spec.by_column)
                true = (true + half - middle) @ rotation.T + middle - half + shift
            for n in range(len(grid)):
                key = key_of(well, acquisition, n)
                texture = 0.0 if (well, n) in spec.empty else 1.0
                y, x = map(float, (grid[n] + 1000 * number) * PIXEL_UM)
                fields.append(
                    StageField(
                        key, (0.0, y, x), (1, *spec.shape), (1.0, PIXEL_UM, PIXEL_UM), texture
                    )
                )
                place[key] = true[n] + 1000 * number
    nominal = {f.key: np.array(f.stage_um)[1:] / PIXEL_UM for f in fields}
    stage = Stage(spec, fields, [], place, nominal, set())
    _measure(stage, rng)
    return stage


def _measure(stage: Stage, rng: np.random.Generator) -> None:
    by_key = {f.key: f for f in stage.fields}
    spec, (_, columns) = stage.spec, stage.spec.grid
    near = [(0, 1), (1, 0)]
    for own in stage.fields:
        well, acquisition, n = own.key.well, own.key.acquisition, int(own.key.field[4:])
        r, c = divmod(n, columns)
        if acquisition == 0:
            others = [(r + a, c + b) for a, b in near]
            kind = "neighbour"
        else:
            around = [(0, 0), *((a * s, b * s) for a, b in near for s in (-1, 1))]
            others = [(r + a, c + b) for a, b in (around if spec.strips else around[:1])]
            kind = "cycle"
        for a, b in others:
            if not (0 <= a < spec.grid[0] and 0 <= b < columns):
                continue
            other = by_key[key_of(well, 0, a * columns + b)]
            one, two = (own, other) if kind == "neighbour" else (other, own)
            whole = (a, b) == (r, c)
            stage.pairs.append(_pair(stage, kind, one, two, whole, rng))


def _pair(
    stage: Stage, kind: str, one: StageField, two: StageField, whole: bool, rng: np.random.Generator
) -> PairMeasure:
    spec = stage.spec
    turn = np.deg2rad(spec.turn_deg) if kind == "cycle" else 0.0
    true = stage.correction(two.key) - stage.correction(one.key)
    # what a measure finds is the shift in the middle of the overlap: the turned field's own
    # shift is that of its centre
    lever = (np.array(one.stage_um)[1:] - np.array(two.stage_um)[1:]) / PIXEL_UM / 2
    cos, sin = np.cos(turn), np.sin(turn)
    true = true + (np.array([[cos, sin], [-sin, cos]]) - np.eye(2)) @ lever
    sigma = spec.noise / (3 if whole else 1)
    shift, score = true + rng.normal(0, sigma, 2), float(rng.uniform(0.5, 0.95))
    if rng.uniform() < spec.outliers:
        shift = rng.uniform(-spec.reach, spec.reach, 2)
        score = float(rng.uniform(0.3, 0.6))
        stage.wrong.add((one.key, two.key))
    empty = not (one.texture and two.texture)
    return PairMeasure(
        "cycle" if kind == "cycle" else "neighbour",
        one.key,
        two.key,
        (0.0, float(shift[0]), float(shift[1])),
        0.1,
        0.0 if empty else score,
        0.0 if empty else 0.5,
        (0.0, sigma, sigma),
        1.0 if whole else spec.overlap,
        0.0 if empty else 1.0,
        "empty" if empty else "measured",
    )


def without(pairs: Sequence[PairMeasure], *keys: FieldKey) -> list[PairMeasure]:
    """The pairs that do not touch some fields."""
    return [p for p in pairs if p.reference not in keys and p.moving not in keys]


def relabelled(pair: PairMeasure, status: PairStatus) -> PairMeasure:
    return replace(pair, status=status)
