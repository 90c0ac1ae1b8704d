"""The results that registration and fusion must have on an example plate.

They are computed from the parameters of the plate; no file is read. Images have no camera noise.
For plates with noise they are the expected values of the pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platefuse.errors import ConfigError
from platefuse.testing.arrays import Array
from platefuse.testing.layout import (
    Boxes,
    field_boxes,
    field_origins,
    field_shifts,
    registered_field_boxes,
    registered_well_box,
    stage_positions,
    well_boxes,
)
from platefuse.testing.scene import Scene, Window
from platefuse.testing.spec import AcquisitionSpec, PlateSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Computes one plane from the indices along axes other than y and x, and the window.
_Look = Callable[[dict[str, int], Window], Array]


@dataclass(frozen=True)
class Fused:
    """A fused image and its place in the world.

    Attributes
    ----------
    pixels : ndarray
        The image, axes of the plate's images (or labels).
    origin_um : (float, float, float)
        World position (z, y, x) of the centre of the first pixel, micrometres, where the stage
        position of a field is the position of its own first pixel.
    covered : ndarray of bool, shape (z, y, x)
        Where any view lies; `pixels` is 0 elsewhere.
    """

    pixels: Array
    origin_um: tuple[float, float, float]
    covered: NDArray[np.bool_]


@dataclass(frozen=True)
class _Views:
    """Parts of the scene, one per field: at whole pixels of the array, anywhere on the stage."""

    array_start: Ints
    size: Ints
    stage_start: Floats
    drift: Floats  # distance of the tissue that a part shows from its true place


@dataclass(frozen=True)
class Truth:
    """The truth of one example plate.

    Wells are given by name (``"B/03"``), images by path (``"1"``), labels by name.

    Attributes
    ----------
    spec : PlateSpec
        The parameters of the plate.
    """

    spec: PlateSpec

    def scene(self, well: str) -> Scene:
        """The tissue of a well."""
        return Scene(self.spec, self.spec.wells.index(well))

    def shifts_px(self, image: str) -> Floats:
        """Shift of every field of an image against the reference, pixels, shape (fields, 3)."""
        return field_shifts(self.spec, self._acquisition(image))

    def boxes(self, table: str, image: str) -> Boxes:
        """The boxes of one of an image's ROI tables, pixels of its array."""
        acquisition = self._acquisition(image)
        if "registered" not in table:
            return field_boxes(self.spec) if "FOV" in table else well_boxes(self.spec)
        make = registered_field_boxes if "FOV" in table else registered_well_box
        return make(self.spec, acquisition)

    def acquired(self, well: str, image: str) -> Array:
        """The image as it is on disk, without noise."""
        views = self._whole_fields(self._acquisition(image))
        return self._assemble(views, self.spec.axes, self.spec.dtype, self._camera(well))

    def acquired_label(self, well: str, image: str, label: str = "") -> Array:
        """A label image as it is on disk."""
        views, axes = self._whole_fields(self._acquisition(image)), self.spec.axes_of_labels
        return self._assemble(views, axes, self.spec.label_dtype, self._outlines(well, label))

    def registered(
        self,
        well: str,
        image: str,
        *,
        table: str = "registered_FOV_ROI_table",
        interpolation: str = "nearest",
    ) -> Array:
        """The image after registration.

        Parameters
        ----------
        well, image : str
            Which one.
        table : str
            The registered table. With a field table this is the scene in every box and 0
            outside. With a well table it is the array, moved as a whole.
        interpolation : str
            "nearest": where the shift is not a whole number, tissue is up to half a pixel from its
            place. Any other: it is exactly at its place.

        Returns
        -------
        ndarray, shape and dtype of the image
        """
        if "FOV" not in table:
            return self._moved(self.acquired(well, image), self.spec.axes, image)
        views = self._registered_fields(self._acquisition(image), interpolation)
        return self._assemble(views, self.spec.axes, self.spec.dtype, self._camera(well))

    def registered_label(
        self, well: str, image: str, label: str = "", *, table: str = "registered_FOV_ROI_table"
    ) -> Array:
        """A label image after registration; always the nearest pixel."""
        axes = self.spec.axes_of_labels
        if "FOV" not in table:
            return self._moved(self.acquired_label(well, image, label), axes, image)
        views = self._registered_fields(self._acquisition(image), "nearest")
        return self._assemble(views, axes, self.spec.label_dtype, self._outlines(well, label))

    def fused(
        self,
        well: str,
        image: str,
        *,
        table: str | None = "registered_FOV_ROI_table",
        interpolation: str = "nearest",
    ) -> Fused:
        """The fused image of one acquisition.

        Parameters
        ----------
        well, image : str
            Which one.
        table : str or None
            The table that the image was registered with: each field counts only inside its
            own box, or inside the one box of a well table. None: it was not registered, and
            whole fields are fused.
        interpolation : str
            As for `registered`.

        Returns
        -------
        Fused
            The scene over the union of the views.

        Raises
        ------
        ConfigError
            If the fields differ where they overlap: they have different shifts, or the array was
            shifted as a whole although the stage positions differ from those in the array.
        """
        views = self._views(image, table, interpolation)
        return self._fuse(views, self.spec.axes, self.spec.dtype, self._camera(well))

    def fused_label(
        self,
        well: str,
        image: str,
        label: str = "",
        *,
        table: str | None = "registered_FOV_ROI_table",
    ) -> Fused:
        """A fused label image of one acquisition."""
        views = self._views(image, table, "nearest")
        look = self._outlines(well, label)
        return self._fuse(views, self.spec.axes_of_labels, self.spec.label_dtype, look)

    def _acquisition(self, image: str) -> AcquisitionSpec:
        return next(a for a in self.spec.acquisitions if a.path == image)

    def _camera(self, well: str) -> _Look:
        scene = self.scene(well)
        return lambda at, window: scene.image(
            window, channel=at.get("c", 0), timepoint=at.get("t", 0)
        )

    def _outlines(self, well: str, label: str) -> _Look:
        scene, index = self.scene(well), self.spec.labels.index(label or self.spec.labels[0])
        flat = "z" not in self.spec.axes_of_labels
        return lambda at, window: scene.label(window, index=index, flat=flat)

    def _views(self, image: str, table: str | None, interpolation: str) -> _Views:
        acquisition = self._acquisition(image)
        if table is None:
            return self._whole_fields(acquisition)
        if "FOV" in table:
            return self._registered_fields(acquisition, interpolation)
        return self._fields_in_well_box(acquisition, interpolation)

    def _whole_fields(self, acquisition: AcquisitionSpec) -> _Views:
        boxes, drift = field_boxes(self.spec), field_shifts(self.spec, acquisition)
        return _Views(_whole(boxes.start_px), _whole(boxes.size_px), self._stage(), drift)

    def _registered_fields(self, acquisition: AcquisitionSpec, interpolation: str) -> _Views:
        boxes = registered_field_boxes(self.spec, self.spec.reference)
        start, size = _whole(boxes.start_px), _whole(boxes.size_px)
        shifts = field_shifts(self.spec, acquisition)
        drift = shifts - np.rint(shifts) if interpolation == "nearest" else np.zeros_like(shifts)
        inside = start - field_boxes(self.spec).start_px
        return _Views(start, size, self._stage() + inside, drift)

    def _fields_in_well_box(self, acquisition: AcquisitionSpec, interpolation: str) -> _Views:
        spec, fields = self.spec, field_boxes(self.spec)
        origins = np.column_stack([np.zeros(len(fields.names)), field_origins(spec)])
        if any(a.field_shifts_px for a in spec.acquisitions) or (self._stage() != origins).any():
            raise ConfigError(
                "A well table moves the array as a whole: fused fields agree only if the array "
                "is the mosaic that the stage saw. Use overlap=0, no jitter and one shift."
            )
        box = registered_well_box(spec, spec.reference)
        low, high = _whole(box.start_px)[0], _whole(box.start_px)[0] + _whole(box.size_px)[0]
        start = np.maximum(_whole(fields.start_px), low)
        stop = np.minimum(_whole(fields.start_px + fields.size_px), high)
        shifts = field_shifts(spec, acquisition)
        drift = shifts - np.rint(shifts) if interpolation == "nearest" else np.zeros_like(shifts)
        return _Views(start, stop - start, start.astype(float), drift)

    def _stage(self) -> Floats:
        return np.column_stack(
            [np.zeros(len(field_origins(self.spec))), stage_positions(self.spec)]
        )

    def _assemble(self, views: _Views, axes: str, dtype: str, look: _Look) -> Array:
        """Every view at its place in the array."""
        image = np.zeros([self.spec.lengths[axis] for axis in axes], dtype)
        for start, size, stage, drift in zip(
            views.array_start, views.size, views.stage_start, views.drift, strict=True
        ):
            box = _slices(start, size)
            for at in self._planes(axes, range(box[0].start, box[0].stop)):
                depth = at.get("z", 0) + drift[0]
                window = Window((depth, *(stage + drift)[1:]), (int(size[1]), int(size[2])))
                place: tuple[int | slice, ...] = (*at.values(), *box[1:])
                image[place] = look(at, window)
        return image

    def _fuse(self, views: _Views, axes: str, dtype: str, look: _Look) -> Fused:
        if np.ptp(views.drift, axis=0).any():
            raise ConfigError(
                "The fields of this acquisition are moved differently and do not agree in their "
                "overlaps: there is no one fused image to expect. Register with whole-pixel "
                "shifts, or give all fields the same shift."
            )
        low = views.stage_start.min(axis=0)
        shape = np.rint((views.stage_start + views.size).max(axis=0) - low).astype(int)
        covered = np.zeros(shape, bool)
        for start, size in zip(_whole(views.stage_start - low), views.size, strict=True):
            covered[_slices(start, size)] = True
        lengths = {**self.spec.lengths, **dict(zip("zyx", shape.tolist(), strict=True))}
        image = np.zeros([lengths[axis] for axis in axes], dtype)
        position = low + views.drift[0]
        for at in self._planes(axes, range(lengths["z"])):
            z = at.get("z", 0)
            window = Window((position[0] + z, position[1], position[2]), covered.shape[1:])
            image[tuple(at.values())] = look(at, window) * covered[z].astype(image.dtype)
        origin = low * self.spec.pixel_size_um + np.array([0.0, *self.spec.stage_origin_um])
        return Fused(image, (float(origin[0]), float(origin[1]), float(origin[2])), covered)

    def _planes(self, axes: str, planes: range) -> list[dict[str, int]]:
        lengths = {**{a: range(n) for a, n in self.spec.lengths.items()}, "z": planes}
        ranges: list[range] = [lengths[axis] for axis in axes[:-2]]
        return [dict(zip(axes[:-2], at, strict=True)) for at in itertools.product(*ranges)]

    def _moved(self, pixels: Array, axes: str, image: str) -> Array:
        """Shift the box of the well table by whole pixels, as the definition says."""
        box = registered_well_box(self.spec, self.spec.reference)
        own = registered_well_box(self.spec, self._acquisition(image))
        shift = np.rint(box.start_px[0] - own.start_px[0]).astype(int)
        start, size = _whole(box.start_px)[0], _whole(box.size_px)[0]
        new = np.zeros_like(pixels)
        target, source = [], []
        for axis, n in zip(axes, pixels.shape, strict=True):
            if axis not in "zyx":
                target.append(slice(None))
                source.append(slice(None))
                continue
            i = "zyx".index(axis)
            low = max(start[i], shift[i], 0)
            high = min(start[i] + size[i], n + shift[i], n)
            target.append(slice(low, high))
            source.append(slice(low - shift[i], high - shift[i]))
        new[tuple(target)] = pixels[tuple(source)]
        return new


def _slices(start: Ints, size: Ints) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(a + n)) for a, n in zip(start, size, strict=True))


def _whole(px: Floats) -> Ints:
    return np.rint(px).astype(np.int64)
