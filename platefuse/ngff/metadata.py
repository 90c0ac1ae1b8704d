"""Attributes of Zarr groups: JSON, read and changed without an array library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platefuse.errors import PlateError
from platefuse.storage.files import write_json


def all_attributes(group: Path) -> dict[str, Any]:
    """All attributes of a Zarr group; none if it has no file for them.

    Raises
    ------
    PlateError
        If they are not a JSON object.
    """
    zarr_json, zattrs = group / "zarr.json", group / ".zattrs"
    if not zarr_json.is_file():
        return read_json(zattrs) if zattrs.is_file() else {}
    attributes = read_json(zarr_json).get("attributes", {})
    if not isinstance(attributes, dict):
        raise PlateError(f"{zarr_json}: `attributes` is {attributes!r}; expected a JSON object.")
    return attributes


def replace_attributes(group: Path, attributes: Mapping[str, Any]) -> None:
    """Write all attributes of a Zarr group anew."""
    zarr_json = group / "zarr.json"
    if zarr_json.is_file():
        content = {**read_json(zarr_json), "attributes": dict(attributes)}
        content.pop("consolidated_metadata", None)  # of what was there before
        write_json(zarr_json, content)
    else:
        write_json(group / ".zattrs", dict(attributes))


def read_attributes(group: Path) -> dict[str, Any]:
    """The OME-NGFF attributes of a Zarr group: those under `ome` for 0.5, all for 0.4.

    Raises
    ------
    PlateError
        If the group has no metadata file or it is not JSON.
    """
    if not group.exists():
        raise PlateError(
            f"{group}: no such folder. If the metadata of the plate or the well above it list it, "
            "restore it or take it off their list."
        )
    if not any((group / name).is_file() for name in ("zarr.json", ".zattrs")):
        raise PlateError(
            f"{group}: not an OME-Zarr group (neither `.zattrs` nor `zarr.json` is there)."
        )
    attributes = all_attributes(group)
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) and (group / "zarr.json").is_file() else attributes


def update_attributes(group: Path, attributes: Mapping[str, Any]) -> None:
    """Change OME-NGFF attributes of a Zarr group (under `ome` for 0.5); others are kept."""
    old = all_attributes(group)
    if "ome" in old and (group / "zarr.json").is_file():
        attributes = {"ome": {**old["ome"], **attributes}}
    replace_attributes(group, {**old, **attributes})


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises
    ------
    PlateError
        If the file does not hold a JSON object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise PlateError(f"{file}: broken JSON ({error}). Restore the file.") from error
    if not isinstance(content, dict):
        raise PlateError(f"{file}: expected a JSON object, got {type(content).__name__}.")
    return content
