"""Look at a plate before there is a config for it: what it holds, and what would suit it.

Of every well its own metadata is read, which is one small file. Images and tables are looked at in
a few wells only, unless something is wrong with one of these. No pixel is read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platefuse.errors import PlateError, PlatefuseError
from platefuse.fusion.fields.positions import stage_positions
from platefuse.fusion.fields.reader import STANDARD_TABLE, read_image
from platefuse.ngff.channels import channel_names
from platefuse.ngff.image import Image, Multiscale
from platefuse.ngff.layout import (
    InputOptions,
    LayoutName,
    WellLayout,
    by_acquisition,
    choose_layout,
)
from platefuse.ngff.metadata import is_node
from platefuse.ngff.plate import Plate
from platefuse.ngff.tables.table import has_boxes, read_table, table_names, table_path
from platefuse.ngff.well import Well, WellImage
from platefuse.ngff.zarr_format import V3, Format
from platefuse.storage.once import reading_once
from platefuse.workflow.checks.fused_again import fused_already, is_fused
from platefuse.workflow.plates import present_wells

_LOOKED_AT = 3
"""Number of wells whose images are looked at."""

_REGISTERED = ("registered_FOV_ROI_table", "FOV_ROI_table_registered")
_NUCLEI = re.compile("dapi|hoechst|draq|nucle|sytox", re.IGNORECASE)


@dataclass(frozen=True)
class Survey:
    """What a plate holds.

    Attributes
    ----------
    plate : Plate
        The plate.
    wells : int
        Number of wells but for those that are absent or bad.
    absent : int
        Number of wells that are listed and absent.
    bad : mapping of str to str
        Wells that cannot be used, with the reason: all whose own metadata cannot be read, and
        those without positions or with broken images, if that was seen in one that was looked at.
    layout : str
        ``mosaic`` or ``fields``.
    why : str
        Why it was taken for this layout.
    acquisitions : tuple of int
        Their numbers, in all wells.
    common : tuple of int
        Those that every well has.
    images : tuple of str or None
        The images to process, where an acquisition has several; None: all.
    other_images : tuple of str
        The images that are left out by `images`.
    fields : int
        Number of fields of an acquisition in the wells that were looked at.
    channels : tuple of str
        Channels that all acquisitions have; empty without names.
    channel : str or None
        The one to measure by; None: the first.
    tables : tuple of str
        Tables that all images have.
    tile_table : str or None
        The one that says where the fields are; None without one.
    registered : str or None
        A registered ROI table; None without one.
    ngff_version : str
        The OME-NGFF version of the plate.
    """

    plate: Plate
    wells: int
    absent: int
    bad: Mapping[str, str]
    layout: LayoutName
    why: str
    acquisitions: tuple[int, ...]
    common: tuple[int, ...]
    images: tuple[str, ...] | None
    other_images: tuple[str, ...]
    fields: int
    channels: tuple[str, ...]
    channel: str | None
    tables: tuple[str, ...]
    tile_table: str | None
    registered: str | None
    ngff_version: str


def survey_plate(path: str | Path) -> Survey:
    """Look at a plate.

    Raises
    ------
    PlatefuseError
        If it is no plate, or one that platefuse has fused; if no well of it can be read; or if
        the positions of its fields are not known in any well.
    """
    with reading_once():
        plate = Plate.open(path)
        if is_fused(plate.path):
            raise PlateError(fused_already(plate.path))
        return _survey(plate)


def _survey(plate: Plate) -> Survey:
    wells, absent, bad = _read_wells(plate)
    if not wells:
        raise PlateError(_no_wells(plate, bad))
    if any(_fault(well) for well in _sample(wells)):
        faults = {well.name: fault for well in wells if (fault := _fault(well))}
        bad |= faults
        wells = [well for well in wells if well.name not in faults]
        if not wells:
            raise PlateError(next(iter(faults.values())))
    sample = _sample(wells)
    acquired = [{image.number for image in well.images} for well in wells]
    tables = _common_tables(sample)
    tile_table = _tile_table(sample[0].images[0], tables)
    table = tile_table or STANDARD_TABLE
    layout = _layout_of(sample[0], table)
    images, others = _chosen_images(wells) if layout.name == "mosaic" else (None, ())
    found = _images_of(sample, images)
    channels = _common_channels(found)
    nuclei = next((name for name in channels if _NUCLEI.search(name)), None)
    return Survey(
        plate,
        len(wells),
        absent,
        bad,
        layout.name,
        layout.why,
        tuple(sorted(set.union(*acquired))),
        tuple(sorted(set.intersection(*acquired))),
        images,
        others,
        _field_count(sample[0], layout.name, tile_table),
        channels,
        nuclei,
        tables,
        tile_table,
        _registered_table(found, tables) if layout.name == "mosaic" else None,
        "0.5" if Format.of(plate.path) is V3 else "0.4",
    )


def _sample(wells: Sequence[Well]) -> list[Well]:
    """The wells whose images are looked at."""
    chosen = [wells[n * len(wells) // _LOOKED_AT] for n in range(_LOOKED_AT)]
    return list({well.name: well for well in chosen}.values())


def _fault(well: Well) -> str:
    """Why a well cannot be used, from the metadata of its images; empty if it can."""
    try:
        images = {image.name: Multiscale.read(image.live) for image in well.images}
        table = _tile_table(well.images[0], _common_tables([well])) or STANDARD_TABLE
        if _layout_of(well, table).name == "fields":
            groups = [[image.name for image in own] for _, own in by_acquisition(well.images)]
            stage_positions(well, groups, images)
    except PlatefuseError as error:
        return str(error)
    return ""


def _layout_of(well: Well, table: str) -> WellLayout:
    return choose_layout(
        well, InputOptions(), table, lambda image: is_node(table_path(image.live, table))
    )


def _read_wells(plate: Plate) -> tuple[list[Well], int, dict[str, str]]:
    """Wells that can be read, the number of absent ones, and why others cannot be read."""
    present = present_wells(plate)
    wells: list[Well] = []
    unreadable: dict[str, str] = {}
    absent = 0
    for name in plate.wells:
        if name not in present:
            absent += 1
            continue
        try:
            well = Well.read(plate.path, name.row, name.column)
            if not well.images:
                raise PlateError(f"{well.path}: the well lists no images; expected one at least.")
            wells.append(well)
        except PlatefuseError as error:
            unreadable[name.name] = str(error)
    return wells, absent, unreadable


def _no_wells(plate: Plate, unreadable: Mapping[str, str]) -> str:
    if unreadable:
        name, reason = next(iter(unreadable.items()))
        return f"{plate.path}: none of its {len(unreadable)} wells can be read. Of {name}: {reason}"
    return (
        f"{plate.path}: none of the {len(plate.wells)} wells that the plate lists exists. "
        "Expected folders like row/column in it. Is the plate complete?"
    )


def _common_tables(wells: Sequence[Well]) -> tuple[str, ...]:
    """Tables of the first image that all images of the wells have."""
    names = [table_names(image.live) for well in wells for image in well.images]
    return tuple(name for name in names[0] if all(name in own for own in names))


def _tile_table(image: WellImage, tables: Sequence[str]) -> str | None:
    """The table that says where the fields are: the standard one, or one with stage positions."""
    if STANDARD_TABLE in tables:
        return STANDARD_TABLE
    for name in tables:
        is_other = name not in _REGISTERED and has_boxes(image.live, name)
        if is_other and "x_micrometer_original" in read_table(image.live, name).columns:
            return name
    return None


def _registered_table(
    images: Sequence[tuple[WellImage, Image]], tables: Sequence[str]
) -> str | None:
    names = [*_REGISTERED, *(name for name in tables if "registered" in name)]
    image = images[0][0].live
    return next((n for n in names if n in tables and has_boxes(image, n)), None)


def _chosen_images(wells: Sequence[Well]) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """One image of each acquisition, where a well has several: those of the longest suffix.

    An image that a task has made of another one carries a suffix, such as ``0_illum``.
    """
    every = {image.name: image.number for well in wells for image in well.images}
    counts = [Counter(image.number for image in well.images) for well in wells]
    if all(number == 1 for count in counts for number in count.values()):
        return None, ()
    by_suffix: dict[str, dict[str, int]] = {}
    for name, number in every.items():
        by_suffix.setdefault(name.partition("_")[2], {})[name] = number
    complete = [s for s, own in by_suffix.items() if set(own.values()) == set(every.values())]
    if not complete:
        return None, ()
    chosen = by_suffix[max(complete, key=len)]
    return tuple(sorted(chosen)), tuple(sorted(set(every) - set(chosen)))


def _images_of(wells: Sequence[Well], only: Sequence[str] | None) -> list[tuple[WellImage, Image]]:
    """The first image of each acquisition of the wells."""
    first = {
        (well.name, image.number): image
        for well in wells
        for image in reversed(well.images)
        if only is None or image.name in only
    }
    return [(image, read_image(image.live)) for image in first.values()]


def _common_channels(images: Sequence[tuple[WellImage, Image]]) -> tuple[str, ...]:
    names = [channel_names(image) for _, image in images]
    return tuple(name for name in names[0] if all(name in own for own in names))


def _field_count(well: Well, layout: LayoutName, tile_table: str | None) -> int:
    if layout == "fields":
        return max(len(images) for _, images in by_acquisition(well.images))
    return 1 if tile_table is None else len(read_table(well.images[0].live, tile_table).names)
