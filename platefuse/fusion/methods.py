"""Fusion functions and weights, by the contract of multiview-stitcher.

A *fusion function* gets, for one block, ``transformed_views`` (array of shape (views, z, y, x)
or (views, y, x), float, NaN where a view has no data) and, if its signature has them,
``blending_weights`` and ``fusion_weights`` (same shape, summing to 1 over the views) and
``params`` (one affine per view), and of the fused image ``output_spacing`` (pixel size by axis)
and ``output_chunksize`` (pixels of a chunk by axis). It returns the fused block, NaN or 0 where
there are no data.
A *weights function* gets the same without ``fusion_weights`` and returns weights of the views.
Either may have an attribute ``required_overlap``, a function of a dict of its keyword arguments:
the number of pixels around a block that its result depends on, along all axes or as a dict by axis.

The functions here can be used by other plug-ins. `fuse` recognizes them and computes the same
without stacking the views.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from platefuse.storage.expected import NOT_NEGATIVE, number

Stack = NDArray[np.floating]
_ROUNDING = 1e-9
"""Contrast below this part of the value is a rounding error, not content."""


def weighted_average_fusion(
    transformed_views: Stack, blending_weights: Stack, fusion_weights: Stack | None = None
) -> Stack:
    """Mean of the views, weighted by blending weights and, if given, fusion weights.

    Parameters
    ----------
    transformed_views : ndarray of float, shape (views, …)
        Views of one block; NaN where a view has no data.
    blending_weights, fusion_weights : ndarray of float, shape (views, …)
        Weights; not negative. Where some are infinite, their views count equally, and no others.
    """
    weights = blending_weights if fusion_weights is None else blending_weights * fusion_weights
    weights = np.where(np.isnan(transformed_views), 0, weights)
    infinite = np.isposinf(weights)
    weights = np.where(infinite.any(axis=0), infinite, weights)
    total = weights.sum(axis=0)
    # where all weights are 0, the views that have data count equally
    weights = np.where(total > 0, weights, ~np.isnan(transformed_views))
    base = _first_valid(transformed_views)
    difference = np.nan_to_num(transformed_views - base) * weights
    with np.errstate(invalid="ignore"):
        return np.asarray(base + difference.sum(axis=0) / weights.sum(axis=0))


def simple_average_fusion(transformed_views: Stack) -> Stack:
    """Mean of the views that have data. Parameters as for `weighted_average_fusion`."""
    return weighted_average_fusion(transformed_views, np.ones(transformed_views.shape))


def max_fusion(transformed_views: Stack) -> Stack:
    """Largest value of the views that have data. Parameters as above."""
    return np.asarray(np.fmax.reduce(transformed_views, axis=0))


def first_view_fusion(transformed_views: Stack) -> Stack:
    """Value of the first view that has data. Parameters as above."""
    return _first_valid(transformed_views)


def content_based(
    transformed_views: Stack,
    blending_weights: Stack | None = None,
    sigma_1: float = 5,
    sigma_2: float = 11,
) -> Stack:
    """Weights from the local content: a view counts more where it is sharp.

    ``W = G_sigma_2 * (I - G_sigma_1 * I) ** 2``, with Gaussians that ignore missing data:
    Preibisch, Rohlfing, Hasak and Tomancak (2008), doi:10.1117/12.768948.

    Parameters
    ----------
    transformed_views : ndarray of float, shape (views, …)
        Views of one block with the margin of `required_overlap`.
    blending_weights : ndarray, optional
        Views are missing where these are below 1e-7.
    sigma_1, sigma_2 : float
        Standard deviations of the two Gaussians, in output pixels.

    Returns
    -------
    ndarray of float64, shape (views, …)
        Weights that sum to 1 over the views wherever one has data.
    """
    missing = np.isnan(transformed_views)
    if blending_weights is not None:
        missing = missing | (blending_weights < 1e-7)
    weights = np.zeros(transformed_views.shape)
    for view, no_data, weight in zip(transformed_views, missing, weights, strict=True):
        image = np.where(no_data, np.nan, view)
        detail = image - _blur(image, sigma_1)
        detail[np.abs(detail) <= _ROUNDING * np.abs(image)] = 0
        weight[...] = np.nan_to_num(_blur(detail**2, sigma_2))
    total = weights.sum(axis=0)
    # where no view has content, those that have data count equally
    weights = np.where(total > 0, weights, ~missing)
    total = weights.sum(axis=0)
    return np.asarray(weights / np.where(total > 0, total, 1))


def _content_overlap(kwargs: Mapping[str, object]) -> int:
    sigmas = {"sigma_1": 5, "sigma_2": 11} | dict(kwargs)
    for name in ("sigma_1", "sigma_2"):
        NOT_NEGATIVE.check(f"fuse: {name} of content_based", sigmas[name])
    return sum(int(4 * number(sigmas[name]) + 0.5) for name in ("sigma_1", "sigma_2"))


content_based.required_overlap = _content_overlap  # type: ignore[attr-defined]  # the contract


def required_overlap(
    function: Callable[..., object] | None, kwargs: Mapping[str, object], axes: str
) -> tuple[int, ...]:
    """Pixels around a block that the result of a function depends on, along each axis in space.

    Its own attribute says how many; either the same along all axes or a dict by axis.
    """
    overlap: object = 0
    own = getattr(function, "required_overlap", None)
    if own is not None:
        overlap = own(dict(kwargs))
    elif getattr(function, "__name__", "") == "content_based":  # of releases without the attribute
        overlap = 2 * number(kwargs.get("sigma_2", 11))
    by_axis = overlap if isinstance(overlap, Mapping) else dict.fromkeys(axes, overlap)
    for axis in axes:
        what = f"fuse: required_overlap on {axis} of {function!r}"
        NOT_NEGATIVE.check(what, by_axis.get(axis))
    return tuple(math.ceil(number(by_axis[axis])) for axis in axes)


def accepts(function: Callable[..., object] | None, keyword: str) -> bool:
    """Whether a function has a parameter of this name, if its signature is known."""
    if function is None:
        return False
    try:
        return keyword in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some functions written in C have no signature
        return False


METHODS: dict[str, Callable[..., Stack]] = {
    "weighted_average": weighted_average_fusion,
    "mean": simple_average_fusion,
    "max": max_fusion,
    "first": first_view_fusion,
}
"""Fusion functions by the name that they have in the config."""


def _first_valid(views: Stack) -> Stack:
    base = views[0].copy()
    for view in views[1:]:
        np.copyto(base, view, where=np.isnan(base))
    return np.asarray(base)


def _blur(image: Stack, sigma: float) -> Stack:
    """Gaussian of the pixels that have data; NaN for all others."""
    valid = ~np.isnan(image)
    from scipy.ndimage import gaussian_filter  # half a second: for content-based weights only

    value = gaussian_filter(np.where(valid, image, 0), sigma, mode="constant", truncate=4.0)
    weight = gaussian_filter(valid.astype(float), sigma, mode="constant", truncate=4.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(valid, value / weight, np.nan))
