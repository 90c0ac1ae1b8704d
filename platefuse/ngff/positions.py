"""Stage positions of the images of a plate that has one image for each field.

Positions come from one of three sources, in this order: a table that the user gives, the
`translation` of the images, and the `OME/METADATA.ome.xml` that a converter wrote into the plate.
"""

from __future__ import annotations

import csv
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from platefuse.errors import ConfigError, ImageError, MetadataError
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import find_attributes
from platefuse.ngff.multiscales import scale_of
from platefuse.ngff.units import um_per_unit
from platefuse.ngff.well import Well, WellImage
from platefuse.storage.typed_json import list_of, object_of

Position = Mapping[str, float]
"""Micrometres by axis in space. Axes of which the source says nothing are left out."""

OME_XML = Path("OME", "METADATA.ome.xml")

_NO_UNIT = "reference frame"  # the default of OME-XML

_WELL = re.compile(r"(?P<row>[A-Za-z]+)/?(?P<column>[0-9]+)")

_COLUMNS = ("well", "image", "y_um", "x_um")
_OPTIONAL_COLUMNS = ("z_um", "acquisition")


@dataclass(frozen=True)
class Placed:
    """What a user's table says of one image.

    Attributes
    ----------
    position : Position
        Where its first pixel is.
    acquisition : int or None
        Its acquisition; None: as the well's metadata say.
    """

    position: Position
    acquisition: int | None = None


