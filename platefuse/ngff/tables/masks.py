"""Tables of the objects of a label: which label and which objects, and where these are.

The boxes of the objects are computed from the pixels of the label.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from platefuse.geometry import Box, Pixels, grid_box, grid_indices
from platefuse.ngff.metadata import all_attributes
from platefuse.ngff.tables.backends import BACKENDS, backend_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from platefuse.ngff.image import Multiscale


def region_of(table: Path, labels: Iterable[str] = ()) -> str:
    """Name of the label that a table describes; empty if its attributes name none.

    Parameters
    ----------
    table : Path
        The table's group. Its attribute ``region`` is a path, or a mapping with one; the path may
        begin at the image, at the tables (``../labels/nuclei``) or at the labels.
    labels : iterable of str
        Names of the labels of the image.
    """
    region = all_attributes(table).get("region")
    path = region.get("path") if isinstance(region, dict) else region
    if not isinstance(path, str):
        return ""
    parts = [part for part in PurePosixPath(path.strip()).parts if part not in ("..", ".", "/")]
    if "labels" in parts[:-1]:
        parts = parts[len(parts) - parts[::-1].index("labels") :]
    whole = "/".join(parts)
    ends = (name for name in labels if whole == name or whole.endswith(f"/{name}"))
    return max(ends, key=len, default=parts[-1] if parts else "")


def has_ids(table: Path) -> bool:
    """Whether the rows of a table are objects of a label, whether or not it says of which."""
    attributes = all_attributes(table)
    if attributes.get("instance_key") or attributes.get("type") == "masking_roi_table":
        return True
    return _instances(table, "label") is not None


def ids_of(table: Path, names: Iterable[str]) -> list[int] | None:
    """The id of the object that each row of a table describes.

    Ids are in the column or index that the attribute ``instance_key`` names, or ``label``; else
    the names of the rows are ids, if all of them are whole numbers above 0.

    Parameters
    ----------
    table : Path
        The table's group.
    names : iterable of str
        The names of its rows.

    Returns
    -------
    list of int or None
        None if they are not known.
    """
    key = all_attributes(table).get("instance_key")
    for column in dict.fromkeys((key, "label")):
        found = _instances(table, column) if isinstance(column, str) else None
        if found is not None:
            return _whole_numbers(found)
    ids = _whole_numbers(list(names))
    return ids if ids is not None and min(ids, default=1) > 0 else None


def _instances(table: Path, key: str) -> list[str] | None:
    backend = BACKENDS.get(backend_of(table))
    try:
        return None if backend is None else backend.instances(table, key)
    except Exception:  # codecs and parsers raise what they like; whoever needs the table names it
        return None


def _whole_numbers(texts: list[str]) -> list[int] | None:
    try:
        numbers = [float(text) for text in texts]
        exact = [int(text) if text.strip().isdigit() else int(float(text)) for text in texts]
    except (ValueError, OverflowError):
        return None
    return exact if all(number.is_integer() for number in numbers) else None


def object_boxes(label: Multiscale) -> dict[int, Box]:
    """The smallest box that holds all pixels of each object, on the label's axes in space.

    Level 0 is read once, chunk by chunk; chunks that are not stored are skipped.

    Parameters
    ----------
    label : Multiscale
        The label.

    Raises
    ------
    ImageError
        If its pixels cannot be read.
    """
    from platefuse.storage.arrays import StoredArray

    stored = StoredArray.open(label.level_paths[0])
    lead = len(stored.shape) - len(label.spatial)
    boxes: dict[int, Box] = {}
    for index in grid_indices(Box.of_shape(stored.shape), stored.chunk):
        if stored.is_empty(index):
            continue
        chunk = grid_box(index, stored.chunk, stored.shape)
        pixels = stored.decode(chunk)
        for plane in pixels.reshape(-1, *pixels.shape[lead:]):
            for number, box in _boxes_in(plane):
                placed = box.shifted(chunk.start[lead:])
                boxes[number] = boxes[number].hull(placed) if number in boxes else placed
    return boxes


def _boxes_in(pixels: Pixels) -> Iterator[tuple[int, Box]]:
    """The objects in an array, and their boxes."""
    import numpy as np
    from scipy.ndimage import find_objects

    inside = pixels != 0
    if not inside.any():
        return
    low, high = int(pixels[inside].min()), int(pixels[inside].max())
    if high - low < 2 * pixels.size:
        first, ranks = low, np.where(inside, pixels.astype(np.int64) - (low - 1), 0)
        ids = range(first, high + 1)
    else:  # few ids in a wide range: number them
        values, found = np.unique(pixels[inside], return_inverse=True)
        ranks = np.zeros(pixels.shape, np.int64)
        ranks[inside] = found.ravel() + 1
        ids = values.tolist()
    for number, slices in zip(ids, find_objects(ranks), strict=True):
        if slices is not None:
            start, stop = zip(*((s.start, s.stop) for s in slices), strict=True)
            yield int(number), Box(start, stop)
