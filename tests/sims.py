"""Make images of the multiview-stitcher data model without multiview-stitcher."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray

KEY = "stage"
Array = NDArray[Any]


def make_sim(
    pixels: Any,
    dims: str,
    *,
    origin: Sequence[float] | None = None,
    spacing: Sequence[float] | None = None,
    affine: Array | None = None,
    channels: Sequence[str] | None = None,
    times: Sequence[float] | None = None,
) -> xarray.DataArray:
    """Make an image; an affine with three axes varies over time, its first axis."""
    spatial = [d for d in dims if d in "zyx"]
    n = len(spatial)
    coords: dict[str, Any] = {}
    for axis, length, start, step in zip(
        spatial, pixels.shape[-n:], origin or [0.0] * n, spacing or [1.0] * n, strict=True
    ):
        coords[axis] = start + step * np.arange(length)
    if "c" in dims:
        coords["c"] = list(channels or [f"C{k}" for k in range(pixels.shape[dims.index("c")])])
    if "t" in dims:
        coords["t"] = list(times or np.arange(pixels.shape[0], dtype=float))
    image = xarray.DataArray(pixels, dims=list(dims), coords=coords)
    affine = np.eye(n + 1) if affine is None else np.asarray(affine, float)
    labels = [*spatial, "1"]
    named: dict[str, Any] = {"x_in": labels, "x_out": labels}
    if affine.ndim == 3:
        named["t"] = coords["t"]
    leading = ["t"] if affine.ndim == 3 else []
    transform = xarray.DataArray(affine, dims=[*leading, "x_in", "x_out"], coords=named)
    image.attrs["transforms"] = {KEY: transform}
    return image


def cut(
    scene: Array, dims: str, boxes: Sequence[tuple[Sequence[int], Sequence[int]]], **options: Any
) -> list[xarray.DataArray]:
    """Make images of boxes (start, stop) of a scene, on axes in space, at their positions."""
    spacing = options.get("spacing") or [1.0] * len(boxes[0][0])
    sims = []
    for start, stop in boxes:
        place = _place(start, stop)
        origin = [a * s for a, s in zip(start, spacing, strict=True)]
        sims.append(make_sim(np.ascontiguousarray(scene[place]), dims, origin=origin, **options))
    return sims


def painted(scene: Array, boxes: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Array:
    """Return the scene within the extent of all boxes; 0 where no box is."""
    visible = np.zeros_like(scene)
    for start, stop in boxes:
        place = _place(start, stop)
        visible[place] = scene[place]
    starts, stops = (np.array([box[k] for box in boxes]) for k in (0, 1))
    return np.asarray(visible[_place(starts.min(0), stops.max(0))])


def _place(start: Iterable[int], stop: Iterable[int]) -> Any:
    return (..., *(slice(a, b) for a, b in zip(start, stop, strict=True)))


def by_axis(dims: str, values: Sequence[Any]) -> dict[str, Any]:
    """Return a dict of values by axis in space."""
    return dict(zip([d for d in dims if d in "zyx"], values, strict=True))
