"""How the fields of a well lie in its images: the options, and the groups of images.

In the layout `mosaic` an image holds the fields of an acquisition next to each other, and a table
says where. In the layout `fields` each field is an image of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from platefuse.errors import PlateError
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.well import Well, WellImage
from platefuse.storage.expected import path_of
from platefuse.storage.options import check_options, option

LayoutName = Literal["mosaic", "fields"]

_FILE = path_of("a file", is_carried=True).nullable("null")


@dataclass(frozen=True)
class InputOptions:
    """How the plates are read. Each option is described where it is declared.

    Raises
    ------
    ConfigError
        If an option has a value that cannot be used.
    """

    layout: Literal["auto", "mosaic", "fields"] = option(
        "auto",
        "mosaic: an image holds all fields of an acquisition, and fusion.tile_table says where; "
        "fields: each image is one field; auto: each well is taken for what it is.",
        comment="auto | mosaic | fields",
    )
    positions: Annotated[str | None, _FILE] = option(
        None,
        "A tab-separated file with the positions of the fields of a plate in the layout fields: "
        "columns well, image, y_um, x_um and, optional, z_um and acquisition; null: positions are "
        "read from the plate.",
        comment="null, or a tab-separated file",
    )

    def __post_init__(self) -> None:
        check_options(self, "input")


@dataclass(frozen=True)
class WellLayout:
    """The layout of a well.

    Attributes
    ----------
    name : str
        ``mosaic`` or ``fields``.
    why : str
        The reason, for messages.
    """

    name: LayoutName
    why: str


def choose_layout(
    well: Well, options: InputOptions, tile_table: str, has_table: Callable[[WellImage], bool]
) -> WellLayout:
    """The layout of a well.

    Parameters
    ----------
    well : Well
        The well.
    options : InputOptions
        What the user says.
    tile_table : str
        Name of the table that tells where the fields of an image are.
    has_table : callable
        Whether an image has this table.

    Raises
    ------
    PlateError
        If some images have the table and others do not, or an image is missing.
    """
    if options.layout == "fields":
        return WellLayout("fields", "input.layout is fields")
    with_table = [image.name for image in well.images if has_table(image)]
    without = [image.name for image in well.images if image.name not in with_table]
    if with_table and without:
        for image in well.images:
            read_attributes(image.live)  # an image that is missing has no table either
        raise PlateError(
            f"{well.path}: the images {with_table} have a table {tile_table!r} with their fields, "
            f"and the images {without} have not. Expected it in all or in none of them. Name the "
            "images to process under `images`, or set input.layout: fields if each is one field."
        )
    if with_table:
        return WellLayout("mosaic", f"its images have the table {tile_table!r}")
    if options.layout == "mosaic":
        return WellLayout("mosaic", "input.layout is mosaic, and no image has a tile table")
    if options.positions is not None:
        return WellLayout("fields", "input.positions has a position for each image")
    groups = by_acquisition(well.images)
    if all(len(images) == 1 for _, images in groups):
        return WellLayout("mosaic", "it has one image for each acquisition, without a tile table")
    return WellLayout("fields", f"an acquisition has several images without a {tile_table!r}")


def by_acquisition(
    images: Sequence[WellImage], acquisition: Callable[[WellImage], int | None] | None = None
) -> list[tuple[int, list[WellImage]]]:
    """The images of each acquisition, by its number; an image without a number is of number 0."""
    groups: dict[int, list[WellImage]] = {}
    for image in images:
        number = acquisition(image) if acquisition else None
        if number is None:
            number = image.number
        groups.setdefault(number, []).append(image)
    return sorted(groups.items())
