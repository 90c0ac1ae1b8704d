"""ROI tables that are moved with the pixels: boxes of an acquisition, in the new pixel grid.

Each box goes where the field that it lies in went, cut to what remains of the field. The box of
an object of a label is computed from the label's new pixels. Only the columns of boxes change; a
row of which nothing remains is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platefuse.errors import TableError
from platefuse.geometry import Box
from platefuse.ngff.image import Multiscale
from platefuse.ngff.labels import label_names
from platefuse.ngff.metadata import all_attributes
from platefuse.ngff.tables.backends import find_backend
from platefuse.ngff.tables.masks import ids_of, object_boxes, region_of
from platefuse.ngff.tables.table import Table, read_table, table_path


@dataclass(frozen=True)
class MovedRegion:
    """A part of an image that was moved as a whole, perhaps turned. In micrometres, on `axes`.

    Attributes
    ----------
    start_um, stop_um : tuple of float
        Where it was.
    shift_um : tuple of float
        How far it was moved, after it was turned.
    turn : tuple of tuples of float, optional
        The rotation matrix, about the origin of the image; None: it was not turned.
    extent_um : tuple of float, optional
        Size of the new image, to which boxes are cut; needed if it was turned.
    """

    start_um: tuple[float, ...]
    stop_um: tuple[float, ...]
    shift_um: tuple[float, ...]
    turn: tuple[tuple[float, ...], ...] | None = None
    extent_um: tuple[float, ...] = ()

    def along(self, axes: Sequence[int]) -> MovedRegion:
        """The region on some of its axes."""
        parts = (self.start_um, self.stop_um, self.shift_um)
        start, stop, shift = (tuple(part[k] for k in axes) for part in parts)
        if self.turn is None:
            return MovedRegion(start, stop, shift)
        turn = tuple(tuple(self.turn[i][k] for k in axes) for i in axes)
        return MovedRegion(start, stop, shift, turn, tuple(self.extent_um[k] for k in axes))

    def hulls(
        self, begin: NDArray[np.float64], length: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The boxes, along the axes, that enclose some turned boxes of the region.

        Parameters
        ----------
        begin, length : ndarray of float64, shape (boxes, axes)
            The boxes before the region was moved.

        Returns
        -------
        first, last : ndarray of float64, shape (boxes, axes)
            Their ends, cut to the new image.
        """
        turn = np.array(self.turn)
        centre = (begin + length / 2) @ turn.T + self.shift_um
        half = length / 2 @ np.abs(turn).T
        first, last = centre - half, centre + half
        return np.clip(first, 0, self.extent_um), np.clip(last, 0, self.extent_um)


