"""Report what has been done to a plate, from its folders and records.

It reads only, and takes no lock, so it may be called at any time of a run. A plate that is being
processed has no single state: each image is reported as it was when it was read, and an image that
is swapped at that time is reported as it was before or after.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from platefuse.errors import PlatefuseError
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate, WellName
from platefuse.ngff.well import Well, WellImage
from platefuse.records import FusedImageRecord, FusedWellRecord, Record, RegistrationRecord
from platefuse.registration.originals import restored_original
from platefuse.storage.typed_json import object_of

R = TypeVar("R", bound=Record)

STATES = {
    "raw": "as it was acquired",
    "staging": "its new image is being written, or its job was killed",
    "staged": "its new image is complete and not yet live",
    "placed": "as it was acquired; the fused plate has its fields at their registered places",
    "registered": "the live image (or <image>_registered) carries the record of its registration",
    "missing": "listed by the well, but there is no folder",
    "unreadable": "its metadata or record cannot be used; `problem` says why",
}


@dataclass(frozen=True)
class ShiftRange:
    """Shifts of the ROIs or fields of images onto the reference.

    Attributes
    ----------
    axes : str
        Axes in space, in the order of the shifts, for example ``"zyx"``.
    lowest_px, highest_px : tuple of float
        Smallest and largest shift of all ROIs, pixels of the full-resolution level.
    rois : int
        Number of ROIs.
    """

    axes: str
    lowest_px: tuple[float, ...]
    highest_px: tuple[float, ...]
    rois: int

    @classmethod
    def of_record(cls, record: RegistrationRecord) -> ShiftRange | None:
        """The range of a registration's record; None if it has no ROI."""
        return cls.of_shifts(record.axes, [roi.shift_px for roi in record.rois])

    @classmethod
    def of_shifts(cls, axes: str, shifts_px: Sequence[Sequence[float]]) -> ShiftRange | None:
        """The range of some shifts; None if there is none."""
        if not shifts_px:
            return None
        by_axis = list(zip(*shifts_px, strict=True))
        lowest, highest = tuple(map(min, by_axis)), tuple(map(max, by_axis))
        return cls(axes, lowest, highest, len(shifts_px))

    def joined(self, other: ShiftRange) -> ShiftRange:
        """The range of both, on the same axes."""
        lowest = tuple(map(min, self.lowest_px, other.lowest_px))
        highest = tuple(map(max, self.highest_px, other.highest_px))
        return ShiftRange(self.axes, lowest, highest, self.rois + other.rois)

    def of_axis(self, axis: str) -> tuple[float, float] | None:
        """Smallest and largest shift along one axis, pixels; None for an axis it has not."""
        if axis not in self.axes:
            return None
        i = self.axes.index(axis)
        return self.lowest_px[i], self.highest_px[i]


@dataclass(frozen=True)
class ImageStatus:
    """The state of one acquired image.

    Attributes
    ----------
    image : str
        Path of the image in the well.
    acquisition : int or None
        Its acquisition; None where the metadata does not say.
    state : str
        One of `STATES`.
    registered_image : str or None
        Path in the well of the registered image: `image` itself, or ``<image>_registered``
        next to it.
    backup : str or None
        Folder of the original, if it is kept or not yet removed.
    shifts : ShiftRange or None
        Its shifts; if it is staged, those that it will have.
    problem : str or None
        What is wrong, if it is unreadable.
    fused : bool
        Whether the fused plate has an image that was made from it.
    restored : str or None
        When its original was put back (UTC), if it was and the image is not registered again.
    restored_from : str or None
        The registration of the image that was there before.
    """

    image: str
    acquisition: int | None
    state: str
    registered_image: str | None = None
    backup: str | None = None
    shifts: ShiftRange | None = None
    problem: str | None = None
    fused: bool = False
    restored: str | None = None
    restored_from: str | None = None


@dataclass(frozen=True)
class WellStatus:
    """The state of one well.

    Attributes
    ----------
    well : str
        Its name, for example ``"B/03"``.
    fused : bool
        Whether the fused plate has this well, made from all of its images.
    images : tuple of ImageStatus
        Its acquired images, in the order of its metadata.
    problem : str or None
        What is wrong, if its metadata cannot be used; `images` is empty then.
    """

    well: str
    fused: bool
    images: tuple[ImageStatus, ...]
    problem: str | None = None


@dataclass(frozen=True)
class PlateStatus:
    """The state of a plate.

    Attributes
    ----------
    plate, fused_plate : str
        The two folders; the second need not exist.
    wells : tuple of WellStatus
        Its wells, in the order of its metadata.
    absent : tuple of str
        The wells that its metadata list and that do not exist: those of a sparse plate.
    """

    plate: str
    fused_plate: str
    wells: tuple[WellStatus, ...]
    absent: tuple[str, ...] = ()

    @property
    def images(self) -> list[ImageStatus]:
        """All images of all wells."""
        return [image for well in self.wells for image in well.images]

    @property
    def counts(self) -> dict[str, int]:
        """Number of images in each state that occurs, in the order of `STATES`."""
        found = Counter(image.state for image in self.images)
        return {state: found[state] for state in STATES if found[state]}

    @property
    def complete(self) -> bool:
        """Whether every image is registered, in the plate or while fusing, and every well fused."""
        return all(w.fused and w.problem is None for w in self.wells) and all(
            image.state in ("registered", "placed") for image in self.images
        )

    def as_dict(self) -> dict[str, object]:
        """Everything, for JSON."""
        return {**asdict(self), "counts": self.counts, "complete": self.complete}


