"""Whether a fused image is still whole."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from platefuse.errors import PlatefuseError
from platefuse.fusion.wells.tables import ROI_TABLES
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import is_node
from platefuse.ngff.tables.table import stale_names, table_names, table_path
from platefuse.records import FusedImage, FusedImageRecord, Written


def is_whole(
    folder: Path,
    expected: FusedImage | None,
    labels: Collection[str],
    written: Written | None = None,
) -> bool:
    """Whether a fused image has all its levels, labels and tables, with readable metadata.

    Chunks are not looked at: one that is missing means zeros. Labels and tables that others added
    do not matter.

    Parameters
    ----------
    folder : Path
        The fused image.
    expected : FusedImage or None
        What the record of its well has about it.
    labels : collection of str
        The labels that it must have.
    written : Written, optional
        What was written into its well; if that is not known, it must have the tables that it lists.
    """
    if expected is None or not folder.is_dir():
        return False
    try:
        image = Multiscale.read(folder)  # reads the metadata of every level
        for label in labels:
            Multiscale.read(folder / "labels" / label)
        if written is None:
            names = [*table_names(folder), *stale_names(folder), *ROI_TABLES]
            tables = [table_path(folder, name) for name in names]
        else:
            tables = [folder.parent / name for name in written.tables if _is_of(name, folder)]
        recorded = FusedImageRecord.read(folder) is not None
    except PlatefuseError:
        return False
    same_shape = image.shapes[0] == tuple(expected.shape)
    return recorded and same_shape and all(map(is_node, tables))


def _is_of(table: str, image: Path) -> bool:
    return table.startswith(f"{image.name}/")
