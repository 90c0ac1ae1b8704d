"""What registration leaves: the record in an image, and the receipts of its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from platefuse.geometry import Box
from platefuse.records.base import Receipt, Record
from platefuse.records.illumination import AppliedProfile


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
        return self.unlike(None)

    def unlike(self, other: RegistrationIdentity | None) -> str:
        """What is not the same in another registration, in words; without one, everything."""
        others = {} if other is None else vars(other)
        own = ((name, value) for name, value in vars(self).items() if others.get(name) != value)
        return ", ".join(f"{name}={value!r}" for name, value in own)


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
class PixelFiles:
    """The chunk files of an image and its labels, all levels.

    Attributes
    ----------
    files, bytes : int
        Their number and size.
    """

    files: int
    bytes: int


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
    illumination : mapping of str to AppliedProfile, optional
        The flat-field correction of its channels; None: they were not corrected.
    labels_left_out : mapping of str to str, optional
        Labels that the image does not have, and why.
    pixel_files : PixelFiles, optional
        Its chunk files. None in records of platefuse 0.1.0.
    tables : mapping of str to RegisteredTable, optional
        What was done to each table. None until the tables are copied.
    tables_left_out : mapping of str to str, optional
        Tables that the image does not have any more, and why.
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
    illumination: Mapping[str, AppliedProfile] | None = None
    labels_left_out: Mapping[str, str] | None = None
    pixel_files: PixelFiles | None = None
    tables: Mapping[str, RegisteredTable] | None = None
    tables_left_out: Mapping[str, str] | None = None

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
    tables_left_out : mapping of str to str, optional
        As in `RegistrationRecord`.
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
    tables_left_out: Mapping[str, str] | None = None
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
        Folders of the original images that are kept, because this run or one before was told to.
    backups_removed : tuple of str, optional
        Folders of the original images that the job has removed.
    """

    well: str
    images: tuple[str, ...]
    backups_kept: tuple[str, ...] | None = None
    backups_removed: tuple[str, ...] | None = None
