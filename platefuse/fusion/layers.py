"""The acquisitions of a well as layers: their images, labels and fields, as views of a frame.

A *layer* is one acquisition. Its fields lie in one image (layout `mosaic`), or each is an image of
its own (layout `fields`). Several layers can be stacked by channel into one fused image
(`platefuse.fusion.stack`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from platefuse.engine.sources import ChunkStore, Source
from platefuse.engine.views import View
from platefuse.errors import ConfigError, ViewError
from platefuse.fusion.fields import Field, find_fields, pixel_map, precision_px, whole_image
from platefuse.fusion.frame import Extent, Frame, place_view
from platefuse.fusion.options import FusionOptions
from platefuse.geometry import Box
from platefuse.ngff.image import Image, Multiscale
from platefuse.ngff.layout import InputOptions, WellLayout, by_acquisition, choose_layout
from platefuse.ngff.metadata import is_node
from platefuse.ngff.plate import Well, WellImage
from platefuse.ngff.positions import (
    OME_XML,
    Placed,
    Position,
    read_ome_positions,
    read_position_table,
    row_and_column,
    translation_of,
)
from platefuse.ngff.units import likely_unit
from platefuse.records import RegistrationRecord
from platefuse.storage.arrays import ExpandedArray, StoredArray
from platefuse.tables.table import table_path


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
    has_table : bool
        Whether the tile table says where its fields are.
    """

    name: str
    image: Image
    fields: Sequence[Field]
    has_table: bool = True

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """Data type of its pixels, in the byte order of this machine."""
        return StoredArray.open(self.image.level_paths[0]).dtype.newbyteorder("=")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.image.shapes[0][self.image.axes.index("c")] if "c" in self.image.axes else 1

    @property
    def precision_px(self) -> float:
        """How far a float32 position may be from the whole pixel that it means."""
        return precision_px(self.fields, self.image)

    @property
    def extents(self) -> list[Extent]:
        """The part of the stage that each field covers, in micrometres."""
        size = np.array([self.image.pixel_size_um[a] for a in self.image.spatial])
        in_z = np.array([a == "z" for a in self.image.spatial])
        extents, precision = [], self.precision_px
        for field in self.fields:
            box, shift = field.box(self.image, self.image), np.array(field.shift_um(self.image))
            low = (np.array(box.start) + 0.5) * size + shift
            high = (np.array(box.stop) - 0.5) * size + shift
            first_plane_high = np.where(in_z, low, high)
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
        stored = StoredArray.open(image.level_paths[0])
        whole: ChunkStore = stored if axes == image.axes else ExpandedArray(stored, axes.index("c"))
        source, lead = Source(whole), len(axes) - len(image.spatial)
        views, precision = [], self.precision_px
        for field in self.fields:
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
        Its images. All have the same axes, pixel size, data type and number of channels.
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
                    raise ViewError(
                        f"{other.image.path}: its {what} is {got}, that of image {first.name} of "
                        f"the same acquisition is {expected}. Fields of one acquisition must "
                        "agree: write them alike, or name the images to process under `images`."
                    )

    @property
    def image(self) -> Image:
        """The first image: its metadata stand for all."""
        return self.images[0].image

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

    @property
    def extents(self) -> list[Extent]:
        """The part of the stage that each field covers, in micrometres."""
        return [extent for part in self.images for extent in part.extents]

    @property
    def labels(self) -> dict[str, list[tuple[FieldImage, Multiscale]]]:
        """The labels by name: each in the images that have it."""
        found: dict[str, list[tuple[FieldImage, Multiscale]]] = {}
        for part in self.images:
            for name, label in part.image.labels.items():
                found.setdefault(name, []).append((part, label))
        return found


