from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platefuse.errors import MeasureError
from platefuse.measuring.model import FieldKey, PairMeasure
from platefuse.measuring.solve.graph import Array
from platefuse.measuring.solve.stitching import Stitched, common_pixel, stitch
from tests.stages import PIXEL_UM, Stage, StageSpec, key_of, make_stage, relabelled, without

TURNED = ((0.0, 0.0166), (-0.0166, 0.0))  # 0.95 degrees, as the brain mosaic's stage
DRIFTING = ((0.004, 0.011), (-0.018, -0.003))  # turned, scaled and sheared
FEW = settings(max_examples=8, deadline=None)
PLATE = tuple(f"{row}/{column:02d}" for row in "BCDEFG" for column in range(2, 12))


def solve(stage: Stage) -> Stitched:
    return stitch(stage.fields, stage.pairs)


def errors(stage: Stage, found: Stitched) -> dict[FieldKey, float]:
    """Error of each measured field in its well, whose frame is free, in pixels."""
    wells: dict[str, list[FieldKey]] = {}
    for key, field in found.fields.items():
        if field.edges:
            wells.setdefault(key.well, []).append(key)
    result: dict[FieldKey, float] = {}
    for keys in wells.values():
        away = np.array([yx(found, key) - stage.correction(key) for key in keys])
        rest = np.hypot(*(away - np.median(away, axis=0)).T)
        result |= dict(zip(keys, map(float, rest), strict=True))
    return result


def yx(found: Stitched, key: FieldKey) -> Array:
    return np.array(found.fields[key].correction_px[1:])


def from_model(found: Stitched, key: FieldKey) -> float:
    """How far a field is from the stage model of its well, in pixels."""
    field = found.fields[key].field
    at = (field.stage_um[1] / PIXEL_UM, field.stage_um[2] / PIXEL_UM)
    return math.dist(found.models[key.well].correction_px(at), found.fields[key].correction_px)


@FEW
@given(
    seed=st.integers(0, 999),
    grid=st.tuples(st.integers(1, 5), st.integers(2, 5)),
    slope=st.sampled_from([((0.0, 0.0), (0.0, 0.0)), TURNED, DRIFTING]),
)
def test_differences_without_noise_give_exact_places(
    seed: int, grid: tuple[int, int], slope: tuple[tuple[float, float], ...]
) -> None:
    stage = make_stage(StageSpec(seed=seed, grid=grid, slope=slope, noise=0, wells=("A/01",)))
    found = solve(stage)
    used = [edge for edge in found.edges if edge.used]
    assert len(used) >= len(found.fields) - 1 or min(grid) == 1  # a bridge may be too far off
    assert max(errors(stage, found).values()) < 1e-3


def test_noise_is_averaged_over_the_loops() -> None:
    away = []
    for seed in range(5):
        stage = make_stage(StageSpec(seed=seed, wells=("A/01",), grid=(6, 9), noise=0.05))
        away += list(errors(stage, solve(stage)).values())
    assert np.median(away) < 0.08
    assert max(away) < 0.25


@pytest.mark.parametrize(
    ("share", "usual", "most"), [(0.02, 0.13, 0.005), (0.1, 0.15, 0.02), (0.2, 0.3, 0.05)]
)
def test_outliers_move_few_fields(share: float, usual: float, most: float) -> None:
    stage = make_stage(StageSpec(wells=PLATE, outliers=share))
    found = solve(stage)
    away = np.array(list(errors(stage, found).values()))
    assert np.percentile(away, 95) < usual
    assert (away > 1).mean() < most
    good = [e for e in found.edges if (e.pair.reference, e.pair.moving) not in stage.wrong]
    assert np.mean([e.used for e in good]) > 0.99


@FEW
@given(
    edge=st.integers(0, 11),
    size=st.floats(15, 200),
    angle=st.floats(0, 2 * math.pi),
    seed=st.integers(0, 50),
)
def test_one_large_outlier_moves_no_field_with_other_pairs(
    edge: int, size: float, angle: float, seed: int
) -> None:
    """In a well of 3 × 3 fields every field has another pair, and a loop that shows it."""
    stage = make_stage(StageSpec(wells=("A/01", "A/02"), seed=seed, stage_error=1.0))
    before = solve(stage)
    pairs = sorted(stage.pairs, key=lambda p: (p.reference, p.moving))
    pairs[edge] = replace(
        pairs[edge], shift_px=(0.0, size * math.sin(angle), size * math.cos(angle))
    )
    after = stitch(stage.fields, pairs)
    for key in before.fields:
        assert np.abs(yx(after, key) - yx(before, key)).max() < 0.5


