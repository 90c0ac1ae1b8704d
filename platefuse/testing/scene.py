"""The tissue of a well as a formula, exact at any position.

Nuclei are smooth, tilted ellipses that never touch. The other channels show the cell as a soft halo
around each nucleus. The background is a sum of plane waves. All are functions of real coordinates,
so an acquisition that is shifted by a fraction of a pixel is computed and not interpolated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from platefuse.errors import ConfigError
from platefuse.testing.camera import BACKGROUND, OFFSET, to_counts
from platefuse.testing.layout import field_shifts, stage_positions
from platefuse.testing.spec import PlateSpec

Floats = NDArray[np.float64]

_EDGE = 0.1  # softness of a nucleus' edge, in radii: about the blur of a light microscope
_LARGEST = 1.15  # largest half axis, in units of the mean radius
SPACING = 1.16  # least distance of two nuclei, in mean diameters: they never touch
_DISC_REACH = 2.0  # half width of what is drawn, in units of the largest half axis
_HALO_REACH = 4.0


@dataclass(frozen=True)
class Window:
    """A rectangle of one plane of the scene.

    Attributes
    ----------
    origin : (float, float, float)
        Scene position (z, y, x) of the first pixel. It is rounded to 2 ** -20 of a pixel: then
        whole and fractional parts are exact wherever the window lies.
    shape : (int, int)
        Pixels (y, x).
    """

    origin: tuple[float, float, float]
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        z, y, x = (round(float(position) * 2**20) / 2**20 for position in self.origin)
        object.__setattr__(self, "origin", (z, y, x))

    @cached_property
    def corner(self) -> tuple[int, int]:
        """Whole part of the origin (y, x)."""
        return int(np.floor(self.origin[1])), int(np.floor(self.origin[2]))

    @cached_property
    def fraction(self) -> tuple[float, float]:
        """What the origin (y, x) is beyond its whole part."""
        return self.origin[1] - self.corner[0], self.origin[2] - self.corner[1]


@dataclass(frozen=True)
class Scene:
    """The tissue of one well.

    Attributes
    ----------
    spec : PlateSpec
        The plate.
    well : int
        Index of the well in the plate: wells differ.
    """

    spec: PlateSpec
    well: int

    @property
    def is_empty(self) -> bool:
        """Whether the well has no tissue."""
        return self.spec.wells[self.well] in self.spec.empty_wells

    @property
    def ids(self) -> NDArray[np.int64]:
        """Ids of all nuclei, inside and around the mosaic."""
        return np.arange(1, len(self.centres) + 1) + self.spec.label_offset

    @cached_property
    def centres(self) -> Floats:
        """Centres of all nuclei, pixels of the scene frame, axes zyx, shape (nuclei, 3).

        Raises
        ------
        ConfigError
            If there are more than the data type of the labels can number.
        """
        low, high = self._extent
        places = scatter((high - low) / self._diameter_px, self._random(1))
        centres = low + places * self._diameter_px
        depth = self._random(2).uniform(0, self.spec.planes - 1, len(centres))
        largest = len(centres) + self.spec.label_offset
        if largest > np.iinfo(self.spec.label_dtype).max:
            raise ConfigError(
                f"Labels of type {self.spec.label_dtype} cannot hold the id {largest} of an "
                "example plate: use a wider type, smaller fields or larger nuclei."
            )
        return np.column_stack([depth, centres])

    def image(self, window: Window, *, channel: int = 0, timepoint: int = 0) -> NDArray[np.generic]:
        """What a camera without noise sees.

        Parameters
        ----------
        window : Window
            The pixels to compute.
        channel, timepoint : int
            Indices.

        Returns
        -------
        ndarray, shape `window.shape`, dtype of the plate
            Counts; floats are rounded to sixteenths, so that they are exact in any float type.
        """
        counts = self.counts(window, channel=channel, timepoint=timepoint)
        return to_counts(counts, self.spec.dtype)

    def counts(
        self, window: Window, *, channel: int = 0, timepoint: int = 0
    ) -> NDArray[np.float32]:
        """The same in counts of a 16-bit camera, before rounding."""
        plane = self._background(window, channel)
        bleached = 0.9**timepoint
        patches = self._discs(window) if channel == 0 else self._halos(window)
        sharpness = self._sharpness(window.origin[0])
        for nucleus, corner, patch in patches:
            peak = bleached * self._peaks[nucleus, channel] * sharpness[nucleus]
            target, source = _common(corner, patch.shape, window)
            plane[target] += np.float32(peak) * patch[source]
        return plane

    def label(self, window: Window, *, index: int = 0, flat: bool = False) -> NDArray[np.integer]:
        """The ids of the nuclei.

        Parameters
        ----------
        window : Window
            The pixels to compute.
        index : int
            Which label: the n-th has 1 / (n + 1) of the radius of the first.
        flat : bool
            Whether every nucleus is shown with its largest section, in all planes.

        Returns
        -------
        ndarray, shape `window.shape`, dtype of the plate's labels
            Ids; 0 outside nuclei.
        """
        plane = np.zeros(window.shape, self.spec.label_dtype)
        section = np.ones(len(self.centres)) if flat else self._section(window.origin[0])
        ids = self.ids.astype(self.spec.label_dtype)
        for nucleus, corner, (_, _, distance) in self._ellipses(window, 1.0):
            target, source = _common(corner, distance.shape, window)
            inside = distance[source] * (index + 1) <= section[nucleus]
            plane[target][inside] = ids[nucleus]
        return plane

    @property
    def _extent(self) -> tuple[Floats, Floats]:
        """What any field can see, and a margin."""
        positions = stage_positions(self.spec)
        shifts = np.stack([field_shifts(self.spec, a) for a in self.spec.acquisitions])[..., 1:]
        margin = _HALO_REACH * self._diameter_px
        low = positions.min(axis=0) + shifts.min(axis=(0, 1)) - margin
        high = positions.max(axis=0) + shifts.max(axis=(0, 1)) + self.spec.field_shape + margin
        return low, high

    @cached_property
    def _diameter_px(self) -> Floats:
        return self.spec.nucleus_diameter_um / np.array(self.spec.pixel_size_um[1:])

    def _random(self, what: int) -> np.random.Generator:
        return np.random.default_rng([self.spec.seed, 2, self.well, what])

    @cached_property
    def _half_axes_um(self) -> Floats:
        sizes = self._random(4).uniform(0.75, 1.0, len(self.centres))
        stretch = self._random(5).uniform(0.85, _LARGEST, (2, len(self.centres)))
        return (self.spec.nucleus_diameter_um / 2 * sizes * stretch).T

    @cached_property
    def _tilts(self) -> Floats:
        return self._random(6).uniform(0, np.pi, len(self.centres))

    @cached_property
    def _peaks(self) -> Floats:
        """Brightness of every nucleus in every channel, shape (nuclei, channels)."""
        count = len(self.centres), len(self.spec.channels)
        peaks: Floats = 700 * np.exp(self._random(7).normal(0, 0.5, count))
        peaks[:, 0] = self._random(8).uniform(1500, 3000, count[0])
        return peaks.clip(max=3000)

    def _sharpness(self, z: float) -> Floats:
        depth = (z - self.centres[:, 0]) / (0.5 * self.spec.planes)
        sharpness: Floats = np.exp(-(depth**2) / 2)
        return sharpness

    def _section(self, z: float) -> Floats:
        depth = (z - self.centres[:, 0]) / (0.6 * self.spec.planes)
        section: Floats = np.sqrt(np.maximum(1 - depth**2, 0))
        return section

    def _discs(self, window: Window) -> Iterator[tuple[int, tuple[int, int], NDArray[np.float32]]]:
        for nucleus, corner, (along, across, distance) in self._ellipses(window, _DISC_REACH):
            chromatin = 1 + 0.2 * np.cos(3 * along + nucleus) * np.cos(2 * across)
            yield nucleus, corner, chromatin / (1 + np.exp((distance - 1) / np.float32(_EDGE)))

    def _halos(self, window: Window) -> Iterator[tuple[int, tuple[int, int], NDArray[np.float32]]]:
        for nucleus, corner, dy, dx in self._near(window, _HALO_REACH):
            width = self._half_axes_um[nucleus]
            halo = np.outer(
                np.exp(-((dy / width[0]) ** 2) / 2), np.exp(-((dx / width[1]) ** 2) / 2)
            )
            yield nucleus, corner, halo.astype(np.float32)

    def _ellipses(
        self, window: Window, reach: float
    ) -> Iterator[tuple[int, tuple[int, int], tuple[NDArray[np.float32], ...]]]:
        """Position along and across each ellipse and distance, in its own radii."""
        for nucleus, corner, dy, dx in self._near(window, reach):
            cos, sin = np.cos(self._tilts[nucleus]), np.sin(self._tilts[nucleus])
            half_axes = self._half_axes_um[nucleus]
            y, x = dy.astype(np.float32)[:, None], dx.astype(np.float32)[None]
            along = np.float32(cos / half_axes[0]) * y + np.float32(sin / half_axes[0]) * x
            across = np.float32(cos / half_axes[1]) * x - np.float32(sin / half_axes[1]) * y
            yield nucleus, corner, (along, across, np.sqrt(along**2 + across**2))

    def _near(
        self, window: Window, reach: float
    ) -> Iterator[tuple[int, tuple[int, int], Floats, Floats]]:
        """Nuclei that reach into a window, each with its patch of pixels.

        A patch is always complete, also where the window cuts it: neighbouring windows then
        compute the very same numbers and agree to the bit.

        Yields
        ------
        nucleus : int
        corner : (int, int)
            First pixel (y, x) of the patch in the window; may be negative.
        dy, dx : ndarray of float64
            Distance of its rows and columns from the nucleus, micrometres.
        """
        radius = np.ceil(reach * _LARGEST * self._diameter_px / 2).astype(int)
        first = np.ceil(self.centres[:, 1:] - window.fraction - radius).astype(int)
        corners = first - window.corner
        if self.is_empty:
            return
        seen = (corners < window.shape).all(axis=1) & (corners > -2 * radius - 1).all(axis=1)
        steps = [np.arange(2 * r + 1) for r in radius]
        for nucleus in np.flatnonzero(seen).tolist():
            dy, dx = (
                (first[nucleus, axis] + steps[axis] + window.fraction[axis])
                - self.centres[nucleus, axis + 1]
                for axis in (0, 1)
            )
            corner = int(corners[nucleus, 0]), int(corners[nucleus, 1])
            sizes = self.spec.pixel_size_um
            yield nucleus, corner, dy * sizes[1], dx * sizes[2]

    def _background(self, window: Window, channel: int) -> NDArray[np.float32]:
        rng = self._random(100 + channel)
        wavelengths = np.array([180.0, 60.0, 15.0])  # micrometres
        weights = np.array([0.1, 0.08, 0.05])
        angles = rng.uniform(0, 2 * np.pi, (2, 3))
        waves = []
        for axis in (0, 1):
            position = np.arange(window.shape[axis]) + window.corner[axis]
            position_um = (position + window.fraction[axis]) * self.spec.pixel_size_um[axis + 1]
            turns = position_um[:, None] / (wavelengths * rng.uniform(0.8, 1.2, 3))
            waves.append(np.cos(2 * np.pi * turns + angles[axis]))
        pattern = (waves[0] * weights) @ waves[1].T
        if self.is_empty:
            pattern = np.zeros_like(pattern)
        dimmed = BACKGROUND / (1 + 0.1 * abs(window.origin[0]))
        counts: NDArray[np.float32] = (OFFSET + dimmed * (1 + pattern)).astype(np.float32)
        return counts


def scatter(extent: Floats, rng: np.random.Generator) -> Floats:
    """Random places, no two closer than `SPACING`.

    Candidates fill a jittered lattice; one stays if none near it has a higher priority
    (Matérn's second hard-core process).

    Parameters
    ----------
    extent : ndarray of float64, shape (2,)
        Size (y, x) of the rectangle, in diameters of a nucleus.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float64, shape (places, 2)
        Places (y, x) in the rectangle, in diameters.
    """
    pitch, reach = 0.6, 3  # cells of the lattice; so many of them cover the spacing
    shape = tuple(np.ceil(extent / pitch).astype(int).tolist())
    padded = tuple(n + 2 * reach for n in shape)
    cells = np.moveaxis(np.indices(shape), 0, -1)
    places = np.full((*padded, 2), np.inf)
    priority = np.zeros(padded)
    inner = tuple(slice(reach, reach + n) for n in shape)
    places[inner] = (cells + rng.random(cells.shape)) * pitch
    priority[inner] = 1 - rng.random(shape)
    kept = np.ones(shape, bool)
    for step in np.ndindex(2 * reach + 1, 2 * reach + 1):
        if step != (reach, reach):
            other = tuple(slice(start, start + n) for start, n in zip(step, shape, strict=True))
            near = np.square(places[other] - places[inner]).sum(axis=-1) < SPACING**2
            kept &= ~(near & (priority[other] > priority[inner]))
    chosen: Floats = places[inner][kept]
    return chosen


def _common(
    corner: tuple[int, int], shape: tuple[int, ...], window: Window
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of a patch that lies in a window: slices of the window and of the patch."""
    target, source = [], []
    for start, length, limit in zip(corner, shape, window.shape, strict=True):
        low, high = max(start, 0), min(start + length, limit)
        target.append(slice(low, high))
        source.append(slice(low - start, high - start))
    return (target[0], target[1]), (source[0], source[1])
