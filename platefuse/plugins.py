"""Blocks by other people's functions: the views are stacked as they expect them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platefuse.blocks import fetch_parts
from platefuse.downsample import to_dtype
from platefuse.errors import ConfigError
from platefuse.geometry import Box
from platefuse.methods import accepts
from platefuse.views import View

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Plugin:
    """Composes blocks by a fusion function, and a weights function if there is one.

    Attributes
    ----------
    function, weights : callable
        See `platefuse.methods` for what they are called with.
    function_kwargs, weights_kwargs : mapping
        Further arguments for them.
    margin_px : tuple of int
        Pixels around a block that the functions need, for each axis in space.
    extent : Box
        Where there are data at all, on all axes: the margin ends there.
    nodata : float, optional
        What pixels of float images get where the function gives NaN; 0 by default.
    """

    function: Callable[..., Any]
    weights: Callable[..., Any] | None
    margin_px: tuple[int, ...]
    extent: Box
    function_kwargs: Mapping[str, Any] = field(default_factory=dict)
    weights_kwargs: Mapping[str, Any] = field(default_factory=dict)
    nodata: float | None = None
    copies = False

    def compose(
        self, region: Box, views: Sequence[View], dtype: np.dtype[Any], who: Hashable
    ) -> Pixels | None:
        """See `platefuse.blocks.Compositor`."""
        outer = region.joined(region.dilated(self.margin_px) & self.extent)
        parts = fetch_parts(outer, views, who)
        if not parts:
            return np.full(region.shape, self.nodata, dtype) if self.nodata else None
        stack = np.full((len(parts), *outer.shape), np.nan)
        blending = np.zeros((len(parts), *outer.shape))
        for part, values, weights in zip(parts, stack, blending, strict=True):
            index = part.box.within(outer)
            mask = part.view.covers(part.box)
            where = True if mask is None else mask
            np.copyto(values[index], part.values(part.box, dtype), where=where)
            np.copyto(weights[index], part.view.weights(part.box), where=where)
            weights[np.isnan(values)] = 0
        params = [part.view.params for part in parts]
        out = np.empty(region.shape, dtype)
        inner = region.within(outer)
        lead = len(region.start) - len(self.margin_px)
        for index in np.ndindex(outer.shape[:lead]):
            fused = self._call(
                stack[(slice(None), *index)], blending[(slice(None), *index)], params
            )
            block = fused[inner[lead:]]
            out[index] = to_dtype(np.where(np.isnan(block), self.nodata or 0, block), dtype)
        return out

    def _call(self, views: Pixels, blending: Pixels, params: list[Any]) -> Pixels:
        """One volume, or one plane: a single plane is handed over without its z axis."""
        flat = len(self.margin_px) == 3 and views.shape[1] == 1
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
            offers["fusion_weights"] = _call(self.weights, offers, self.weights_kwargs)
        fused = np.asarray(_call(self.function, offers, self.function_kwargs))
        if fused.shape != views.shape[1:]:
            raise ConfigError(
                f"fuse: fusion_func {getattr(self.function, '__name__', self.function)!r} gave an "
                f"array of shape {fused.shape} for views of shape {views.shape}; expected "
                f"{views.shape[1:]}."
            )
        return fused[np.newaxis] if flat else fused


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
