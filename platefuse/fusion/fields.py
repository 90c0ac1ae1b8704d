"""Fields of a well: where their data are in the array, and where they lie on the stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from platefuse.errors import TableError
from platefuse.geometry import Box
from platefuse.ngff.image import Multiscale
from platefuse.records import RegistrationRecord
from platefuse.tables.table import Table, read_table


@dataclass(frozen=True)
class Field:
    """One field of a well. Positions are in micrometres, on the axes ``z``, ``y``, ``x``.

    Attributes
    ----------
    name : str
        Row name in the tile table.
    array_um : dict of str to float
        Where the field begins in the array.
    stage_um : dict of str to float
        Where it begins on the stage.
    length_um : dict of str to float
        Its extent.
    data : Box or None
        Pixels of the image's array that the field may use, on the image's axes in space: its
        registered ROI. None if the image was not registered: all of the field.
    """

    name: str
    array_um: dict[str, float]
    stage_um: dict[str, float]
    length_um: dict[str, float]
    data: Box | None

    def box(self, image: Multiscale, finest: Multiscale) -> Box:
        """The field's pixels in an image or label, on its axes in space.

        Parameters
        ----------
        image : Multiscale
            The image, or a label of it, whose pixels may be of another size.
        finest : Multiscale
            The image that `data` refers to.
        """
        size, shape = image.pixel_size_um, _shape_in_space(image)
        start = [round(self.array_um[a] / size[a]) for a in image.spatial]
        stop = [
            s + round(self.length_um[a] / size[a])
            for s, a in zip(start, image.spatial, strict=True)
        ]
        box = Box(tuple(start), tuple(stop)) & Box.of_shape(shape)
        if self.data is None:
            return box
        of_image = dict(
            zip(finest.spatial, zip(self.data.start, self.data.stop, strict=True), strict=True)
        )
        ratio = {a: finest.pixel_size_um[a] / size[a] for a in image.spatial}
        return box & Box(
            tuple(round(of_image[a][0] * ratio[a]) for a in image.spatial),
            tuple(round(of_image[a][1] * ratio[a]) for a in image.spatial),
        )

    def shift_um(self, image: Multiscale) -> tuple[float, ...]:
        """Stage position less array position of the field's pixels, on axes in space.

        The array position is that of the pixel at which the field begins.
        """
        size = image.pixel_size_um
        return tuple(
            self.stage_um[a] - round(self.array_um[a] / size[a]) * size[a] for a in image.spatial
        )


def find_fields(image: Path, multiscale: Multiscale, tile_table: str) -> list[Field]:
    """The fields of an image.

    In an image that platefuse registered a field's data are its intersection with its
    registered ROI (or with the well's, if there is just one): all else is masked.

    Raises
    ------
    TableError
        If the tile table cannot be used, or no field has data.
    """
    table = read_table(image, tile_table)
    registered = _registered_boxes(image, multiscale.spatial)
    on_stage = {axis: _stage_column(table, axis) for axis in multiscale.spatial}
    found = []
    for row, roi in enumerate(table.rois(multiscale.spatial)):
        stage = {axis: column[row] for axis, column in on_stage.items()}
        data = _data_of(registered, roi.name, row, table) if registered else None
        field = Field(roi.name, roi.start_um, stage, roi.length_um, data)
        _check_inside(field, multiscale, table)
        if not field.box(multiscale, multiscale).empty:
            found.append(field)
    twice = next((name for name in table.names if table.names.count(name) > 1), None)
    if twice is not None:
        raise TableError(
            f"{table.path}: two fields have the name {twice!r}; expected each name once. "
            "Rename one of them."
        )
    if not found:
        raise TableError(
            f"{table.path}: no field of the table has data: each is smaller than a pixel, or does "
            "not meet its registered ROI. Check lengths and positions, in micrometers."
        )
    return found


def precision_px(fields: Sequence[Field], image: Multiscale) -> float:
    """How far float32 positions in the tables may be from the whole pixel they mean."""
    size = image.pixel_size_um
    farthest = max(abs(f.stage_um[a]) / size[a] for f in fields for a in image.spatial)
    return min(0.25, max(1e-3, 4 * float(np.finfo(np.float32).eps) * farthest))


def _registered_boxes(image: Path, axes: str) -> dict[str, Box]:
    record = RegistrationRecord.read(image)
    if record is None:
        return {}
    if record.axes != axes:
        raise TableError(
            f"{image}: the record has ROIs on the axes {record.axes}, the image "
            f"{axes}. The image was changed after its registration."
        )
    return {roi.name: roi.box for roi in record.rois}


def _data_of(boxes: dict[str, Box], name: str, row: int, table: Table) -> Box:
    if name in boxes:
        return boxes[name]
    if len(boxes) == 1:
        return next(iter(boxes.values()))
    if len(boxes) == len(table.names):
        return list(boxes.values())[row]
    raise TableError(
        f"{table.path}: field {name!r} has no registered ROI; the image was registered with "
        f"{sorted(boxes)}. Use the table that the registration was computed from."
    )


def _stage_column(table: Table, axis: str) -> tuple[float, ...]:
    original = f"{axis}_micrometer_original"
    return table.column(original if original in table.columns else f"{axis}_micrometer")


def _check_inside(field: Field, image: Multiscale, table: Table) -> None:
    shape = dict(zip(image.spatial, _shape_in_space(image), strict=True))
    for axis, size in image.pixel_size_um.items():
        start = round(field.array_um[axis] / size)
        stop = start + round(field.length_um[axis] / size)
        if start < -1 or stop > shape[axis] + 1:
            raise TableError(
                f"{table.path}: field {field.name!r} covers pixels {start} to {stop} in {axis}, "
                f"but the image has {shape[axis]}. Check the table and the pixel size."
            )


def _shape_in_space(image: Multiscale) -> tuple[int, ...]:
    return image.shape_in_space
