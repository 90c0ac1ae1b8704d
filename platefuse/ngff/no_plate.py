"""Say what a path is that is no plate, and where the plate may be that was meant."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from platefuse.errors import PlatefuseError, listed
from platefuse.ngff.metadata import find_attributes
from platefuse.storage.files import entries
from platefuse.storage.typed_json import JsonObject

_EXPECTED = "expected the folder of an OME-Zarr plate"
_CONVERT = "Images in other formats must be converted to OME-Zarr first."


def no_plate(path: Path) -> str | None:
    """A message for a path that is no plate; None if its attributes cannot be read.

    Parameters
    ----------
    path : Path
        What a user gave as a plate.
    """
    if re.match("[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        return (
            f"{path}: this is an address; {_EXPECTED} on this machine. Copy the plate, or mount "
            "its filesystem, and give the path of the folder."
        )
    if not os.path.lexists(path):
        where = "" if path.is_absolute() else f" in {Path.cwd()}, where relative paths start"
        return f"{path}: no such plate{where} ({_EXPECTED}). Correct the path."
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return f"{path}: this looks like a config; {_EXPECTED}. Give the path that it names."
    if not path.is_dir():
        return (
            f"{path}: this is {'a file' if path.is_file() else 'no folder'}; {_EXPECTED}. Give its "
            f"path. {_CONVERT}"
        )
    try:
        attributes = find_attributes(path)
    except PlatefuseError:
        return None
    return _no_section(path, attributes)


def _no_section(folder: Path, attributes: JsonObject | None) -> str:
    """The message for a folder without a `plate` section."""
    said = (
        f"{folder}: not an OME-Zarr group (neither `.zattrs` nor `zarr.json` is present)."
        if attributes is None
        else f"{folder}: not an OME-Zarr plate (its attributes have no `plate` section)."
    )
    above = next(filter(_is_plate, folder.absolute().parents), None)
    if above is not None:
        return f"{said} It is a part of the plate {above}: give that path."
    # Two are enough to know that they are several: a folder may hold hundreds.
    inside = list(islice(filter(_is_plate, _folders(folder)), 2))
    if inside:
        names = listed(list(map(str, inside)))
        if len(inside) == 1:
            return f"{said} There is one in it: {names}. Give its path."
        return f"{said} There are several in it, such as: {names}. Give the path of one."
    if "multiscales" in (attributes or {}):
        return (
            f"{said} It is a single image, and this command needs a plate. In Python, "
            "`platefuse.fuse` fuses single images."
        )
    other = f" {_CONVERT}" if attributes is None else ""
    return f"{said} Give the folder that holds the `plate` metadata.{other}"


def _folders(folder: Path) -> Iterator[Path]:
    names = sorted(entry.name for entry in entries(folder) if entry.is_dir())
    return (folder / name for name in names)


def _is_plate(folder: Path) -> bool:
    with suppress(PlatefuseError, OSError):
        return isinstance((find_attributes(folder) or {}).get("plate"), dict)
    return False
