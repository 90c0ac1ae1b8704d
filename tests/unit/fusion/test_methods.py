from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from platefuse.errors import ConfigError
from platefuse.fusion.methods import (
    accepts,
    content_based,
    first_view_fusion,
    max_fusion,
    required_overlap,
    simple_average_fusion,
    weighted_average_fusion,
)

NAN = np.nan
VIEWS = np.array([[1.0, NAN, 3.0, NAN, 10.0], [3.0, 5.0, NAN, NAN, 20.0]])
EVEN = np.ones_like(VIEWS)
Array = NDArray[Any]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (simple_average_fusion, [2, 5, 3, NAN, 15]),
        (max_fusion, [3, 5, 3, NAN, 20]),
        (first_view_fusion, [1, 5, 3, NAN, 10]),
    ],
)
def test_views_without_data_do_not_count(function: Callable[[Array], Array], expected: Any) -> None:
    np.testing.assert_array_equal(function(VIEWS), expected)


def test_the_average_is_weighted_by_both_weights() -> None:
    blending = np.array([[3.0] * 5, [1.0] * 5])
    got = weighted_average_fusion(VIEWS, blending)
    np.testing.assert_allclose(got, [1.5, 5, 3, NAN, 12.5])
    got = weighted_average_fusion(VIEWS, blending, np.array([[1.0] * 5, [9.0] * 5]))
    np.testing.assert_allclose(got, [2.5, 5, 3, NAN, 17.5])


def test_where_all_weights_vanish_the_views_that_are_there_count_alike() -> None:
    np.testing.assert_array_equal(weighted_average_fusion(VIEWS, 0 * EVEN), [2, 5, 3, NAN, 15])


def test_views_of_infinite_weight_count_alone() -> None:
    """One over the variance, where there is none: the pixel was taken for missing."""
    weights = np.array([[np.inf, np.inf, np.inf, np.inf, 1.0], [np.inf, 1.0, 1.0, 1.0, np.inf]])
    np.testing.assert_array_equal(weighted_average_fusion(VIEWS, weights), [2, 5, 3, NAN, 20])


@given(
    hnp.arrays(float, (3, 4), elements=st.floats(0, 1)),
    hnp.arrays(float, 4, elements=st.floats(-1e300, 1e300)),
)
def test_where_views_agree_the_average_is_their_value_to_the_bit(
    weights: Array, value: Array
) -> None:
    views = np.stack([value] * 3)
    np.testing.assert_array_equal(weighted_average_fusion(views, weights), value)


class TestContentBased:
    random = np.random.default_rng(0).normal(size=(3, 40, 44))

    def test_weights_sum_to_one_where_there_are_data(self) -> None:
        views = self.random.copy()
        views[0, :9] = views[1, :9] = views[2, :9] = NAN
        views[1, 20:] = NAN
        weights = content_based(views, sigma_1=1, sigma_2=2)
        np.testing.assert_allclose(weights.sum(axis=0)[9:], 1)
        np.testing.assert_array_equal(weights[:, :9], 0)
        assert (weights >= 0).all()

    def test_what_is_beyond_the_margin_does_not_count(self) -> None:
        sigmas: dict[str, Any] = {"sigma_1": 1.0, "sigma_2": 2.0}
        (margin,) = required_overlap(content_based, sigmas, "x")
        assert margin == 4 + 8
        whole = content_based(self.random, **sigmas)
        changed = self.random.copy()
        changed[:, 20 + margin + 1 :] = 1e6
        np.testing.assert_array_equal(content_based(changed, **sigmas)[:, :21], whole[:, :21])
        changed[:, 20 + margin] = 1e6
        assert (content_based(changed, **sigmas)[:, 20] != whole[:, 20]).any()

    def test_the_view_with_more_contrast_gets_the_weight(self) -> None:
        views = np.stack([100 + 10 * self.random[0], 100 + self.random[1]])
        weights = content_based(views, sigma_1=1, sigma_2=2)
        assert (weights[0] > 0.8).mean() > 0.95

    def test_an_even_grey_has_no_content(self) -> None:
        views = np.stack([np.full((20, 20), 100.1), np.full((20, 20), 7.3)])
        np.testing.assert_array_equal(content_based(views, sigma_1=1, sigma_2=2), 0.5)


class TestSignatures:
    def test_required_overlap_is_what_a_function_says(self) -> None:
        def asks(transformed_views: Array) -> Array:
            return transformed_views

        assert required_overlap(asks, {}, "yx") == (0, 0)
        assert required_overlap(None, {}, "yx") == (0, 0)
        asks.required_overlap = lambda kwargs: 1.5 * kwargs["radius"]  # type: ignore[attr-defined]
        assert required_overlap(asks, {"radius": 3}, "yx") == (5, 5)
        assert required_overlap(content_based, {}, "x") == (20 + 44,)

    def test_required_overlap_may_differ_by_axis(self) -> None:
        def asks(transformed_views: Array) -> Array:
            return transformed_views

        by_axis = {"x": 1.5, "y": 4}
        asks.required_overlap = lambda kwargs: by_axis  # type: ignore[attr-defined]
        assert required_overlap(asks, {}, "yx") == (4, 2)
        with pytest.raises(ConfigError, match=r"required_overlap on z of .*None"):
            required_overlap(asks, {}, "zyx")

    def test_of_functions_that_bear_its_name(self) -> None:
        def content_based(transformed_views: Array, blending_weights: Array) -> Array:
            return transformed_views

        assert required_overlap(content_based, {"sigma_2": 3}, "x") == (6,)
        assert required_overlap(content_based, {}, "x") == (22,)

    def test_accepts(self) -> None:
        def function(one: int, *, two: int = 2, **rest: int) -> None: ...

        assert accepts(function, "one")
        assert accepts(function, "two")
        assert not accepts(function, "three")
        assert not accepts(None, "one")
        assert accepts(functools.partial(function, 1), "two")
        assert not accepts(np.maximum.reduce, "params")
