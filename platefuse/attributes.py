"""Attributes of Zarr groups: JSON, read and changed without an array library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from platefuse.errors import PlateError
from platefuse.files import write_json


def read_attributes(group: Path) -> dict[str, Any]:
    """The OME-NGFF attributes of a Zarr group: those under `ome` for 0.5, all for 0.4.

    Raises
    ------
    PlateError
        If the group has no metadata file or it is not JSON.
    """
    zarr_json, zattrs = group / "zarr.json", group / ".zattrs"
    if zarr_json.is_file():
        attributes = read_json(zarr_json).get("attributes", {})
        if not isinstance(attributes, dict):
            raise PlateError(
                f"{zarr_json}: `attributes` is {attributes!r}; expected a JSON object."
            )
        ome = attributes.get("ome")
        return ome if isinstance(ome, dict) else attributes
    if zattrs.is_file():
        return read_json(zattrs)
    raise PlateError(
        f"{group}: not an OME-Zarr group (neither `.zattrs` nor `zarr.json` is there)."
    )


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


def update_attributes(group: Path, attributes: dict[str, Any]) -> None:
    """Change OME-NGFF attributes of a Zarr group (under `ome` for 0.5); others are kept."""
    if (group / "zarr.json").is_file():
        content = read_json(group / "zarr.json")
        content.pop("consolidated_metadata", None)  # of what was there before
        old = content.get("attributes", {})
        new = (
            {**old, "ome": {**old["ome"], **attributes}} if "ome" in old else {**old, **attributes}
        )
        write_json(group / "zarr.json", {**content, "attributes": new})
    else:
        write_json(group / ".zattrs", {**read_attributes(group), **attributes})
