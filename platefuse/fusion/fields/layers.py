"""The acquisitions of a well as layers: their images, labels and fields, as views of a frame.

A *layer* is one acquisition. Its fields lie in one image (layout `mosaic`), or each is an image of
its own (layout `fields`). Several layers can be stacked by channel into one fused image
(`platefuse.fusion.wells.stack`).
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from platefuse.engine.flat_field import FlatField
from platefuse.engine.sources import ChunkStore, Source
from platefuse.engine.views import View
from platefuse.errors import ViewError
from platefuse.fusion.fields.empty import empty_fields
from platefuse.fusion.fields.field import Field, Place
from platefuse.fusion.fields.maps import extent_of, pixel_map, precision_px
from platefuse.fusion.fields.measured import MeasuredPixels
from platefuse.fusion.frame import Extent, Frame, place_view
from platefuse.geometry import Box
from platefuse.illumination.correction import Illumination
from platefuse.ngff.channels import channel_count, channel_names, names_by_channel
from platefuse.ngff.image import Image, Multiscale, is_grouped
from platefuse.records import AppliedProfile, RegistrationRecord
from platefuse.storage.arrays import ExpandedArray, StoredArray
from platefuse.storage.dtypes import checked_dtype

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceImage:
    """Where an image to fuse is read from.

    Attributes
    ----------
    folder : Path
        The image, for its pixels.
    tables : Path
        The image whose tables are carried to the fused image.
    tile_tables : Path
        The image whose tile table holds: of an image that is not registered yet, the reference.
    record : RegistrationRecord or None
        How the image was registered, or has to be; None: it is not registered.
    is_raw : bool
        Whether its pixels are still where they were acquired, although there is a record.
    places : mapping of str to Place, optional
        Where its fields were found to be, by their names; None: where the stage had them.
    measured : MeasuredPixels, optional
        The pixels by which they were found, if that is known and the image still has them.
    left_out : mapping of str to str
        Tables that could not be carried to `tables`, and why.
    illumination : Illumination, optional
        How its pixels are corrected when they are read; None if they are not, or have been.
    """

    folder: Path
    tables: Path
    tile_tables: Path
    record: RegistrationRecord | None = None
    is_raw: bool = False
    places: Mapping[str, Place] | None = None
    measured: MeasuredPixels | None = None
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
    illumination: Illumination | None = None

    @classmethod
    def at(cls, folder: Path) -> SourceImage:
        """An image that is read from one folder, with the record that it has."""
        return cls(folder, folder, folder, RegistrationRecord.read(folder))


@dataclass(frozen=True)
class FieldImage:
    """An image with the fields that it holds.

    Attributes
    ----------
    name : str
        Path of the image that was acquired in its well.
    image : Image
        The image with its labels.
    fields : sequence of Field
        Its fields.
    source : SourceImage
        Where it is read from.
    has_table : bool
        Whether the tile table says where its fields are.
    """

    name: str
    image: Image
    fields: Sequence[Field]
    source: SourceImage
    has_table: bool = True

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """Data type of its pixels, in the byte order of this machine."""
        level = self.image.levels[0]
        kind = checked_dtype(self.image.level_paths[0], level.content)
        return kind.newbyteorder("=")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return channel_count(self.image)

    @property
    def applied_profiles(self) -> Mapping[str, AppliedProfile] | None:
        """The correction that its pixels get or have got; None if they are as acquired."""
        source = self.source
        if source.illumination is not None:
            return source.illumination.applied(self.image) or None
        return None if source.record is None else source.record.illumination

    @property
    def precision_px(self) -> float:
        """How far the position of a field may be from the whole pixel that it means."""
        return precision_px(self.fields, self.image, has_table=self.has_table)

    def extents(self, spacing_um: Mapping[str, float]) -> list[Extent]:
        """The part of the stage that each field covers, in micrometres, at an output spacing."""
        image = self.at_spacing(self.image, spacing_um)
        size = np.array([image.pixel_size_um[a] for a in image.spatial])
        in_z = np.array([a == "z" for a in image.spatial])
        extents, precision = [], self.precision_px
        for field in self.fields:
            low, high = extent_of(field, image, self.image)
            first_plane_high = np.where(in_z, low, high)
            if field.angle_deg:
                reach = np.where(in_z, size / 2, 0.0)
                extents.append(Extent(low, high, first_plane_high, reach))
            else:
                extents.append(Extent(low, high, first_plane_high, size / 2, precision))
        return extents

    def views(
        self,
        image: Multiscale,
        frame: Frame,
        axes: str,
        *,
        order: int,
        widths_um: Mapping[str, float] | None = None,
        first_channel: int = 0,
    ) -> list[View]:
        """The views of the fields that have pixels in an image.

        A field of the image itself (not of a label) that is all zeros was not taken: it has none.

        Parameters
        ----------
        image : Multiscale
            The image, or a label of it.
        frame : Frame
            The frame of the fused image, in micrometres.
        axes : str
            Axes of the fused image: those of `image`, and channels if it has none.
        order : int
            Interpolation order.
        widths_um : mapping of str to float, optional
            Blending widths in micrometres.
        first_channel : int
            Index in the fused image of the first channel.
        """
        fields = self._taken if image is self.image else self.fields
        flat_field = self._flat_field(image, axes)
        image = self.at_spacing(image, frame.by_axis(frame.spacing))
        stored = StoredArray.open(image.level_paths[0])
        whole: ChunkStore = stored if axes == image.axes else ExpandedArray(stored, axes.index("c"))
        source, lead = Source(whole, flat_field), len(axes) - len(image.spatial)
        views, precision = [], self.precision_px
        for field in fields:
            inner = field.box(image, self.image)
            if inner.empty:
                continue
            view = place_view(
                source,
                Box((0,) * lead + inner.start, source.shape[:lead] + inner.stop),
                pixel_map(field, image, frame, precision),
                frame,
                order=order,
                widths=widths_um or {},
                leading_shift=[first_channel if a == "c" else 0 for a in axes[:lead]],
            )
            views.append(view)
        return views

    def at_spacing(self, image: Multiscale, spacing_um: Mapping[str, float]) -> Multiscale:
        """An image or label without the levels that are finer than an output spacing.

        A level is used if its pixels have this spacing, it groups whole pixels of level 0, also by
        its shape, and every field begins and ends at one of its pixels. An image that is corrected
        for its illumination is read at level 0: the mean of pixels is corrected only if each of
        them is.
        """
        if image is self.image and self.source.illumination is not None:
            return image
        spacing = [spacing_um[a] for a in image.spatial]
        for level in range(1, len(image.paths)):
            coarse = image.from_level(level)
            size = list(coarse.pixel_size_um.values())
            if not all(
                math.isclose(*pair, rel_tol=1e-6) for pair in zip(size, spacing, strict=True)
            ):
                continue
            exact = np.array(size) / list(image.pixel_size_um.values())
            ratio = np.rint(exact).astype(int).tolist()
            shapes = zip(image.shape_in_space, coarse.shape_in_space, ratio, strict=True)
            if not all(is_grouped(*each) for each in shapes):
                continue  # its scale contradicts its shape
            whole = [field.box(image, self.image) for field in self.fields]
            boxes = [field.box(coarse, self.image) for field in self.fields]
            fits = all(box.scaled(ratio) == own for box, own in zip(boxes, whole, strict=True))
            if fits and np.allclose(exact, ratio, rtol=1e-3):
                return coarse
        return image

    def _flat_field(self, image: Multiscale, axes: str) -> FlatField | None:
        """How the pixels of the image are corrected; those of labels are not."""
        illumination = self.source.illumination
        if illumination is None or image is not self.image:
            return None
        return illumination.flat_field(image, axes)

    @cached_property
    def _taken(self) -> list[Field]:
        """The fields without those that are all zeros, which would darken their neighbours."""
        shape, lead = self.image.shapes[0], len(self.image.axes) - len(self.image.spatial)
        boxes = [field.box(self.image, self.image) for field in self.fields]
        empty = empty_fields(
            self.image, [Box((0,) * lead + b.start, shape[:lead] + b.stop) for b in boxes]
        )
        if len(empty) == len(boxes) > 1:
            logger.warning("%s: all fields are all zeros.", self.image.path)
            return list(self.fields)  # there is no neighbour to darken
        for k in sorted(empty):
            logger.warning(
                "%s: field %r is all zeros. It was probably not taken, so it is no data.",
                self.image.path,
                self.fields[k].name,
            )
        return [field for k, field in enumerate(self.fields) if k not in empty]


@dataclass(frozen=True)
class Layer:
    """One acquisition of a well.

    Attributes
    ----------
    name : str
        Path of the fused image in its well.
    acquisition : int or None
        Number of the acquisition.
    images : sequence of FieldImage
        Its images. All have the same axes, pixel size, data type and channels.
    """

    name: str
    acquisition: int | None
    images: Sequence[FieldImage]

    def __post_init__(self) -> None:
        first = self.images[0]
        for other in self.images[1:]:
            for what, got, expected in (
                ("axes", other.image.axes, first.image.axes),
                ("data type", other.dtype.name, first.dtype.name),
                ("pixel size in µm", pixel_size(other.image), pixel_size(first.image)),
                ("number of channels", other.channels, first.channels),
            ):
                if got != expected:
                    raise _disagree(other, first, what, got, expected)
        self._check_channels()

    def _check_channels(self) -> None:
        """Check that no channel has one name in one image and another name in another image."""
        if len(self.images) == 1:
            return
        known: dict[int, tuple[FieldImage, dict[str, str]]] = {}
        for part in self.images:
            for index, names in enumerate(names_by_channel(part.image)):
                if not names:
                    continue
                first, expected = known.setdefault(index, (part, names))
                if {*names.values()}.isdisjoint(expected.values()):
                    words = [" ".join(own.values()) for own in (names, expected)]
                    raise _disagree(part, first, f"channel {index}", *words)

    @property
    def image(self) -> Image:
        """The first image: its metadata stand for all."""
        return self.images[0].image

    @property
    def described(self) -> Image:
        """The first image whose channels are described, which stands for all; else the first."""
        images = [part.image for part in self.images]
        return max(images, key=lambda own: (bool(channel_names(own)), "omero" in own.attributes))

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.images[0].channels

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Data type of its pixels."""
        return self.images[0].dtype

    @property
    def fields(self) -> list[tuple[FieldImage, Field]]:
        """Its fields, each with the image that holds it."""
        return [(part, field) for part in self.images for field in part.fields]

    def extents(self, spacing_um: Mapping[str, float]) -> list[Extent]:
        """The part of the stage that each field covers, in micrometres, at an output spacing."""
        return [extent for part in self.images for extent in part.extents(spacing_um)]

    @property
    def labels(self) -> dict[str, list[tuple[FieldImage, Multiscale]]]:
        """The labels by name: each in the images that have it."""
        found: dict[str, list[tuple[FieldImage, Multiscale]]] = {}
        for part in self.images:
            for name, label in part.image.labels.items():
                found.setdefault(name, []).append((part, label))
        return found


def _disagree(
    other: FieldImage, first: FieldImage, what: str, got: object, expected: object
) -> ViewError:
    return ViewError(
        f"{other.image.path}: its {what} is {got}, that of image {first.name} of the same "
        f"acquisition is {expected}. Fields of one acquisition must agree: write them alike, or "
        "name the images to process under `images`."
    )


def pixel_size(image: Multiscale) -> list[float]:
    """Pixel size of an image in micrometres, as precisely as it is compared."""
    return [round(size, 6) for size in image.pixel_size_um.values()]
