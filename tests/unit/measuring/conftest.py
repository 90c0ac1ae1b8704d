"""A scene of soft blobs that is computed, not interpolated, wherever a camera looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

Counts = NDArray[np.uint16]
OFFSET, READ_NOISE = 100.0, 6.0


@dataclass(frozen=True)
class Blobs:
    """Gaussian blobs in a box that is larger than any image of it.

    Attributes
    ----------
    seed : int
        Another seed is another tissue.
    density : float
        Blobs per thousand pixels.
    """

    seed: int = 0
    density: float = 1.5

    def light(
        self,
        shape: tuple[int, int],
        origin: tuple[float, float] = (0.0, 0.0),
        *,
        angle_deg: float = 0.0,
        z: float = 0.0,
    ) -> NDArray[np.float64]:
        """Light without noise, background 150.

        The image is turned about the centre of an image of this shape at (0, 0): turned back by
        `angle_deg` from x to y it would lie on the tissue.
        """
        return _light(self, shape, origin, angle_deg, z)


@cache
def _light(
    blobs: Blobs,
    shape: tuple[int, int],
    origin: tuple[float, float],
    angle_deg: float,
    z: float,
) -> NDArray[np.float64]:
    rng = np.random.default_rng(blobs.seed)
    low, high = -150.0, np.array(shape) + 800.0
    count = int(blobs.density * np.prod(high - low) / 1000)
    centres = rng.uniform(low, high, (count, 2))
    depths, widths = rng.uniform(-3, 12, count), rng.uniform(1.8, 5.0, count)
    peaks = rng.uniform(200, 1500, count) * np.exp(-(((z - depths) / 2.5) ** 2) / 2)
    middle = np.array(shape) / 2
    angle = np.deg2rad(angle_deg)
    cos, sin = np.cos(angle), np.sin(angle)
    dy, dx = (centres - middle).T
    places = np.stack([dy * cos - dx * sin, dx * cos + dy * sin], 1) + middle - origin
    image = np.full(shape, 150.0)
    for (y, x), width, peak in zip(places, widths, peaks, strict=True):
        reach = int(5 * width)
        rows = np.arange(max(0, int(y) - reach), min(shape[0], int(y) + reach))
        columns = np.arange(max(0, int(x) - reach), min(shape[1], int(x) + reach))
        if rows.size and columns.size:
            profile = np.exp(-(((rows - y) / width) ** 2) / 2)
            across = np.exp(-(((columns - x) / width) ** 2) / 2)
            image[np.ix_(rows, columns)] += peak * np.outer(profile, across)
    image.flags.writeable = False  # tests share it
    return image


def camera(light: NDArray[np.floating], noise: int) -> Counts:
    """Counts of a camera: Poisson and read noise with the seed `noise`, offset, 16 bits."""
    rng = np.random.default_rng([7, noise])
    counts = rng.poisson(np.maximum(light, 0)) + rng.normal(OFFSET, READ_NOISE, light.shape)
    clipped: Counts = np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
    return clipped


@dataclass(frozen=True)
class Bench:
    """What the tests of a pair need."""

    Blobs = Blobs

    camera = staticmethod(camera)

    @staticmethod
    def shading(shape: tuple[int, int], depth: float) -> NDArray[np.float64]:
        """Vignetting: 1 in the middle, 1 - depth in the corners."""
        y, x = np.ogrid[-1 : 1 : 1j * shape[0], -1 : 1 : 1j * shape[1]]
        return np.asarray(1 - depth * (y**2 + x**2) / 2)

    @staticmethod
    def dust(shape: tuple[int, int], strength: float) -> NDArray[np.float64]:
        """A pattern of the camera that multiplies the light: about 1, grains of 3 pixels."""
        from scipy.ndimage import gaussian_filter

        grains = gaussian_filter(np.random.default_rng(99).normal(size=shape), 1.5)
        return np.asarray(np.clip(1 + strength * grains / grains.std(), 0.1, 4))


@pytest.fixture(scope="session")
def bench() -> Bench:
    return Bench()
