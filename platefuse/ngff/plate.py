"""Plates, wells and the paths of their images: names read from metadata, checked before use.

This module reads JSON and nothing else. Snakemake imports it while it builds the DAG, so it
must stay cheap: thousands of wells, no array library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from platefuse.errors import PlateError
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.paths import (
    check_folder,
    check_tree,
    entries,
    inside,
    safe_name,
    staging_folder,
)

REGISTERED_SUFFIX = "_registered"


@dataclass(frozen=True)
class WellImage:
    """One image of a well, as the well's metadata lists it.

    Attributes
    ----------
    path : str
        Path of the image inside the well, for example ``"0"``.
    acquisition : int or None
        The acquisition it belongs to; None where the metadata does not say.
    """

    path: str
    acquisition: int | None


@dataclass(frozen=True)
class Well:
    """A well of a plate on disk.

    Attributes
    ----------
    plate : Path
        The plate's folder.
    row, column : str
        Names of the well's row and column, for example ``"B"`` and ``"03"``.
    only : tuple of str or None
        Paths of the images to process; None: all.
    """

    plate: Path
    row: str
    column: str
    only: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """Row and column as OME-NGFF writes them, for example ``"B/03"``."""
        return f"{self.row}/{self.column}"

    @property
    def path(self) -> Path:
        """The well's folder."""
        return self.plate / self.row / self.column

    @property
    def staging(self) -> Path:
        """The folder, outside the plate, for images of this well that are not live.

        Raises
        ------
        PlateError
            If it cannot be one: see `staging_folder`.
        """
        return staging_folder(self.plate, self.row, self.column)

    @cached_property
    def listed_images(self) -> tuple[WellImage, ...]:
        """Every image that the well's metadata lists, in its order.

        Raises
        ------
        PlateError
            If the metadata is missing, broken, or names an image unsafely or twice.
        """
        entries = _section(self.path, "well").get("images")
        if not isinstance(entries, list):
            raise PlateError(
                f"{self.path}: the well's metadata has no list `images` (got {entries!r}); "
                "OME-NGFF requires one."
            )
        images = tuple(_well_image(self.path, entry) for entry in entries)
        paths = [image.path for image in images]
        if twice := sorted({p for p in paths if paths.count(p) > 1}):
            raise PlateError(f"{self.path}: `images` lists {twice} more than once; expected once.")
        return images

    @property
    def acquired_images(self) -> tuple[WellImage, ...]:
        """The images that were acquired: `listed_images` without what platefuse added."""
        paths = {image.path for image in self.listed_images}
        return tuple(
            image
            for image in self.listed_images
            if image.path.removesuffix(REGISTERED_SUFFIX) == image.path
            or image.path.removesuffix(REGISTERED_SUFFIX) not in paths
        )

    @property
    def images(self) -> tuple[WellImage, ...]:
        """The images to process: those of `acquired_images` that `only` names."""
        return tuple(
            image for image in self.acquired_images if self.only is None or image.path in self.only
        )

    def image(self, path: str) -> Path:
        """Folder of one image of the well.

        Raises
        ------
        PlateError
            If the name is unsafe, or leads out of the plate through a link.
        """
        return inside(self.path / safe_name(path, f"{self.path}: an image"), self.plate)

    def check_listed(self, path: str) -> None:
        """Check that the well's metadata lists an image.

        Raises
        ------
        PlateError
            If they do not.
        """
        listed = [image.path for image in self.listed_images]
        if path not in listed:
            raise PlateError(
                f"{self.path}: the well's metadata lists the images {listed}, and not {path!r}. "
                "Enter it under `well.images`, with its acquisition."
            )

    def check_links(self, path: str) -> None:
        """Check that no link in an image leads out of the plate.

        Chunks are not looked at: there are too many.

        Raises
        ------
        PlateError
            If a level or a label does, or anything in a table.
        """
        target = self.image(path)
        labels = target / "labels"
        for folder in (target, labels, *(Path(label.path) for label in entries(labels))):
            check_folder(folder, self.plate)
        check_tree(target / "tables", self.plate)

    def reference_image(self, image: str, acquisition: int) -> str:
        """Path of the image that `image` is registered to.

        With several images of the reference acquisition, the one whose path ends like
        `image` after its first underscore is taken (``1_illum`` goes with ``0_illum``,
        ``1`` with ``0``).

        Raises
        ------
        PlateError
            If the well has no such acquisition, or more than one image would do.
        """
        everything = self.acquired_images
        candidates = [i.path for i in self.images if i.acquisition == acquisition]
        candidates = candidates or [i.path for i in everything if i.acquisition == acquisition]
        if not candidates:
            found = sorted({i.acquisition for i in everything if i.acquisition is not None})
            raise PlateError(
                f"{self.path}: no image of the reference acquisition {acquisition!r} (the well's "
                f"metadata has acquisitions {found}). Set `registration.reference_acquisition` "
                "to one of them, or add the key `acquisition` to the entries of `well.images`."
            )
        if len(candidates) == 1:
            return candidates[0]
        matching = [path for path in candidates if _suffix(path) == _suffix(image)]
        if len(matching) != 1:
            raise PlateError(
                f"{self.path}: the reference acquisition {acquisition} has the images "
                f"{candidates}, and not exactly one of them goes with image {image!r} by its "
                f"suffix {_suffix(image)!r}. Rename them so that the suffixes agree, or name the "
                "images to process under `images` in the config."
            )
        return matching[0]


