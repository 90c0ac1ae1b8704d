"""Camera fields of an image: their pixels, and their place on the stage."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path

from platefuse.errors import MEASURE_AGAIN, TableError
from platefuse.geometry import Box
from platefuse.ngff.image import Multiscale
from platefuse.ngff.tables.boxes import boxes_in, check_known_size
from platefuse.ngff.tables.table import Table, read_table
from platefuse.records import RegisteredRoi, RegistrationRecord

logger = logging.getLogger(__name__)

_SAME_UM = 1e-3


@dataclass(frozen=True)
class Place:
    """Where a field is, as it was measured.

    Attributes
    ----------
    stage_um : tuple of float
        Its stage position on y and x when it was measured, in micrometres.
    shift_px : tuple of float
        What is added to its stage position, in pixels on the axes z, y, x.
    angle_deg : float
        Turn of the field about its centre, from x to y, in degrees.
    """

    stage_um: tuple[float, float]
    shift_px: tuple[float, float, float]
    angle_deg: float = 0.0


@dataclass(frozen=True)
class Field:
    """One field of a well. Positions are in micrometres, on the axes ``z``, ``y``, ``x``.

    Attributes
    ----------
    name : str
        Row name in the tile table.
    array_um : mapping of str to float
        Position of its first pixel's corner in the array.
    stage_um : mapping of str to float
        Position of that corner on the stage.
    length_um : mapping of str to float
        Its extent.
    data : Box or None
        Pixels of the array that the field may use, on the image's axes in space: its registered
        ROI. None if the image was not registered: the whole field.
    moved_um : mapping of str to float
        How far registration moves its pixels. Not empty if the image is still as it was acquired:
        all positions in the array are those after the registration.
    angle_deg : float
        Turn about the centre of the whole field, from x to y, in degrees.
    """

    name: str
    array_um: Mapping[str, float]
    stage_um: Mapping[str, float]
    length_um: Mapping[str, float]
    data: Box | None
    moved_um: Mapping[str, float] = dataclass_field(default_factory=dict)
    angle_deg: float = 0.0

    @property
    def registered(self) -> Field:
        """The field in the registered image."""
        return replace(self, moved_um={})

    def box(self, image: Multiscale, reference_image: Multiscale) -> Box:
        """The field's pixels in an image or label, on its axes in space.

        Parameters
        ----------
        image : Multiscale
            The image, or a label of it, whose pixels may be of another size.
        reference_image : Multiscale
            The image that `data` refers to.
        """
        size, array = image.pixel_size_um, Box.of_shape(image.shape_in_space)
        back = [-round(moved / size[a]) for a, moved in self._moved_um(image).items()]
        return (self._registered_box(image, reference_image) & array).shifted(back) & array

    def _registered_box(self, image: Multiscale, reference_image: Multiscale) -> Box:
        """The field's pixels after the registration, also outside the array."""
        size = image.pixel_size_um
        ends = {}
        for axis in image.spatial:
            if axis in image.flat_axes:  # one plane is the whole depth
                ends[axis] = (0, 1)
            else:
                start = round(self.array_um[axis] / size[axis])
                ends[axis] = (start, start + round(self.length_um[axis] / size[axis]))
        if self.data is None:
            return _box(ends, image.spatial)
        data = dict(ends)
        for axis, a, b in zip(
            reference_image.spatial, self.data.start, self.data.stop, strict=True
        ):
            if axis in image.spatial and axis not in image.flat_axes:
                ratio = reference_image.pixel_size_um[axis] / size[axis]
                data[axis] = (round(a * ratio), round(b * ratio))
        return _box(ends, image.spatial) & _box(data, image.spatial)

    def shift_um(self, image: Multiscale) -> tuple[float, ...]:
        """Stage position minus array position of the field's pixels, on axes in space.

        The array position is that of the field's first pixel.
        """
        size, moved = image.pixel_size_um, self._moved_um(image)
        return tuple(
            self.stage_um.get(a, 0.0)
            + moved[a]
            - (0.0 if a in image.flat_axes else round(self.array_um[a] / size[a]) * size[a])
            for a in image.spatial
        )

    def shift_px(self, image: Multiscale) -> tuple[float, ...]:
        """How far registration moves the field, in pixels of an image, on its axes in space."""
        sizes = image.pixel_size_um
        return tuple(moved / sizes[axis] for axis, moved in self._moved_um(image).items())

    def _moved_um(self, image: Multiscale) -> dict[str, float]:
        """`moved_um` on the axes in space of an image; one plane stays where it is."""
        flat = image.flat_axes
        return {a: 0.0 if a in flat else self.moved_um.get(a, 0.0) for a in image.spatial}


