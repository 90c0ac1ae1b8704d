"""OME-Zarr images, in and out: axes, levels, scales and the metadata files they live in.

Reads OME-NGFF 0.4 (Zarr v2) and 0.5 (Zarr v3) from JSON alone. Arrays are opened by `store`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from platefuse.errors import ImageError, PlateError
from platefuse.ngff.metadata import read_attributes, read_json
from platefuse.ngff.paths import safe_name
from platefuse.storage.files import copy_tree, make_folder

MICROMETERS = {
    "micrometer": 1.0,
    "nanometer": 1e-3,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "picometer": 1e-6,
    "angstrom": 1e-4,
}
"""Length units of OME-NGFF in micrometres."""

AXES = "tczyx"
_PIXELS = re.compile(r"[<>|][biuf]\d+|bool|u?int\d+|float\d+")  # as Zarr v2 and v3 name them
METADATA_FILES = (".zgroup", ".zarray", ".zattrs", "zarr.json")


@dataclass(frozen=True)
class Multiscale:
    """The first multiscale image of an OME-Zarr group.

    Attributes
    ----------
    path : Path
        The group's folder.
    axes : str
        Names of the axes in array order, for example ``"czyx"``.
    units : tuple of float
        Micrometres per unit of each axis; 1 for axes that are not in space.
    paths : tuple of str
        Path of each level inside the group, finest first.
    scales : tuple of tuple of float
        Pixel size of each level on every axis, in the axis's unit.
    metadata : dict
        The entry of `multiscales` as it stands.
    """

    path: Path
    axes: str
    units: tuple[float, ...]
    paths: tuple[str, ...]
    scales: tuple[tuple[float, ...], ...]
    metadata: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Multiscale:
        """Read the metadata of the image or label at `path`.

        Raises
        ------
        PlatefuseError
            If there is no image, or its axes, levels or scales cannot be used.
        """
        try:
            attributes = read_attributes(path)
        except PlateError as error:
            raise ImageError(str(error)) from error
        entries = attributes.get("multiscales")
        if not isinstance(entries, list) or not entries or not isinstance(entries[0], dict):
            raise ImageError(
                f"{path}: not an OME-Zarr image (its attributes have no `multiscales`)."
            )
        entry = entries[0]
        axes, units = _axes(path, entry.get("axes"))
        datasets = entry.get("datasets")
        if not isinstance(datasets, list) or not datasets:
            raise ImageError(f"{path}: `multiscales` lists no datasets; expected one per level.")
        paths = tuple(_dataset_path(path, dataset) for dataset in datasets)
        common = _scale(path, entry, len(axes), default=[1.0] * len(axes))
        scales = tuple(
            tuple(a * b for a, b in zip(_scale(path, d, len(axes)), common, strict=True))
            for d in datasets
        )
        return cls(path, axes, units, paths, scales, entry)

    @property
    def folders(self) -> set[str]:
        """The folders that its levels lie in."""
        return {Path(path).parts[0] for path in self.paths}

    @property
    def spatial(self) -> str:
        """The axes in space, in array order, for example ``"zyx"``."""
        return "".join(a for a in self.axes if a in "zyx")

    @property
    def pixel_size_um(self) -> dict[str, float]:
        """Size of a pixel of the finest level on each axis in space, in micrometres."""
        sizes = zip(self.axes, self.scales[0], self.units, strict=True)
        return {axis: size * unit for axis, size, unit in sizes if axis in "zyx"}

    @property
    def steps(self) -> dict[str, float]:
        """From one index of the finest level to the next on axes not in space, in their unit."""
        return {a: s for a, s in zip(self.axes, self.scales[0], strict=True) if a not in "zyx"}

    @property
    def other_units(self) -> dict[str, str]:
        """The units of axes that are not in space, where the metadata name them."""
        described = [axis for axis in self.metadata["axes"] if isinstance(axis, dict)]
        return {
            axis["name"]: axis["unit"]
            for axis in described
            if axis.get("unit") and axis["name"] in self.axes and axis["name"] not in "zyx"
        }

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of every level.

        Raises
        ------
        ImageError
            If a level is missing, or does not have the image's axes.
        """
        return tuple(self._shape(self.path / p) for p in self.paths)

    @cached_property
    def factors(self) -> tuple[tuple[int, ...], ...]:
        """Group size on every axis from each level to the next; one fewer than levels.

        Raises
        ------
        ImageError
            If a level is not made of whole groups of the pixels below it.
        """
        return tuple(
            tuple(self._factor(level, axis) for axis in range(len(self.axes)))
            for level in range(1, len(self.paths))
        )

    def check_levels(self) -> None:
        """Check that every level is there and is made of whole groups of the one before.

        Raises
        ------
        ImageError
            If not.
        """
        _ = self.factors

    def _shape(self, array: Path) -> tuple[int, ...]:
        metadata = read_array_metadata(array)
        shape, kind = metadata["shape"], str(metadata.get("dtype", metadata.get("data_type")))
        if not _PIXELS.fullmatch(kind):
            raise ImageError(
                f"{array}: the array has the data type {kind!r}; expected integers, floats or "
                "booleans for pixels."
            )
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in shape)
        if not whole or len(shape) != len(self.axes):
            raise ImageError(
                f"{array}: the array has the shape {shape}; expected {len(self.axes)} lengths "
                f"above 0, one for each of the image's axes {self.axes!r}."
            )
        return tuple(shape)

    def _factor(self, level: int, axis: int) -> int:
        fine, coarse = (self.shapes[k][axis] for k in (level - 1, level))
        ratio = self.scales[level][axis] / self.scales[level - 1][axis]
        for factor in dict.fromkeys((max(1, round(ratio)), max(1, round(fine / coarse)))):
            if coarse in (max(1, fine // factor), -(-fine // factor)):
                return factor
        raise ImageError(
            f"{self.path}: level {self.paths[level]} has {coarse} pixels in {self.axes[axis]}, "
            f"level {self.paths[level - 1]} has {fine}, and their scales differ by {ratio:g}. "
            "Expected each level to group whole pixels of the one before."
        )


def read_array_metadata(path: Path) -> dict[str, Any]:
    """Metadata of a Zarr array as its JSON has it (`shape` is there for v2 and v3).

    Raises
    ------
    ImageError
        If there is no array at `path`.
    """
    for name in ("zarr.json", ".zarray"):
        if (path / name).is_file():
            try:
                metadata = read_json(path / name)
            except PlateError as error:
                raise ImageError(str(error)) from error
            if isinstance(metadata.get("shape"), list):
                return metadata
    raise ImageError(f"{path}: no Zarr array here, but the image's metadata names it as a level.")


def check_axes(image: Multiscale, reference: Multiscale) -> None:
    """Check that an image has the axes of its reference.

    Raises
    ------
    ImageError
        If it has others.
    """
    if image.axes != reference.axes:
        raise ImageError(
            f"{image.path}: the axes are {image.axes!r}, but {reference.axes!r} in the reference "
            f"{reference.path}. Write all acquisitions of a well with the same axes."
        )


def label_names(image: Path) -> list[str]:
    """Names of an image's labels: those listed, then others that are there.

    Raises
    ------
    PlatefuseError
        If the list cannot be read, a name is unsafe as a path, or a listed label is missing.
    """
    folder = image / "labels"
    if not folder.is_dir():
        return []
    listed = []
    if any((folder / name).exists() for name in (".zattrs", "zarr.json")):
        listed = read_attributes(folder).get("labels", [])
    if not isinstance(listed, list):
        raise ImageError(f"{folder}: the list `labels` is {listed!r}; expected a list of names.")
    names = [safe_name(name, f"{folder}: a label") for name in listed]
    for name in names:
        if not (folder / name).is_dir():
            raise ImageError(
                f"{folder}: the label {name!r} is listed but is not there. "
                "Restore it or take it off the list `labels`."
            )
    others = sorted(
        child.name
        for child in folder.iterdir()
        if child.name not in names and child.is_dir() and _is_image(child)
    )
    return names + others


def copy_metadata(source: Path, target: Path, multiscale: Multiscale) -> None:
    """Give `target` the metadata files of an image: its groups and arrays, without a chunk."""
    folders = {Path()} | {part for p in multiscale.paths for part in [Path(p), *Path(p).parents]}
    for folder in folders:
        copy_metadata_files(source / folder, target / folder)


def copy_metadata_files(source: Path, target: Path) -> None:
    """Copy the metadata files of one Zarr node."""
    make_folder(target)
    for name in METADATA_FILES:
        if (source / name).is_file():
            copy_tree(source / name, target / name)


def foreign_files(image: Path) -> list[Path]:
    """What else lies in an image's folder and its labels': neither level, label nor table."""
    labels = {image / "labels" / name for name in label_names(image)}
    own = {
        image: {"labels", "tables", *Multiscale.read(image).folders},
        image / "labels": {label.name for label in labels},
        **{label: Multiscale.read(label).folders for label in labels},
    }
    return [child for folder, names in own.items() for child in others(folder, names)]


def others(folder: Path, own: Iterable[str]) -> list[Path]:
    """What lies in a folder and is neither metadata (consolidated or not) nor one of `own`."""
    if not folder.is_dir():
        return []
    known = {*METADATA_FILES, ".zmetadata", *own}
    return sorted(child for child in folder.iterdir() if child.name not in known)


def level_shapes(
    shape: Sequence[int], factors: Sequence[int], levels: int
) -> list[tuple[int, ...]]:
    """Shapes of a new pyramid: ``floor(n / f)`` on every axis, never below 1.

    Examples
    --------
    >>> level_shapes((3, 5, 9), (1, 2, 2), 3)
    [(3, 5, 9), (3, 2, 4), (3, 1, 2)]
    """
    shapes = [tuple(shape)]
    while len(shapes) < levels:
        shapes.append(tuple(max(1, n // f) for n, f in zip(shapes[-1], factors, strict=True)))
    return shapes


def _axes(path: Path, entries: object) -> tuple[str, tuple[float, ...]]:
    if not isinstance(entries, list) or not entries:
        raise ImageError(f"{path}: `multiscales` has no `axes`; OME-NGFF 0.4 and later require it.")
    names, units = [], []
    for entry in entries:
        axis = entry if isinstance(entry, dict) else {"name": entry}
        name, unit = axis.get("name"), axis.get("unit") or "micrometer"
        in_space = name in ("z", "y", "x")
        if in_space and (not isinstance(unit, str) or unit not in MICROMETERS):
            raise ImageError(
                f"{path}: axis {name} has the unit {unit!r}, which is not a length. Expected one "
                f"of {', '.join(MICROMETERS)}."
            )
        names.append(str(name))
        units.append(MICROMETERS[unit] if in_space else 1.0)
    axes = "".join(names)
    if list(axes) != names or axes != "".join(a for a in AXES if a in axes) or axes[-2:] != "yx":
        raise ImageError(
            f"{path}: axes {names}; expected some of t, c, z, y, x in this order, ending in y, x."
        )
    return axes, tuple(units)


def _dataset_path(path: Path, dataset: object) -> str:
    name = dataset.get("path") if isinstance(dataset, dict) else None
    for part in Path(str(name)).parts:
        safe_name(part, f"{path}: a part of a level's path")
    if not isinstance(name, str) or not name:
        raise ImageError(f"{path}: a dataset without a path: {dataset!r}.")
    return name


def _scale(
    path: Path, holder: dict[str, Any], ndim: int, default: list[float] | None = None
) -> list[float]:
    transforms = holder.get("coordinateTransformations")
    listed = transforms if isinstance(transforms, list) else []
    scales = [t["scale"] for t in listed if isinstance(t, dict) and "scale" in t]
    scale = scales[0] if scales else default
    if (
        not isinstance(scale, list)
        or len(scale) != ndim
        or not all(isinstance(s, int | float) and math.isfinite(s) and s > 0 for s in scale)
    ):
        raise ImageError(
            f"{path}: the scale of {holder.get('path', 'the image')!r} is {scale!r}; expected "
            f"{ndim} numbers above zero. Without a pixel size micrometres mean nothing."
        )
    return [float(s) for s in scale]


def _is_image(path: Path) -> bool:
    try:
        return "multiscales" in read_attributes(path)
    except PlateError:
        return False
