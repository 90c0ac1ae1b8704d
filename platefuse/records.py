"""Records and receipts: the JSON that platefuse leaves in images and for finished jobs.

A *record* is the JSON object under the key ``platefuse`` in the attributes of an image or a well.
It is written last, so a group that has one is complete. A *receipt* is the small JSON file of a
finished job, for which Snakemake looks. Both are read and written here only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from platefuse import __version__
from platefuse.errors import MetadataError, RecordError
from platefuse.geometry import Box
from platefuse.ngff.metadata import (
    V2,
    Format,
    all_attributes,
    is_consolidated,
    replace_attributes,
)
from platefuse.storage.files import read_json, write_json
from platefuse.storage.typed_json import UnexpectedJson, from_json, to_json

KEY = "platefuse"
"""The attribute of a Zarr group that holds its record."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class _Stamped:
    """The keys with which every record and receipt begins.

    Attributes
    ----------
    platefuse_version : str
        The version that wrote it.
    time : str
        When it was made: UTC, as ISO 8601 writes it, to the second.
    """

    platefuse_version: str = __version__
    time: str = field(default_factory=_now)

    def as_json(self) -> dict[str, Any]:
        """The JSON object, with its keys in the order in which they are written."""
        content: dict[str, Any] = to_json(self)
        return content


class Record(_Stamped):
    """A record: one section of the object under `KEY`."""

    section: ClassVar[str]
    what: ClassVar[str]
    remedy: ClassVar[str]

    @classmethod
    def read(cls, group: Path) -> Self | None:
        """Read the record of a Zarr group.

        Parameters
        ----------
        group : Path
            Folder of the image or the well; it need not exist.

        Returns
        -------
        record or None
            None if the group has no attribute `KEY`, or no section of this record in it.

        Raises
        ------
        RecordError
            If the record is damaged: a key is missing, or a value is of another type.
        PlatefuseError
            If the attributes are not a JSON object.
        """
        attributes = all_attributes(group)
        if KEY not in attributes:
            return None
        try:
            content = attributes[KEY]
            if isinstance(content, dict):
                if cls.section not in content:
                    return None
                return from_json(cls, content[cls.section], f"{KEY}.{cls.section}")
            raise UnexpectedJson(f"`{KEY}` is {content!r}, expected an object")
        except UnexpectedJson as error:
            file = (Format.of(group) or V2).attributes_path(group)
            raise RecordError(
                f"{file}: the {cls.what} is damaged: {error}. {cls.remedy}"
            ) from error

    def write(self, group: Path) -> None:
        """Write the record to a Zarr group, in place of any other; other attributes are kept.

        Raises
        ------
        MetadataError
            If the group has no metadata.
        """
        if Format.of(group) is None:
            raise MetadataError(
                f"{group}: not a Zarr group; expected a file `.zgroup` or `zarr.json` in it."
            )
        record = {KEY: {self.section: self.as_json()}}
        replace_attributes(group, {**all_attributes(group), **record})


@dataclass(frozen=True)
class RegistrationIdentity:
    """What must agree for two registrations to be the same.

    Attributes
    ----------
    roi_table : str
        Name of the registered ROI table.
    reference_acquisition : int
        The acquisition that the image was registered to.
    interpolation : str
        Name of the interpolation of intensity images.
    """

    roi_table: str
    reference_acquisition: int
    interpolation: str

    def __str__(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in vars(self).items())


@dataclass(frozen=True)
class TableDigests:
    """SHA-256 of the registered ROI tables that a registration used; see `digest_tree`.

    Attributes
    ----------
    acquisition_table, reference_table : str
        The table of the image, and that of the reference image.
    """

    acquisition_table: str
    reference_table: str


@dataclass(frozen=True)
class RegisteredRoi:
    """Where the pixels of one ROI were written. In pixels of the full-resolution level.

    Attributes
    ----------
    name : str
        Name of the ROI in the image's table.
    shift_px : tuple of float
        Exact shift from the acquisition to the reference, on the record's axes.
    start_px, size_px : tuple of int
        First pixel and extent in the registered image, on the record's axes.
    """

    name: str
    shift_px: tuple[float, ...]
    start_px: tuple[int, ...]
    size_px: tuple[int, ...]

    @property
    def box(self) -> Box:
        """The pixels of the registered image that hold data of this ROI."""
        stop = (a + n for a, n in zip(self.start_px, self.size_px, strict=True))
        return Box(self.start_px, tuple(stop))

    @property
    def offset_px(self) -> tuple[int, ...]:
        """The shift of labels and boxes: rounded to whole pixels."""
        return tuple(round(shift) for shift in self.shift_px)

    @property
    def source_box(self) -> Box:
        """The pixels of the acquisition that were written to `box`, if by whole pixels."""
        return self.box.shifted([-offset for offset in self.offset_px])


@dataclass(frozen=True)
class RegisteredTable:
    """What was done to one table of a registered image.

    Attributes
    ----------
    origin : str
        The image that it comes from: the acquisition's own or the reference.
    action : str
        ``copied`` byte for byte, or ``moved`` with the pixels of the image.
    sha256 : str
        Digest of the table in the registered image.
    rows_dropped : int or None
        Number of rows of which nothing remained, if it was moved.
    """

    origin: Literal["image", "reference"] = field(metadata={"key": "from"})
    action: Literal["copied", "moved"]
    rows_dropped: int | None = None
    sha256: str = field(kw_only=True)


