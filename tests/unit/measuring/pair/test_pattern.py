"""The fixed pattern of a camera."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from platefuse.errors import ImageError
from platefuse.measuring.pair import pattern as module
from platefuse.measuring.pair.pattern import fixed_pattern, significant
from platefuse.measuring.pair.prepare import Tone, prepare

SHAPE = (96, 112)


def fields(bench: Any, dust: Any, count: int = 20) -> list[NDArray[Any]]:
    lights = [bench.Blobs(60 + k, density=0.3).light(SHAPE) for k in range(count)]
    return [bench.camera(dust * light, k) for k, light in enumerate(lights)]


def test_dust_is_found(bench: Any) -> None:
    dust = bench.dust(SHAPE, 0.3)
    flat = 250 * dust
    alone = prepare(flat, Tone.of(flat, flat.dtype))
    found = fixed_pattern(fields(bench, dust))
    assert found.factor == 1
    assert np.corrcoef(found.coarse.ravel(), alone.ravel())[0, 1] > 0.9
    assert found.full is found.coarse


def test_without_dust_hardly_anything_is_found(bench: Any) -> None:
    images = fields(bench, 1.0)
    found = fixed_pattern(images, full=False)
    typical = np.mean([prepare(i, Tone.of(i, i.dtype)).var() for i in images])
    assert found.coarse.var() < 0.02 * typical
    assert found.full is None


def test_strips_do_not_show(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    images = fields(bench, bench.dust(SHAPE, 0.3), 6)
    whole = fixed_pattern(images).coarse
    monkeypatch.setattr(module, "_MOST_BYTES", 4 * 6 * SHAPE[1] * 7)
    np.testing.assert_allclose(fixed_pattern(images).coarse, whole, atol=1e-6)


def test_chance_is_shrunk_and_a_pattern_is_kept() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (25, 60, 60)).astype(np.float32)
    assert significant(noise.copy()).var() < 0.1 * np.median(noise, axis=0).var()
    kept = significant(noise + np.float32(4))
    assert kept.mean() == pytest.approx(4, rel=0.05)


def test_fields_that_differ_in_shape_are_refused() -> None:
    with pytest.raises(ImageError, match="fields of one shape"):
        fixed_pattern([np.zeros((9, 9)), np.zeros((9, 8))])
    with pytest.raises(ImageError, match="none is given"):
        fixed_pattern([])
