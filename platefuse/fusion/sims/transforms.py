"""Read and check the affines of an image of the multiview-stitcher data model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from platefuse.errors import ViewError

if TYPE_CHECKING:
    import xarray

_SINGULAR = 1e12
_ROUNDING = 1e-9


def read_transforms(
    number: int | str, image: xarray.DataArray, key: str | None, spatial: str
) -> tuple[xarray.DataArray, ...]:
    """Read the affines that place an image: one, or one for each of its times.

    Parameters
    ----------
    number : int or str
        Index of the image in the list of views, for messages.
    image : xarray.DataArray
        The image.
    key : str or None
        Key of the transform; None: the identity.
    spatial : str
        Its axes in space, in array order.

    Returns
    -------
    tuple of xarray.DataArray, shape (n + 1, n + 1)
        Affines from physical to world coordinates, with dims ``x_in`` and ``x_out``.

    Raises
    ------
    ViewError
        If there is no such transform, or it is not an invertible affine.
    """
    if key is None:
        return (make_affine(np.eye(len(spatial) + 1), spatial),)
    transforms = image.attrs.get("transforms", {})
    known = list(transforms) if isinstance(transforms, Mapping) else []
    if key not in known:
        raise ViewError(
            f"fuse: view {number} has no transform {key!r}; it has {sorted(map(str, known))}. "
            "Give one of these as transform_key, or None."
        )
    affine = _labelled(f"fuse: the transform {key!r} of view {number}", transforms[key], spatial)
    params = tuple(p.transpose("x_in", "x_out") for p in _over_time(number, image, key, affine))
    for one in params:
        _check(number, one.values)
    return params


def make_affine(matrix: NDArray[np.float64], spatial: str) -> xarray.DataArray:
    """Make an affine of the data model from a matrix of shape (n + 1, n + 1)."""
    import xarray

    labels = [*spatial, "1"]
    return xarray.DataArray(
        matrix, dims=["x_in", "x_out"], coords={"x_in": labels, "x_out": labels}
    )


def _labelled(what: str, affine: object, spatial: str) -> xarray.DataArray:
    """Convert an affine to float64, with named dims and with labels in the order of the axes."""
    import xarray

    labels = [*spatial, "1"]
    dims = affine.dims if isinstance(affine, xarray.DataArray) else ("x_in", "x_out")
    try:
        values = np.asarray(affine).astype(float, casting="same_kind")
    except (TypeError, ValueError):  # text, objects, ragged lists
        values = np.empty(0)
    sizes = dict(zip(dims, values.shape, strict=False))
    if values.ndim != len(dims) or {**sizes, "t": 0} != {
        "x_in": len(labels),
        "x_out": len(labels),
        "t": 0,
    }:
        shown = f"of {values.dtype}, {sizes}" if values.size else repr(affine)
        raise ViewError(
            f"{what} is {shown}; expected an affine of numbers, with dims x_in and x_out of "
            f"length {len(labels)}, and t if it varies with time."
        )
    coords = affine.coords if isinstance(affine, xarray.DataArray) else {}
    named = xarray.DataArray(values, dims=dims, coords=coords)
    for dim in ("x_in", "x_out"):
        if dim not in coords:
            named = named.assign_coords({dim: labels})
            continue
        found = [str(label) for label in coords[dim].values]
        if sorted(found) != sorted(labels):
            raise ViewError(f"{what} has the labels {found} on {dim}; expected {labels}.")
        if found != labels:
            named = named.isel({dim: [found.index(label) for label in labels]})
    return named


def _over_time(
    number: int | str, image: xarray.DataArray, key: str, affine: xarray.DataArray
) -> list[xarray.DataArray]:
    """The affine for each time of the image; only one if it does not vary with time."""
    if "t" not in affine.dims:
        return [affine]
    if "t" in affine.coords and "t" in image.coords and image.coords["t"].ndim:
        own, of_image = affine.indexes["t"], image.indexes["t"]
        if affine.sizes["t"] > 1 and own.is_unique and of_image.isin(own).all():
            affine = affine.isel(t=own.get_indexer(of_image))
    times = affine.sizes["t"]
    if times not in (1, image.sizes.get("t", 1)):
        raise ViewError(
            f"fuse: the transform {key!r} of view {number} has {times} times, but the image has "
            f"{image.sizes.get('t', 1)}; expected one affine, or one for each time."
        )
    return [affine.isel(t=k) for k in range(times)]


def _check(number: int | str, affine: NDArray[np.float64]) -> None:
    last = [0.0] * (len(affine) - 1) + [1.0]
    if not np.isfinite(affine).all() or np.linalg.cond(affine[:-1, :-1]) > _SINGULAR:
        raise ViewError(
            f"fuse: view {number} has a singular or non-finite affine, "
            f"{affine.tolist()}; expected one that can be inverted."
        )
    if not np.allclose(affine[-1], last, rtol=0, atol=_ROUNDING):
        raise ViewError(
            f"fuse: view {number} has an affine whose last row is {affine[-1].tolist()}; "
            f"expected {last}."
        )
    affine[-1] = last  # exactly: least squares and pseudo-inverses round