def test_a_field_without_pairs_follows_the_stage_model() -> None:
    empty = frozenset((well, n) for well in ("B/02", "B/03") for n in (0, 4, 7))
    stage = make_stage(StageSpec(slope=TURNED, empty=empty, outliers=0.1))
    found = solve(stage)
    for well, n in empty:
        key = key_of(well, 0, n)
        assert found.fields[key].edges == 0
        assert math.isnan(found.fields[key].score)
        assert math.isnan(found.fields[key].sigma_px)
        assert from_model(found, key) < 1e-6


def test_the_stage_model_is_found_from_the_fields_that_are_there() -> None:
    """The issue's target: every empty field within 2 px of the stage's model, here the true one."""
    rng = np.random.default_rng(3)
    empty = frozenset(("A/01", int(n)) for n in rng.choice(54, 27, replace=False))
    spec = StageSpec(wells=("A/01",), grid=(6, 9), slope=TURNED, stage_error=1.0, empty=empty)
    stage = make_stage(spec)
    found = solve(stage)
    model = found.models["A/01"].slope
    assert np.allclose(np.array(model)[:, 1:], TURNED, atol=5e-4)
    grid = np.array([[f.field.stage_um[1], f.field.stage_um[2]] for f in found.fields.values()])
    true = (grid - (grid.min(axis=0) + grid.max(axis=0)) / 2) / PIXEL_UM @ np.array(TURNED)
    for (key, field), expected in zip(found.fields.items(), true, strict=True):
        if not field.edges:
            assert math.dist(yx(found, key), expected) < 2


def test_an_island_keeps_its_shape_and_follows_the_model_as_a_whole() -> None:
    stage = make_stage(StageSpec(wells=("A/01",), grid=(3, 7), stage_error=2.0))
    wall = [key_of("A/01", 0, 7 * row + 3) for row in range(3)]
    pairs = without(stage.pairs, *wall)
    found = stitch(stage.fields, pairs)
    for columns in ((0, 1, 2), (4, 5, 6)):
        keys = [key_of("A/01", 0, 7 * row + column) for row in range(3) for column in columns]
        away = np.array([yx(found, key) - stage.correction(key) for key in keys])
        assert np.hypot(*(away - away.mean(axis=0)).T).max() < 0.3
        at_model = np.array([_model_at(found, key) for key in keys])
        places = np.array([yx(found, key) for key in keys])
        assert np.abs((places - at_model).mean(axis=0)).max() < 1.0


def _model_at(found: Stitched, key: FieldKey) -> Array:
    field = found.fields[key].field
    at = (field.stage_um[1] / PIXEL_UM, field.stage_um[2] / PIXEL_UM)
    return np.array(found.models[key.well].correction_px(at)[1:])


def kept(stage: Stage, *ends: tuple[int, int]) -> list[PairMeasure]:
    """The pairs between some fields of a well."""
    keys = {(key_of("A/01", 0, a), key_of("A/01", 0, b)) for a, b in ends}
    return [p for p in stage.pairs if (p.reference, p.moving) in keys]


@pytest.mark.parametrize("seed", range(12))
def test_two_pairs_do_not_make_a_model_that_carries_the_other_fields_away(seed: int) -> None:
    """They fit any model exactly: the errors of three stage positions would be its slopes."""
    stage = make_stage(StageSpec(wells=("A/01",), grid=(3, 3), stage_error=2.5, seed=seed))
    pairs = kept(stage, (3, 6), (6, 7))
    assert len(pairs) == 2
    found = stitch(stage.fields, pairs)
    for key, field in found.fields.items():
        if not field.edges:
            assert np.hypot(*yx(found, key)) < 3 * 2.5  # without a model it would be 0


def test_two_pairs_of_large_fields_tell_a_turn() -> None:
    spec = StageSpec(wells=("A/01",), shape=(2160, 2160), slope=TURNED, stage_error=1.0, seed=1)
    stage = make_stage(spec)
    found = stitch(stage.fields, kept(stage, (3, 6), (6, 7)))
    slope = np.array(found.models["A/01"].slope)[:, 1:]
    assert np.allclose(slope, TURNED, atol=2e-3)


def test_a_well_without_pairs_has_the_slopes_of_the_plate() -> None:
    stage = make_stage(StageSpec(wells=PLATE, slope=TURNED))
    pairs = [p for p in stage.pairs if p.moving.well != "B/03"]
    found = stitch(stage.fields, pairs)
    assert np.allclose(np.array(found.models["B/03"].slope)[:, 1:], TURNED, atol=5e-4)
    assert all(f.edges == 0 for key, f in found.fields.items() if key.well == "B/03")


