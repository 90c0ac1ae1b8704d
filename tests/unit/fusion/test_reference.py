"""`fuse` beside a slow reference: single pixels from their definition, all views at once."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import xarray
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from platefuse import fuse
from platefuse.engine.sampling import cubic_weights
from platefuse.errors import ViewError
from platefuse.fusion.methods import (
    first_view_fusion,
    max_fusion,
    simple_average_fusion,
    weighted_average_fusion,
)
from platefuse.fusion.signatures import InterpolationOrder, StackMode
from tests.sims import KEY, Array, make_sim

METHODS = {
    first_view_fusion: lambda values, weights: values[np.argmax(weights > 0)],
    max_fusion: lambda values, weights: values[weights > 0].max(),
    simple_average_fusion: lambda values, weights: values[weights > 0].mean(),
    weighted_average_fusion: lambda values, weights: (values * weights).sum() / weights.sum(),
}


def sampled(pixels: Array, position: Array, order: int) -> float:
    """The value at a position in pixels; beyond its border the array goes on with its border.

    For cubic interpolation with two more pixels, on the parabola of the last three.
    """
    if order == 3:
        for axis, n in enumerate(pixels.shape):
            if n > 2:
                pixels = np.apply_along_axis(lengthened, axis, pixels)
                position = position + 2 * np.eye(len(position))[axis]
    if order == 0:
        taps = [[(int(np.floor(p + 0.5)), 1.0)] for p in position]
    else:
        whole = np.floor(position).astype(int)
        taps = []
        for first, t in zip(whole, position - whole, strict=True):
            weights = (1 - t, t) if order == 1 else cubic_weights(t)
            taps.append([(first + k - (order == 3), w) for k, w in enumerate(weights)])
    last = np.array(pixels.shape) - 1
    return float(
        sum(
            pixels[tuple(np.clip([i for i, _ in tap], 0, last))] * np.prod([w for _, w in tap])
            for tap in product(*taps)
        )
    )


def lengthened(line: Array) -> Array:
    """A line with two more values at either end: a parabola through three points says which."""
    ends = [
        np.polyval(np.polyfit(range(3), three, 2), [-2, -1]) for three in (line[:3], line[:-4:-1])
    ]
    return np.concatenate([ends[0], line, ends[1][::-1]])


def weight(position: Array, shape: Array, widths_px: Array) -> float:
    """Raised cosine of the distance to the outer edges; 0 outside of them."""
    distance = np.minimum(position + 0.5, shape - 0.5 - position)
    if (distance < 0).any():
        return 0.0
    ramp = np.clip(distance / np.maximum(widths_px, 1e-9), 1e-3, 1)
    return float(np.prod(0.5 - 0.5 * np.cos(np.pi * ramp)))


def reference(
    views: list[xarray.DataArray],
    time: int,
    world: Array,
    merge: Any,
    order: int,
    widths: Array,
) -> float:
    """The fused pixel at a place in the world; NaN within a hair of a border of a view."""
    values, weights = [], []
    for view in views:
        affine = view.attrs["transforms"][KEY].values[time]
        place = (np.linalg.inv(affine) @ np.append(world, 1.0))[:-1]
        grid = [view.coords[axis].values for axis in view.dims[1:]]
        origin, step = np.array([g[0] for g in grid]), np.array([g[1] - g[0] for g in grid])
        position = (place - origin) / step
        if np.abs(position - np.floor(position) - 0.5).min() < 1e-5:
            return np.nan
        pixels = view.values[time]
        values.append(sampled(pixels, position, order))
        weights.append(weight(position, np.array(pixels.shape), widths / step))
    return float(merge(np.array(values), np.array(weights))) if any(weights) else 0.0


@st.composite
def turned_views(draw: st.DrawFn, axes: str) -> list[xarray.DataArray]:
    """One to four noisy views of two times, each at each time with an affine of its own."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    n = len(axes)
    kind = draw(st.sampled_from(["moved", "scaled", "sheared", "mirrored"]))
    views = []
    for _ in range(draw(st.integers(1, 4))):
        shape = [draw(st.integers(2, 7)) for _ in axes]
        affines = np.stack([np.eye(n + 1)] * 2)
        affines[:, :n, n] = random.uniform(-3, 3, (2, n))
        if kind == "scaled":
            affines[:, range(n), range(n)] = random.uniform(0.5, 2, (2, n))
        if kind == "sheared":
            affines[:, :n, :n] += random.uniform(-0.4, 0.4, (2, n, n))
        if kind == "mirrored":
            affines[:, n - 1, n - 1] = -1
        view = make_sim(
            random.normal(size=(2, *shape)),
            f"t{axes}",
            origin=random.uniform(-2, 2, n).tolist(),
            spacing=random.choice([0.5, 1.0, 1.3], n).tolist(),
            affine=affines,
        )
        views.append(view)
    return views


@settings(max_examples=50)
@given(
    data=st.data(),
    axes=st.sampled_from(["yx", "zyx"]),
    method=st.sampled_from(list(METHODS)),
    order=st.sampled_from([1, 3]),
    chunk=st.integers(2, 12),
    mode=st.sampled_from(["union", "sample", "intersection"]),
)
def test_any_pixel_is_what_its_definition_says(
    data: st.DataObject,
    axes: str,
    method: Any,
    order: InterpolationOrder,
    chunk: int,
    mode: StackMode,
) -> None:
    views = data.draw(turned_views(axes))
    widths = data.draw(st.lists(st.sampled_from([0.0, 1.5, 9.0]), min_size=3, max_size=3))
    try:
        lazy = fuse(
            views,
            KEY,
            method,
            output_spacing=dict.fromkeys(axes, 1.1),
            output_stack_mode=mode,
            output_chunksize=chunk,
            interpolation_order=order,
            blending_widths=dict(zip("zyx", widths, strict=True)),
        )
    except ViewError as error:
        assume("empty" not in str(error))
        raise
    fused = lazy.compute(scheduler="single-threaded")
    grid = [fused.coords[axis].values for axis in axes]
    merge, widths_um = METHODS[method], np.array(widths[-len(axes) :])
    random = np.random.default_rng(fused.size)
    for _ in range(40):
        index = tuple(random.integers(0, fused.shape))
        world = np.array([g[i] for g, i in zip(grid, index[1:], strict=True)])
        expected = reference(views, index[0], world, merge, order, widths_um)
        if not np.isnan(expected):
            assert abs(fused.values[index] - expected) < 1e-5  # weights are float32