@dataclass(frozen=True)
class Plate:
    """An OME-Zarr HCS plate on disk (NGFF 0.4 or 0.5).

    Attributes
    ----------
    path : Path
        The plate's folder.
    wells : tuple of Well
        Its wells, in the order of its metadata.
    metadata : dict
        The `plate` section of its attributes.
    """

    path: Path
    wells: tuple[Well, ...]
    metadata: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path, images: Sequence[str] | None = None) -> Plate:
        """Read a plate's metadata.

        Parameters
        ----------
        path : str or Path
            The plate's folder.
        images : sequence of str, optional
            Paths of the images to process in every well; by default all.

        Raises
        ------
        PlateError
            If there is no plate at `path`, or it names a well by an unsafe path.
        """
        path = Path(path)
        if path.name in ("", ".."):  # it has to have a name, for the folders beside it
            path = path.resolve()
        if not path.is_dir():
            raise PlateError(
                f"{path}: no such plate (expected the folder of an OME-Zarr plate). "
                "Check the path under `plates` in the config."
            )
        metadata = _section(path, "plate")
        entries = metadata.get("wells")
        if not isinstance(entries, list) or not entries:
            raise PlateError(
                f"{path}: the plate's metadata lists no wells (`plate.wells` is {entries!r}); "
                "expected a list of {'path': 'row/column'}."
            )
        only = None if images is None else tuple(images)
        return cls(path, tuple(_well(path, entry, only) for entry in entries), metadata)

    def well(self, row: str, column: str) -> Well:
        """One well by its row's and column's name.

        Raises
        ------
        PlateError
            If the plate has no such well.
        """
        for well in self.wells:
            if (well.row, well.column) == (row, column):
                return well
        raise PlateError(
            f"{self.path}: no well {row}/{column}; it has {[w.name for w in self.wells]}."
        )


def _section(group: Path, key: str) -> dict[str, Any]:
    section = read_attributes(group).get(key)
    if not isinstance(section, dict):
        raise PlateError(
            f"{group}: not an OME-Zarr {key} (its attributes have no `{key}` section). "
            f"Give the folder that holds the `{key}` metadata."
        )
    return section


def _well(plate: Path, entry: object, only: tuple[str, ...] | None) -> Well:
    path = entry.get("path") if isinstance(entry, dict) else None
    parts = PurePosixPath(path).parts if isinstance(path, str) else ()
    if len(parts) != 2:
        raise PlateError(
            f"{plate}: `plate.wells` has the entry {entry!r}; expected {{'path': 'row/column'}}."
        )
    row, column = (safe_name(part, f"{plate}: a row or column") for part in parts)
    well = Well(plate, row, column, only)
    inside(well.path, plate)
    return well


def _well_image(well: Path, entry: object) -> WellImage:
    if not isinstance(entry, dict):
        raise PlateError(f"{well}: `well.images` has the entry {entry!r}; expected an object.")
    acquisition = entry.get("acquisition")
    if acquisition is not None and type(acquisition) is not int:  # True is no number
        raise PlateError(
            f"{well}: image {entry.get('path')!r} has acquisition {acquisition!r}; "
            "expected an integer."
        )
    return WellImage(safe_name(entry.get("path"), f"{well}: an image"), acquisition)


def _suffix(path: str) -> str:
    return path.partition("_")[2]
