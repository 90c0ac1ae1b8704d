"""Blocks by other people's functions: the views are stacked as they expect them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.compose import read_views
from platefuse.engine.downsample import to_dtype
from platefuse.engine.views import View
from platefuse.errors import ConfigError
from platefuse.fusion.methods import accepts
from platefuse.geometry import Box

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Plugin:
    """Composes blocks by a fusion function, and a weights function if there is one.

    Attributes
    ----------
    function, weights : callable
        See `platefuse.fusion.methods` for what they are called with.
    function_kwargs, weights_kwargs : mapping
        Further arguments for them.
    margin_px : tuple of int
        Pixels around a block that the functions need, for each axis in space.
    extent : Box
        Where there are data at all, on all axes: the margin ends there.
    fill : float, optional
        What pixels of float images get where the function gives NaN; 0 by default.
    """

    function: Callable[..., Any]
    weights: Callable[..., Any] | None
    margin_px: tuple[int, ...]
    extent: Box
    function_kwargs: Mapping[str, Any] = field(default_factory=dict)
    weights_kwargs: Mapping[str, Any] = field(default_factory=dict)
    fill: float | None = None
    copies = False

    def __post_init__(self) -> None:
        offered: tuple[str, ...] = ("blending_weights", "params")
        _check_call(
            "weights_func", self.weights, offered, "weights_func_kwargs", self.weights_kwargs
        )
        if self.weights is not None:
            offered = (*offered, "fusion_weights")
        _check_call(
            "fusion_func", self.function, offered, "fusion_method_kwargs", self.function_kwargs
        )

    def compose(
        self, region: Box, views: Sequence[View], dtype: np.dtype[Any], reader: Hashable
    ) -> Pixels | None:
        """See `platefuse.engine.compose.Compositor`."""
        outer = region.joined(region.dilated(self.margin_px) & self.extent)
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

    def _call(self, views: Pixels, blending: Pixels, params: list[Any]) -> Pixels:
        """One volume, or one plane: a single plane is handed over without z, if no view tilts."""
        flat = len(self.margin_px) == 3 and views.shape[1] == 1 and not any(map(_tilts, params))
        if flat:
            views, blending = views[:, 0], blending[:, 0]
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
            weights = _call(self.weights, offers, self.weights_kwargs)
            weights = _fitting("weights_func", self.weights, weights, views.shape)
            offers["fusion_weights"] = weights
        fused = _call(self.function, offers, self.function_kwargs)
        fused = _fitting("fusion_func", self.function, fused, views.shape[1:])
        return fused[np.newaxis] if flat else fused


def _rounded(block: Pixels, dtype: np.dtype[Any], fill: float) -> Pixels:
    """Pixels as `dtype`: rounded and clipped, whatever a function computes in."""
    if block.dtype.kind in "iu":  # not by way of floats: ids may be large
        return to_dtype(block, dtype)
    return to_dtype(np.where(np.isnan(block), fill, block), dtype)


def _check_call(
    what: str,
    function: Callable[..., Any] | None,
    offered: Sequence[str],
    of: str,
    kwargs: Mapping[str, Any],
) -> None:
    """Refuse arguments that a function does not have, and functions that want others."""
    if function is None:
        return
    names = {"transformed_views", *kwargs, *(n for n in offered if accepts(function, n))}
    try:
        signature(function).bind(**dict.fromkeys(names))
    except ValueError:  # some that are written in C do not say
        return
    except TypeError as error:
        raise ConfigError(
            f"fuse: {what} {_name(function)} cannot be called with {sorted(names)}: {error}. "
            f"Arguments beyond those in platefuse.fusion.methods come from {of}."
        ) from error


def _fitting(what: str, function: Callable[..., Any], given: Any, shape: tuple[int, ...]) -> Pixels:
    """What a function gave, if it is numbers of a shape; weights may be the same along axes."""
    try:
        found = np.asarray(given)
    except ValueError:  # lists of different lengths
        found = np.empty(0, object)
    if what == "weights_func" and found.ndim == len(shape):
        with suppress(ValueError):
            found = np.broadcast_to(found, shape)
    if found.shape != shape or found.dtype.kind not in "biuf":
        raise ConfigError(
            f"fuse: {what} {_name(function)} gave an array of shape {found.shape} and dtype "
            f"{found.dtype}; expected numbers of shape {shape}."
        )
    return found


def _tilts(affine: Any) -> bool:
    """Whether a view's affine mixes z with the plane, which its plane alone does not show."""
    if affine is None:
        return False
    mixed = [affine.sel(x_in=a, x_out=b).item() for p in "yx" for a, b in (("z", p), (p, "z"))]
    return any(mixed)


def _name(function: Callable[..., Any]) -> str:
    return repr(getattr(function, "__name__", function))


def _call(
    function: Callable[..., Any], offers: Mapping[str, Any], kwargs: Mapping[str, Any]
) -> Any:
    """Call a function with the views and those of the other arguments that its signature has."""
    wanted = {
        name: value
        for name, value in offers.items()
        if name == "transformed_views" or accepts(function, name)
    }
    with warnings.catch_warnings():  # means of nothing but NaN are part of the contract
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(**{**kwargs, **wanted})