@dataclass(frozen=True)
class LayerReader:
    """Reads the layers of wells.

    Attributes
    ----------
    options : FusionOptions
        How to fuse.
    read_as : InputOptions
        How the plate is read.
    folder : callable
        The folder of an image to fuse: the live image, or its registered copy.
    table_folder : callable
        The image whose tile table holds for an image: the image itself, or before its
        registration the reference, whose table it will have.
    record : callable
        The record that an image has or will have; None if it is not registered.
    """

    options: FusionOptions
    read_as: InputOptions = dataclasses.field(default_factory=InputOptions)
    folder: Callable[[WellImage], Path] = lambda image: image.live
    table_folder: Callable[[WellImage], Path] | None = None
    record: Callable[[WellImage], RegistrationRecord | None] | None = None

    def layout(self, well: Well) -> WellLayout:
        """The layout of a well; see `choose_layout`."""
        table = self.options.tile_table
        return choose_layout(
            well, self.read_as, table, lambda image: is_node(table_path(self._tables(image), table))
        )

    def read(self, well: Well) -> list[Layer]:
        """Read the layers of a well.

        Raises
        ------
        PlatefuseError
            If an image, a label, the tile table or the positions cannot be used.
        """
        if self.layout(well).name == "mosaic":
            return [
                Layer(image.name, image.acquisition, [self._mosaic(image)]) for image in well.images
            ]
        placed = self._placed(well)
        groups = by_acquisition(
            well.images, lambda image: placed[image.name].acquisition if placed else None
        )
        return [
            Layer(str(number), number, self._fields(well, images, placed))
            for number, images in groups
        ]

    def _tables(self, image: WellImage) -> Path:
        return (self.table_folder or self.folder)(image)

    def _mosaic(self, image: WellImage) -> FieldImage:
        found = read_image(self.folder(image))
        tables, table = self._tables(image), self.options.tile_table
        has_table = is_node(table_path(tables, table))
        if not has_table and self.read_as.layout == "auto":
            return FieldImage(image.name, found, [whole_image(image.name, found, {})], False)
        record = self.record(image) if self.record else RegistrationRecord.read(found.path)
        return FieldImage(image.name, found, find_fields(tables, found, table, record))

    def _placed(self, well: Well) -> Mapping[str, Placed]:
        """What the user's table says of the images of a well; empty without a table."""
        if self.read_as.positions is None:
            return {}
        path = Path(self.read_as.positions)
        table = read_position_table(path)
        names = (well.name, f"{well.row}{well.column}")
        found = {
            image.name: table[name, image.name]
            for image in well.images
            for name in names
            if (name, image.name) in table
        }
        missing = [image.name for image in well.images if image.name not in found]
        if missing:
            raise ConfigError(
                f"{path}: it has no row for the images {missing} of well {well.name}. Add them, or "
                "name the images to process under `images`."
            )
        return found

    def _fields(
        self, well: Well, images: Sequence[WellImage], placed: Mapping[str, Placed]
    ) -> list[FieldImage]:
        found = [read_image(self.folder(image)) for image in images]
        if placed:
            positions: Sequence[Position] = [placed[image.name].position for image in images]
        else:
            positions = field_positions(well, images, found)
        return [
            FieldImage(one.name, image, [whole_image(one.name, image, position)], False)
            for one, image, position in zip(images, found, positions, strict=True)
        ]


def read_image(path: Path) -> Image:
    """Read the metadata of an image and of its labels.

    Raises
    ------
    PlatefuseError
        If the image or a label cannot be used.
    """
    image = Image.read(path)
    for label in image.labels.values():
        if not set(label.spatial) <= set(image.spatial):
            raise ViewError(
                f"{label.path}: the label has the axes {label.axes!r}, its image only "
                f"{image.axes!r}. A label must not have axes in space that its image lacks: "
                "write it without them."
            )
    return image


def field_positions(
    well: Well, images: Sequence[WellImage], found: Sequence[Image]
) -> Sequence[Position]:
    """Positions of the fields of an acquisition, from the first source that tells them apart.

    Raises
    ------
    ViewError
        If no source does. The message names the ways to give positions.
    """
    if len(images) == 1:
        return [translation_of(found[0]) or {}]
    place = row_and_column(well)
    ome = read_ome_positions(well.plate)
    sources = {
        "translation": [translation_of(image) for image in found],
        str(OME_XML): [ome.of(image, place) for image in images],
    }
    faults = []
    for source, positions in sources.items():
        known = [position for position in positions if position is not None]
        if len(known) < len(images):
            missing = [i.name for i, p in zip(images, positions, strict=True) if p is None]
            faults.append(f"{source}: none for {'any image' if not known else missing}")
        elif _are_together(known, found):
            unit = _unit_of(known, found[0])
            faults.append(f"{source}: all within one pixel{unit and f', as if in {unit}'}")
        else:
            return known
    raise ViewError(
        f"{well.path}: the positions of the {len(images)} fields {images[0].name} … "
        f"{images[-1].name} are not known ({'; '.join(faults)}). Write a `translation` into the "
        f"images' coordinateTransformations, add {OME_XML} to the plate, or give a "
        "tab-separated file under `input.positions` (columns well, image, y_um, x_um)."
    )


def _are_together(positions: Sequence[Position], images: Sequence[Image]) -> bool:
    """Whether all fields are at one place, within a pixel: then the positions say nothing."""
    size = images[0].pixel_size_um
    return all(
        max(p.get(axis, 0.0) for p in positions) - min(p.get(axis, 0.0) for p in positions)
        < size[axis]
        for axis in "yx"
    )


def _unit_of(positions: Sequence[Position], image: Image) -> str:
    """The unit in which positions probably are that seem to be at one place; or nothing."""
    ends = [[p.get(axis, 0.0) for p in positions] for axis in "yx"]
    spread = max(max(end) - min(end) for end in ends)
    length = max(image.shape_in_space[-2:]) * max(image.pixel_size_um[a] for a in "yx")
    return likely_unit(spread, length, len(positions)) or ""


def pixel_size(image: Multiscale) -> list[float]:
    """Pixel size of an image in micrometres, as precisely as it is compared."""
    return [round(size, 6) for size in image.pixel_size_um.values()]
