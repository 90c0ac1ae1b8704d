"""What earlier versions of platefuse wrote into a fused well, whose records do not tell."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from platefuse.fusion.contents import Contents
from platefuse.fusion.fields.layers import Layer
from platefuse.fusion.wells.tables import ROI_TABLES, carried_names
from platefuse.ngff.labels import label_groups
from platefuse.ngff.zarr_format import METADATA_FILES
from platefuse.records import FusedWellRecord, Written, WrittenArray
from platefuse.storage.trees import walk_files

_ATTRIBUTES = {"version", "well", "multiscales", "omero", "image-label", "labels", "tables"}
_DAMAGED = WrittenArray("", sys.maxsize, 0)
"""A level without metadata: nobody knows what it held."""
_SLACK_NS = 60 * 10**9  # between the clocks of a computer and of its file server


def assumed(
    well: Path, record: FusedWellRecord, layers: Sequence[Layer], tile_table: str
) -> Written:
    """What a version of platefuse wrote that did not record it.

    These are the images of the record with numbered levels, and labels and tables with the names
    that those of the sources get. If some files are as old as the record and others are newer, the
    newer ones were changed by somebody. If all are newer, the well was copied.

    Parameters
    ----------
    well : Path
        The fused well.
    record : FusedWellRecord
        Its record.
    layers : sequence of Layer
        The acquisitions that it is fused from.
    tile_table : str
        The table with the positions of the fields.
    """
    found = Contents.read(well)
    groups = _groups(record.images, layers)
    carried = [carried_names(layer, tile_table) for layer in layers]
    names = {*ROI_TABLES, *_fused_names(layers, carried)}
    tables = [f"{image}/tables/{name}" for image in record.images for name in names]
    chunks = {name: files for name, files in found.chunks.items() if _is_level(name, groups)}
    damaged = {name: _DAMAGED for name in found.others if _is_level(name, groups)}
    made_ns = int(datetime.fromisoformat(record.time).timestamp()) * 10**9 + _SLACK_NS
    has_old = any(ns <= made_ns for files in chunks.values() for _, ns in files)

    def is_newer(files: Iterable[Path]) -> bool:
        return has_old and any(file.stat().st_mtime_ns > made_ns for file in files)

    return Written(
        {
            name: dict.fromkeys(own, "") if is_newer(_metadata(well / name)) else own
            for name in groups
            for own in [_own_attributes(found.groups.get(name, {}))]
        },
        damaged
        | {
            name: WrittenArray(found.metadata[name], len(files), sum(size for size, _ in files))
            for name, files in chunks.items()
        },
        {
            name: "" if is_newer(_files(well / name)) else found.tables[name]
            for name in tables
            if name in found.tables
        },
        made_ns,
    )


def _groups(images: Iterable[str], layers: Sequence[Layer]) -> list[str]:
    """The groups of a fused well."""
    labels = _fused_names(layers, [list(layer.labels) for layer in layers])
    below = ["", "/tables", "/labels"]
    below += [f"/labels/{name}" for name in (*label_groups(labels), *labels)]
    return [".", *(f"{image}{part}" for image in images for part in below)]


def _fused_names(layers: Sequence[Layer], names: Sequence[Iterable[str]]) -> list[str]:
    """The names that labels or tables may have in a fused image, stacked or not."""
    return [
        fused
        for layer, own in zip(layers, names, strict=True)
        for name in own
        for fused in (name, f"{name}_acq{layer.acquisition}", f"{name}_{layer.name}")
    ]


def _is_level(name: str, groups: Sequence[str]) -> bool:
    image, _, level = name.rpartition("/")
    return image in groups and level.isdigit()


def _own_attributes(found: dict[str, str]) -> dict[str, str]:
    return {key: digest for key, digest in found.items() if key in _ATTRIBUTES}


def _files(table: Path) -> list[Path]:
    return [Path(entry.path) for _, entry in walk_files(table) if entry.is_file()]


def _metadata(group: Path) -> list[Path]:
    return [file for name in METADATA_FILES if (file := group / name).is_file()]
