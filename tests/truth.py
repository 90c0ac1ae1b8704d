"""Compare registered and fused images on disk with the truth of an example plate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from platefuse.testing import Fused, Truth

Array = NDArray[Any]

REGISTERED_FIELDS = "registered_FOV_ROI_table"

# Bound on the camera noise of any pixel, in standard deviations of the brightest pixel's noise.
_SIGMAS = 6.5


def read_level(image: Path, level: int = 0) -> Array:
    """Read the pixels of one level of an image or label."""
    return np.asarray(zarr.open_array(image / str(level), mode="r")[...])


def assert_same_pixels(got: Array, expected: Array, *, tolerance: float = 0) -> None:
    """Fail if a pixel differs by more than the tolerance (in grey values); report the first."""
    assert got.shape == expected.shape, f"shape {got.shape}, expected {expected.shape}"
    assert got.dtype == expected.dtype, f"dtype {got.dtype}, expected {expected.dtype}"
    if tolerance:
        wrong = np.abs(got.astype(float) - expected.astype(float)) > tolerance
    else:
        wrong = got != expected
    if wrong.any():
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{int(wrong.sum())} of {wrong.size} pixels differ, first at {first}: "
            f"got {got[first]}, expected {expected[first]} (tolerance {tolerance})"
        )


def noise_tolerance(truth: Truth) -> float:
    """Return the largest allowed difference of a noisy plate from the truth, in grey values."""
    if not truth.spec.noise:
        return 0
    return _SIGMAS * float(np.hypot(np.sqrt(6000), truth.spec.read_noise))


def assert_unregistered(plate: Path, truth: Truth, well: str, image: str) -> None:
    """Check that the image and all its labels are as the generator wrote them."""
    path = plate / well / image
    expected = truth.acquired(well, image)
    assert_same_pixels(read_level(path), expected, tolerance=noise_tolerance(truth))
    for label in truth.spec.labels:
        expected = truth.acquired_label(well, image, label)
        assert_same_pixels(read_level(path / "labels" / label), expected)


def assert_registered(
    plate: Path,
    truth: Truth,
    well: str,
    image: str,
    *,
    path: str = "",
    table: str = REGISTERED_FIELDS,
    tolerance: float = 0,
) -> None:
    """Check that the image and all its labels show the tissue where the reference shows it.

    `path` is the path of the image if it is not the original one (``"1_registered"``).
    `tolerance` is in grey values and added to that of the plate's noise. It applies to the image
    only; labels must be exact.
    """
    where = plate / well / (path or image)
    expected = truth.registered(well, image, table=table)
    got = read_level(where)
    assert not got[expected == 0].any(), "pixels outside the registered boxes are not 0"
    assert_same_pixels(got, expected, tolerance=tolerance + noise_tolerance(truth))
    for label in truth.spec.labels:
        expected = truth.registered_label(well, image, label, table=table)
        assert_same_pixels(read_level(where / "labels" / label), expected)


def assert_fused(
    fused: Path,
    truth: Truth,
    well: str,
    image: str,
    *,
    table: str | None = REGISTERED_FIELDS,
    tolerance: float = 0,
) -> None:
    """Check that a fused image and its labels show the scene over their exact extent.

    `fused` is the fused plate. `table` is the table of the registration; None if the image was
    not registered.
    """
    where = fused / well / image
    expected = truth.fused(well, image, table=table)
    assert_same_fused(read_level(where), expected, tolerance=tolerance + noise_tolerance(truth))
    for label in truth.spec.labels:
        if (where / "labels" / label).is_dir():
            expected = truth.fused_label(well, image, label, table=table)
            assert_same_fused(read_level(where / "labels" / label), expected)


def assert_same_fused(got: Array, expected: Fused, *, tolerance: float = 0) -> None:
    """Check the pixels of a fused image in memory."""
    assert_same_pixels(got, expected.pixels, tolerance=tolerance)


def assert_fused_origin(multiscale: dict[str, Any], expected: Fused) -> None:
    """Check the position of level 0 of a fused image, to a thousandth of a micrometre."""
    names = [axis["name"] for axis in multiscale["axes"]]
    transforms = multiscale["datasets"][0]["coordinateTransformations"]
    shifts = [t["translation"] for t in transforms if t["type"] == "translation"]
    assert shifts, "level 0 of the fused image has no translation"
    got = dict(zip(names, shifts[0], strict=True))
    for axis, position_um in zip("zyx", expected.origin_um, strict=True):
        if axis in got:
            assert abs(got[axis] - position_um) < 1e-3, f"{axis}: {got[axis]}, not {position_um}"
