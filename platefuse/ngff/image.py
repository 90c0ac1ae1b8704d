"""OME-Zarr images and labels: axes, levels, scales; read once, from JSON alone.

Reads OME-NGFF 0.4 and 0.5. Pixels are opened by `platefuse.storage.arrays`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self

from platefuse.errors import ImageError
from platefuse.ngff.label_grids import on_grid_of, warn_of_other_sizes
from platefuse.ngff.labels import absent_labels, label_names, warn_of_absent_labels
from platefuse.ngff.metadata import ArrayMetadata, read_attributes
from platefuse.ngff.multiscales import (
    axes_of,
    axis_name,
    dataset_path,
    datasets_of,
    first_entry,
    scale_of,
)
from platefuse.ngff.zarr_format import CONSOLIDATED_FILE, METADATA_FILES
from platefuse.storage.once import read_once
from platefuse.storage.typed_json import JsonObject, list_of, object_of


@dataclass(frozen=True)
class Multiscale:
    """The first multiscale image of an OME-Zarr group, with its levels: an image or a label.

    `read` reads one file for the group and one for each level. Nothing is read later.

    Attributes
    ----------
    path : Path
        The group's folder.
    axes : str
        Names of the axes in array order, for example ``"czyx"``.
    um_per_unit : tuple of float
        Micrometres per unit of each axis; 1 for axes that are not in space.
    paths : tuple of str
        Path of each level inside the group, finest first.
    scales : tuple of tuple of float
        Pixel size of each level on every axis, in the axis's unit; on `t` and `c` 1 where the
        metadata have no number above zero.
    metadata : dict
        The entry of `multiscales`, unchanged.
    attributes : dict
        All OME-NGFF attributes of the group, such as `omero`.
    levels : tuple of ArrayMetadata
        Shape, data type and chunks of each level.
    """

    path: Path
    axes: str
    um_per_unit: tuple[float, ...]
    paths: tuple[str, ...]
    scales: tuple[tuple[float, ...], ...]
    metadata: JsonObject
    attributes: JsonObject
    levels: tuple[ArrayMetadata, ...]

    @classmethod
    def read(cls, path: Path) -> Multiscale:
        """Read the metadata of the image or label at `path`, and of its levels.

        Raises
        ------
        ImageError
            If there is no image, or its axes, levels or scales cannot be used.
        """
        return _read(path)

    def at(self, path: Path) -> Self:
        """The same image in another folder, which need not exist yet."""
        return replace(self, path=path)

    @property
    def folders(self) -> set[str]:
        """The folders that its levels lie in."""
        return {Path(path).parts[0] for path in self.paths}

    @property
    def level_paths(self) -> list[Path]:
        """The folder of each level's array, finest first."""
        return [self.path / path for path in self.paths]

    def from_level(self, level: int) -> Self:
        """The same image without the levels that are finer than this one."""
        paths, scales, levels = self.paths[level:], self.scales[level:], self.levels[level:]
        return replace(self, paths=paths, scales=scales, levels=levels)

    @cached_property
    def spatial(self) -> str:
        """The axes in space, in array order, for example ``"zyx"``."""
        return "".join(a for a in self.axes if a in "zyx")

    @cached_property
    def pixel_size_um(self) -> dict[str, float]:
        """Size of a pixel of the finest level on each axis in space, in micrometres."""
        sizes = zip(self.axes, self.scales[0], self.um_per_unit, strict=True)
        return {axis: size * unit for axis, size, unit in sizes if axis in "zyx"}

    @property
    def has_pixel_size(self) -> bool:
        """Whether an axis in space has a unit or a scale that is not 1."""
        axes = list_of(self.metadata["axes"])
        units = [object_of(a).get("unit") for a in axes if axis_name(a) in ("z", "y", "x")]
        scales = zip(self.axes, self.scales[0], strict=True)
        return any(units) or any(scale != 1 for axis, scale in scales if axis in "zyx")

    @cached_property
    def flat_axes(self) -> str:
        """``z`` if there is one plane, which is the whole extent whatever its size; else empty."""
        shape = zip(self.spatial, self.shape_in_space, strict=True)
        return "".join(axis for axis, length in shape if axis == "z" and length == 1)

    def of_depth(self, um: float) -> Self:
        """The same image, whose only plane is taken to be as thick as this; a stack is kept."""
        if not self.flat_axes or self.pixel_size_um["z"] == um:
            return self
        z = self.axes.index("z")
        ratio = um / self.pixel_size_um["z"]
        scales = tuple((*own[:z], own[z] * ratio, *own[z + 1 :]) for own in self.scales)
        return replace(self, scales=scales)

    @property
    def non_spatial_scale(self) -> dict[str, float]:
        """Scale of the finest level on each axis that is not in space, in the axis's unit."""
        return {a: s for a, s in zip(self.axes, self.scales[0], strict=True) if a not in "zyx"}

    @property
    def other_units(self) -> dict[str, str]:
        """The units of axes that are not in space, where the metadata name them."""
        units = {}
        for axis in list_of(self.metadata["axes"]):
            name, unit = axis_name(axis), object_of(axis).get("unit")
            if unit and name in self.axes and name not in "zyx":
                units[name] = str(unit)
        return units

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of every level, in pixels."""
        return tuple(level.shape for level in self.levels)

    @property
    def shape_in_space(self) -> tuple[int, ...]:
        """Shape of the finest level on the axes in space, in pixels."""
        return self.levels[0].shape[len(self.axes) - len(self.spatial) :]

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

    def _factor(self, level: int, axis: int) -> int:
        fine, coarse = (self.shapes[k][axis] for k in (level - 1, level))
        ratio = self.scales[level][axis] / self.scales[level - 1][axis]
        for factor in dict.fromkeys((max(1, round(ratio)), max(1, round(fine / coarse)))):
            if is_grouped(fine, coarse, factor):
                return factor
        raise ImageError(
            f"{self.path}: level {self.paths[level]} has {coarse} pixels in {self.axes[axis]}, "
            f"level {self.paths[level - 1]} has {fine}, and their scales differ by {ratio:g}. "
            "Expected each level to group whole pixels of the one before."
        )


def is_grouped(fine: int, coarse: int, factor: int) -> bool:
    """Whether so many pixels of a coarser level group those of a finer one by a factor."""
    return coarse in (max(1, fine // factor), -(-fine // factor))


@dataclass(frozen=True)
class Image(Multiscale):
    """An image with its labels: all metadata of an image, read once.

    Attributes
    ----------
    labels : mapping of str to Multiscale
        Its labels by name, those that the image lists first. Their pixel size is that which they
        have under the image: see `on_grid_of`.
    absent_labels : tuple of str
        Labels that the image lists and does not have.
    """

    labels: Mapping[str, Multiscale]
    absent_labels: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Image:
        """Read the metadata of the image at `path` and of its labels.

        Raises
        ------
        PlatefuseError
            If the image or a label cannot be used.
        """
        image = _read(path)
        known = {field.name: getattr(image, field.name) for field in fields(image)}
        labels = {
            name: on_grid_of(_read(path / "labels" / name), image) for name in label_names(path)
        }
        return cls(**known, labels=labels, absent_labels=tuple(absent_labels(path)))

    def of_depth(self, um: float) -> Self:
        """The same image and labels, of which one plane is taken to be as thick as this."""
        labels = {name: label.of_depth(um) for name, label in self.labels.items()}
        return replace(super().of_depth(um), labels=labels)

    @property
    def parts(self) -> tuple[Multiscale, ...]:
        """The image itself and its labels: all that has pixels."""
        return (self, *self.labels.values())

    def warn_of_labels(self) -> None:
        """Say of labels that are left out, or have another pixel size than they say."""
        warn_of_absent_labels(self.path, self.absent_labels)
        written = {
            name: replace(own, scales=_written_scales(own.path, own.metadata, own.axes))
            for name, own in self.labels.items()
        }
        warn_of_other_sizes(self, written)


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


def check_pixel_sizes(image: Multiscale, reference: Multiscale) -> None:
    """Check that the pixel grids of two images differ by less than a pixel along each axis.

    One plane is the whole depth: its size in z is not looked at.

    Raises
    ------
    ImageError
        If they do not: then a pixel of one is not a pixel of the other.
    """
    sizes, expected = image.pixel_size_um, reference.pixel_size_um
    shapes = zip(image.spatial, image.shape_in_space, reference.shape_in_space, strict=True)
    for axis, *lengths in shapes:
        if axis in image.flat_axes + reference.flat_axes:
            continue
        got, wanted = sizes[axis], expected[axis]
        if max(lengths) * abs(got - wanted) >= max(got, wanted):
            raise ImageError(
                f"{image.path}: its pixels are {got:g} µm in {axis}, those of the reference "
                f"{reference.path} are {wanted:g} µm. Expected the same pixel size in all "
                "acquisitions of a well that are registered. Correct the scale in the metadata if "
                "it is wrong, or resample the image; a run with registration.enabled: false and "
                "fusion.layout: per_acquisition fuses each acquisition by itself."
            )


def foreign_files(image: Image) -> list[Path]:
    """All files in the folders of an image and its labels but levels, labels, tables, metadata.

    What lies in the folder of a level is not looked at: see `chunk_files.stray_entries`.
    """
    own: dict[Path, set[str]] = {image.path: {"labels", "tables"}}
    labels = image.path / "labels"
    own[labels] = set()
    for name in image.labels:
        _enter(own, labels, name)
    for part in image.parts:
        for level in part.paths:
            _enter(own, part.path, level)
    return [child for folder, names in own.items() for child in others(folder, names)]


def _enter(own: dict[Path, set[str]], folder: Path, path: str) -> None:
    """Enter a path in a folder into what each folder on the way holds."""
    for part in Path(path).parts:
        own.setdefault(folder, set()).add(part)
        folder /= part


def others(folder: Path, own: Iterable[str]) -> list[Path]:
    """All entries of a folder that are neither metadata (consolidated or not) nor in `own`."""
    if not folder.is_dir():
        return []
    known, own = {*METADATA_FILES, CONSOLIDATED_FILE}, set(own)
    return sorted(
        child
        for child in folder.iterdir()
        if child.name not in own and not (child.name in known and child.is_file())
    )


@read_once
def _read(path: Path) -> Multiscale:
    """An image or a label, read from disk."""
    attributes = read_attributes(path)
    entry = first_entry(path, attributes)
    axes, um_per_unit = axes_of(path, entry.get("axes"))
    paths = tuple(dataset_path(path, dataset) for dataset in datasets_of(path, entry))
    scales = _written_scales(path, entry, axes)
    levels = tuple(ArrayMetadata.read(path / p) for p in paths)
    for level, folder in zip(levels, paths, strict=True):
        level.check_pixels(path / folder, axes)
    _check_order(path, dict(zip(paths, levels, strict=True)))
    return Multiscale(path, axes, um_per_unit, paths, scales, entry, attributes, levels)


def _written_scales(
    path: Path, entry: Mapping[str, object], axes: str
) -> tuple[tuple[float, ...], ...]:
    """The scales of the levels, as the metadata have them."""
    common = scale_of(path, entry, axes, default=[1.0] * len(axes))
    return tuple(
        tuple(a * b for a, b in zip(scale_of(path, level, axes), common, strict=True))
        for level in datasets_of(path, entry)
    )


def _check_order(path: Path, levels: Mapping[str, ArrayMetadata]) -> None:
    """Check that no level is longer on an axis than the one before it."""
    for (before, fine), (after, coarse) in pairwise(levels.items()):
        if any(a < b for a, b in zip(fine.shape, coarse.shape, strict=True)):
            raise ImageError(
                f"{path}: level {after} has the shape {list(coarse.shape)} and comes after level "
                f"{before} with {list(fine.shape)}. Expected the levels from the finest to the "
                "coarsest: sort `datasets` in the metadata."
            )
