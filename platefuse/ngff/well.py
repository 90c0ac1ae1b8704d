"""A well and the places of its images: names read from metadata, checked before use.

Snakemake imports this module while it builds the DAG, so it reads JSON alone: one file for each
well, none for an image.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from platefuse.errors import PlateError, some
from platefuse.ngff.paths import (
    check_folder,
    check_tree,
    groups_below,
    inside,
    real_plate,
    safe_name,
    staging_folder,
    staging_root,
)
from platefuse.ngff.sections import listed_image, section_of
from platefuse.storage.files import entries
from platefuse.storage.once import read_once

REGISTERED_SUFFIX = "_registered"
BACKUP_SUFFIX = ".original"


@dataclass(frozen=True)
class WellImage:
    """One image of a well: all the places that it can have. No property touches the disk.

    Attributes
    ----------
    well : Well
        Its well.
    name : str
        Path of the image inside the well, for example ``"0"``: one safe component.
    acquisition : int or None
        The acquisition it belongs to; None where the metadata does not say.
    """

    well: Well
    name: str
    acquisition: int | None = None

    @property
    def number(self) -> int:
        """Number of its acquisition; 0 where the metadata does not say."""
        return self.acquisition or 0

    @cached_property
    def live(self) -> Path:
        """Where the image is in the plate."""
        return self.well.path / self.name

    @property
    def staged(self) -> Path:
        """Where its new image is made, before it is live."""
        return self.well.staging / self.name

    @property
    def staged_from(self) -> Path:
        """The file that tells what the new image was made from, while it is staged."""
        return self.well.staging / f".{self.name}.from.json"

    @property
    def backup(self) -> Path:
        """Where the old image is kept after the swap."""
        return self.well.staging / f"{self.name}{BACKUP_SUFFIX}"

    @cached_property
    def registered(self) -> Path:
        """Where the registered image is if the original stays: next to it in the plate."""
        return self.well.path / f"{self.name}{REGISTERED_SUFFIX}"

    def destination(self, *, overwrite: bool) -> Path:
        """Where the registered image is in the end: `live` or `registered`."""
        return self.live if overwrite else self.registered

    def check_inside(self) -> None:
        """Check that neither `live` nor `registered` leads out of the plate through a link.

        Raises
        ------
        PlateError
            If one does.
        """
        for path in (self.live, self.registered):
            inside(path, self.well.plate)

    @read_once
    def check_links(self) -> None:
        """Check that no link in the live image leads out of the plate.

        Chunks are not looked at: there are too many.

        Raises
        ------
        PlateError
            If a level or a label does, or anything in a table.
        """
        self.check_inside()
        labels = self.live / "labels"
        for folder in (self.live, labels, *groups_below(labels)):
            check_folder(folder, self.well.plate)
        check_tree(self.live / "tables", self.well.plate)


@dataclass(frozen=True)
class Well:
    """A well of a plate, with the images that its metadata list. No property touches the disk.

    Attributes
    ----------
    plate : Path
        The plate's folder.
    row, column : str
        Names of the well's row and column, for example ``"B"`` and ``"03"``.
    listed : tuple of (str, int or None)
        Path and acquisition of every image that the metadata list, in their order.
    only : tuple of str or None
        Paths of the images to process; None: all.
    """

    plate: Path
    row: str
    column: str
    listed: tuple[tuple[str, int | None], ...] = ()
    only: tuple[str, ...] | None = None

    @classmethod
    def read(cls, plate: Path, row: str, column: str, only: tuple[str, ...] | None = None) -> Well:
        """Read a well's metadata.

        Raises
        ------
        PlateError
            If the metadata is missing, broken, or names an image unsafely or twice; if the staging
            folder cannot be used.
        """
        plate = real_plate(plate)
        path = inside(plate / row / column, plate)
        found = section_of(path, "well").get("images")
        if not isinstance(found, list):
            raise PlateError(
                f"{path}: the well's metadata has no list `images` (got {found!r}); "
                "OME-NGFF requires one."
            )
        listed = tuple(listed_image(path, entry) for entry in found)
        names = [name for name, _ in listed]
        if twice := sorted(name for name, count in Counter(names).items() if count > 1):
            raise PlateError(f"{path}: `images` lists {some(twice)} more than once; expected once.")
        staging_folder(plate, row, column)
        return cls(plate, row, column, listed, only)

    def check_inside(self) -> None:
        """Check that no image leads out of the plate through a link; see `WellImage.check_inside`.

        Only links are resolved: one look at the well's folder for all images.
        """
        links = {entry.name for entry in entries(self.path) if entry.is_symlink()}
        for image in self.listed_images:
            if links & {image.live.name, image.registered.name}:
                image.check_inside()

    def read_again(self) -> Well:
        """The well as its metadata are now."""
        return Well.read(self.plate, self.row, self.column, self.only)

    @property
    def name(self) -> str:
        """Row and column as OME-NGFF writes them, for example ``"B/03"``."""
        return f"{self.row}/{self.column}"

    @cached_property
    def path(self) -> Path:
        """The well's folder."""
        return self.plate / self.row / self.column

    @cached_property
    def staging(self) -> Path:
        """The folder, outside the plate, for images of this well that are not live."""
        return staging_root(self.plate) / self.row / self.column

    @cached_property
    def listed_images(self) -> tuple[WellImage, ...]:
        """Every image that the well's metadata list, in their order."""
        return tuple(WellImage(self, name, acquisition) for name, acquisition in self.listed)

    @cached_property
    def acquired_images(self) -> tuple[WellImage, ...]:
        """The images that were acquired: `listed_images` without what platefuse added."""
        names = {name for name, _ in self.listed}
        return tuple(
            image
            for image in self.listed_images
            if image.name.removesuffix(REGISTERED_SUFFIX) == image.name
            or image.name.removesuffix(REGISTERED_SUFFIX) not in names
        )

    @cached_property
    def images(self) -> tuple[WellImage, ...]:
        """The images to process: those of `acquired_images` that `only` names."""
        return tuple(
            image for image in self.acquired_images if self.only is None or image.name in self.only
        )

    def image(self, name: str) -> WellImage:
        """One image of the well by its path; it need not be listed.

        Raises
        ------
        PlateError
            If the name is unsafe, or leads out of the plate through a link.
        """
        if name in self._by_name:
            return self._by_name[name]
        image = WellImage(self, safe_name(name, f"{self.path}: an image"))
        image.check_inside()
        return image

    @cached_property
    def _by_name(self) -> dict[str, WellImage]:
        return {image.name: image for image in self.listed_images}

    @cached_property
    def _by_acquisition(self) -> dict[int, list[WellImage]]:
        """The images of each acquisition: those to process or, without any, all that there are."""
        chosen: dict[int, list[WellImage]] = {}
        others: dict[int, list[WellImage]] = {}
        for images, found in ((self.images, chosen), (self.acquired_images, others)):
            for image in images:
                found.setdefault(image.number, []).append(image)
        return {**others, **chosen}

    def check_listed(self, name: str) -> None:
        """Check that the well's metadata list an image.

        Raises
        ------
        PlateError
            If they do not.
        """
        names = [listed for listed, _ in self.listed]
        if name not in names:
            raise PlateError(
                f"{self.path}: the well's metadata lists the images {names}, and not {name!r}. "
                "Enter it under `well.images`, with its acquisition."
            )

    def reference_image(self, name: str, acquisition: int) -> WellImage:
        """The image that the image `name` is registered to.

        With several images of the reference acquisition, the one whose path ends like `name` after
        its first underscore is taken (``1_illum`` goes with ``0_illum``, ``1`` with ``0``).

        Raises
        ------
        PlateError
            If the well has no such acquisition, or more than one image would do.
        """
        candidates = self._by_acquisition.get(acquisition, [])
        if not candidates:
            found = sorted({image.number for image in self.acquired_images})
            raise PlateError(
                f"{self.path}: no image of the reference acquisition {acquisition!r} (the well's "
                f"metadata has acquisitions {some(found)}). Set `reference_acquisition` "
                "to one of them, or add `acquisition` to the entries of `well.images`."
            )
        if len(candidates) == 1:
            return candidates[0]
        suffix = name.partition("_")[2]
        matching = [image for image in candidates if image.name.partition("_")[2] == suffix]
        if len(matching) != 1:
            raise PlateError(
                f"{self.path}: the reference acquisition {acquisition} has the images "
                f"{[i.name for i in candidates]}, and not exactly one of them goes with image "
                f"{name!r} by its suffix {suffix!r}. Give each its `acquisition`, rename "
                "them so that the suffixes agree, or name the images to process (`images` in a "
                "config)."
            )
        return matching[0]
