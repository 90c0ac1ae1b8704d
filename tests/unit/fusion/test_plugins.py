"""Functions by the contract of multiview-stitcher: what they are called with, and what of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from platefuse import fuse
from platefuse.fusion.methods import first_view_fusion
from tests.sims import KEY, cut, make_sim

Array = NDArray[Any]

SCENE = np.random.default_rng(0).integers(1, 60000, (3, 20, 24)).astype("u2")
HALVES = (((0, 0, 0), (3, 20, 15)), ((0, 0, 9), (3, 20, 24)))


def spy(calls: list[dict[str, Any]], names: str, result: Callable[[Array], Array]) -> Any:
    """A function that has just these parameters, and keeps what it got."""
    scope: dict[str, Any] = {"calls": calls, "result": result}
    given = ", ".join(f"{name}={name}" for name in names.split(", "))
    exec(
        f"def function({names}):\n"
        f"    calls.append(dict({given}))\n"
        "    return result(transformed_views)\n",
        scope,
    )
    return scope["function"]


ALL = "transformed_views, blending_weights, fusion_weights, params"


@pytest.mark.parametrize(
    "names",
    [
        "transformed_views",
        "transformed_views, params",
        "transformed_views, blending_weights",
        ALL,
    ],
)
def test_a_function_gets_what_its_signature_has(names: str) -> None:
    calls: list[dict[str, Any]] = []
    weighs: list[dict[str, Any]] = []
    weights = spy(weighs, "transformed_views, blending_weights, params", np.ones_like)
    fuse(
        cut(SCENE, "zyx", HALVES), KEY, spy(calls, names, first_view_fusion), weights_func=weights
    ).compute()
    assert len(calls) == 1
    assert set(calls[0]) == set(names.split(", "))
    # weights are computed for those who want them
    assert len(weighs) == ("fusion_weights" in names)


def test_a_function_of_any_keywords_gets_the_views() -> None:
    def function(**given: Array) -> Array:
        assert set(given) == {"transformed_views", "factor"}
        return first_view_fusion(given["transformed_views"]) * given["factor"]

    fused = fuse(cut(SCENE // 2, "zyx", HALVES), KEY, function, {"factor": 2})
    np.testing.assert_array_equal(fused.values, SCENE // 2 * 2)


def test_further_arguments_go_to_their_function_and_are_not_changed() -> None:
    def function(transformed_views: Array, fusion_weights: Array, plus: int) -> Array:
        return np.asarray(np.nansum(transformed_views * fusion_weights, axis=0)) + plus

    def weights(transformed_views: Array, of: int) -> Array:
        chosen = np.zeros_like(transformed_views)
        chosen[of] = 1
        return chosen

    sims = [make_sim(np.full((8, 9), v, "u2"), "yx") for v in (10, 20)]
    plus, of = {"plus": 3}, {"of": 1}
    fused = fuse(sims, KEY, function, plus, weights, of, output_chunksize=4)
    assert (fused.values == 23).all()
    assert (plus, of) == ({"plus": 3}, {"of": 1})


def test_views_are_floats_with_nan_outside_and_weights_sum_to_one_inside() -> None:
    calls: list[dict[str, Any]] = []
    function = spy(calls, "transformed_views, blending_weights", first_view_fusion)
    sims = cut(SCENE[0], "yx", [(a[1:], b[1:]) for a, b in HALVES])
    fuse(sims, KEY, function, output_shape={"y": 21, "x": 24}).compute()
    (call,) = calls
    views, weights = call["transformed_views"], call["blending_weights"]
    assert views.shape == weights.shape == (2, 21, 24)
    assert views.dtype.kind == weights.dtype.kind == "f"
    np.testing.assert_array_equal(views[0, :20, :15], SCENE[0][:, :15])
    np.testing.assert_array_equal(views[1, :20, 9:], SCENE[0][:, 9:])
    outside = np.isnan(views)
    assert outside[0, :, 15:].all()
    assert outside[1, :, :9].all()
    assert outside[:, 20].all()
    assert outside.sum() == 2 * (20 * 9 + 24)
    np.testing.assert_array_equal(weights[outside], 0)
    np.testing.assert_allclose(weights.sum(axis=0)[:20], 1)
    assert (np.diff(weights[0, 10, 9:15]) < 0).all()


def test_a_single_plane_comes_without_its_z_axis() -> None:
    calls: list[dict[str, Any]] = []
    function = spy(calls, "transformed_views, params", first_view_fusion)
    fused = fuse(
        cut(SCENE, "zyx", HALVES), KEY, function, output_chunksize={"z": 1, "y": 50, "x": 50}
    )
    np.testing.assert_array_equal(fused.values, SCENE)
    assert [call["transformed_views"].shape for call in calls] == [(2, 20, 24)] * 3
    for call in calls:
        for params in call["params"]:
            assert params.coords["x_in"].values.tolist() == ["y", "x", "1"]
            np.testing.assert_array_equal(params, np.eye(3))


def test_a_single_plane_of_a_tilted_view_keeps_its_z_axis() -> None:
    calls: list[dict[str, Any]] = []
    function = spy(calls, "transformed_views, params", first_view_fusion)
    tilted = np.eye(4)
    tilted[0, 2] = 0.1
    sims = [make_sim(SCENE, "zyx"), make_sim(SCENE, "zyx", affine=tilted)]
    fuse(sims, KEY, function, output_chunksize={"z": 1, "y": 50, "x": 50}).compute()
    for call in calls:
        n, *shape = call["transformed_views"].shape
        flat = n == 1 and np.array_equal(call["params"][0], np.eye(len(call["params"][0])))
        assert len(shape) == (2 if flat else 3)
        assert [len(params) for params in call["params"]] == [3 if flat else 4] * n
    assert any(len(call["params"][0]) == 4 for call in calls)


def test_every_time_and_channel_is_a_call_with_the_affines_of_its_time() -> None:
    affines = np.stack([np.eye(3), np.eye(3)])
    affines[1, 0, 2] = 4
    stack = np.stack([SCENE, SCENE])
    sims = [make_sim(stack, "tcyx", affine=affines), make_sim(stack, "tcyx")]
    calls: list[dict[str, Any]] = []
    function = spy(calls, "transformed_views, params", first_view_fusion)
    fuse(sims, KEY, function, output_chunksize=100).compute(scheduler="single-threaded")
    assert len(calls) == 2 * 3
    moves = [float(call["params"][0].sel(x_in="y", x_out="1")) for call in calls]
    assert sorted(moves) == [0] * 3 + [4] * 3
    assert all(float(call["params"][1].sel(x_in="y", x_out="1")) == 0 for call in calls)


@pytest.mark.parametrize("how", ["as asked", "as it says"])
@pytest.mark.parametrize("dims", ["yx", "zyx"])
def test_a_function_that_looks_at_neighbours_leaves_no_trace_at_chunks(how: str, dims: str) -> None:
    size = 5

    def smooth(transformed_views: Array) -> Array:
        view = first_view_fusion(transformed_views)
        valid = ~np.isnan(view)
        total = uniform_filter(np.where(valid, view, 0), size, mode="constant")
        count = uniform_filter(valid.astype(float), size, mode="constant")
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(valid, total / count, np.nan))

    asked: dict[str, Any] = {"overlap_in_pixels": size // 2}
    if how == "as it says":
        smooth.required_overlap = lambda kwargs: size // 2  # type: ignore[attr-defined]
        asked = {"overlap_in_pixels": 1}  # less than it needs: the larger counts
    scene = SCENE if dims == "zyx" else SCENE[0]
    sims = cut(scene, dims, [(a[-len(dims) :], b[-len(dims) :]) for a, b in HALVES])
    # uniform_filter runs along: its sums differ in the last bits, not after rounding
    whole = fuse(sims, KEY, smooth, output_chunksize=100, **asked).values.astype(int)
    for chunk in ({"z": 1, "y": 6, "x": 50}, {"z": 2, "y": 7, "x": 8}):
        cut_up = fuse(sims, KEY, smooth, output_chunksize=chunk, **asked).values.astype(int)
        assert np.abs(cut_up - whole).max() <= 1
    # without it there is a trace: the test can fail
    if how == "as asked":
        without = fuse(sims, KEY, smooth, output_chunksize=7).values.astype(int)
        assert np.abs(without - whole).max() > 100


def test_pixels_that_a_view_marks_as_missing_are_missing_for_plug_ins() -> None:
    one = np.full((6, 7), 1.0)
    one[2, 3] = np.nan
    calls: list[dict[str, Any]] = []
    function = spy(calls, "transformed_views, blending_weights", first_view_fusion)
    fused = fuse([make_sim(one, "yx"), make_sim(one * 0 + 2, "yx")], KEY, function).values
    (call,) = calls
    assert call["blending_weights"][0, 2, 3] == 0
    np.testing.assert_array_equal(call["blending_weights"][1, 2, 3], 0)  # missing there, too
    assert fused[2, 3] == 0
    assert (np.delete(fused.ravel(), 2 * 7 + 3) == 1).all()


@pytest.mark.parametrize("kind", ["f4", "f8", "i2", "i8"])
def test_results_are_rounded_and_clipped(kind: str) -> None:
    sims = [make_sim(np.full((3, 4), 9, "u1"), "yx")]

    def give(value: float) -> Callable[..., Array]:
        return lambda transformed_views: np.full(transformed_views.shape[1:], value, kind)

    given = ((-5, 0), (300, 255), *([] if kind[0] == "i" else [(2.6, 3), (np.nan, 0)]))
    for value, expected in given:
        assert (fuse(sims, KEY, give(value)).values == expected).all()


def test_integers_of_a_function_are_exact_and_it_need_not_be_hashable() -> None:
    class Constant:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, transformed_views: Array) -> Array:
            return np.full(transformed_views.shape[1:], 2**63 - 2, "i8")

    fused = fuse([make_sim(np.ones((3, 4), "u8"), "yx")], KEY, Constant())
    assert (fused.values == 2**63 - 2).all()
