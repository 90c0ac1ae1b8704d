"""Camera fields of acquisitions, as views of a frame.

A *layer* is the image of one acquisition with its fields: several of them can be stacked by channel
into one fused image (`platefuse.fusion.stack`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from platefuse.engine.sources import ChunkStore, Source
from platefuse.engine.views import View
from platefuse.errors import TableError, ViewError
from platefuse.fusion.frame import Extent, Frame, PixelMap, place_view
from platefuse.geometry import Box, snap
from platefuse.ngff.image import Image, Multiscale
from platefuse.records import RegistrationRecord
from platefuse.storage.arrays import ExpandedArray, StoredArray
from platefuse.tables.table import Table, read_table


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
        Pixels of the image's array that the field may use, on the image's axes in space: its
        registered ROI. None if the image was not registered: the whole field.
    """

    name: str
    array_um: Mapping[str, float]
    stage_um: Mapping[str, float]
    length_um: Mapping[str, float]
    data: Box | None

    def box(self, image: Multiscale, reference_image: Multiscale) -> Box:
        """The field's pixels in an image or label, on its axes in space.

        Parameters
        ----------
        image : Multiscale
            The image, or a label of it, whose pixels may be of another size.
        reference_image : Multiscale
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
        ends = zip(self.data.start, self.data.stop, strict=True)
        of_reference = dict(zip(reference_image.spatial, ends, strict=True))
        ratio = {a: reference_image.pixel_size_um[a] / size[a] for a in image.spatial}
        return box & Box(
            tuple(round(of_reference[a][0] * ratio[a]) for a in image.spatial),
            tuple(round(of_reference[a][1] * ratio[a]) for a in image.spatial),
        )

    def shift_um(self, image: Multiscale) -> tuple[float, ...]:
        """Stage position minus array position of the field's pixels, on axes in space.

        The array position is that of the field's first pixel.
        """
        size = image.pixel_size_um
        return tuple(
            self.stage_um[a] - round(self.array_um[a] / size[a]) * size[a] for a in image.spatial
        )


@dataclass(frozen=True)
class Layer:
    """The image of one acquisition, its labels and its fields.

    Attributes
    ----------
    name : str
        Path of the image that was acquired in its well.
    acquisition : int or None
        Number of the acquisition.
    image : Image
        The image with its labels.
    fields : sequence of Field
        Its fields.
    """

    name: str
    acquisition: int | None
    image: Image
    fields: Sequence[Field]

    @classmethod
    def read(cls, name: str, acquisition: int | None, path: Path, tile_table: str) -> Layer:
        """Read the metadata of an image and of its labels, and its fields.

        Raises
        ------
        PlatefuseError
            If the image, a label or the tile table cannot be used.
        """
        image = Image.read(path)
        for label in image.labels.values():
            if not set(label.spatial) <= set(image.spatial):
                raise ViewError(
                    f"{label.path}: the label has the axes {label.axes!r}, its image only "
                    f"{image.axes!r}. A label must not have axes in space that its image lacks: "
                    "write it without them."
                )
        return cls(name, acquisition, image, find_fields(path, image, tile_table))

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.image.shapes[0][self.image.axes.index("c")] if "c" in self.image.axes else 1

    @property
    def precision_px(self) -> float:
        """How far a float32 position in the tables may be from the whole pixel that it means."""
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

    def fields_in(self, image: Multiscale) -> list[Field]:
        """The fields that have pixels in the layer's image or a label of it."""
        return [f for f in self.fields if not f.box(image, self.image).empty]

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
        """The fields' views in a frame.

        Parameters
        ----------
        image : Multiscale
            The layer's image, or a label of it.
        frame : Frame
            The frame of the fused image, in micrometres.
        axes : str
            Axes of the fused image: those of `image`, and channels if it has none.
        order : int
            Interpolation order.
        widths_um : mapping of str to float, optional
            Blending widths in micrometres.
        first_channel : int
            Index in the fused image of the layer's first channel.
        """
        stored = StoredArray.open(image.level_paths[0])
        whole: ChunkStore = stored if axes == image.axes else ExpandedArray(stored, axes.index("c"))
        source, lead = Source(whole), len(axes) - len(image.spatial)
        views, precision = [], self.precision_px
        for field in self.fields_in(image):
            inner = field.box(image, self.image)
            view = place_view(
                source,
                Box((0,) * lead + inner.start, source.shape[:lead] + inner.stop),
                _pixel_map(field, image, frame, precision),
                frame,
                order=order,
                widths=widths_um or {},
                leading_shift=[first_channel if a == "c" else 0 for a in axes[:lead]],
            )
            views.append(view)
        return views


def find_fields(image: Path, multiscale: Multiscale, tile_table: str) -> list[Field]:
    """The fields of an image.

    In an image that platefuse registered, the data of a field are its intersection with its
    registered ROI, or with the only one: all other pixels are masked.

    Raises
    ------
    TableError
        If the tile table cannot be used, or no field has data.
    """
    table = read_table(image, tile_table)
    registered = _registered_boxes(image, multiscale.spatial)
    on_stage = {axis: _stage_column(table, axis) for axis in multiscale.spatial}
    fields = []
    for row, roi in enumerate(table.rois(multiscale.spatial)):
        stage = {axis: column[row] for axis, column in on_stage.items()}
        data = _data_of(registered, roi.name, row, table) if registered else None
        field = Field(roi.name, roi.start_um, stage, roi.length_um, data)
        _check_inside(field, multiscale, table)
        if not field.box(multiscale, multiscale).empty:
            fields.append(field)
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


def precision_px(fields: Sequence[Field], image: Multiscale) -> float:
    """How far a float32 position in the tables may be from the whole pixel that it means."""
    size = image.pixel_size_um
    farthest = max(abs(f.stage_um[a]) / size[a] for f in fields for a in image.spatial)
    return min(0.25, max(1e-3, 4 * float(np.finfo(np.float32).eps) * farthest))


def _pixel_map(field: Field, image: Multiscale, frame: Frame, precision_px: float) -> PixelMap:
    """The map from the pixels of an image or label to those of a frame, for one field.

    Offsets within the precision of a whole pixel of the image are whole.
    """
    size = np.array([image.pixel_size_um[a] for a in image.spatial])
    spacing = np.array(frame.spacing)
    offset = (np.array(field.shift_um(image)) + size / 2 - np.array(frame.origin)) / spacing
    is_shift = bool(np.allclose(size, spacing, rtol=1e-6))
    if is_shift:
        whole = [snap(float(o), precision_px) for o in offset]
    else:
        steps = [snap(float(s), precision_px) for s in offset * spacing / size]
        whole = (np.array(steps) * size / spacing).tolist()
    return PixelMap(np.diag(size / spacing), tuple(whole), tuple(size.tolist()), is_shift)


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
        start = round(field.array_um[axis] / size)  # 0 or more: see `Table.rois`
        stop = start + round(field.length_um[axis] / size)
        if stop > shape[axis] + 1:
            raise TableError(
                f"{table.path}: field {field.name!r} covers pixels {start} to {stop} in {axis}, "
                f"but the image has {shape[axis]}. Check the table and the pixel size."
            )


def _shape_in_space(image: Multiscale) -> tuple[int, ...]:
    return image.shape_in_space