@dataclass(frozen=True, kw_only=True)
class RegistrationRecord(Record):
    """What was done to the pixels and the tables of a registered image.

    Attributes
    ----------
    request : RegistrationIdentity
        The registration.
    reference : str
        Path of the reference image in the well.
    digests : TableDigests
        Digests of the two ROI tables.
    axes : str
        Axes in space, in array order, for example ``"zyx"``.
    rois : tuple of RegisteredRoi
        Where each ROI was written.
    tables : mapping of str to RegisteredTable, optional
        What was done to each table. None until the tables are copied.
    """

    section = "registration"
    what = "record of the registration"
    remedy = (
        "platefuse cannot know whether these pixels were shifted: restore the image from a copy, "
        "or this file."
    )

    request: RegistrationIdentity
    reference: str
    digests: TableDigests
    axes: str
    rois: tuple[RegisteredRoi, ...]
    tables: Mapping[str, RegisteredTable] | None = None

    def __post_init__(self) -> None:
        for roi in self.rois:
            lengths = {len(roi.shift_px), len(roi.start_px), len(roi.size_px)}
            if lengths != {len(self.axes)}:
                raise ValueError(
                    f"ROI {roi.name!r} has {sorted(lengths)} numbers; expected {len(self.axes)}, "
                    f"one for each of the axes {self.axes!r}"
                )

    @property
    def complete(self) -> bool:
        """Whether the image is complete: its pixels are written and its tables are copied."""
        return self.tables is not None


@dataclass(frozen=True, kw_only=True)
class FusedImageRecord(Record):
    """How a fused image was made.

    Attributes
    ----------
    sources : tuple of str
        Paths of the source images in their well.
    origin_um : mapping of str to float
        Position on the stage of the corner of the first pixel on each axis in space, micrometres.
    tables_left_out : mapping of str to str
        Tables that the fused image does not have, and why.
    """

    section = "fusion"
    what = "record of the fused image"
    remedy = "Remove the fused well and fuse it again."

    sources: tuple[str, ...]
    origin_um: Mapping[str, float]
    tables_left_out: Mapping[str, str]


@dataclass(frozen=True)
class FusedImage:
    """One image of a fused well.

    Attributes
    ----------
    shape : tuple of int
        Shape of its full-resolution level.
    origin_um : mapping of str to float
        As in `FusedImageRecord`.
    """

    shape: tuple[int, ...]
    origin_um: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class FusedWellRecord(Record):
    """How a fused well was made.

    Attributes
    ----------
    fingerprint : mapping
        What tells this fusion from any other: options, and the state of the sources. JSON values.
    images : mapping of str to FusedImage
        Its images by their path in the well.
    """

    section = "fusion"
    what = "record of the fused well"
    remedy = "Remove the fused well and fuse it again."

    fingerprint: Mapping[str, Any] = field(metadata={"key": "wanted"})
    images: Mapping[str, FusedImage]


class Receipt(_Stamped):
    """A receipt: the JSON file of a finished job."""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a receipt.

        Raises
        ------
        RecordError
            If it is damaged, or the receipt of another job.
        PlatefuseError
            If the file does not hold a JSON object.
        """
        try:
            return from_json(cls, read_json(Path(path)), "receipt")
        except UnexpectedJson as error:
            raise RecordError(
                f"{path}: the receipt is damaged: {error}. Remove it and run the job again."
            ) from error

    def write(self, path: str | Path) -> None:
        """Write the receipt atomically; its folder is created if it does not exist."""
        write_json(Path(path), self.as_json())


@dataclass(frozen=True, kw_only=True)
class ImageReceipt(Receipt):
    """What a job did to one image of a well.

    Attributes
    ----------
    well, image : str
        Name of the well, for example ``"B/03"``, and path of the image in it.
    action : str
        What was done, or that it had been done before.
    record : RegistrationRecord, optional
        The record of the image.
    tables : mapping of str to RegisteredTable, optional
        What was done to each table.
    pixels : int, optional
        Number of pixels of level 0 written, of the image and its labels.
    seconds : float, optional
        Duration of the job.
    """

    well: str
    image: str
    action: str
    record: RegistrationRecord | None = None
    tables: Mapping[str, RegisteredTable] | None = None
    pixels: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class WellReceipt(Receipt):
    """The images of a well that a job completed.

    Attributes
    ----------
    well : str
        Name of the well.
    images : tuple of str
        Paths of the images in the well.
    backups_kept : tuple of str, optional
        Folders of the original images that were kept.
    """

    well: str
    images: tuple[str, ...]
    backups_kept: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class FusionReceipt(Receipt):
    """What a job fused.

    Attributes
    ----------
    well : str
        Name of the well.
    fused : str
        The fused well: names of plate, row and column.
    part, of : int, optional
        Which part of the well was fused, from 0, and the number of parts.
    action : str
        What was done, or that it had been done before.
    images : mapping of str to FusedImage, optional
        The images of the fused well, if it is complete.
    seconds : float, optional
        Duration of the job.
    """

    well: str
    fused: str
    part: int | None = None
    of: int | None = None
    action: str
    images: Mapping[str, FusedImage] | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class PlateReceipt(Receipt):
    """The wells of a fused plate that is complete.

    Attributes
    ----------
    fused : str
        Name of the fused plate.
    wells : tuple of str
        Names of its wells.
    """

    fused: str
    wells: tuple[str, ...]


def forget_record(group: Path) -> None:
    """Remove from a copied Zarr group what is true of its source only.

    That is the record, and the copy of all metadata below it that zarr keeps in format 3.
    """
    attributes = all_attributes(group)
    if KEY in attributes or is_consolidated(group):
        replace_attributes(group, {k: v for k, v in attributes.items() if k != KEY})


def digest_tree(path: Path) -> str:
    """SHA-256 of names and contents of all files below a folder."""
    total = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(file.relative_to(path).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def digest_json(content: Any) -> str:
    """SHA-256 of a value that can be written as JSON; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
