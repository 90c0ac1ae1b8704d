"""Tables of a fused image: measurements are copied, boxes are moved with their pixels.

The tables of fields and of the well are written anew. Those of the source, and the registered
ones, do not describe the fused image and are not copied.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platefuse.errors import TableError
from platefuse.fusion.fields.layers import FieldImage, Layer
from platefuse.fusion.fields.maps import placed_box, turn_of
from platefuse.fusion.frame import Frame
from platefuse.fusion.wells.joined_tables import (
    FieldTable,
    FusedLabel,
    join_tables,
    why_not_joined,
)
from platefuse.fusion.wells.stack import labels_of, unique_names
from platefuse.ngff.metadata import all_attributes, replace_attributes
from platefuse.ngff.tables.backends import copy_table
from platefuse.ngff.tables.masks import has_ids, region_of
from platefuse.ngff.tables.move import MovedRegion, move_table
from platefuse.ngff.tables.table import (
    STALE,
    has_boxes,
    is_standard_name,
    stale_names,
    table_names,
    table_path,
    why_not_moved,
    write_roi_table,
)
from platefuse.ngff.zarr_format import CONSOLIDATED_FILE
from platefuse.records import RegistrationRecord, digest_tree
from platefuse.storage.removing import remove_tree

logger = logging.getLogger(__name__)

ROI_TABLES = ("FOV_ROI_table", "well_ROI_table")
"""The ROI tables that every fused image has."""


def write_fused_tables(
    layers: Sequence[Layer],
    target: Path,
    frame: Frame,
    *,
    tile_table: str,
    version: str,
    renumbered: Collection[str] = (),
    merged: bool = False,
) -> dict[str, str]:
    """Write the tables of a fused image.

    ``FOV_ROI_table`` and ``well_ROI_table`` are new. Each box of a custom ROI table is shifted
    with the field that holds most of it, and cut to this field. Boxes of the objects of a label
    are those of its fused pixels. All others are copied byte for byte or, if the fused plate has
    another Zarr format, converted to it. Where each field is an image, the tables of one name are
    joined. Tables of stacked acquisitions that have the same name are renamed as labels are. A
    table that cannot be carried stops nothing.

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
    merged : bool
        Whether the labels of fields were merged.

    Returns
    -------
    dict of str to str
        Tables left out, and why.
    """
    _write_fields(layers[0], target, frame)
    names, left_out = list(ROI_TABLES), _stale(layers)
    labels = {(id(x.layer), x.name): x for x in labels_of(layers)}
    fused = {
        key: FusedLabel(x.parts, target / "labels" / x.fused_name, merged)
        for key, x in labels.items()
    }
    for table in _carried(layers, tile_table):
        key = (id(table.layer), table.region)
        label = labels[key].fused_name if key in labels else None
        try:
            reason = _changed_ids(table, label, renumbered) or _carry(
                table, target, frame, version, fused.get(key)
            )
        except TableError as error:  # it is only carried along
            reason = str(error)
        if reason is not None:
            remove_tree(target / "tables" / table.name)
            left_out[table.name] = reason
            continue
        if label is not None and label != table.region:
            _rename_region(target / "tables" / table.name, table.region, label)
        names.append(table.name)
    for name, reason in left_out.items():
        logger.warning("%s: the table %r is left out: %s", target, name, reason)
    folder = target / "tables"
    replace_attributes(folder, {**all_attributes(folder), "tables": names})
    return left_out


def is_replaced(image: Path, name: str, record: RegistrationRecord | None, tile_table: str) -> bool:
    """Whether a table says where the fields are, so that fusing writes another instead.

    Parameters
    ----------
    image : Path
        Folder of the image whose table it is.
    name : str
        Name of the table.
    record : RegistrationRecord, optional
        The registration of the image.
    tile_table : str
        The table with the positions of the fields.
    """
    by_name = name == tile_table or is_standard_name(name)
    is_registered = record is not None and name == record.request.roi_table
    return (by_name or is_registered) and has_boxes(image, name)


def carried_names(layer: Layer, tile_table: str) -> list[str]:
    """Names of the tables of an acquisition that may be carried to a fused image."""
    return list(_sources(layer, tile_table))


@dataclass(frozen=True)
class _Carried:
    """A table that is carried to the fused image.

    Attributes
    ----------
    layer : Layer
        The acquisition.
    sources : sequence of FieldTable
        The table in each image of the acquisition that has it, or the first if all are equal.
    name : str
        Its name in the fused image.
    joined : bool
        Whether the tables of several fields are joined.
    """

    layer: Layer
    sources: Sequence[FieldTable]
    name: str
    joined: bool

    @property
    def region(self) -> str:
        """Name of the label whose objects it describes; empty if there is none."""
        return self.sources[0].region


def _stale(layers: Sequence[Layer]) -> dict[str, str]:
    sources = [part.source for layer in layers for part in layer.images]
    images = [source.tables for source in sources]
    present = {name for image in images for name in table_names(image)}
    stale = [name for image in images for name in stale_names(image)]
    before = {name: why for source in sources for name, why in source.left_out.items()}
    return {name: STALE for name in stale if name not in present} | before


def _carry(
    table: _Carried, target: Path, frame: Frame, version: str, label: FusedLabel | None
) -> str | None:
    """Write a table of the fused image; returns why it cannot be."""
    new = target / "tables" / table.name
    if table.joined:
        reason = why_not_joined(table.sources, label)
        if reason is None:
            regions = [_moved_fields(source.part, frame) for source in table.sources]
            join_tables(table.sources, regions, frame.axes, new, label)
        return reason
    (source,) = table.sources
    image = source.part.source.tables
    reason = why_not_moved(image, source.path.name) if source.moves else None
    reason = reason or copy_table(source.path, new, version)
    if reason is None and source.moves:
        move_table(
            target,
            table.name,
            _moved_fields(source.part, frame),
            frame.axes,
            enclose=bool(table.region),
            label=None if label is None else label.image,
            source=None if label is None else label.of(source.part),
        )
    return reason


def _carried(layers: Sequence[Layer], tile_table: str) -> list[_Carried]:
    """The tables to carry; of equal ones with neither boxes nor ids, the first."""
    own = [_sources(layer, tile_table) for layer in layers]
    known: set[tuple[str, str]] = set()
    carried: list[dict[str, tuple[Sequence[FieldTable], bool]]] = []
    for layer, sources in zip(layers, own, strict=True):
        kept: dict[str, tuple[Sequence[FieldTable], bool]] = {}
        for name, tables in sources.items():
            joined = len(layer.images) > 1
            if not any(t.moves or t.region or (joined and has_ids(t.path)) for t in tables):
                content = {(name, digest_tree(t.path)) for t in tables}
                if len(content) == 1 and len(tables) == len(layer.images):
                    if content <= known:
                        continue
                    known |= content
                    tables, joined = tables[:1], False
            kept[name] = tables, joined
        carried.append(kept)
    new = unique_names(layers, [list(kept) for kept in carried])
    return [
        _Carried(layer, tables, fused, joined)
        for layer, kept, fused_names in zip(layers, carried, new, strict=True)
        for (tables, joined), fused in zip(kept.values(), fused_names, strict=True)
    ]


def _sources(layer: Layer, tile_table: str) -> dict[str, Sequence[FieldTable]]:
    """The tables of an acquisition by name, but those that are replaced."""
    found: dict[str, list[FieldTable]] = {}
    for part in layer.images:
        image, record = part.source.tables, part.source.record
        for name in table_names(image):
            if not is_replaced(image, name, record, tile_table):
                moves, path = has_boxes(image, name), table_path(image, name)
                table = FieldTable(part, path, moves, region_of(path, part.image.labels))
                found.setdefault(name, []).append(table)
    return dict(found)


def _changed_ids(table: _Carried, label: str | None, renumbered: Collection[str]) -> str | None:
    """Why the ids of a table are not those of the fused label; None if they are, or it has none."""
    if label in renumbered:
        return f"ids of the label {label!r} have changed"
    if label is None and renumbered and any(has_ids(x.path) for x in table.sources):
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
    (table / CONSOLIDATED_FILE).unlink(missing_ok=True)  # it holds a copy of the old attributes


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
    """The fields, cut to what the fused image shows of them, with their shifts.

    The boxes of tables are those of the registered image, also if its pixels are raw.
    """
    corner = np.array(frame.origin) - np.array(frame.spacing) / 2
    extent = np.array(frame.shape) * np.array(frame.spacing)
    size = np.array([part.image.pixel_size_um[a] for a in frame.axes])
    regions = []
    for field in (field.registered for field in part.fields):
        box = field.box(part.image, part.image)
        if field.angle_deg:
            turn, moved = turn_of(field, part.image)
            first, last = (_floats(np.array(end) * size) for end in (box.start, box.stop))
            rows = tuple(tuple(row) for row in turn.tolist())
            shift_um = _floats(moved - corner)
            regions.append(MovedRegion(first, last, shift_um, rows, _floats(extent)))
            continue
        shift = np.array(field.shift_um(part.image)) - corner
        start = np.maximum(np.array(box.start) * size, -shift)
        stop = np.minimum(np.array(box.stop) * size, extent - shift)
        regions.append(MovedRegion(_floats(start), _floats(stop), _floats(shift)))
    return regions


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(values.tolist())


def _row(frame: Frame, start: NDArray[np.float64], length: NDArray[np.float64]) -> dict[str, float]:
    row = {f"{a}_micrometer": 0.0 for a in "xyz"} | {f"len_{a}_micrometer": 1.0 for a in "xyz"}
    for axis, a, n in zip(frame.axes, start, length, strict=True):
        row[f"{axis}_micrometer"] = float(a)
        row[f"len_{axis}_micrometer"] = float(n)
    return row