def test_a_wrong_bridge_carries_no_field_away() -> None:
    stage = make_stage(StageSpec(wells=PLATE[:4], stage_error=1.0))
    corner = key_of("B/02", 0, 0)
    pairs = without(stage.pairs, corner)
    bridge = next(p for p in stage.pairs if corner in (p.reference, p.moving))
    found = stitch(stage.fields, [*pairs, replace(bridge, shift_px=(0.0, 25.0, -30.0))])
    assert found.fields[corner].edges == 0
    assert from_model(found, corner) < 1e-6
    found = stitch(stage.fields, [*pairs, bridge])
    assert found.fields[corner].edges == 1
    assert errors(stage, found)[corner] < 0.3


def test_without_pairs_every_field_stays_where_the_stage_had_it() -> None:
    stage = make_stage(StageSpec())
    found = stitch(stage.fields, [])
    assert {f.correction_px for f in found.fields.values()} == {(0.0, 0.0, 0.0)}
    assert stitch([], []).fields == {}


def test_pairs_that_were_not_measured_or_are_of_another_kind_are_not_used() -> None:
    stage = make_stage(StageSpec())
    pairs = [relabelled(p, "ambiguous") for p in stage.pairs]
    pairs += [replace(p, kind="null") for p in stage.pairs]
    assert stitch(stage.fields, pairs).edges == ()


def test_heights_are_solved_like_y_and_x() -> None:
    stage = make_stage(StageSpec(wells=("A/01",)))
    rng = np.random.default_rng(1)
    height = {f.key: float(h) for f, h in zip(stage.fields, rng.normal(0, 2, 9), strict=True)}
    pairs = [
        replace(p, shift_px=(height[p.moving] - height[p.reference], *p.shift_px[1:]))
        for p in stage.pairs
    ]
    found = stitch(stage.fields, pairs)
    away = np.array([found.fields[key].correction_px[0] - h for key, h in height.items()])
    assert np.ptp(away) < 1e-3


@FEW
@given(st.randoms(use_true_random=False))
def test_the_order_of_fields_and_pairs_does_not_matter(random: object) -> None:
    stage = make_stage(StageSpec(outliers=0.1, slope=TURNED))
    fields, pairs = list(stage.fields), list(stage.pairs)
    random.shuffle(fields)  # type: ignore[attr-defined]
    random.shuffle(pairs)  # type: ignore[attr-defined]
    assert stitch(fields, pairs) == solve(stage)


@FEW
@given(st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)))
def test_moving_all_fields_changes_no_correction(move: tuple[float, float]) -> None:
    stage = make_stage(StageSpec(outliers=0.1, slope=TURNED))
    y, x = move
    moved = [replace(f, stage_um=(0.0, f.stage_um[1] + y, f.stage_um[2] + x)) for f in stage.fields]
    before, after = solve(stage), stitch(moved, stage.pairs)
    for key in before.fields:
        assert np.allclose(yx(before, key), yx(after, key), atol=1e-6)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    code = (
        "import hashlib; from tests.stages import *;"
        "from platefuse.measuring.solve.stitching import stitch;"
        "stage = make_stage(StageSpec(wells=('A/01',), grid=(40, 50), outliers=0.1));"
        "found = stitch(stage.fields, stage.pairs);"
        "print(hashlib.sha256(repr(found).encode()).hexdigest())"
    )
    path = os.pathsep.join([str(p) for p in sys.path])
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2", "4")
    }
    assert len(digests) == 1


def test_fields_that_cannot_be_solved_together_are_named() -> None:
    stage = make_stage(StageSpec())
    with pytest.raises(MeasureError, match="occurs twice"):
        stitch([*stage.fields, stage.fields[0]], [])
    other = replace(stage.fields[3], pixel_um=(1.0, 1.3, 1.3))
    with pytest.raises(MeasureError, match="one pixel size"):
        stitch([*stage.fields[:3], other, *stage.fields[4:]], stage.pairs)
    with pytest.raises(MeasureError, match="no such field"):
        stitch(stage.fields[1:], stage.pairs)


def test_one_plane_has_no_pixel_size_in_z() -> None:
    """Wells of one plane and wells of stacks are solved together."""
    flat, *_ = make_stage(StageSpec()).fields
    deep = replace(flat, key=replace(flat.key, well="C/01"), shape=(3, 64, 64))
    deep = replace(deep, pixel_um=(2.0, *flat.pixel_um[1:]))
    assert common_pixel([flat, deep]) == deep.pixel_um
    other = replace(deep, key=replace(flat.key, well="C/02"), pixel_um=(1.0, *flat.pixel_um[1:]))
    with pytest.raises(MeasureError, match=r"has pixels of 1 µm in z, but .* of 2 µm"):
        common_pixel([flat, deep, other])
