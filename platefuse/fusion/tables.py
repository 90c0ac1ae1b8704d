"""Tables of a fused image: measurements are copied, boxes are moved with their pixels.

The tables of fields and of the well are written anew. Those of the source, and the registered
ones, do not describe the fused image and are not copied.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platefuse.fusion.fields import placed_box
from platefuse.fusion.frame import Frame
from platefuse.fusion.layers import FieldImage, Layer
from platefuse.fusion.stack import labels_of, unique_names
from platefuse.ngff.metadata import all_attributes, replace_attributes
from platefuse.records import RegistrationRecord, digest_tree
from platefuse.tables.backends import copy_table
from platefuse.tables.masks import has_ids, region_of
from platefuse.tables.move import MovedRegion, label_of, move_table
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

    ``FOV_ROI_table`` and ``well_ROI_table`` are new. Each box of a custom ROI table is shifted
    with the field that holds most of it, and cut to this field. Boxes of masking ROI tables are
    shifted, too, but enclose what all fields hold of them: an object that is larger than the
    overlap is whole only in the fused image. All others are copied byte for byte or, if the fused
    plate has another Zarr format, converted to it. Tables of stacked acquisitions that have the
    same name are renamed as labels are.

    Parameters
    ----------
    layers : sequence of Layer
        The fused acquisitions; the fields of the first one are listed.
    target : Path
        The fused image.
    frame : Frame
        Its frame, in micrometres.
    tile_table : str
        The table with the positions of the fields.
    version : str
        NGFF version of the fused image.
    renumbered : collection of str
        Fused labels whose ids have changed: tables with their ids are left out.

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
        reason = _changed_ids(table, label, renumbered)
        if reason is not None:
            left_out[table.name] = reason
            continue
        new = target / "tables" / table.name
        why_not = copy_table(table.path, new, version)
        if why_not is not None:
            left_out[table.name] = why_not
            continue
        if label is not None and label != table.region:
            _rename_region(new, table.region, label)
        if table.moves:
            regions = _moved_fields(table.layer.images[0], frame)
            own = label_of(target, table.name)
            enclose = bool(table.region)
            move_table(target, table.name, regions, frame.axes, enclose=enclose, label=own)
        names.append(table.name)
    folder = target / "tables"
    replace_attributes(folder, {**all_attributes(folder), "tables": names})
    return left_out


@dataclass(frozen=True)
class _Carried:
    """A table that is copied to the fused image.

    Attributes
    ----------
    layer : Layer
        The acquisition.
    path : Path
        The table's group.
    name : str
        Its name in the fused image.
    moves : bool
        Whether it has boxes, which are moved.
    region : str
        Name of the label whose objects it describes; empty if there is none.
    """

    layer: Layer
    path: Path
    name: str
    moves: bool
    region: str


def _carried(layers: Sequence[Layer], tile_table: str) -> list[_Carried]:
    """The tables to copy; of equal ones with neither boxes nor a label, the first."""
    own: list[list[tuple[str, bool]]] = []
    known: set[tuple[str, str]] = set()
    for layer in layers:
        image, kept = layer.image.path, []
        replaced = {tile_table, _registered_table(image)}
        for name in table_names(image):
            moves = has_boxes(image, name)
            if moves and (name in replaced or is_standard_name(name)):
                continue
            if not moves and not region_of(table_path(image, name)):
                content = name, digest_tree(table_path(image, name))
                if content in known:
                    continue
                known.add(content)
            kept.append((name, moves))
        own.append(kept)
    new = unique_names(layers, [[name for name, _ in kept] for kept in own])
    return [
        _Carried(layer, path, fused, moves, region_of(path, layer.labels))
        for layer, kept, fused_names in zip(layers, own, new, strict=True)
        for (name, moves), fused in zip(kept, fused_names, strict=True)
        for path in [table_path(layer.image.path, name)]
    ]


def _registered_table(image: Path) -> str | None:
    record = RegistrationRecord.read(image)
    return None if record is None else record.request.roi_table


def _changed_ids(table: _Carried, label: str | None, renumbered: Collection[str]) -> str | None:
    """Why the ids of a table are not those of the fused label; None if they are, or it has none."""
    if label in renumbered:
        return f"ids of the label {label!r} have changed"
    if label is None and renumbered and has_ids(table.path):
        changed = ", ".join(map(repr, sorted(renumbered)))
        region = f"its region {table.region!r} is no label" if table.region else "it has no region"
        return f"ids of the label {changed} have changed, and {region}: it may have these ids"
    return None


def _rename_region(table: Path, old: str, new: str) -> None:
    attributes = all_attributes(table)
    region = attributes["region"]
    path = region["path"] if isinstance(region, dict) else region
    renamed = str(path).strip().rstrip("/").removesuffix(old) + new
    changed = {**region, "path": renamed} if isinstance(region, dict) else renamed
    replace_attributes(table, {**attributes, "region": changed})
    (table / ".zmetadata").unlink(missing_ok=True)  # it holds a copy of the old attributes


def _write_fields(layer: Layer, target: Path, frame: Frame) -> None:
    """Write where the fields are in the fused image, and on the stage: both on whole pixels.

    So fused again, the image is the same: every field is a plain copy of its pixels.
    """
    rows = {}
    spacing, corner = np.array(frame.spacing), frame.corner
    for part in layer.images:
        for field in part.fields:
            box = placed_box(field, part.image, frame, part.precision_px)
            if box.empty:
                continue  # no pixel of it is in the fused image
            row = _row(frame, np.array(box.start) * spacing, np.array(box.shape) * spacing)
            stage = {a: corner[a] + row[f"{a}_micrometer"] for a in frame.axes}
            given = "yx" if stage.get("z") in (None, row["z_micrometer"]) else "zyx"
            rows[field.name] = {**row, **{f"{a}_micrometer_original": stage[a] for a in given}}
    write_roi_table(target, "FOV_ROI_table", rows)
    extent = np.array(frame.shape) * spacing
    well = _row(frame, np.zeros(len(frame.axes)), extent)
    write_roi_table(target, "well_ROI_table", {"well_1": well})


def _moved_fields(part: FieldImage, frame: Frame) -> list[MovedRegion]:
    """The fields, cut to what the fused image shows of them, with their shifts."""
    corner = np.array(frame.origin) - np.array(frame.spacing) / 2
    extent = np.array(frame.shape) * np.array(frame.spacing)
    size = np.array([part.image.pixel_size_um[a] for a in frame.axes])
    regions = []
    for field in part.fields:
        box = field.box(part.image, part.image)
        shift = np.array(field.shift_um(part.image)) - corner
        start = np.maximum(np.array(box.start) * size, -shift)
        stop = np.minimum(np.array(box.stop) * size, extent - shift)
        regions.append(MovedRegion(*(tuple(map(float, v)) for v in (start, stop, shift))))
    return regions


def _row(frame: Frame, start: NDArray[np.float64], length: NDArray[np.float64]) -> dict[str, float]:
    row = {f"{a}_micrometer": 0.0 for a in "xyz"} | {f"len_{a}_micrometer": 1.0 for a in "xyz"}
    for axis, a, n in zip(frame.axes, start, length, strict=True):
        row[f"{axis}_micrometer"] = float(a)
        row[f"len_{axis}_micrometer"] = float(n)
    return row
