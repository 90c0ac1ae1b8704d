"""What preparing takes away and what it keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from platefuse.measuring.pair.prepare import Tone, prepare, texture, valid_pixels

SHAPE = (120, 140)


def prepared(image: NDArray[Any]) -> NDArray[Any]:
    return prepare(image, Tone.of(image, image.dtype))


def test_shading_goes_and_blobs_stay(bench: Any) -> None:
    light = bench.Blobs(1).light(SHAPE)
    plain, shaded = prepared(light), prepared(light * bench.shading(SHAPE, 0.8))
    inner = np.s_[8:-8, 8:-8]
    assert np.corrcoef(plain[inner].ravel(), shaded[inner].ravel())[0, 1] > 0.99
    assert np.abs(prepared(1000 * bench.shading(SHAPE, 0.8))[inner]).max() < 0.05 * plain.std()


def test_gain_does_not_matter(bench: Any) -> None:
    light = bench.Blobs(1).light(SHAPE)
    np.testing.assert_allclose(prepared(light), prepared(7 * light), atol=1e-5)


def test_masked_pixels_are_zero_and_change_nothing_far_away(bench: Any) -> None:
    whole = bench.Blobs(1).light(SHAPE).astype(np.float32)
    holed = whole.copy()
    holed[40:60, 50:70] = np.nan
    tone = Tone.of(whole, whole.dtype)
    a, b = prepare(whole, tone), prepare(holed, tone)
    assert not b[40:60, 50:70].any()
    np.testing.assert_allclose(a[:30], b[:30], atol=1e-6)
    assert np.abs(b).max() <= 1.5 * np.abs(a).max()  # no edge where the hole begins


def test_single_zeros_are_data_and_areas_of_zeros_are_not() -> None:
    image = np.ones((20, 20), np.uint16)
    image[3, 3] = image[10:15, 10:15] = 0
    valid = valid_pixels(image, np.inf)
    assert valid[3, 3]
    assert not valid[10:15, 10:15].any()
    assert valid.sum() == 400 - 25


@pytest.mark.parametrize("limit", [4095, 65535])
def test_the_value_at_which_a_camera_saturates(bench: Any, limit: int) -> None:
    image = np.minimum(bench.camera(20 * bench.Blobs(1).light((300, 300)), 0), limit)
    tone = Tone.of(image, image.dtype)
    assert tone.saturated == limit
    assert not valid_pixels(image, tone.saturated)[image == limit].any()


def test_texture_is_what_is_more_than_noise(bench: Any) -> None:
    def of(image: NDArray[Any]) -> float:
        tone = Tone.of(image, image.dtype)
        return texture(image, tone, prepare(image, tone))

    assert of(bench.camera(np.full((300, 300), 150.0), 0)) < 0.05
    assert of(bench.camera(bench.Blobs(1).light((300, 300)), 0)) > 0.7
    assert of(np.full((300, 300), 5, np.uint16)) == 0
