from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from platefuse.engine.sampling import KERNELS, REACH, cubic_weights, resample, sample

PIXELS = np.random.default_rng(0).random((14, 15)) * 1000
VOLUME = np.random.default_rng(1).random((6, 7, 8)) * 1000
ORDERS = (0, 1, 3)
POLYNOMIALS = {1: (3.0, -2.0, 0.0), 3: (3.0, -2.0, 0.25)}  # exact for order 1 and 3: by degree


def polynomial(order: int, x: NDArray[Any]) -> NDArray[Any]:
    a, b, c = POLYNOMIALS[order]
    return np.asarray(a + b * x + c * x * x)


@pytest.mark.parametrize("order", [1, 3])
@given(fraction=st.floats(0, 1, exclude_max=True))
def test_kernels_keep_constants_and_whole_positions(order: int, fraction: float) -> None:
    taps = KERNELS[order](fraction)
    assert sum(weight for _, weight in taps) == pytest.approx(1)
    assert all(-REACH[order] <= offset <= REACH[order] for offset, _ in taps)
    assert dict(KERNELS[order](0.0))[0] == 1
    # The moment of order 1 is the position itself.
    assert sum(offset * weight for offset, weight in taps) == pytest.approx(fraction)


def test_cubic_weights_work_on_arrays() -> None:
    fractions = np.linspace(0, 0.9, 7)
    for k, weights in enumerate(cubic_weights(fractions)):
        np.testing.assert_allclose(weights, [cubic_weights(float(f))[k] for f in fractions])


@pytest.mark.parametrize("order", [1, 3])
@settings(max_examples=40)
@given(fraction=st.floats(0, 0.999), first=st.integers(2, 5), n=st.integers(1, 6))
def test_polynomials_are_sampled_exactly(order: int, fraction: float, first: int, n: int) -> None:
    y, x = np.ogrid[:14, :14]
    pixels = polynomial(order, x) + 10 * polynomial(order, y)
    got = resample(pixels, (first, first), (0.0, fraction), (n, n), order)
    at = np.arange(first, first + n)
    expected = polynomial(order, at + fraction)[None] + 10 * polynomial(order, at)[:, None]
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_beyond_its_border_an_array_goes_on_with_its_border_pixels() -> None:
    pixels = np.array([[10.0, 20.0]])
    got = resample(pixels, (0, -2), (0.0, 0.5), (1, 6), 1)
    np.testing.assert_allclose(got, [[10, 10, 15, 20, 20, 20]])


