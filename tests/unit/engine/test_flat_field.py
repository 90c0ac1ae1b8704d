"""Flat-field correction: every pixel by hand, whatever its field, channel and tile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from platefuse.engine.compose import Blend, Paint
from platefuse.engine.flat_field import ChannelProfile, FlatField
from platefuse.engine.sources import Source
from platefuse.engine.views import ShiftedView
from platefuse.geometry import Box
from tests.arrays import ArrayStore

Array = NDArray[Any]
FIELDS = [Box((0, 0), (6, 8)), Box((0, 8), (6, 16)), Box((7, 0), (13, 8))]
RNG = np.random.default_rng(1)
RAW = RNG.integers(90, 60_000, (3, 2, 13, 17)).astype(np.uint16)
RAW[:, :, :2, :2] = 0  # below the dark counts
FLAT = RNG.uniform(0.5, 1.5, (6, 8)).astype(np.float32)
DARK = RNG.uniform(0, 100, (6, 8)).astype(np.float32)
PROFILES = {0: ChannelProfile(FLAT, DARK), 2: ChannelProfile(1 / FLAT, 100.0)}


def truth(raw: Array) -> Array:
    """Each pixel from its field's own copy of the profile, in float64."""
    out = raw.astype(np.float64)
    for channel, profile in PROFILES.items():
        flat, dark = (
            np.broadcast_to(part, (6, 8)).astype(float) for part in (profile.flat, profile.dark)
        )
        for y in range(13):
            for x in range(17):
                for field in FIELDS:
                    i, j = y - field.start[0], x - field.start[1]
                    if 0 <= i < 6 and 0 <= j < 8:
                        out[channel, :, y, x] = (raw[channel, :, y, x] - dark[i, j]) / flat[i, j]
    return out


def source(raw: Array) -> Source:
    return Source(ArrayStore(raw, (1, 1, 5, 7)), FlatField(FIELDS, PROFILES, 0))


def boxes() -> st.SearchStrategy[Box]:
    def ends(n: int) -> st.SearchStrategy[tuple[int, int]]:
        return st.tuples(st.integers(0, n - 1), st.integers(1, n)).filter(lambda e: e[0] < e[1])

    return st.tuples(*map(ends, RAW.shape)).map(
        lambda axes: Box(tuple(a for a, _ in axes), tuple(b for _, b in axes))
    )


@given(box=boxes())
def test_a_box_is_corrected_wherever_it_lies(box: Box) -> None:
    pixels = source(RAW).read(box, "reader")
    assert pixels is not None
    np.testing.assert_allclose(pixels, truth(RAW)[box.slices], rtol=2e-7, atol=1e-4)


@given(box=boxes())
def test_pixels_that_no_profile_is_for_are_as_they_are_stored(box: Box) -> None:
    own = source(RAW)
    if own.is_as_stored(box):
        pixels = own.read(box, "reader")
        assert pixels is not None
        assert pixels.dtype == RAW.dtype
        np.testing.assert_array_equal(pixels, RAW[box.slices])
    else:
        assert np.any(truth(RAW)[box.slices] != RAW[box.slices])


@pytest.mark.parametrize("compositor", [Paint(), Blend()], ids=["paint", "blend"])
def test_a_copy_is_rounded_and_clipped_once(compositor: Paint | Blend) -> None:
    box = Box.of_shape(RAW.shape)
    view = ShiftedView(source(RAW), box, box, (0.0,) * 4)
    assert view.original(box) is None
    block = compositor.compose(box, [view], RAW.dtype, "reader")
    assert block is not None
    assert block.dtype == RAW.dtype
    exact = truth(RAW)
    assert exact.max() > 65_535
    assert exact.min() < 0
    sure = np.abs(exact - np.floor(exact) - 0.5) > 0.01  # float32 holds four decimals
    expected = np.clip(np.rint(exact), 0, 65_535)
    np.testing.assert_array_equal(block[sure], expected[sure])
    assert np.abs(block - expected).max() <= 1


def test_overlapping_views_are_averaged_before_they_are_rounded() -> None:
    """Two fields of one value each: 3 / 2 and 1 / 2 are 1.5 and 0.5; their mean is 1, not 1.5."""
    flat = np.full((2, 4), 2.0, np.float32)
    field = FlatField([Box((0, 0), (2, 4))], {0: ChannelProfile(flat, 0.0)}, None)
    box = Box((0, 0), (2, 4))
    views = [
        ShiftedView(Source(ArrayStore(np.full((2, 4), n, np.uint8), (2, 4)), field), box, box,
                    (0.0, 0.0))
        for n in (3, 1)
    ]  # fmt: skip
    block = Blend("mean").compose(box, views, np.dtype(np.uint8), "reader")
    np.testing.assert_array_equal(block, np.full((2, 4), 1, np.uint8))


def test_pixels_between_pixels_are_interpolated_before_they_are_rounded() -> None:
    raw = np.array([[1, 2, 3, 4]], np.uint8)
    flat = np.array([[0.1, 0.4, 0.3, 0.2]], np.float32)
    field = FlatField([Box((0, 0), (1, 4))], {0: ChannelProfile(flat, 1.0)}, None)
    box = Box((0, 0), (1, 4))
    view = ShiftedView.at(Source(ArrayStore(raw, (1, 4)), field), box, (0.0, 0.25), order=1)
    block = Paint().compose(box, [view], np.dtype(np.uint8), "reader")
    exact = (raw[0] - 1.0) / flat[0]
    expected = np.interp(np.arange(4) - 0.25, np.arange(4), exact)
    np.testing.assert_array_equal(block, [np.rint(expected)])


@pytest.mark.parametrize("dark", [0.0, 5.0])
def test_chunks_that_are_not_stored_are_zeros_like_any_other(dark: float) -> None:
    field = FlatField([Box((0, 0), (2, 4))], {0: ChannelProfile(np.ones((2, 4)), dark)}, None)
    empty = Source(ArrayStore(np.zeros((2, 4), np.int32), (2, 4), frozenset({(0, 0)})), field)
    empty.expect(lambda chunk: (), empty.slivers)
    pixels = empty.read(Box((0, 0), (2, 4)), "reader")
    if dark:
        np.testing.assert_array_equal(pixels, np.full((2, 4), -dark))
    else:
        assert pixels is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.float32, np.float64])
def test_every_data_type(dtype: Any) -> None:
    raw = (RAW // 300).astype(dtype)
    pixels = source(raw).read(Box.of_shape(raw.shape), "reader")
    assert pixels is not None
    assert pixels.dtype.kind == "f"
    np.testing.assert_allclose(pixels, truth(raw), rtol=2e-7, atol=1e-4)
