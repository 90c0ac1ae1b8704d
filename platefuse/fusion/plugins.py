"""Compositors for fusion functions: fast ones for known functions, `Plugin` for all others."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import reduce
from inspect import signature
from typing import TYPE_CHECKING

import numpy as np

from platefuse.engine.compose import Blend, Compositor, Paint, read_views
from platefuse.engine.downsample import to_dtype
from platefuse.engine.views import View
from platefuse.errors import ConfigError
from platefuse.fusion.methods import (
    accepts,
    first_view_fusion,
    max_fusion,
    required_overlap,
    simple_average_fusion,
    weighted_average_fusion,
)
from platefuse.geometry import Box, Pixels

if TYPE_CHECKING:
    import xarray

_FAST: tuple[tuple[Callable[..., object], Blend | Paint], ...] = (
    (weighted_average_fusion, Blend("weighted_average")),
    (simple_average_fusion, Blend("mean")),
    (max_fusion, Blend("max")),
    (first_view_fusion, Paint("first")),
)
"""Functions of ours, and what computes the same without stacking the views."""

Context = Mapping[str, Mapping[str, float]]
"""Properties of a fused image by name, each a value by axis."""


def choose_compositor(
    views: Sequence[View],
    spatial: int,
    function: Callable[..., object],
    weights: Callable[..., object] | None = None,
    *,
    function_kwargs: Mapping[str, object] | None = None,
    weights_kwargs: Mapping[str, object] | None = None,
    overlap_px: Sequence[int] | None = None,
    context: Context | None = None,
    fill: float | None = None,
) -> Compositor:
    """The compositor of a fusion function: a fast one if possible, else a `Plugin`.

    Parameters
    ----------
    views : sequence of View
        The views that are fused.
    spatial : int
        Number of axes in space.
    function, weights : callable
        Fusion function and weights function: see `platefuse.fusion.methods`.
    function_kwargs, weights_kwargs : mapping, optional
        Further arguments for them.
    overlap_px : sequence of int, optional
        Margin around each block that the functions get, on each axis in space; at least what they
        require themselves.
    context : mapping of str to mapping, optional
        Properties of the fused image by axis, for functions with a parameter of this name for
        which no argument is given.
    fill : float, optional
        See `Paint`.
    """
    fast = next((compositor for known, compositor in _FAST if known is function), None)
    if fast is not None and weights is None and not function_kwargs:
        return replace(fast, fill=fill)
    function_kwargs, weights_kwargs = dict(function_kwargs or {}), dict(weights_kwargs or {})
    context = context or {}
    given = overlap_px or (0,) * spatial
    required = (
        required_overlap(one, {**_accepted(one, context), **kwargs}, "zyx"[-spatial:])
        for one, kwargs in ((function, function_kwargs), (weights, weights_kwargs))
    )
    margin = tuple(map(max, given, *required))
    extent = reduce(Box.hull, (view.placed for view in views))
    return Plugin(function, weights, margin, extent, function_kwargs, weights_kwargs, context, fill)


@dataclass(frozen=True)
class Plugin:
    """Composes blocks with a fusion function and, optionally, a weights function.

    Attributes
    ----------
    function, weights : callable
        See `platefuse.fusion.methods` for their arguments.
    function_kwargs, weights_kwargs : mapping
        Further arguments for them.
    context : mapping of str to mapping
        See `choose_compositor`.
    margin_px : tuple of int
        Pixels around a block that the functions need, for each axis in space.
    extent : Box
        The output pixels that any view covers, on all axes: the margin ends there.
    fill : float, optional
        Value of pixels of float images where the function returns NaN; 0 by default.
    """

    function: Callable[..., object]
    weights: Callable[..., object] | None
    margin_px: tuple[int, ...]
    extent: Box
    function_kwargs: Mapping[str, object] = field(default_factory=dict)
    weights_kwargs: Mapping[str, object] = field(default_factory=dict)
    context: Context = field(default_factory=dict)
    fill: float | None = None
    copies = False

    def __post_init__(self) -> None:
        offered: tuple[str, ...] = ("blending_weights", "params", *self.context)
        _check_call(
            "weights_func", self.weights, offered, "weights_func_kwargs", self.weights_kwargs
        )
        if self.weights is not None:
            offered = (*offered, "fusion_weights")
        _check_call(
            "fusion_func", self.function, offered, "fusion_func_kwargs", self.function_kwargs
        )

    def compose(
        self, region: Box, views: Sequence[View], dtype: np.dtype[np.generic], reader: Hashable
    ) -> Pixels | None:
        """See `platefuse.engine.compose.Compositor`."""
        outer = region.hull(region.dilated(self.margin_px) & self.extent)
        inputs = read_views(outer, views, reader)
        if not inputs:
            missing = self.fill is not None and math.isnan(self.fill)
            return np.full(region.shape, np.nan, dtype) if missing else None
        stack = np.full((len(inputs), *outer.shape), np.nan)
        blending = np.zeros((len(inputs), *outer.shape))
        for one, values, weights in zip(inputs, stack, blending, strict=True):
            index = one.box.within(outer)
            mask = one.view.covers(one.box)
            where = True if mask is None else mask
            np.copyto(values[index], one.values(one.box, dtype), where=where)
            np.copyto(weights[index], one.view.weights(one.box), where=where)
            weights[np.isnan(values)] = 0
        params = [one.view.params for one in inputs]
        out = np.empty(region.shape, dtype)
        inner = region.within(outer)
        lead = len(region.start) - len(self.margin_px)
        for index in np.ndindex(outer.shape[:lead]):
            fused = self._call(
                stack[(slice(None), *index)], blending[(slice(None), *index)], params
            )
            block = fused[inner[lead:]]
            out[index] = _rounded(block, dtype, 0.0 if self.fill is None else self.fill)
        return out

    def _call(
        self, views: Pixels, blending: Pixels, params: Sequence[xarray.DataArray | None]
    ) -> Pixels:
        """Fuse a volume or a plane; a single plane is passed without z if no affine tilts it."""
        context = self.context
        flat = len(self.margin_px) == 3 and views.shape[1] == 1 and not any(map(_tilts, params))
        if flat:
            views, blending = views[:, 0], blending[:, 0]
            context = {n: {a: of[a] for a in "yx"} for n, of in context.items()}
            params = [
                None if p is None else p.sel(x_in=["y", "x", "1"], x_out=["y", "x", "1"])
                for p in params
            ]
        total = blending.sum(axis=0)
        offers = {
            "transformed_views": views,
            "blending_weights": blending / np.where(total > 0, total, 1),
            "params": params,
        }
        if self.weights is not None and accepts(self.function, "fusion_weights"):
            weights = _call(
                self.weights, offers, {**_accepted(self.weights, context), **self.weights_kwargs}
            )
            weights = _fitting("weights_func", self.weights, weights, views.shape)
            offers["fusion_weights"] = weights
        fused = _call(
            self.function, offers, {**_accepted(self.function, context), **self.function_kwargs}
        )
        fused = _fitting("fusion_func", self.function, fused, views.shape[1:])
        return fused[np.newaxis] if flat else fused


def _rounded(block: Pixels, dtype: np.dtype[np.generic], fill: float) -> Pixels:
    """Pixels as `dtype`, rounded and clipped, from the dtype that a function returns."""
    if block.dtype.kind in "iu":  # floats do not hold large ids exactly
        return to_dtype(block, dtype)
    return to_dtype(np.where(np.isnan(block), fill, block), dtype)


def _check_call(
    what: str,
    function: Callable[..., object] | None,
    offered: Sequence[str],
    of: str,
    kwargs: Mapping[str, object],
) -> None:
    """Check that a function can be called with the arguments that it will get.

    Raises
    ------
    ConfigError
        If it has no parameter for one of them, or requires others.
    """
    if function is None:
        return
    names = {"transformed_views", *kwargs, *(n for n in offered if accepts(function, n))}
    try:
        signature(function).bind(**dict.fromkeys(names))
    except ValueError:  # some functions written in C have no signature
        return
    except TypeError as error:
        raise ConfigError(
            f"fuse: {what} {_name(function)} cannot be called with {sorted(names)}: {error}. "
            f"Arguments beyond those in platefuse.fusion.methods come from {of}."
        ) from error


def _fitting(
    what: str, function: Callable[..., object], given: object, shape: tuple[int, ...]
) -> Pixels:
    """The result of a function as an array of numbers of a shape; weights are broadcast to it.

    Raises
    ------
    ConfigError
        If it cannot be one.
    """
    try:
        found = np.asarray(given)
    except ValueError:  # lists of different lengths
        found = np.empty(0, object)
    if what == "weights_func" and found.ndim == len(shape):
        with suppress(ValueError):
            found = np.broadcast_to(found, shape)
    if found.shape != shape or found.dtype.kind not in "biuf":
        raise ConfigError(
            f"fuse: {what} {_name(function)} returned an array of shape {found.shape} and dtype "
            f"{found.dtype}; expected numbers of shape {shape}."
        )
    return found


def _tilts(affine: xarray.DataArray | None) -> bool:
    """Whether a view's affine mixes z with y or x, so that its plane alone does not describe it."""
    if affine is None:
        return False
    mixed = [affine.sel(x_in=a, x_out=b).item() for p in "yx" for a, b in (("z", p), (p, "z"))]
    return any(mixed)


def _accepted(
    function: Callable[..., object] | None, offers: Mapping[str, object]
) -> dict[str, object]:
    """Those of the arguments that a function has a parameter for."""
    return {name: value for name, value in offers.items() if accepts(function, name)}


def _name(function: Callable[..., object]) -> str:
    return repr(getattr(function, "__name__", function))


def _call(
    function: Callable[..., object], offers: Mapping[str, object], kwargs: Mapping[str, object]
) -> object:
    """Call a function with the views and those of the other arguments that its signature has."""
    accepted = {**_accepted(function, offers), "transformed_views": offers["transformed_views"]}
    with warnings.catch_warnings():  # the mean of NaN alone is part of the contract
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(**{**kwargs, **accepted})