def sampled(
    pixels: NDArray[Any], matrix: Any, offset: Any, order: int, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    out = np.empty(shape)
    sample(pixels, np.asarray(matrix, float), np.asarray(offset, float), order, out)
    return out


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("pixels", [PIXELS, VOLUME], ids=["plane", "volume"])
def test_the_identity_is_a_copy(pixels: NDArray[Any], order: int) -> None:
    n = pixels.ndim
    got = sampled(pixels, np.eye(n), np.zeros(n), order, pixels.shape)
    np.testing.assert_array_equal(got, pixels)


@pytest.mark.parametrize("order", ORDERS)
def test_quarter_turns_and_mirrors_move_whole_pixels(order: int) -> None:
    got = sampled(PIXELS, [[0, 1], [-1, 0]], [0, 14], order, (15, 14))
    np.testing.assert_array_equal(got, np.rot90(PIXELS))
    got = sampled(PIXELS, [[1, 0], [0, -1]], [0, 14], order, PIXELS.shape)
    np.testing.assert_array_equal(got, PIXELS[:, ::-1])


@pytest.mark.parametrize("order", [0, 1])
def test_beyond_the_border_the_border_goes_on(order: int) -> None:
    got = sampled(PIXELS, np.eye(2), [-5, -6], order, (24, 27))
    np.testing.assert_array_equal(got, np.pad(PIXELS, ((5, 5), (6, 6)), mode="edge"))


@settings(max_examples=40)
@given(
    coefficients=st.tuples(*[st.floats(-3, 3)] * 6),
    matrix=st.tuples(*[st.floats(-1, 1)] * 4),
    offset=st.tuples(*[st.floats(4, 9)] * 2),
    order=st.sampled_from([1, 3]),
)
def test_interpolation_is_exact_for_what_its_kernel_reproduces(
    coefficients: tuple[float, ...],
    matrix: tuple[float, ...],
    offset: tuple[float, float],
    order: int,
) -> None:
    """Linear interpolation: planes, and twisted planes; cubic convolution: parabolas as well."""

    def surface(y: Any, x: Any) -> NDArray[np.float64]:
        a, b, c, d, e, f = coefficients
        bent = e * y * y + f * x * x if order == 3 else 0
        return np.asarray(a + b * y + c * x + d * y * x + bent)

    source = surface(*np.indices((40, 40)).astype(float))
    turn = np.reshape(matrix, (2, 2))
    got = sampled(source, turn, np.array(offset) + 12, order, (7, 8))
    grid = np.indices((7, 8)).astype(float)
    y, x = np.einsum("ij,j...->i...", turn, grid) + np.reshape(offset, (2, 1, 1)) + 12
    inside = (y > 1) & (y < 38) & (x > 1) & (x < 38)
    np.testing.assert_allclose(got[inside], surface(y, x)[inside], rtol=1e-9, atol=1e-6)


def test_order_0_takes_the_nearest_pixel() -> None:
    got = sampled(PIXELS, np.eye(2), [0.4, -0.4], 0, PIXELS.shape)
    np.testing.assert_array_equal(got, PIXELS)


def test_integers_are_sampled_into_floats() -> None:
    pixels = np.array([[0, 65535], [0, 65535]], np.uint16)
    for order in (1, 3):
        got = sampled(pixels, np.eye(2), [0, 0.5], order, (1, 1))
        np.testing.assert_allclose(got, [[32767.5]])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_not_a_bit_depends_on_how_many_are_taken_at_once(
    order: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = (VOLUME * 60).astype(dtype)
    turn = np.array([[0.9375, 0.25, 0], [-0.25, 0.9375, 0], [0, 0.125, 1]])
    out = np.empty((7, 9, 11), dtype if order == 0 else np.float32)
    sample(volume, turn, np.array([-1.25, 2.5, 0.0]), order, out)
    for at_once in (1, 13, 100):
        monkeypatch.setattr("platefuse.engine.sampling._AT_ONCE", at_once)
        again = np.empty_like(out)
        sample(volume, turn, np.array([-1.25, 2.5, 0.0]), order, again)
        np.testing.assert_array_equal(again, out)


@given(value=st.floats(-(2.0**99), 2.0**99, width=32), fraction=st.floats(0, 1))
@pytest.mark.parametrize("order", [1, 3])
def test_floats_that_agree_are_kept(order: int, value: float, fraction: float) -> None:
    out = np.empty((3, 3), np.float32)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    sample(np.full((9, 9), value, np.float32), turn, np.full(2, fraction + 3), order, out)
    assert (out == np.float32(value)).all()


@settings(max_examples=40)
@given(
    size=st.integers(3, 9),
    fraction=st.floats(0.001, 0.999),
    coefficients=st.tuples(*[st.integers(-9, 9)] * 3),
    dtype=st.sampled_from(["int16", "float64"]),
)
def test_cubic_interpolation_is_exact_for_parabolas_up_to_half_a_pixel_beyond_the_border(
    size: int, fraction: float, coefficients: tuple[int, int, int], dtype: str
) -> None:
    def parabola(x: Any) -> Any:
        return coefficients[0] + coefficients[1] * x + coefficients[2] * x * x

    pixels = parabola(np.arange(size)).astype(dtype)
    first = -1 if fraction >= 0.5 else 0
    n = size if first or fraction <= 0.5 else size - 1
    expected = parabola(first + fraction + np.arange(n))
    got = resample(pixels, (first,), (fraction,), (n,), 3)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)
    out = np.empty(n)
    sample(pixels, np.eye(1), np.array([first + fraction]), 3, out)
    np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("start", [-3e5, -7.25, 4.5, 3e5])
def test_positions_far_outside_take_no_more_memory_than_the_samples(
    order: int, start: float
) -> None:
    """As those of a strongly sheared view: the border goes on as it does next to the array."""
    pixels = np.random.default_rng(0).random((9, 12))
    matrix = np.array([[5000.25, -4999.5], [-1.5, 2.25]])
    far = np.empty((30, 40))
    tracemalloc.start()
    sample(pixels, matrix, np.array([start, 3.0]), order, far)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**20
    grid = np.indices(far.shape).reshape(2, -1)
    at = (matrix @ grid).T + np.array([start, 3.0])
    for found, position in zip(far.ravel(), at, strict=True):
        near = np.clip(position, np.array([-5.0, -5.0]), np.array(pixels.shape) + 4.0)
        one = np.empty((1, 1))
        sample(pixels, np.eye(2), near, order, one)
        assert found == pytest.approx(one.item(), rel=1e-12)