@cache
def read_position_table(path: Path) -> Mapping[tuple[str, str], Placed]:
    """Read a user's table of positions.

    Parameters
    ----------
    path : Path
        Tab-separated text with the columns `well`, `image`, `y_um`, `x_um` and perhaps `z_um`
        and `acquisition`.

    Returns
    -------
    mapping of (str, str) to Placed
        By well, as `well_key` has it, and path of the image in it.

    Raises
    ------
    ConfigError
        With a message for each fault.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"config.input.positions: {path} cannot be read ({error}). Give the path of a "
            f"tab-separated file with the columns {', '.join(_COLUMNS)}."
        ) from error
    lines = csv.reader(text.splitlines(), delimiter="\t")
    header = [name.strip() for name in next(lines, [])]
    if missing := [name for name in _COLUMNS if name not in header]:
        raise ConfigError(
            f"{path}: the header is {header} and lacks {missing}. Expected the tab-separated "
            f"columns {', '.join(_COLUMNS)}, and perhaps {' and '.join(_OPTIONAL_COLUMNS)}."
        )
    rows: dict[tuple[str, str], Placed] = {}
    faults = []
    for number, cells in enumerate(lines, 2):
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        if not any(row.values()):
            continue
        try:
            key, placed = _read_row(row)
        except ValueError as error:
            faults.append(f"{path}, line {number}: {error}.")
            continue
        well, image = key
        if (well_key(well), image) in rows:
            faults.append(f"{path}, line {number}: image {image} of well {well} occurs again.")
        rows[well_key(well), image] = placed
    if faults:
        raise ConfigError(*faults)
    return rows


def well_key(name: str) -> str:
    """A name of a well that is the same for all its spellings: for B/03, B03, B/3 and B3."""
    found = _WELL.fullmatch(name)
    return f"{found['row']}/{int(found['column'])}" if found else name


def translation_of(image: Multiscale) -> Position | None:
    """The `translation` of an image's finest level in micrometres; None if it has none.

    That of the level is in the units before the scale of the whole image, which is applied last.
    Without numbers for `t` and `c`, those that are there are for the axes in space.

    Raises
    ------
    ImageError
        If it is not made of finite numbers, one for each axis.
    """
    entry, axes = image.metadata, image.axes
    level = object_of(list_of(entry["datasets"])[0])
    common = scale_of(image.path, entry, axes, default=[1.0] * len(axes))
    total: dict[str, float] = {}
    for holder, scale in ((level, common), (entry, [1.0] * len(axes))):
        for transform in map(object_of, list_of(holder.get("coordinateTransformations"))):
            if not isinstance(transform.get("translation"), list):
                continue
            values = _in_space(image, list_of(transform["translation"]))
            for axis, factor, um in zip(axes, scale, image.um_per_unit, strict=True):
                if axis in values:
                    total[axis] = total.get(axis, 0.0) + values[axis] * factor * um
    return total or None


def check_beginning(label: Multiscale, image: Multiscale) -> None:
    """Check that a label of a part of its image begins where the image does.

    Its pixels are taken for those at the beginning of the image. A label of the whole image is
    there, whatever its translation says.

    Raises
    ------
    ImageError
        If its translation says that it begins elsewhere.
    """
    own = translation_of(label)
    if own is None or not any(own.values()):
        return
    there = translation_of(image) or {}
    lengths = dict(zip(image.spatial, image.shape_in_space, strict=True))
    for axis, length in zip(label.spatial, label.shape_in_space, strict=True):
        if axis not in lengths or axis in label.flat_axes:
            continue
        size, whole = label.pixel_size_um[axis], lengths[axis] * image.pixel_size_um[axis]
        begin = own.get(axis, 0.0) - there.get(axis, 0.0)
        if length * size < whole - size and abs(begin) > size:
            raise ImageError(
                f"{label.path}: the label shows a part of its image, and its translation says that "
                f"it begins {begin:g} µm from the image in {axis}. Expected labels that begin "
                "where their image does: write it as large as the image, with zeros around it."
            )


def _in_space(image: Multiscale, translation: Sequence[object]) -> dict[str, float]:
    """The numbers of a translation by their axes in space."""
    axes = image.spatial if len(translation) == len(image.spatial) else image.axes
    values = dict(zip(axes, translation, strict=False))
    found = {a: v for a, v in values.items() if a in "zyx" and isinstance(v, int | float)}
    if len(translation) != len(axes) or len(found) != len(image.spatial) or not _are_finite(found):
        raise ImageError(
            f"{image.path}: the translation is {list(translation)!r}; expected finite numbers on "
            f"the axes in space, and one for each of the axes {image.axes!r}. Correct or remove it."
        )
    return found


def _are_finite(values: Mapping[str, float]) -> bool:
    return all(abs(value) <= sys.float_info.max for value in values.values())


@dataclass(frozen=True)
class OmePositions:
    """Positions in the OME-XML of a plate.

    Attributes
    ----------
    images : mapping of str to Position
        Of the images whose paths in the plate are listed next to the document, by these paths.
    wells : mapping of (int, int) to sequence of Position or None
        Of the fields of every `Well` element, by its row and column.
    """

    images: Mapping[str, Position] = field(default_factory=dict)
    wells: Mapping[tuple[int, int], Sequence[Position | None]] = field(default_factory=dict)

    def of(self, image: WellImage, place: tuple[int, int]) -> Position | None:
        """Position of an image of the well at a row and column, counted from 0."""
        found = self.images.get(f"{image.well.name}/{image.name}")
        if found is not None:
            return found
        names = [name for name, _ in image.well.listed]
        fields = self.wells.get(place, ())
        # Converters number the fields of a well in the order of the document.
        number = int(image.name) if image.name.isdecimal() else names.index(image.name)
        return fields[number] if number < len(fields) else None


@cache
def read_ome_positions(plate: Path) -> OmePositions:
    """Read the positions in a plate's OME-XML; none if it has no such file.

    Raises
    ------
    MetadataError
        If the file cannot be read.
    """
    file = plate / OME_XML
    if not file.is_file():
        return OmePositions()
    images: dict[str, Position | None] = {}
    wells: dict[tuple[int, int], list[tuple[str, Position | None]]] = {}
    try:
        for _, element in ElementTree.iterparse(file):
            kind = _kind(element)
            if kind == "Image":
                images[element.get("ID", "")] = _of_image(element)
                element.clear()
            elif kind == "Well":
                place = int(element.get("Row", -1)), int(element.get("Column", -1))
                wells[place] = list(_of_samples(element))
                element.clear()
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise MetadataError(
            f"{file}: its positions cannot be read ({error}). Repair the file, or give the "
            "positions as a table under `input.positions`."
        ) from error
    paths = list_of((find_attributes(plate / "OME") or {}).get("series"))
    series = zip(paths, images.values(), strict=False) if len(paths) == len(images) else ()
    return OmePositions(
        {str(path): position for path, position in series if position is not None},
        {
            place: tuple(own or images.get(image) for image, own in samples)
            for place, samples in wells.items()
        },
    )


def row_and_column(well: Well) -> tuple[int, int]:
    """Row and column of a well, counted from 0, as the plate's metadata say."""
    plate = object_of((find_attributes(well.plate) or {}).get("plate"))
    for entry in map(object_of, list_of(plate.get("wells"))):
        if entry.get("path") == well.name:
            row, column = entry.get("rowIndex"), entry.get("columnIndex")
            if isinstance(row, int) and isinstance(column, int):
                return row, column
    indices = []
    for key, name in (("rows", well.row), ("columns", well.column)):
        names = [object_of(entry).get("name") for entry in list_of(plate.get(key))]
        indices.append(names.index(name) if name in names else -1)
    return indices[0], indices[1]