def whole_image(name: str, image: Multiscale, position: Mapping[str, float]) -> Field:
    """The only field of an image: all its pixels.

    One plane is the whole depth, so its position in z is not used: it is where the focus was.

    Parameters
    ----------
    name : str
        Name of the field.
    image : Multiscale
        The image.
    position : mapping of str to float
        Micrometres on the stage by axis; 0 on axes that it leaves out.
    """
    size, shape = image.pixel_size_um, dict(zip(image.spatial, image.shape_in_space, strict=True))
    return Field(
        name,
        dict.fromkeys(image.spatial, 0.0),
        {a: 0.0 if a in image.flat_axes else position.get(a, 0.0) for a in image.spatial},
        {axis: shape[axis] * size[axis] for axis in image.spatial},
        None,
    )


def find_fields(
    folder: Path,
    image: Multiscale,
    tile_table: str,
    record: RegistrationRecord | None,
    *,
    is_raw: bool = False,
) -> list[Field]:
    """The fields of an image. One plane is the whole depth, whatever the table says of z.

    In an image that platefuse registered, the data of a field are its intersection with its
    registered ROI, or with the only one: all other pixels are masked.

    Parameters
    ----------
    folder : Path
        The image whose table is read.
    image : Multiscale
        The image.
    tile_table : str
        Name of the table.
    record : RegistrationRecord or None
        The record of the image; None if it is not registered.
    is_raw : bool
        Whether the pixels are still where they were acquired: the record says where they belong.

    Raises
    ------
    TableError
        If the tile table cannot be used, or no field has data.
    """
    table = read_table(folder, tile_table)
    registered = registered_rois(image, record)
    flat = {axis: image.pixel_size_um[axis] for axis in image.flat_axes}
    axes = "".join(axis for axis in image.spatial if axis not in flat)
    (rois,) = boxes_in(image, axes, table)
    check_known_size(image, rois, table)
    _check_columns(table)
    on_stage = {axis: _stage_column(table, axis) for axis in axes}
    on_stage |= {axis: [_depth(table, axis)] * len(rois) for axis in flat}
    own = _rois_of_fields(registered, table) if registered else []
    fields = []
    for row, roi in enumerate(rois):
        stage = {axis: column[row] for axis, column in on_stage.items()}
        start, length = roi.start_um | dict.fromkeys(flat, 0.0), roi.length_um | flat
        found = Field(roi.name, start, stage, length, None)
        if registered:
            found = limited(found, own[row], image, is_raw=is_raw)
        _check_inside(found, image, table)
        if not found.box(image, image).empty:
            fields.append(found)
    twice = next((name for name in table.names if table.names.count(name) > 1), None)
    if twice is not None:
        raise TableError(
            f"{table.path}: two fields have the name {twice!r}; expected each name once. "
            "Rename one of them."
        )
    if not fields:
        raise TableError(
            f"{table.path}: no field of the table has data: each is smaller than a pixel, or "
            "outside its registered ROI. Check lengths and positions, in micrometers."
        )
    return fields


def limited(whole: Field, roi: RegisteredRoi, image: Multiscale, *, is_raw: bool) -> Field:
    """A field with data in a registered ROI only. It moves with that ROI if its image is raw."""
    sizes = image.pixel_size_um
    moved = zip(image.spatial, roi.shift_px, strict=True)
    return replace(
        whole, data=roi.box, moved_um={a: px * sizes[a] for a, px in moved} if is_raw else {}
    )


