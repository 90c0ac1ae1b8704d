"""What fusion leaves: the records in fused images and wells, and the receipts of its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from platefuse.records.base import Receipt, Record
from platefuse.records.illumination import AppliedProfile
from platefuse.records.written import Written


@dataclass(frozen=True)
class FusedField:
    """Where a field was placed whose image is not registered in the plate.

    Attributes
    ----------
    image : str
        Path of the source image in its well.
    field : str
        Name of the field.
    shift_px : tuple of float
        How far it was moved onto the reference, in pixels, on the image's axes in space. If places
        were measured, with the correction of its stage position.
    angle_deg : float
        Turn of the field about its centre, from x to y, in degrees.
    """

    image: str
    field: str
    shift_px: tuple[float, ...]
    angle_deg: float = 0.0


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
    labels_left_out : mapping of str to str, optional
        Labels that a source image lists and that could not be fused, and why.
    fields : tuple of FusedField, optional
        Where each field was placed, if the images are not registered in the plate.
    illumination : mapping of str to mapping of str to AppliedProfile, optional
        For each source image that was corrected: the flat-field correction of its channels, when
        it was registered or when it was fused.
    """

    section = "fusion"
    what = "record of the fused image"
    remedy = "Move the fused well away and fuse it again."

    sources: tuple[str, ...]
    origin_um: Mapping[str, float]
    tables_left_out: Mapping[str, str]
    labels_left_out: Mapping[str, str] | None = None
    fields: tuple[FusedField, ...] | None = None
    illumination: Mapping[str, Mapping[str, AppliedProfile]] | None = None


@dataclass(frozen=True)
class FusedImage:
    """One image of a fused well.

    Attributes
    ----------
    shape : tuple of int
        Shape of its full-resolution level.
    origin_um : mapping of str to float
        As in `FusedImageRecord`.
    labels_left_out : mapping of str to str, optional
        As in `FusedImageRecord`.
    """

    shape: tuple[int, ...]
    origin_um: Mapping[str, float]
    labels_left_out: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class FusedWellRecord(Record):
    """How a fused well was made.

    Attributes
    ----------
    fingerprint : mapping
        What tells this fusion from any other: options, and the state of the sources. JSON values.
    images : mapping of str to FusedImage
        Its images by their path in the well.
    written : Written, optional
        What was written into the well; anything else in it is a user's. Older records do not have
        it.
    plate : str, optional
        Name of the folder of the plate that it was fused from. Older records do not have it.
    """

    section = "fusion"
    what = "record of the fused well"
    remedy = "Move the fused well away and fuse it again."

    fingerprint: Mapping[str, object] = field(metadata={"key": "wanted"})
    images: Mapping[str, FusedImage]
    written: Written | None = None
    plate: str | None = None


@dataclass(frozen=True, kw_only=True)
class FusedOutputRecord(Record):
    """That the function `fuse` made an image or an array.

    Attributes
    ----------
    written : Written
        What it wrote; anything else in the image is a user's.
    """

    section = "fuse"
    what = "record of the fused image"
    remedy = "Move it away, or choose another output_zarr_url."

    written: Written


@dataclass(frozen=True, kw_only=True)
class FusedPlateRecord(Record):
    """With what a fused plate was made, by the newest run that finished it.

    Attributes
    ----------
    versions : mapping of str to str
        Versions of platefuse and of the libraries on which the result depends.
    config_digest : str
        SHA-256 of the options that decide the result, see `platefuse.workflow.provenance`.
    """

    section = "fusion"
    what = "record of the fused plate"
    remedy = "Fuse the plate again: its wells are kept."

    versions: Mapping[str, str]
    config_digest: str


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
    sources : tuple of str, optional
        Paths of the images of the well that were to be fused. Older receipts do not have it.
    seconds : float, optional
        Duration of the job.
    """

    well: str
    fused: str
    part: int | None = None
    of: int | None = None
    action: str
    images: Mapping[str, FusedImage] | None = None
    sources: tuple[str, ...] | None = None
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
    versions, config_digest : optional
        As in `FusedPlateRecord`.
    command : str, optional
        The command of the run, with its paths as they were typed.
    """

    fused: str
    wells: tuple[str, ...]
    versions: Mapping[str, str] | None = None
    config_digest: str | None = None
    command: str | None = None
