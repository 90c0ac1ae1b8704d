"""Names of an image's labels: those listed, those that are there, and groups of labels."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from platefuse.errors import ImageError, MetadataError
from platefuse.ngff.metadata import find_attributes, read_attributes
from platefuse.ngff.paths import safe_name
from platefuse.storage.files import subfolders
from platefuse.storage.once import read_once

logger = logging.getLogger(__name__)

ABSENT_LABEL = "it is listed, but there is no such label"
"""Why a label is left out."""


@read_once
def label_names(image: Path) -> list[str]:
    """Names of an image's labels: those listed, then others that are there.

    A label in a group of labels has a name with slashes, such as ``original/0``. Names in the list
    without a label are left out: see `absent_labels`.

    Raises
    ------
    PlatefuseError
        If the list cannot be read, or a name is unsafe as a path.
    """
    folder = image / "labels"
    names = [name for name in _listed_labels(folder) if (folder / name).is_dir()]
    return list(dict.fromkeys([*names, *_labels_below(folder)]))


@read_once
def absent_labels(image: Path) -> list[str]:
    """Names in the list of an image's labels without a label.

    Raises
    ------
    PlatefuseError
        If the list cannot be read, or a name is unsafe as a path.
    """
    folder = image / "labels"
    return [name for name in _listed_labels(folder) if not (folder / name).is_dir()]


@read_once
def _listed_labels(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    listed = (find_attributes(folder) or {}).get("labels", [])
    if not isinstance(listed, list):
        raise ImageError(f"{folder}: the list `labels` is {listed!r}; expected a list of names.")
    return list(dict.fromkeys(_label_name(name, folder) for name in listed))


def _label_name(name: object, folder: Path) -> str:
    parts = name.split("/") if isinstance(name, str) else [name]
    return "/".join(safe_name(part, f"{folder}: a part of the label {name!r}") for part in parts)


def _labels_below(folder: Path, prefix: str = "") -> list[str]:
    """Names of all labels in a folder and in groups in it, sorted."""
    found = []
    for name in subfolders(folder):
        child = folder / name
        if _is_image(child):
            found.append(f"{prefix}{name}")
        elif (child / ".zgroup").is_file() or (child / "zarr.json").is_file():
            found += _labels_below(child, f"{prefix}{name}/")
    return found


def warn_of_absent_labels(image: Path, names: Iterable[str]) -> None:
    """Say of labels that an image lists and does not have that they are left out."""
    for name in names:
        logger.warning("%s: the label %r is left out: %s", image, name, ABSENT_LABEL)


def label_groups(names: Iterable[str]) -> list[str]:
    """The groups of labels that the names of labels imply, outermost first.

    Examples
    --------
    >>> label_groups(["nuclei", "original/0", "original/1"])
    ['original']
    """
    groups = [str(group) for name in names for group in reversed(Path(name).parents)]
    return [group for group in dict.fromkeys(groups) if group != "."]


def _is_image(path: Path) -> bool:
    try:
        return "multiscales" in read_attributes(path)
    except MetadataError:
        return False