def placed_at(
    fields: Sequence[Field], places: Mapping[str, Place], image: Multiscale
) -> list[Field]:
    """Fields at their measured places.

    Raises
    ------
    TableError
        If a field has no place, or its stage position is not that at which it was measured.
    """
    missing = [each.name for each in fields if each.name not in places]
    if missing:
        raise TableError(
            f"{image.path}: the fields {missing} have no measured place; known are "
            f"{sorted(places)}. {MEASURE_AGAIN}"
        )
    sizes = {a: 0.0 if a in image.flat_axes else um for a, um in image.pixel_size_um.items()}
    placed = []
    for each in fields:
        place = places[each.name]
        stage = tuple(each.stage_um[axis] for axis in "yx")
        if any(abs(a - b) > _SAME_UM for a, b in zip(stage, place.stage_um, strict=True)):
            raise TableError(
                f"{image.path}: field {each.name!r} was measured when its stage position was "
                f"{place.stage_um} µm (y, x), and now it is {stage}. {MEASURE_AGAIN}"
            )
        shift = zip("zyx", place.shift_px, strict=True)
        moved = {axis: px * sizes[axis] for axis, px in shift if axis in sizes}
        found = {axis: um + moved.get(axis, 0.0) for axis, um in each.stage_um.items()}
        placed.append(replace(each, stage_um=found, angle_deg=place.angle_deg))
    return placed


def registered_rois(image: Multiscale, record: RegistrationRecord | None) -> list[RegisteredRoi]:
    """The registered ROIs of an image; none if it is not registered.

    Raises
    ------
    TableError
        If the record does not fit the image.
    """
    if record is None:
        return []
    if record.axes != image.spatial:
        raise TableError(
            f"{image.path}: the record has ROIs on the axes {record.axes}, the image "
            f"{image.spatial}. The image was changed after its registration."
        )
    return list(record.rois)


def _rois_of_fields(rois: Sequence[RegisteredRoi], table: Table) -> list[RegisteredRoi]:
    """The registered ROI of each field: by name, the only one, or by order if no name is shared."""
    by_name = {roi.name: roi for roi in rois}
    if len(rois) == 1:
        return list(rois) * len(table.names)
    if by_name.keys().isdisjoint(table.names) and len(rois) == len(table.names):
        return list(rois)
    for name in table.names:
        if name not in by_name:
            raise TableError(
                f"{table.path}: field {name!r} has no registered ROI; the image was registered "
                f"with {sorted(by_name)}. Use the table that the registration was computed from."
            )
    if without := sorted(by_name.keys() - set(table.names)):
        logger.warning(
            "%s: no field has the registered ROIs %s: their pixels are not fused. If they should "
            "be, use the table that the registration was computed from.",
            table.path,
            without,
        )
    return [by_name[name] for name in table.names]


def _check_columns(table: Table) -> None:
    """Check that positions in y and x are both on the stage, or both in the array."""
    names = [f"{axis}_micrometer_original" for axis in "yx"]
    found = [name for name in names if name in table.columns]
    if len(found) == 1:
        missing = [name for name in names if name not in found]
        raise TableError(
            f"{table.path}: its fields are on the stage in {found} and not in {missing}; expected "
            "both columns or none. Add the one, or remove the other."
        )


def _stage_column(table: Table, axis: str) -> Sequence[float]:
    original = f"{axis}_micrometer_original"
    return table.column(original if original in table.columns else f"{axis}_micrometer")


def _depth(table: Table, axis: str) -> float:
    """The lowest position of all fields on an axis on which the image has one pixel.

    They differ by where the focus was, which is no place.
    """
    known = {f"{axis}_micrometer", f"{axis}_micrometer_original"} & set(table.columns)
    return min(_stage_column(table, axis), default=0.0) if known else 0.0


def _box(ends: Mapping[str, tuple[int, int]], axes: str) -> Box:
    return Box(tuple(ends[a][0] for a in axes), tuple(ends[a][1] for a in axes))


def _check_inside(field: Field, image: Multiscale, table: Table) -> None:
    shape = dict(zip(image.spatial, image.shape_in_space, strict=True))
    for axis, size in image.pixel_size_um.items():
        start = round(field.array_um[axis] / size)  # 0 or more: see `Table.rois`
        stop = start + round(field.length_um[axis] / size)
        if stop > shape[axis] + 1:
            raise TableError(
                f"{table.path}: field {field.name!r} covers pixels {start} to {stop} in {axis}, "
                f"but the image has {shape[axis]}. Check the table and the pixel size."
            )
