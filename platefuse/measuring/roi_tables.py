"""Registered ROI tables of measured shifts, by the arithmetic of fractal-tasks-core.

For each ROI and axis, over all acquisitions including the reference, whose translation is 0::

    start'  = start + max(translations) - translation
    length' = length - max(translations) + min(translations)

so that a ROI shows, in every acquisition, the part of the tissue that all of them show
(the task `find_registration_consensus`). All in float64, where Fractal's tables are float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from platefuse.errors import MEASURE_AGAIN, TableError
from platefuse.measuring.model import PlacedField
from platefuse.ngff.consolidated import drop_consolidated
from platefuse.ngff.metadata import all_attributes, replace_attributes
from platefuse.ngff.tables.anndata_format import write_numbers
from platefuse.ngff.tables.backends import backend_of, find_backend
from platefuse.ngff.tables.table import (
    Roi,
    Table,
    read_table,
    table_names,
    table_path,
    write_table_list,
)
from platefuse.ngff.zarr_format import V2 as OLD_FORMAT
from platefuse.ngff.zarr_format import Format
from platefuse.records.base import KEY
from platefuse.records.digests import digest_json
from platefuse.storage.files import make_folder, put_in_place
from platefuse.storage.flush import watched_writes
from platefuse.storage.permissions import mirror_access
from platefuse.storage.removing import remove_tree

_LEAST_SHARE = 0.5
"""How much of its length a ROI keeps at least."""


def translation_um(placed: PlacedField, reference: PlacedField) -> dict[str, float]:
    """The translation that brings a field onto the field of the reference with its name.

    It is the difference of the places. The boxes of ROI tables are positions in an array, so a
    field's place in the array does not enter.

    Returns
    -------
    dict of str to float
        Micrometres on ``z``, ``y``, ``x``.
    """
    pairs = zip("zyx", placed.place_um, reference.place_um, strict=True)
    return {axis: own - other for axis, own, other in pairs}


def registered_rois(
    rois: Mapping[int, Sequence[Roi]],
    translations_um: Mapping[int, Mapping[str, Mapping[str, float]]],
    *,
    where: str,
) -> dict[int, list[Roi]]:
    """The boxes of all acquisitions that show the same tissue.

    Parameters
    ----------
    rois : mapping of int to sequence of Roi
        The ROIs of each acquisition, where they are in its array. All acquisitions have the same
        names.
    translations_um : mapping of int to mapping
        For each acquisition and ROI the translation on each axis, in micrometres: what is added
        to a position so that it is that of the same tissue in the reference. The reference has 0.
    where : str
        The well; begins the error messages.

    Raises
    ------
    TableError
        If a ROI has no translation, or keeps less than half of its length on an axis.
    """
    for acquisition, boxes in rois.items():
        for roi in boxes:
            if roi.name not in translations_um.get(acquisition, {}):
                raise TableError(
                    f"{where}: ROI {roi.name!r} of acquisition {acquisition} has no measured "
                    "place. All acquisitions must have the same ROIs in their tile tables."
                )
    return {
        acquisition: [_registered(roi, acquisition, translations_um, where) for roi in boxes]
        for acquisition, boxes in rois.items()
    }


def _registered(
    roi: Roi,
    acquisition: int,
    translations_um: Mapping[int, Mapping[str, Mapping[str, float]]],
    where: str,
) -> Roi:
    start, length = {}, {}
    for axis, old in roi.start_um.items():
        moves = {n: own[roi.name][axis] for n, own in translations_um.items() if roi.name in own}
        for number, move in moves.items():
            if not math.isfinite(move):
                raise TableError(
                    f"{where}: acquisition {number} moves ROI {roi.name!r} by {move} µm in {axis}; "
                    f"expected a finite number. {MEASURE_AGAIN}"
                )
        most, least = max(moves.values()), min(moves.values())
        start[axis] = old + most - moves[acquisition]
        length[axis] = roi.length_um[axis] - most + least
        if not length[axis] >= _LEAST_SHARE * roi.length_um[axis]:
            middle = sorted(moves.values())[len(moves) // 2]
            worst = max(moves, key=lambda n: abs(moves[n] - middle))
            raise TableError(
                f"{where}: ROI {roi.name!r} would be {length[axis]:g} µm long in {axis}, of "
                f"{roi.length_um[axis]:g} µm: acquisition {worst} is shifted by "
                f"{moves[worst]:g} µm, the others by about {middle:g} µm. Expected at least half "
                "of the length. Look at its rows in fields.tsv, and lower "
                "`registration.measure.max_shift`, or leave the acquisition out."
            )
    return Roi(roi.name, start, length)


def write_registered_table(
    image: Path, name: str, tile_table: str, rois: Sequence[Roi], source: object, *, staging: Path
) -> bool:
    """Write a registered ROI table into an image: the rows of its tile table with new boxes.

    The table is written as AnnData in float64, and marked as platefuse's own. One that platefuse
    wrote before is replaced in one step; nothing is written if it was made of the same.

    Parameters
    ----------
    image : Path
        The image's folder.
    name : str
        Name of the new table.
    tile_table : str
        The table that has the other columns.
    rois : sequence of Roi
        The boxes, in the order of its rows.
    source : object
        What the boxes were computed from, as JSON values.
    staging : Path
        A folder on the same filesystem in which the table is prepared.

    Returns
    -------
    bool
        Whether it was written.

    Raises
    ------
    TableError
        If another program wrote a table of that name, or the rows differ.
    """
    path = table_path(image, name)
    boxes = [[roi.name, roi.start_um, roi.length_um] for roi in rois]
    digest = digest_json([tile_table, boxes, source])
    before = own_digest(path)
    if before == digest and name in table_names(image):
        return False
    table = read_table(image, tile_table)
    if [roi.name for roi in rois] != list(table.names):
        raise TableError(
            f"{table.path} has the rows {list(table.names)}, but boxes were measured for "
            f"{[roi.name for roi in rois]}: the table has changed. {MEASURE_AGAIN}"
        )
    new = staging / name
    remove_tree(new)
    make_folder(staging)
    with watched_writes(staging) as writes:
        _write(new, table, rois, Format.of(image) or OLD_FORMAT, digest)
        mirror_access(table.path, new)
        drop_consolidated(path)
        put_in_place(new, path, writes)
    listed = table_names(image)
    write_table_list(image / "tables", listed if name in listed else [*listed, name])
    return True


def own_digest(path: Path) -> str | None:
    """Digest of what a table was computed from, if platefuse wrote it; None if there is none.

    Raises
    ------
    TableError
        If there is a table that another program wrote.
    """
    if not path.exists():
        return None
    record = all_attributes(path).get(KEY)
    digest = record.get("digest") if isinstance(record, Mapping) else None
    if not isinstance(digest, str):
        raise TableError(
            f"{path}: this table was not written by platefuse, so that it is not replaced by "
            "measured shifts. Give `registration.roi_table` another name, or, to use the table, "
            "set `registration.measure.enabled` to false."
        )
    return digest


def _write(path: Path, table: Table, rois: Sequence[Roi], kind: Format, digest: str) -> None:
    import numpy as np

    from platefuse import __version__

    columns = {column: list(values) for column, values in table.columns.items()}
    for axis in rois[0].start_um if rois else ():
        columns[f"{axis}_micrometer"] = [roi.start_um[axis] for roi in rois]
        columns[f"len_{axis}_micrometer"] = [roi.length_um[axis] for roi in rois]
    numbers = np.array(list(columns.values()), np.float64).reshape(len(columns), len(rois))
    texts = find_backend(table.path).texts(table.path)
    write_numbers(path, kind, numbers.T.copy(), table.names, list(columns), texts=texts)
    known = ("type", "fractal_table_version", "table_version", "index_key", "index_type")
    old = all_attributes(table.path)
    kept = {key: old[key] for key in known if key in old and backend_of(table.path) == "anndata"}
    attributes: dict[str, Any] = {
        **all_attributes(path),
        "type": "roi_table",
        "fractal_table_version": "1",
        **kept,
        "backend": "anndata",
        KEY: {"platefuse_version": __version__, "digest": digest},
    }
    replace_attributes(path, attributes)
