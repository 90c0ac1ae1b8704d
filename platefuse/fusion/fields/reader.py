"""Read the layers of a well: its layout, its images, and where their fields are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platefuse.errors import ConfigError, ViewError
from platefuse.fusion.fields.field import (
    find_fields,
    limited,
    placed_at,
    registered_rois,
    whole_image,
)
from platefuse.fusion.fields.layers import FieldImage, Layer, SourceImage
from platefuse.fusion.fields.positions import stage_positions
from platefuse.fusion.options import FusionOptions
from platefuse.ngff.image import Image, Multiscale
from platefuse.ngff.layout import InputOptions, WellLayout, by_acquisition, choose_layout
from platefuse.ngff.metadata import is_node
from platefuse.ngff.positions import (
    Placed,
    Position,
    check_beginning,
    read_position_table,
    well_key,
)
from platefuse.ngff.tables.table import table_path
from platefuse.ngff.well import Well, WellImage

STANDARD_TABLE = FusionOptions().tile_table
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
            return self._mosaics(well)
        placed = self._placed(well)
        groups = by_acquisition(
            well.images, lambda image: placed[image.name].acquisition if placed else None
        )
        found = self._read(well)
        positions: Mapping[str, Position] = (
            {name: one.position for name, one in placed.items()}
            if placed
            else _positions(well, [images for _, images in groups], found)
        )
        return [
            Layer(
                str(number),
                number,
                [_one_field(image.name, *found[image.name], positions) for image in images],
            )
            for number, images in groups
        ]

    def _read(self, well: Well) -> dict[str, tuple[Image, SourceImage]]:
        """The images of a well by their paths, each with where it is read from."""
        sources = {image.name: self.source(image) for image in well.images}
        images = {name: read_image(source.folder) for name, source in sources.items()}
        return {name: (one, sources[name]) for name, one in with_one_depth(images).items()}

    def _mosaics(self, well: Well) -> list[Layer]:
        """One layer for each image: its fields are those of the tile table, or it is one field."""
        table = self.options.tile_table
        found = self._read(well)
        without = [
            image
            for image in well.images
            if table == STANDARD_TABLE
            and not is_node(table_path(found[image.name][1].tile_tables, table))
        ]
        positions = _positions(well, [[image] for image in without], found)
        layers = []
        for image in well.images:
            pixels, source = found[image.name]
            if image in without:
                part = _one_field(image.name, pixels, source, positions)
            else:
                folder, record = source.tile_tables, source.record
                fields = find_fields(folder, pixels, table, record, is_raw=source.is_raw)
                part = _at_places(FieldImage(image.name, pixels, fields, source))
            layers.append(Layer(image.name, image.acquisition, [part]))
        return layers

    def _placed(self, well: Well) -> Mapping[str, Placed]:
        """What the user's table says of the images of a well; empty without a table."""
        if self.read_as.positions is None:
            return {}
        path = Path(self.read_as.positions)
        table = read_position_table(path)
        names = {well_key(name) for name in (well.name, f"{well.row}{well.column}")}
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


def _positions(
    well: Well,
    groups: Sequence[Sequence[WellImage]],
    found: Mapping[str, tuple[Image, SourceImage]],
) -> dict[str, Position]:
    """Where the first pixel of each image is on the stage, by its path.

    Registration moves the pixels of an image to where its reference has them, so a registered
    image is where its reference is.
    """
    at = {
        image.name: image.name if source.record is None else source.record.reference
        for group in groups
        for image in group
        for _, source in [found[image.name]]
    }
    images: dict[str, Multiscale] = {
        name: found[name][0] if name in at else Multiscale.read(well.image(name).live)
        for name in at.values()
    }
    positions = stage_positions(
        well, [[at[image.name] for image in group] for group in groups], images
    )
    return {name: positions[place] for name, place in at.items()}


def _one_field(
    name: str, image: Image, source: SourceImage, positions: Mapping[str, Position]
) -> FieldImage:
    """An image that is one field, or has data in its registered ROIs only."""
    whole = whole_image(name, image, positions[name])
    parts = [
        dataclasses.replace(limited(whole, roi, image, is_raw=source.is_raw), name=roi.name)
        for roi in registered_rois(image, source.record)
    ]
    return _at_places(FieldImage(name, image, parts or [whole], source, has_table=False))


def _at_places(part: FieldImage) -> FieldImage:
    """An image with its fields where they were measured to be, if they were."""
    places = part.source.places
    if places is None:
        return part
    return dataclasses.replace(part, fields=placed_at(part.fields, places, part.image))


def with_one_depth(images: Mapping[str, Image]) -> dict[str, Image]:
    """Images of a well, all planes of which are as thick: then they share one frame.

    The size in z of a single plane is nominal, and writers differ in it. It is taken to be that
    of the stacks of the well, or of its first image.
    """
    in_z = [image for image in images.values() if "z" in image.spatial]
    if not in_z:
        return dict(images)
    first = min(in_z, key=lambda image: bool(image.flat_axes))  # a stack, if there is one
    depth = first.pixel_size_um["z"]
    return {name: image.of_depth(depth) for name, image in images.items()}


def read_image(path: Path) -> Image:
    """Read the metadata of an image and of its labels.

    Raises
    ------
    PlatefuseError
        If the image or a label cannot be used.
    """
    image = Image.read(path)
    image.warn_of_labels()
    for label in image.labels.values():
        if not set(label.spatial) - set(label.flat_axes) <= set(image.spatial):
            raise ViewError(
                f"{label.path}: the label has the axes {label.axes!r}, its image only "
                f"{image.axes!r}. A label must not have axes in space that its image lacks, unless "
                "they have one pixel: write it without them."
            )
        check_beginning(label, image)
    return image
