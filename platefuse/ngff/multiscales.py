"""The entry of `multiscales` in the attributes of an image: axes, units, levels and scales.

Metadata are read as people write them: units by any usual spelling, names of axes in upper or
lower case (iohub writes T, C, Z, Y and X), and scales of `t` and `c` that are no number above zero
are 1.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from platefuse.errors import ImageError
from platefuse.ngff.paths import safe_name
from platefuse.ngff.units import um_per_unit
from platefuse.storage.typed_json import JsonObject, list_of, object_of

AXES = "tczyx"


def first_entry(image: Path, attributes: Mapping[str, object]) -> JsonObject:
    """The first entry of `multiscales` in the attributes of an image.

    Raises
    ------
    ImageError
        If there is none.
    """
    entries = attributes.get("multiscales")
    if not isinstance(entries, list) or not entries or not isinstance(entries[0], dict):
        raise ImageError(f"{image}: not an OME-Zarr image (its attributes have no `multiscales`).")
    return entries[0]


def datasets_of(image: Path, entry: Mapping[str, object]) -> list[object]:
    """The datasets of an entry: one for each level.

    Raises
    ------
    ImageError
        If there is none.
    """
    datasets = entry.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        raise ImageError(f"{image}: `multiscales` lists no datasets; expected one per level.")
    return datasets


def axis_name(entry: object) -> str:
    """Name of an axis in lower case; empty if it has none."""
    name = entry.get("name") if isinstance(entry, dict) else entry
    return name.lower() if isinstance(name, str) else ""


def axes_of(image: Path, entries: object) -> tuple[str, tuple[float, ...]]:
    """Names of the axes, and micrometres per unit of each: 1 for axes that are not in space.

    Raises
    ------
    ImageError
        If they are missing, in another order, or the unit of an axis in space is not a length.
    """
    if not isinstance(entries, list) or not entries:
        raise ImageError(
            f"{image}: `multiscales` has no `axes`; OME-NGFF 0.4 and later require it."
        )
    names, units = [], []
    for entry in entries:
        name, unit = axis_name(entry), object_of(entry).get("unit") or "micrometer"
        um = um_per_unit(unit) if name in ("z", "y", "x") else 1.0
        if um is None:
            raise ImageError(
                f"{image}: axis {name} has the unit {unit!r}, which is not a length. Expected a "
                "unit such as 'micrometer', 'nanometer' or 'millimeter', or none for micrometers."
            )
        names.append(name)
        units.append(um)
    axes = "".join(names)
    if list(axes) != names or axes != "".join(a for a in AXES if a in axes) or axes[-2:] != "yx":
        raise ImageError(
            f"{image}: axes {names}; expected some of t, c, z, y, x in this order, ending in y, x."
        )
    return axes, tuple(units)


def dataset_path(image: Path, dataset: object) -> str:
    """Path of a level inside its image.

    Raises
    ------
    PlatefuseError
        If there is none, or it is not safe.
    """
    name = dataset.get("path") if isinstance(dataset, dict) else None
    for part in Path(str(name)).parts:
        safe_name(part, f"{image}: a part of a level's path")
    if not isinstance(name, str) or not name:
        raise ImageError(f"{image}: a dataset without a path: {dataset!r}.")
    return name


def scale_of(
    image: Path, entry: object, axes: str, default: Sequence[float] | None = None
) -> list[float]:
    """The scale on each axis in a dataset, or in an entry of `multiscales`.

    Parameters
    ----------
    image : Path
        The image, for messages.
    entry : object
        What has the transforms.
    axes : str
        Axes of the image.
    default : sequence of float, optional
        The scale if there is none; without it one is required.

    Raises
    ------
    ImageError
        If the scale on an axis in space is not a number above zero.
    """
    holder = object_of(entry)
    transforms = map(object_of, list_of(holder.get("coordinateTransformations")))
    scale = next((t["scale"] for t in transforms if "scale" in t), default)
    values = list(scale) if isinstance(scale, list) else []
    in_space = "".join(a for a in axes if a in "zyx")
    if len(values) == len(in_space):  # the others are missing
        values = [1.0] * (len(axes) - len(in_space)) + values
    if len(values) == len(axes):
        values = [
            1.0 if axis in "tc" and not _is_scale(value) else value
            for axis, value in zip(axes, values, strict=True)
        ]
    if len(values) != len(axes) or not all(map(_is_scale, values)):
        raise ImageError(
            f"{image}: the scale of {holder.get('path', 'the image')!r} is {scale!r}; expected "
            f"{len(axes)} numbers above zero. Without a pixel size micrometres mean nothing."
        )
    return [float(value) for value in values]


def _is_scale(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value <= sys.float_info.max
