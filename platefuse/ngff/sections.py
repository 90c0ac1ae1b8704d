"""The sections of plates and wells in the attributes of their groups, as JSON."""

from __future__ import annotations

from pathlib import Path

from platefuse.errors import PlateError
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.paths import safe_name
from platefuse.storage.typed_json import JsonObject


def section_of(group: Path, key: str) -> JsonObject:
    """The section `plate` or `well` in the attributes of a group.

    Raises
    ------
    PlateError
        If it has none.
    """
    section = read_attributes(group).get(key)
    if not isinstance(section, dict):
        raise PlateError(
            f"{group}: not an OME-Zarr {key} (its attributes have no `{key}` section). "
            f"Give the folder that holds the `{key}` metadata."
        )
    return section


def listed_image(well: Path, entry: object) -> tuple[str, int | None]:
    """Path and acquisition of an image in the list of a well.

    Raises
    ------
    PlateError
        If the path is unsafe, or the acquisition is no integer.
    """
    if not isinstance(entry, dict):
        raise PlateError(f"{well}: `well.images` has the entry {entry!r}; expected an object.")
    acquisition = entry.get("acquisition")
    if acquisition is not None and type(acquisition) is not int:  # True is no number
        raise PlateError(
            f"{well}: image {entry.get('path')!r} has acquisition {acquisition!r}; "
            f"expected an integer.{_unquoted(acquisition)}"
        )
    return safe_name(entry.get("path"), f"{well}: an image"), acquisition


def _unquoted(value: object) -> str:
    """What to write where a text is given that would do as a number."""
    is_number = isinstance(value, str) and value.strip().isdecimal()
    return " This is a text: write it without quotes in the well's metadata." if is_number else ""
