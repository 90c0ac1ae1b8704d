"""Tables of an acquisition with one image for each field: those of one name are joined.

Boxes are moved into the fused image. Tables of the objects of a label are joined only where an id
means one object in the whole fused label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from platefuse.fusion.fields.layers import FieldImage
from platefuse.geometry import Box
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import all_attributes
from platefuse.ngff.tables.anndata_format import write_anndata
from platefuse.ngff.tables.backends import find_backend
from platefuse.ngff.tables.masks import has_ids, ids_of, object_boxes
from platefuse.ngff.tables.move import MovedRegion, moved_columns
from platefuse.ngff.tables.table import read_table, why_not_moved
from platefuse.ngff.zarr_format import Format

if TYPE_CHECKING:
    import pandas as pd

_INDEX_COLUMNS = ("", "index", "__index_level_0__")
_OF_THE_SOURCE = ("encoding-type", "encoding-version", "index_key", "index_type")


@dataclass(frozen=True)
class FusedLabel:
    """A label of an acquisition with one image for each field.

    Attributes
    ----------
    parts : sequence of (FieldImage, Multiscale)
        The label in each image that has it.
    fused : Path
        The fused label.
    merged : bool
        Whether its fields were merged: then an id is one object, unless ids have changed.
    """

    parts: Sequence[tuple[FieldImage, Multiscale]]
    fused: Path
    merged: bool

    @cached_property
    def shared_id(self) -> str | None:
        """An id that two fields have and that may be two objects, in words; None: there is none."""
        if self.merged:
            return None
        fields: dict[int, str] = {}
        for part, label in self.parts:
            for number in object_boxes(label):
                if number in fields:
                    return f"fields {fields[number]} and {part.name} both have the id {number}"
                fields[number] = part.name
        return None

    @cached_property
    def image(self) -> Multiscale | None:
        """The fused label; None if it was not written."""
        return Multiscale.read(self.fused) if Format.of(self.fused) is not None else None

    @cached_property
    def objects(self) -> dict[int, Box] | None:
        """The boxes of its objects."""
        return None if self.image is None else object_boxes(self.image)

    def of(self, part: FieldImage) -> Multiscale | None:
        """The label in an image; None if the image does not have it."""
        return next((label for own, label in self.parts if own is part), None)


@dataclass(frozen=True)
class FieldTable:
    """A table of one field.

    Attributes
    ----------
    part : FieldImage
        The image of the field.
    path : Path
        The table's group.
    moves : bool
        Whether it has boxes.
    region : str
        Name of the label whose objects it describes; empty if there is none.
    """

    part: FieldImage
    path: Path
    moves: bool
    region: str


def why_not_joined(tables: Sequence[FieldTable], label: FusedLabel | None) -> str | None:
    """Why the tables of one name cannot become one; None if they can.

    Parameters
    ----------
    tables : sequence of FieldTable
        The tables.
    label : FusedLabel or None
        The label whose objects they describe.
    """
    for table in tables:
        reason = why_not_moved(table.part.source.tables, table.path.name)
        if reason is not None:
            return f"{reason.partition(',')[0]}, so that the tables of the fields cannot be joined"
    if len({table.moves for table in tables}) > 1:
        return "it has boxes in some fields, and none in others"
    if len({table.region for table in tables}) > 1:
        return "its fields have it for different labels"
    if not any(has_ids(table.path) for table in tables):
        return None
    if label is None:
        return "it has ids, and does not tell of which label: two fields may have the same id"
    if label.shared_id is not None:
        return f"{label.shared_id}, which may be two objects (see fusion.merge_labels)"
    return None


def join_tables(
    tables: Sequence[FieldTable],
    regions: Sequence[Sequence[MovedRegion]],
    axes: str,
    target: Path,
    label: FusedLabel | None,
) -> None:
    """Write the joined table of an acquisition, as AnnData.

    It has the rows of all fields and all of their columns; a value that a field lacks is missing.
    Row names that several fields have begin with the name of the field. If the tables have no
    boxes, the column ``field`` has the path of the image of each row.

    Parameters
    ----------
    tables : sequence of FieldTable
        The tables: `why_not_joined` gave no reason.
    regions : sequence of sequences of MovedRegion
        For each table, where its field is in the fused image.
    axes : str
        Axes in space of the fused image.
    target : Path
        The new table's group.
    label : FusedLabel or None
        The label whose objects they describe.

    Raises
    ------
    TableError
        If a table cannot be read.
    """
    import pandas as pd

    frames = [
        _frame(table, moved, axes, label) for table, moved in zip(tables, regions, strict=True)
    ]
    names = pd.Index([name for frame in frames for name in frame.index])
    several = set(names[names.duplicated()])
    for table, frame in zip(tables, frames, strict=True):
        frame.index = pd.Index(
            [f"{table.part.name}_{name}" if name in several else name for name in frame.index],
            dtype=object,
        )
    joined = pd.concat(frames)
    key = _key(tables[0].path)
    if tables[0].moves and key in joined and label is not None:
        joined = joined[~joined[key].duplicated()]  # an object of two fields has one box
    _write(joined, key, tables[0].path, target)


def _key(table: Path) -> str:
    key = all_attributes(table).get("instance_key")
    return key if isinstance(key, str) else "label"


def _frame(
    table: FieldTable, regions: Sequence[MovedRegion], axes: str, label: FusedLabel | None
) -> pd.DataFrame:
    """The rows of one field, with moved boxes or the column of the field."""
    import pandas as pd

    content = read_table(table.part.source.tables, table.path.name)
    columns: dict[str, Any] = {name: list(values) for name, values in content.columns.items()}
    columns |= find_backend(table.path).texts(table.path)
    for name in _INDEX_COLUMNS:
        columns.pop(name, None)
    frame = pd.DataFrame(columns, index=pd.Index(content.names, dtype=object))
    ids = ids_of(table.path, content.names) if has_ids(table.path) else None
    if ids is not None:
        frame[_key(table.path)] = np.array(ids, np.int64)
    if not table.moves:
        frame["field" if "field" not in frame else "field_path"] = table.part.name
        return frame
    if not content.names:
        return frame
    image, objects = (None, None) if label is None else (label.image, label.objects)
    source = None if label is None else label.of(table.part)
    numbers, keep = moved_columns(
        content,
        regions,
        axes,
        enclose=label is not None,
        label=image,
        source=source,
        objects=objects,
    )
    return frame.assign(**numbers)[keep]


def _write(joined: pd.DataFrame, key: str, source: Path, target: Path) -> None:
    import anndata
    import pandas as pd
    import zarr

    numbers = [c for c in joined.columns if joined[c].dtype.kind == "f" and c != key]
    others = joined.drop(columns=numbers)
    for column in others.columns:
        if others[column].dtype == object:  # texts, empty where a field lacks the column
            others[column] = others[column].fillna("").astype(object)
    table = anndata.AnnData(
        X=joined[numbers].to_numpy(np.float64),
        obs=others,
        var=pd.DataFrame(index=pd.Index(numbers, dtype=object)),
    )
    kind = Format.of(target.parent)
    group = zarr.open_group(
        target.parent, mode="a", zarr_format=None if kind is None else kind.number
    )
    write_anndata(group, target.name, table)
    own: dict[str, Any] = all_attributes(source)
    own = {k: v for k, v in own.items() if k not in _OF_THE_SOURCE}
    group[target.name].attrs.update({**own, "backend": "anndata"})