def move_boxes(
    start: NDArray[np.float64],
    length: NDArray[np.float64],
    regions: Sequence[MovedRegion],
    *,
    enclose: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes after their regions were moved. Pure.

    A box of a turned region becomes the box along the axes that encloses it.

    Parameters
    ----------
    start, length : ndarray of float64, shape (boxes, axes)
        The boxes, in micrometres.
    regions : sequence of MovedRegion
        What was moved; a box goes with the one that holds most of it.
    enclose : bool
        Whether a box goes with all regions that hold any of it, and encloses what remains: so
        that an object that two overlapping fields show in part is in its box.

    Returns
    -------
    start, length : ndarray of float64, shape (boxes, axes)
        The boxes where they are now; a length of 0 where nothing remains.
    """
    low = np.array([p.start_um for p in regions])
    high = np.array([p.stop_um for p in regions])
    shift = np.array([p.shift_um for p in regions])
    begin = np.maximum(start[:, None], low[None])
    remaining = np.minimum((start + length)[:, None], high[None]) - begin
    rounding = max(1e-3, 4 * float(np.finfo(np.float32).eps) * float(np.abs(start).max()))
    first, last, size = begin + shift, begin + remaining + shift, np.clip(remaining, 0, None)
    for k, region in enumerate(regions):
        if region.turn is not None:
            first[:, k], last[:, k] = region.hulls(begin[:, k], size[:, k])
    if enclose:
        inside = (remaining > rounding).all(axis=2)[..., None]
        first = np.where(inside, first, np.inf).min(axis=1)
        last = np.where(inside, last, -np.inf).max(axis=1)
        first, last = (np.where(inside.any(axis=1), edge, start) for edge in (first, last))
        return first, last - first
    rows, chosen = np.arange(len(start)), size.prod(axis=2).argmax(axis=1)
    gone = (size[rows, chosen] <= rounding).any(axis=1)
    for k, region in enumerate(regions):
        if region.turn is not None:
            size[:, k] = last[:, k] - first[:, k]
    kept = size[rows, chosen]
    kept[gone | (kept <= rounding).any(axis=1)] = 0
    return first[rows, chosen], kept


def check_boxes(table: Table, axes: str) -> None:
    """Check that the boxes of a table can be moved.

    Parameters
    ----------
    table : Table
        The table.
    axes : str
        Axes in space of its image.

    Raises
    ------
    TableError
        If the table lacks a column, or has a number that is not finite.
    """
    try:
        _boxes(table, axes)
    except TableError as error:
        kind = all_attributes(table.path).get("type")
        raise TableError(
            f"{error} A table of the type {kind!r} is moved with the pixels: give it the "
            "boxes, or another type if it has none."
        ) from error


def _boxes(table: Table, axes: str) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
    """The axes of a table's boxes (those of a flat label lack z), and starts and lengths."""
    own = "".join(a for a in axes if a != "z" or "z_micrometer" in table.columns)
    if not table.names:
        return own, np.empty((0, len(own))), np.empty((0, len(own)))
    start = np.array([table.column(f"{a}_micrometer") for a in own])
    return own, start.T, np.array([table.column(f"len_{a}_micrometer") for a in own]).T


def label_of(image: Path, name: str) -> Multiscale | None:
    """The label of an image whose objects a table describes; None if it is no label of it.

    Parameters
    ----------
    image : Path
        The image.
    name : str
        The table.
    """
    labels = label_names(image)
    region = region_of(table_path(image, name), labels)
    return Multiscale.read(image / "labels" / region) if region in labels else None


def move_table(
    image: Path,
    name: str,
    regions: Sequence[MovedRegion],
    axes: str,
    *,
    enclose: bool = False,
    label: Multiscale | None = None,
    source: Multiscale | None = None,
) -> int:
    """Move the boxes of a table that was copied into a new image.

    Parameters
    ----------
    image : Path
        The new image.
    name : str
        The table.
    regions : sequence of MovedRegion
        What was moved.
    axes : str
        Axes in space of the image; columns of other axes are left alone.
    enclose : bool
        As in `move_boxes`.
    label : Multiscale, optional
        The label of the new image whose objects the rows are. Each box is then that of the
        object's pixels.
    source : Multiscale, optional
        The label that it was made of, if it may have more planes than the new one.

    Returns
    -------
    int
        Number of rows dropped.

    Raises
    ------
    TableError
        If the table cannot be read or rewritten.
    """
    table = read_table(image, name)
    if not table.names:
        return 0
    objects = None if label is None else object_boxes(label)
    numbers, keep = moved_columns(
        table, regions, axes, enclose=enclose, label=label, source=source, objects=objects
    )
    _rewrite(table, numbers, keep)
    return int((~keep).sum())


def move_planes(
    image: Path, name: str, regions: Sequence[MovedRegion], axes: str, label: Multiscale
) -> None:
    """Move the boxes of objects on the axes that the pixels of their label do not tell.

    Parameters
    ----------
    image, name, regions, axes
        As in `move_table`.
    label : Multiscale
        The label before it is moved.

    Raises
    ------
    TableError
        If the table cannot be read or rewritten.
    """
    table = read_table(image, name)
    own, start, length = _boxes(table, axes)
    kept = _axes_kept(label, own)
    if not table.names or not kept:
        return
    _move_along(kept, regions, axes, own, start, length)
    _rewrite(table, _columns(own, start, length), np.ones(len(start), bool))


def _rewrite(
    table: Table, numbers: Mapping[str, NDArray[np.float64]], keep: NDArray[np.bool_]
) -> None:
    try:
        find_backend(table.path).rewrite(table.path, numbers, keep)
    except Exception as error:  # anndata and parsers raise what they like
        raise TableError(f"{table.path}: the moved boxes cannot be written ({error!r}).") from error


def _columns(
    own: str, start: NDArray[np.float64], length: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    numbers = {f"{a}_micrometer": start[:, k] for k, a in enumerate(own)}
    return numbers | {f"len_{a}_micrometer": length[:, k] for k, a in enumerate(own)}


def moved_columns(
    table: Table,
    regions: Sequence[MovedRegion],
    axes: str,
    *,
    enclose: bool = False,
    label: Multiscale | None = None,
    source: Multiscale | None = None,
    objects: Mapping[int, Box] | None = None,
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.bool_]]:
    """The columns of a table's boxes after they were moved, and which rows are kept.

    Parameters
    ----------
    table : Table
        The table.
    regions, axes, enclose, label, source
        As in `move_table`.
    objects : mapping of int to Box, optional
        The boxes of the label's objects; see `object_boxes`.
    """
    own, start, length = _boxes(table, axes)
    ids = None if objects is None else ids_of(table.path, table.names)
    if label is not None and objects is not None and ids is not None:
        keep = np.array([number in objects for number in ids], bool)
        kept = _axes_kept(source or label, own)
        _move_along(kept, regions, axes, own, start, length)
        told = [k for k in range(len(own)) if k not in kept]
        _place_objects(label, objects, ids, own, told, start, length)
    else:
        regions = [region.along([axes.index(a) for a in own]) for region in regions]
        start, length = move_boxes(start, length, regions, enclose=enclose)
        keep = np.asarray((length > 0).all(axis=1))
    return _columns(own, start, length), keep


def _axes_kept(label: Multiscale, own: str) -> list[int]:
    """The axes of boxes that the pixels of a label do not tell: it lacks them, or has one plane.

    There the boxes of the table say for which planes of the image the label holds.
    """
    flat = {a for a, n in zip(label.spatial, label.shape_in_space, strict=True) if n == 1}
    return [k for k, a in enumerate(own) if a not in label.spatial or (a == "z" and a in flat)]


def _move_along(
    kept: Sequence[int],
    regions: Sequence[MovedRegion],
    axes: str,
    own: str,
    start: NDArray[np.float64],
    length: NDArray[np.float64],
) -> None:
    """Move boxes on some of their axes."""
    for k in kept:
        along = [region.along([axes.index(own[k])]) for region in regions]
        start[:, k], length[:, k] = _moved_along(start[:, k], length[:, k], along)


def _moved_along(
    start: NDArray[np.float64], length: NDArray[np.float64], regions: Sequence[MovedRegion]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes along one axis after their regions were moved; unchanged where nothing remains."""
    if not regions:
        return start, length
    first, rest = move_boxes(start[:, None], length[:, None], regions, enclose=True)
    remains = rest[:, 0] > 0
    return np.where(remains, first[:, 0], start), np.where(remains, rest[:, 0], length)


def _place_objects(
    label: Multiscale,
    objects: Mapping[int, Box],
    ids: Sequence[int],
    own: str,
    told: Sequence[int],
    start: NDArray[np.float64],
    length: NDArray[np.float64],
) -> None:
    """Set starts and lengths to those of the objects that have pixels, on the axes `told`."""
    for k in told:
        place, um = label.spatial.index(own[k]), label.pixel_size_um[own[k]]
        for row, number in enumerate(ids):
            if number in objects:
                start[row, k] = objects[number].start[place] * um
                length[row, k] = objects[number].shape[place] * um
