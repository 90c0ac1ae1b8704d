"""Read the layers of a well: its layout, its images, and where their fields are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platefuse.errors import ConfigError, ViewError
from platefuse.fusion.fields import find_fields, limited, placed_at, registered_rois, whole_image
from platefuse.fusion.layers import FieldImage, Layer, SourceImage
from platefuse.fusion.options import FusionOptions
from platefuse.ngff.image import Image
from platefuse.ngff.labels import warn_of_absent_labels
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
from platefuse.tables.table import table_path

_STANDARD_TABLE = FusionOptions().tile_table
"""The only tile table that an image may lack: who names another one has it."""


@dataclass(frozen=True)
class LayerReader:
    """Reads the layers of wells.

    Attributes
    ----------
    options : FusionOptions
        How to fuse.
    read_as : InputOptions
        How the plate is read.
    source : callable
        Where an image of the well is read from; by default the live image.
    """

    options: FusionOptions
    read_as: InputOptions = dataclasses.field(default_factory=InputOptions)
    source: Callable[[WellImage], SourceImage] = lambda image: SourceImage.at(image.live)

    def layout(self, well: Well) -> WellLayout:
        """The layout of a well; see `choose_layout`."""
        table = self.options.tile_table
        return choose_layout(
            well,
            self.read_as,
            table,
            lambda image: is_node(table_path(self.source(image).tile_tables, table)),
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

    def _mosaic(self, image: WellImage) -> FieldImage:
        source, table = self.source(image), self.options.tile_table
        found = read_image(source.folder)
        if table == _STANDARD_TABLE and not is_node(table_path(source.tile_tables, table)):
            whole = whole_image(image.name, found, {})
            parts = [
                dataclasses.replace(limited(whole, roi, found, is_raw=source.is_raw), name=roi.name)
                for roi in registered_rois(found, source.record)
            ]
            return _at_places(
                FieldImage(image.name, found, parts or [whole], source, has_table=False)
            )
        fields = find_fields(source.tile_tables, found, table, source.record, is_raw=source.is_raw)
        return _at_places(FieldImage(image.name, found, fields, source))

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
        sources = [self.source(image) for image in images]
        found = [read_image(source.folder) for source in sources]
        if placed:
            positions: Sequence[Position] = [placed[image.name].position for image in images]
        else:
            positions = field_positions(well, images, found)
        return [
            _at_places(
                FieldImage(one.name, image, [whole_image(one.name, image, position)], source, False)
            )
            for one, image, position, source in zip(images, found, positions, sources, strict=True)
        ]


def _at_places(part: FieldImage) -> FieldImage:
    """An image with its fields where they were measured to be, if they were."""
    places = part.source.places
    if places is None:
        return part
    return dataclasses.replace(part, fields=placed_at(part.fields, places, part.image))


def read_image(path: Path) -> Image:
    """Read the metadata of an image and of its labels.

    Raises
    ------
    PlatefuseError
        If the image or a label cannot be used.
    """
    image = Image.read(path)
    warn_of_absent_labels(image.path, image.absent_labels)
    for label in image.labels.values():
        if not set(label.spatial) - set(label.flat_axes) <= set(image.spatial):
            raise ViewError(
                f"{label.path}: the label has the axes {label.axes!r}, its image only "
                f"{image.axes!r}. A label must not have axes in space that its image lacks, unless "
                "they have one pixel: write it without them."
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
    faults = []
    for source, positions in _sources(well, images, found):
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


def _sources(
    well: Well, images: Sequence[WellImage], found: Sequence[Image]
) -> Iterator[tuple[str, Sequence[Position | None]]]:
    """The sources of positions in a plate; each is read when it is needed."""
    yield "translation", [translation_of(image) for image in found]
    ome, place = read_ome_positions(well.plate), row_and_column(well)
    yield str(OME_XML), [ome.of(image, place) for image in images]


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
