"""Tables of a fused image: what was measured is carried along, boxes are where they are now.

Where the fields and the well are is written anew. The source's own tables of that are no longer
true, nor are the registered ones: they are left behind.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platefuse.fusion.frame import Frame
from platefuse.fusion.layers import Layer, labels_of, unique_names
from platefuse.geometry import Box
from platefuse.ngff.metadata import all_attributes, replace_attributes
from platefuse.records import RegistrationRecord, digest_tree
from platefuse.tables.backends import copy_table
from platefuse.tables.move import Piece, move_table
from platefuse.tables.table import (
    has_boxes,
    is_standard_name,
    table_names,
    table_path,
    write_roi_table,
)


def write_fused_tables(
    layers: Sequence[Layer],
    target: Path,
    frame: Frame,
    *,
    tile_table: str,
    version: str,
    renumbered: Collection[str] = (),
) -> dict[str, str]:
    """Write the tables of a fused image.

    ``FOV_ROI_table`` and ``well_ROI_table`` are new. Custom ROI tables are moved: each box goes
    where the field went that holds most of it, and is cut to it. So are masking ROI tables, but
    their boxes enclose what all fields hold of them: an object that is larger than the overlap
    is whole only in the fused image. All others are copied byte for byte or, if the fused plate
    is of another Zarr format, written in that. Of acquisitions that are stacked, tables of one
    name are told apart as labels are.

    Parameters
    ----------
    layers : sequence of Layer
        What was fused; the first one's fields are listed.
    target : Path
        The fused image.
    frame : Frame
        Its frame, in micrometres.
    tile_table : str
        The table that said where the fields are.
    version : str
        NGFF version of the fused image.
    renumbered : collection of str
        Fused labels whose ids have changed: tables that go by their ids are left out.

    Returns
    -------
    dict of str to str
        Tables left out, and why.

    Raises
    ------
    TableError
        If a table cannot be read or written.
    """
    _write_fields(layers[0], target, frame)
    names, left_out = ["FOV_ROI_table", "well_ROI_table"], {}
    fused_names = {(id(x.layer), x.name): x.fused_name for x in labels_of(layers)}
    for table in _carried(layers, tile_table):
        label = fused_names.get((id(table.layer), table.region))
        if label in renumbered:
            left_out[table.name] = f"ids of the label {label!r} have changed"
            continue
        new = target / "tables" / table.name
        why_not = copy_table(table.path, new, version)
        if why_not is not None:
            left_out[table.name] = why_not
            continue
        if label is not None and label != table.region:
            _rename_region(new, table.region, label)
        if table.moves:
            pieces = _pieces(table.layer, frame)
            move_table(target, table.name, pieces, frame.axes, enclose=bool(table.region))
        names.append(table.name)
    folder = target / "tables"
    replace_attributes(folder, {**all_attributes(folder), "tables": names})
    return left_out


@dataclass(frozen=True)
class _Carried:
    """A table that goes into the fused image.

    Attributes
    ----------
    layer : Layer
        Whose it is.
    path : Path
        The table's group.
    name : str
        Its name in the fused image.
    moves : bool
        Whether it holds boxes.
    region : str
        Name of the label whose objects it describes; empty if it describes none.
    """

    layer: Layer
    path: Path
    name: str
    moves: bool
    region: str


def _carried(layers: Sequence[Layer], tile_table: str) -> list[_Carried]:
    """The tables that are carried; of equal ones that speak of no place or label, the first."""
    own: list[list[tuple[str, bool]]] = []
    known: set[tuple[str, str]] = set()
    for layer in layers:
        image, kept = layer.image.path, []
        replaced = {tile_table, _registered_table(image)}
        for name in table_names(image):
            moves = has_boxes(image, name)
            if moves and (name in replaced or is_standard_name(name)):
                continue
            if not moves and not _region(table_path(image, name)):
                content = name, digest_tree(table_path(image, name))
                if content in known:
                    continue
                known.add(content)
            kept.append((name, moves))
        own.append(kept)
    new = unique_names(layers, [[name for name, _ in kept] for kept in own])
    return [
        _Carried(layer, path, fused, moves, _region(path))
        for layer, kept, fused_names in zip(layers, own, new, strict=True)
        for (name, moves), fused in zip(kept, fused_names, strict=True)
        for path in [table_path(layer.image.path, name)]
    ]


def _registered_table(image: Path) -> str | None:
    record = RegistrationRecord.read(image)
    return None if record is None else record.request.roi_table


def _region(table: Path) -> str:
    """The label that a table is about: the last part of its region's path."""
    region = all_attributes(table).get("region")
    path = region.get("path") if isinstance(region, dict) else region
    return path.rpartition("/")[2] if isinstance(path, str) else ""


def _rename_region(table: Path, old: str, new: str) -> None:
    attributes = all_attributes(table)
    region = attributes["region"]
    path = region["path"] if isinstance(region, dict) else region
    renamed = path.removesuffix(old) + new
    changed = {**region, "path": renamed} if isinstance(region, dict) else renamed
    replace_attributes(table, {**attributes, "region": changed})
    (table / ".zmetadata").unlink(missing_ok=True)  # a copy of the attributes as they were


def _write_fields(layer: Layer, target: Path, frame: Frame) -> None:
    rows = {}
    for field, piece in zip(layer.fields, _pieces(layer, frame), strict=True):
        start = np.add(piece.start_um, piece.shift_um)
        length = np.subtract(piece.stop_um, piece.start_um)
        if (length <= 0).any():
            continue  # nothing of it is in the fused image
        original = {f"{a}_micrometer_original": field.stage_um[a] for a in "yx"}
        rows[field.name] = {**_row(frame, start, length), **original}
    write_roi_table(target, "FOV_ROI_table", rows)
    extent = np.array(frame.shape) * np.array(frame.spacing)
    whole = Box.of_shape(frame.shape)
    well = _row(frame, np.array(whole.start, float), extent)
    write_roi_table(target, "well_ROI_table", {"well_1": well})


def _pieces(layer: Layer, frame: Frame) -> list[Piece]:
    """The fields, cut to what of them the fused image shows, and how far they were moved."""
    corner = np.array(frame.origin) - np.array(frame.spacing) / 2
    extent = np.array(frame.shape) * np.array(frame.spacing)
    size = np.array([layer.image.pixel_size_um[a] for a in frame.axes])
    pieces = []
    for field in layer.fields:
        box = field.box(layer.image, layer.image)
        shift = np.array(field.shift_um(layer.image)) - corner
        start = np.maximum(np.array(box.start) * size, -shift)
        stop = np.minimum(np.array(box.stop) * size, extent - shift)
        pieces.append(Piece(*(tuple(map(float, v)) for v in (start, stop, shift))))
    return pieces


def _row(frame: Frame, start: NDArray[np.float64], length: NDArray[np.float64]) -> dict[str, float]:
    row = {f"{a}_micrometer": 0.0 for a in "xyz"} | {f"len_{a}_micrometer": 1.0 for a in "xyz"}
    for axis, a, n in zip(frame.axes, start, length, strict=True):
        row[f"{axis}_micrometer"] = float(a)
        row[f"len_{axis}_micrometer"] = float(n)
    return row
