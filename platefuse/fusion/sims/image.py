"""Images of the multiview-stitcher data model, as views of a frame; and the fused image as one.

An image ("sim") is an xarray.DataArray with dims among ``t c z y x``, in this order, physical
coordinates of pixel centres on the axes in space, and affines in
``attrs["transforms"][transform_key]``: arrays with dims ``x_in``, ``x_out`` (and perhaps ``t``)
from homogeneous physical to world coordinates, in the order ``z y x 1``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.sources import Source
from platefuse.engine.views import View
from platefuse.errors import ViewError
from platefuse.fusion.frame import Extent, Frame, PixelMap, place_view
from platefuse.fusion.sims.store import SimStore
from platefuse.fusion.sims.transforms import make_affine, read_transforms
from platefuse.geometry import Box, Pixels, snap

if TYPE_CHECKING:
    import dask.array
    import xarray

DIMS = "tczyx"
_UNEVEN_PX = 0.1
_WHOLE_PX = 1e-5
"""Positions closer than this to a whole pixel are on it, and an affine that moves no pixel of a
view by more than this against a shift is a shift."""


@dataclass(frozen=True)
class Sim:
    """The geometry of one image.

    Attributes
    ----------
    image : xarray.DataArray
        The image.
    number : int or str
        Its index in the list, and its level if that is not the finest, for messages.
    spatial : str
        Its axes in space, in array order.
    origin, spacing : ndarray of float64, shape (n,)
        Physical position of the first pixel's centre, and pixel size, on these axes.
    affines : ndarray of float64, shape (1 or times, n + 1, n + 1)
        Affines from physical to world coordinates: one for all times, or one for each.
    params : tuple of xarray.DataArray
        The affines as the caller gave them: one, or one for each time.
    """

    image: xarray.DataArray
    number: int | str
    spatial: str
    origin: NDArray[np.float64]
    spacing: NDArray[np.float64]
    affines: NDArray[np.float64]
    params: tuple[xarray.DataArray, ...]

    @property
    def shape(self) -> NDArray[np.int64]:
        """Number of pixels on the axes in space."""
        return np.array(self.image.shape[-len(self.spatial) :])

    @property
    def dims(self) -> str:
        """All its axes."""
        return "".join(map(str, self.image.dims))

    @property
    def channel_names(self) -> list[str] | None:
        """Names of its channels, if it has any."""
        if "c" not in self.dims or "c" not in self.image.coords:
            return None
        return [str(name) for name in self.image.coords["c"].values]

    @property
    def world_spacing(self) -> NDArray[np.float64]:
        """Length of the step from pixel to pixel along each axis of the world, shape (n,).

        Of a rotated view, it is that of the axes of the view that point there.
        """
        steps = self.affines[:, :-1, :-1] * self.spacing
        return np.asarray(np.sqrt((steps**2).sum(axis=2)).max(axis=0))

    @property
    def extents(self) -> list[Extent]:
        """The part of the world that the image covers: one extent, or one for each time."""
        last = self.shape - 1
        front = np.where([a == "z" for a in self.spatial], 0, last)
        found = []
        for affine in self.affines:
            low, high = self._span(last, affine)
            sides = np.abs(affine[:-1, :-1]) * self.spacing
            rotated = (sides > _WHOLE_PX * self.spacing.min() / self.shape.max()).sum(axis=1) > 1
            reach = np.where(rotated, 0.0, sides.sum(axis=1) / 2)
            found.append(Extent(low, high, self._span(front, affine)[1], reach))
        return found

    def views(self, frame: Frame, order: int, widths: Mapping[str, float]) -> list[View]:
        """The image's view in a frame, or one for each time: see `place_view`."""
        source = Source(SimStore(self.image, self.number))
        whole = Box.of_shape(self.image.shape)
        views = []
        for time, (affine, params) in enumerate(zip(self.affines, self.params, strict=True)):
            box = whole
            if len(self.affines) > 1:  # dims begin with t
                box = Box((time, *whole.start[1:]), (time + 1, *whole.stop[1:]))
            pixels = self._pixel_map(frame, affine)
            view = place_view(source, box, pixels, frame, order=order, widths=widths, params=params)
            views.append(view)
        return views

    def _pixel_map(self, frame: Frame, affine: NDArray[np.float64]) -> PixelMap:
        """The map from the image's pixels to those of a frame."""
        spacing, linear = np.array(frame.spacing), affine[:-1, :-1]
        matrix = linear * self.spacing / spacing[:, None]
        offset = (linear @ self.origin + affine[:-1, -1] - np.array(frame.origin)) / spacing
        error = np.abs(matrix - np.eye(len(offset))) @ self.shape
        is_shift = bool((error < _WHOLE_PX).all())
        start = tuple(snap(float(o), _WHOLE_PX) if is_shift else float(o) for o in offset)
        return PixelMap(matrix, start, tuple(self.spacing.tolist()), is_shift)

    def _span(
        self, last: NDArray[np.int64], affine: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        corners = self.origin + np.array(list(product(*((0, n) for n in last)))) * self.spacing
        world = corners @ affine[:-1, :-1].T + affine[:-1, -1]
        return world.min(axis=0), world.max(axis=0)


def read_sims(
    images: object,
    transform_key: str | None,
    spacing: Mapping[str, float] | None = None,
) -> list[Sim]:
    """Read the geometry of the images to fuse, and check that they fit together.

    Parameters
    ----------
    images : sequence of xarray.DataArray
        The images.
    transform_key : str or None
        The key of their transform; None: the identity.
    spacing : mapping of str to float, optional
        Pixel size on axes on which every image has one pixel only; 1 if not given.

    Raises
    ------
    ViewError
        If there are none, or they differ in dims, dtype, channels or times, or one has no such
        transform or no usable geometry.
    """
    if not isinstance(images, Sequence) or isinstance(images, str | bytes):
        raise ViewError(f"fuse: images is a {type(images).__name__}; expected a list of images.")
    if not images:
        raise ViewError("fuse: no views were given; expected a list of at least one image.")
    sims = [read_sim(number, image, transform_key) for number, image in enumerate(images)]
    first = sims[0]
    for sim in sims[1:]:
        check_alike(sim, first)
    return _with_spacing_of_others(sims, spacing or {})


def check_alike(sim: Sim, first: Sim) -> None:
    """Check that two images have the same dims, dtype, channels and times.

    Raises
    ------
    ViewError
        If they differ.
    """
    for what, got, expected in (
        ("dims", sim.dims, first.dims),
        ("dtype", *(one.image.dtype.newbyteorder("=") for one in (sim, first))),
        ("channels", _coords(sim, "c"), _coords(first, "c")),
        ("times", _coords(sim, "t"), _coords(first, "t")),
    ):
        if got != expected:
            raise ViewError(
                f"fuse: view {sim.number} has {what} {got}, view {first.number} has {expected}. "
                "All views of one image must agree; select or convert before fusing."
            )


def make_sim(
    data: dask.array.Array | Pixels, like: Sim, frame: Frame, key: str | None
) -> xarray.DataArray:
    """An image of the data model, with the identity as its transform.

    Parameters
    ----------
    data : dask or NumPy array
        Its pixels, with the axes of `like`.
    like : Sim
        The image whose channels and times it has.
    frame : Frame
        Its pixel grid.
    key : str or None
        Transform key.
    """
    import xarray

    spacing, origin = frame.by_axis(frame.spacing), frame.by_axis(frame.origin)
    coords: dict[str, NDArray[np.generic]] = {}
    for axis, n in zip(like.dims, data.shape, strict=True):
        if axis in like.spatial:
            coords[axis] = origin[axis] + spacing[axis] * np.arange(n)
        elif axis in like.image.coords:
            coords[axis] = like.image.coords[axis].values
    sim = xarray.DataArray(data, dims=list(like.dims), coords=coords, name="image")
    sim.attrs["transforms"] = {key: make_affine(np.eye(len(like.spatial) + 1), like.spatial)}
    return sim


def read_sim(number: int | str, image: object, key: str | None) -> Sim:
    """Read the geometry of one image.

    Parameters
    ----------
    number : int or str
        Its index in the list, for messages.
    image : xarray.DataArray
        The image.
    key : str or None
        The key of its transform; None: the identity.

    Raises
    ------
    ViewError
        If it has no such transform or no usable geometry.
    """
    import xarray

    if not isinstance(image, xarray.DataArray):
        raise ViewError(
            f"fuse: view {number} is a {type(image).__name__}; expected an xarray.DataArray with "
            "dims among t, c, z, y, x."
        )
    dims = "".join(map(str, image.dims))
    if dims != "".join(d for d in DIMS if d in dims) or dims[-2:] != "yx":
        raise ViewError(
            f"fuse: view {number} has dims {image.dims}; expected some of t, c, z, y, x, in this "
            "order, y and x among them. Transpose it."
        )
    if image.dtype.kind not in "biuf" or image.dtype.itemsize > 8:
        raise ViewError(
            f"fuse: view {number} has dtype {image.dtype}; expected booleans, integers or floats "
            "of at most 64 bits. Convert it."
        )
    spatial = "".join(d for d in dims if d in "zyx")
    grid = [_grid(number, image, axis) for axis in spatial]
    params = read_transforms(number, image, key, spatial)
    affines = np.array([p.values for p in params])
    origin, spacing = np.array(grid).T
    return Sim(image, number, spatial, origin, spacing, affines, params)


def with_overlap(
    image: xarray.DataArray, axes: str, chunks: Sequence[int], overlap: Sequence[int]
) -> xarray.DataArray:
    """An image whose chunks have the pixels around them too, so that neighbours repeat some.

    Parameters
    ----------
    image : xarray.DataArray
        The lazy image, with as many more pixels at its borders.
    axes : str
        Its axes in space.
    chunks, overlap : sequence of int
        Pixels of a chunk without those around it, and pixels on either side of it, on each axis.
    """
    import xarray

    for axis, chunk, around in zip(axes, chunks, overlap, strict=True):
        n = image.sizes[axis] - 2 * around
        stops = [min(start + chunk, n) + 2 * around for start in range(0, n, chunk)]
        parts = [image.isel({axis: slice(k * chunk, stop)}) for k, stop in enumerate(stops)]
        whole = xarray.concat(parts, axis, coords="minimal", compat="override", join="override")
        image = whole.chunk({axis: tuple(part.sizes[axis] for part in parts)})
    return image


def _grid(number: int | str, image: xarray.DataArray, axis: str) -> tuple[float, float]:
    """Position of the first pixel of an image on an axis, and the pixel size."""
    try:
        positions = np.asarray(image.coords[axis].values if axis in image.coords else np.nan, float)
    except (TypeError, ValueError):  # text, for instance
        positions = np.array(np.nan)
    if not np.isfinite(positions).all():
        raise ViewError(
            f"fuse: view {number} has no finite coordinates on {axis}; expected the physical "
            "position of every pixel."
        )
    if not len(positions):
        raise ViewError(f"fuse: view {number} has no pixels: its length on {axis} is 0.")
    step = (positions[-1] - positions[0]) / (len(positions) - 1) if len(positions) > 1 else 1.0
    if step <= 0:
        raise ViewError(
            f"fuse: view {number} has spacing {step:g} on {axis}; expected a number above 0."
        )
    even = positions[0] + step * np.arange(len(positions))
    if np.abs(positions - even).max() > _UNEVEN_PX * step:
        raise ViewError(
            f"fuse: view {number} has uneven coordinates on {axis}; expected one distance from "
            f"pixel to pixel, about {step:g}."
        )
    return float(positions[0]), float(step)


def _with_spacing_of_others(sims: Sequence[Sim], otherwise: Mapping[str, float]) -> list[Sim]:
    """Give views of one pixel on an axis the spacing of the first view with more pixels."""
    known = np.array([float(otherwise.get(a, 1.0)) for a in sims[0].spatial])
    for sim in reversed(sims):
        known = np.where(sim.shape > 1, sim.spacing, known)
    return [replace(sim, spacing=np.where(sim.shape > 1, sim.spacing, known)) for sim in sims]


def _coords(sim: Sim, axis: str) -> list[object]:
    if axis not in sim.image.dims:
        return []
    if axis not in sim.image.coords:
        return list(range(sim.image.sizes[axis]))
    return list(sim.image.coords[axis].values.tolist())