def _read_row(row: Mapping[str, str]) -> tuple[tuple[str, str], Placed]:
    well, image = (row.get(key, "") for key in ("well", "image"))
    if not well or not image:
        raise ValueError(f"well {well!r} and image {image!r}; expected both")
    position = {}
    for axis in "zyx":
        given = row.get(f"{axis}_um", "")
        if given or axis != "z":
            try:
                position[axis] = _finite(float(given))
            except ValueError:
                raise ValueError(f"{axis}_um is {given!r}; expected a finite number") from None
    number = row.get("acquisition", "")
    if number and not number.isdecimal():
        raise ValueError(f"acquisition is {number!r}; expected a whole number or nothing")
    return (well, image), Placed(position, int(number) if number else None)


def _kind(element: ElementTree.Element) -> str:
    """Name of an element without its namespace, which differs between versions of OME-XML."""
    return element.tag.rpartition("}")[2]


def _of_samples(well: ElementTree.Element) -> Iterator[tuple[str, Position | None]]:
    """Image and position of each field of a well; the position is often only in the image."""
    for sample in well:
        if _kind(sample) == "WellSample":
            reference = next((e.get("ID", "") for e in sample if _kind(e) == "ImageRef"), "")
            yield reference, _of_attributes(sample, {})


def _of_image(image: ElementTree.Element) -> Position | None:
    """Position of the first plane of an image."""
    pixels = next((e for e in image if _kind(e) == "Pixels"), None)
    plane = next((e for e in pixels if _kind(e) == "Plane"), None) if pixels is not None else None
    if pixels is None or plane is None:
        return None
    return _of_attributes(
        plane, {axis: _length(pixels, f"PhysicalSize{axis.upper()}", None) for axis in "zyx"}
    )


def _of_attributes(
    element: ElementTree.Element, pixel_um: Mapping[str, float | None]
) -> Position | None:
    found = {}
    for axis in "zyx":
        um = _length(element, f"Position{axis.upper()}", pixel_um.get(axis))
        if um is not None:
            found[axis] = um
    return found if {"y", "x"} <= set(found) else None


def _length(element: ElementTree.Element, name: str, pixel_um: float | None) -> float | None:
    """A length in micrometres; without a unit of length it is taken for micrometres."""
    value = element.get(name)
    if value is None:
        return None
    unit = element.get(f"{name}Unit", _NO_UNIT)
    um = {"pixel": pixel_um, _NO_UNIT: 1.0}.get(unit, um_per_unit(unit))
    if um is None and unit == "pixel":
        raise ValueError(f"{name}Unit is 'pixel', and there is no PhysicalSize{name[-1]}")
    if um is None:
        raise ValueError(f"{name}Unit is {unit!r}, which is not a length")
    return _finite(float(value)) * um


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    return float(value)
