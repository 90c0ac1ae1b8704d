"""Whether a fused image is still whole."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from platefuse.errors import PlatefuseError
from platefuse.fusion.tables import ROI_TABLES
from platefuse.ngff.image import Image
from platefuse.ngff.metadata import is_node
from platefuse.records import FusedImage, FusedImageRecord
from platefuse.tables.table import stale_names, table_names, table_path


def is_whole(folder: Path, expected: FusedImage | None, labels: Collection[str]) -> bool:
    """Whether a fused image has all its levels, labels and tables, with readable metadata.

    Chunks are not looked at: one that is missing means zeros.

    Parameters
    ----------
    folder : Path
        The fused image.
    expected : FusedImage or None
        What the record of its well has about it.
    labels : collection of str
        The labels that it must have.
    """
    if expected is None or not folder.is_dir():
        return False
    try:
        image = Image.read(folder)  # reads the metadata of every level
        tables = [*table_names(folder), *stale_names(folder), *ROI_TABLES]
        recorded = FusedImageRecord.read(folder) is not None
    except PlatefuseError:
        return False
    same_shape = image.shapes[0] == tuple(expected.shape)
    has_tables = all(is_node(table_path(folder, name)) for name in tables)
    return recorded and same_shape and has_tables and set(labels) <= set(image.labels)