def plate_status(path: str | Path, fused: str | Path | None = None) -> PlateStatus:
    """Read the state of every image of a plate. Writes nothing.

    Parameters
    ----------
    path : str or Path
        The plate.
    fused : str or Path, optional
        The fused plate; ``<plate>_fused.zarr`` next to the plate if it is not given.

    Returns
    -------
    PlateStatus
        The state of all wells. An image or a well that cannot be read is reported, not raised.

    Raises
    ------
    PlateError
        If there is no plate at `path`.
    """
    plate = Plate.open(path)
    fused = fused_plate_path(plate.path, None if fused is None else str(fused))
    absent = {w: None for w in plate.wells if not os.path.lexists(plate.path / w.name)}
    wells = tuple(well_status(plate, well, fused) for well in plate.wells if well not in absent)
    return PlateStatus(str(plate.path), str(fused), wells, tuple(well.name for well in absent))


def well_status(plate: Plate, name: WellName, fused: Path) -> WellStatus:
    """Read the state of every image of a well; `fused` is the fused plate."""
    try:
        record = _read(FusedWellRecord, fused / name.row / name.column)
        sources = {} if record is None else object_of(record.fingerprint.get("sources"))
        images = Well.read(plate.path, name.row, name.column, plate.only).images
        placed = {} if record is None else _placed(fused / name.row / name.column, record)
        found = tuple(
            _as_fused(image_status(i), i.name in sources, placed.get(i.name)) for i in images
        )
        is_fused = record is not None and all(image.fused for image in found)
        return WellStatus(name.name, is_fused, found)
    except (PlatefuseError, OSError) as error:
        return WellStatus(name.name, False, (), str(error))


def _placed(well: Path, record: FusedWellRecord) -> dict[str, ShiftRange]:
    """The shifts of the fields that were placed while they were fused, by image."""
    shifts: dict[str, list[tuple[float, ...]]] = {}
    for name in record.images:
        image = _read(FusedImageRecord, well / name)
        for field in (None if image is None else image.fields) or ():
            shifts.setdefault(field.image, []).append(field.shift_px)
    ranges = {n: ShiftRange.of_shifts("zyx"[-len(own[0]) :], own) for n, own in shifts.items()}
    return {name: found for name, found in ranges.items() if found is not None}


def _as_fused(image: ImageStatus, fused: bool, shifts: ShiftRange | None) -> ImageStatus:
    """The state of an image, with what its fused image says."""
    if fused and shifts is not None and image.state == "raw":
        return replace(image, fused=True, state="placed", shifts=shifts)
    return replace(image, fused=fused)


def image_status(image: WellImage) -> ImageStatus:
    """Read the state of one image: its staged copy first, so that a swap is never missed."""
    try:
        return _image_status(image)
    except (PlatefuseError, OSError) as error:
        return ImageStatus(image.name, image.acquisition, "unreadable", problem=str(error))


def _image_status(image: WellImage) -> ImageStatus:
    image.check_inside()
    staged, live = image.staged, image.live
    in_staging, staged_record = staged.is_dir(), _read(RegistrationRecord, staged)
    name, record = _registered_image(image)
    if record is not None:
        state = "registered"
    elif not live.is_dir():
        state = "missing"
    elif in_staging:
        complete = staged_record is not None and staged_record.complete
        state, record = ("staged" if complete else "staging"), staged_record
    else:
        state = "raw"
    if live.is_dir():
        read_attributes(live)  # raises if this is no image
    note = restored_original(image) if live.is_dir() and name != image.name else None
    return ImageStatus(
        image.name,
        image.acquisition,
        state,
        registered_image=name,
        backup=_backup(image, registered_in_place=name == image.name),
        shifts=None if record is None else ShiftRange.of_record(record),
        restored=None if note is None else note.time,
        restored_from=None if note is None or note.record is None else str(note.record.request),
    )


def _registered_image(image: WellImage) -> tuple[str | None, RegistrationRecord | None]:
    for folder in (image.live, image.registered):
        record = _read(RegistrationRecord, folder)
        if record is not None:
            return folder.name, record
    return None, None


def _backup(image: WellImage, *, registered_in_place: bool) -> str | None:
    backup, staged = image.backup, image.staged
    if backup.is_dir():
        return str(backup)
    # A kill between exchange and renaming leaves the original under the staged image's name.
    exchanged = (
        registered_in_place and staged.is_dir() and _read(RegistrationRecord, staged) is None
    )
    return str(staged) if exchanged else None


def _read(kind: type[R], group: Path) -> R | None:
    try:
        return kind.read(group)
    except FileNotFoundError:  # removed or renamed since we looked
        return None
