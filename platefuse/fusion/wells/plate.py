"""The metadata of the fused plate: which wells it has, and what others added to them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from platefuse.errors import PlatefuseError, ViewError, some
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.locks import fused_plate_lock
from platefuse.ngff.consolidated import drop_consolidated
from platefuse.ngff.metadata import all_attributes, find_attributes, is_node, read_attributes
from platefuse.ngff.paths import check_outside_groups
from platefuse.ngff.plate import Plate, WellName
from platefuse.ngff.zarr_format import Format
from platefuse.records import KEY, FusedPlateRecord, FusedWellRecord, PlateReceipt
from platefuse.storage.typed_json import JsonObject, list_of, object_of

logger = logging.getLogger(__name__)

_STRUCTURE = ("rows", "columns", "wells", "acquisitions", "version", "field_count")
"""Keys of the section `plate` that say what is there; others that are there are kept."""


def finish_fused_plate(
    plate: Plate,
    fused: Path,
    options: FusionOptions,
    wells: Sequence[str] | None = None,
    made: FusedPlateRecord | None = None,
) -> PlateReceipt:
    """Write the metadata of the fused plate; what others added to it is kept.

    Parameters
    ----------
    plate : Plate
        The plate that was fused.
    fused : Path
        Folder of the fused plate.
    options : FusionOptions
        How it was fused.
    wells : sequence of str, optional
        The wells that were fused, for example ``["B/03"]``; by default all. Wells that are there
        from other runs are listed as well.
    made : FusedPlateRecord, optional
        With what it was made. An equal record keeps its time.

    Raises
    ------
    ViewError
        If a well has not been fused.
    PlateError
        If the fused plate lies inside another Zarr group.
    """
    check_outside_groups(fused)
    with fused_plate_lock(fused):
        before = _record_of(fused)
        done = _write_metadata(plate, fused, options, wells)
        names = tuple(well.name for well in done)
        if made is None:
            return PlateReceipt(fused=fused.name, wells=names)
        is_same = before is not None and before == replace(made, time=before.time)
        (before if before is not None and is_same else made).write(fused)
    return PlateReceipt(
        fused=fused.name, wells=names, versions=made.versions, config_digest=made.config_digest
    )


def _record_of(fused: Path) -> FusedPlateRecord | None:
    """The record of a fused plate that is finished again; a damaged one is replaced."""
    try:
        return FusedPlateRecord.read(fused)
    except PlatefuseError:
        return None


def _write_metadata(
    plate: Plate, fused: Path, options: FusionOptions, wells: Sequence[str] | None
) -> list[WellName]:
    """Write the metadata of the plate and of its rows; the wells that it lists."""
    fused_wells = {w for w in plate.wells if FusedWellRecord.read(fused / w.row / w.column)}
    asked = {well.name for well in plate.wells} if wells is None else set(wells)
    done = [well for well in plate.wells if well in fused_wells or well.name in asked]
    done_names = {well.name for well in done}
    missing = [well.name for well in done if well not in fused_wells]
    if missing:
        raise ViewError(f"{fused}: not fused yet: {some(missing)}. Run `fuse_well` for them.")
    listed = zip(list_of(plate.metadata["wells"]), plate.wells, strict=True)
    rows = _in_order(plate, "rows", "rowIndex", [well.row for well in plate.wells])
    columns = _in_order(plate, "columns", "columnIndex", [well.column for well in plate.wells])
    images = [_images_of(fused / well.row / well.column) for well in done]
    acquisitions = _acquisitions(plate, images)
    section: JsonObject = {
        **plate.metadata,
        **({"rows": rows} if rows else {}),
        **({"columns": columns} if columns else {}),
        **({"acquisitions": acquisitions} if acquisitions else {}),
        "wells": [entry for entry, well in listed if well.name in done_names],
        "version": options.ngff_version,
        "name": fused.name.removesuffix(".zarr"),
        "field_count": max(map(len, images), default=1),
    }
    for well in done:
        drop_consolidated(fused / well.row / well.column)
    kind = Format.for_ngff(options.ngff_version)
    for row in {well.row for well in done}:
        if Format.of(fused / row) is not kind or not (fused / row / kind.group_file).is_file():
            kind.write_group(fused / row, all_attributes(fused / row))
    _write(fused, section, options.ngff_version)
    return done


def _images_of(well: Path) -> list[JsonObject]:
    """The images that a fused well lists."""
    return list(map(object_of, list_of(object_of(read_attributes(well)["well"]).get("images"))))


def _acquisitions(plate: Plate, images: Sequence[Sequence[JsonObject]]) -> list[object]:
    """The acquisitions of a plate with all that the images of fused wells name.

    OME-NGFF asks for an entry for each, and many plates list none.
    """
    numbers = [[image.get("acquisition") for image in own] for own in images]
    found = {n for own in numbers for n in own if isinstance(n, int)}
    listed = []
    for entry in map(object_of, list_of(plate.metadata.get("acquisitions"))):
        if "maximumfieldcount" in entry and entry.get("id") in found:
            most = max(own.count(entry.get("id")) for own in numbers)
            entry = {**entry, "maximumfieldcount": most}
        listed.append(entry)
    known = {entry.get("id") for entry in listed}
    return [*listed, *({"id": number} for number in sorted(found - known))]


def _write(fused: Path, section: JsonObject, version: str) -> None:
    """Write the attributes of the plate, with what others added to those that are there."""
    kind = Format.for_ngff(version)
    old = all_attributes(fused) if is_node(fused) else {}
    own = object_of((find_attributes(fused) or {}).get("plate"))
    attributes = kind.ngff_attributes({"plate": _merged(fused, section, own)}, version)
    if "ome" in attributes:
        attributes["ome"] = {**object_of(old.get("ome")), **object_of(attributes["ome"])}
    kept = {key: value for key, value in old.items() if key not in ("ome", "plate", KEY)}
    kind.write_group(fused, {**attributes, **kept})


def _merged(fused: Path, section: JsonObject, old: JsonObject) -> JsonObject:
    """The section `plate` as it has to be, with what others changed in that which is there.

    Wells from other plates stay listed as long as they are there.
    """
    merged = {**section, **{key: v for key, v in old.items() if key not in _STRUCTURE}}
    for key, name in (("wells", "path"), ("rows", "name"), ("columns", "name")):
        if key in section:
            merged[key] = [{**before, **entry} for entry, before in _pairs(section, old, key, name)]
    if "acquisitions" in section:
        pairs = _pairs(section, old, "acquisitions", "id")
        merged["acquisitions"] = [{**entry, **before} for entry, before in pairs]
    listed = {object_of(entry).get("path") for entry in list_of(section["wells"])}
    for entry in map(object_of, list_of(old.get("wells"))):
        path = str(entry.get("path"))
        if path not in listed and path.count("/") == 1 and (fused / path).is_dir():
            _add_well(merged, entry, *path.split("/"))
    return merged


def _pairs(
    section: JsonObject, old: JsonObject, key: str, name: str
) -> Iterator[tuple[JsonObject, JsonObject]]:
    """The entries of a list, each with the one of the same name that is there."""
    before = {str(object_of(each).get(name)): object_of(each) for each in list_of(old.get(key))}
    for entry in map(object_of, list_of(section[key])):
        yield entry, before.get(str(entry.get(name)), {})


def _add_well(section: JsonObject, entry: JsonObject, row: str, column: str) -> None:
    """List a well that comes from another plate, and its row and column."""
    indices = {}
    for key, index, name in (("rows", "rowIndex", row), ("columns", "columnIndex", column)):
        names = [object_of(each).get("name") for each in list_of(section.get(key))]
        if name not in names:
            section[key] = [*list_of(section.get(key)), {"name": name}]
            names.append(name)
        indices[index] = names.index(name)
    section["wells"] = [*list_of(section["wells"]), {**entry, **indices}]


def _in_order(plate: Plate, axis: str, key: str, own: Sequence[str]) -> list[object]:
    """The list `rows` or `columns` of a plate, in the order that the wells' indices say.

    Parameters
    ----------
    plate : Plate
        The plate.
    axis, key : str
        Names of the list, and of the index of a well in it.
    own : sequence of str
        For each well, the name of its row or column.
    """
    listed = list_of(plate.metadata.get(axis))
    names = [object_of(entry).get("name") for entry in listed]
    indices = [object_of(entry).get(key) for entry in list_of(plate.metadata["wells"])]
    places = {name: i for name, i in zip(own, indices, strict=True) if isinstance(i, int)}
    pairs = set(zip(own, indices, strict=True))
    known = {name: i for i, name in reversed(list(enumerate(names))) if isinstance(name, str)}
    one_to_one = len(pairs) == len(places) == len(set(places.values()))
    inside = all(0 <= i < len(names) for i in places.values()) and places.keys() <= known.keys()
    if not one_to_one or not inside or all(names[i] == name for name, i in places.items()):
        return listed  # as it should be, or nobody knows how
    logger.warning(
        "%s: `%s` are in another order than the `%s` of its wells; the fused plate has them in "
        "the order of the wells.",
        *(plate.path, axis, key),
    )
    at = {i: listed[known[name]] for name, i in places.items()}
    rest = (entry for entry, name in zip(listed, names, strict=True) if name not in places)
    return [at[i] if i in at else next(rest) for i in range(len(listed))]
