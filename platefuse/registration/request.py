"""The registration to apply, and whether an image carries its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from platefuse.errors import RecordError
from platefuse.ngff.well import WellImage
from platefuse.records import RegistrationIdentity, RegistrationRecord
from platefuse.storage.expected import whole
from platefuse.storage.options import check_options, option

Interpolation = Literal["nearest", "linear", "cubic"]
Order = Literal[0, 1, 3]
ORDERS: dict[Interpolation, Order] = {"nearest": 0, "linear": 1, "cubic": 3}
"""Interpolation order by name."""

Verify = Literal["sample", "full", "none"]
"""What is compared with the original: a few blocks of each array, every pixel, or nothing."""

Acquisition = Annotated[int, whole(0)]


@dataclass(frozen=True)
class RegistrationRequest:
    """The registration to apply. Two requests are the same if all but the mode agree.

    Each option is described where it is declared. Labels are always placed by whole pixels.

    Raises
    ------
    ConfigError
        If an option has a value that cannot be used.
    """

    roi_table: str = option(
        "registered_FOV_ROI_table",
        "Name of the registered ROI table, in every image, whose boxes show the same tissue in "
        "every acquisition.",
    )
    reference_acquisition: Acquisition = option(
        0,
        "The acquisition onto which the others are registered, an integer from "
        "`well.images[].acquisition`.",
    )
    interpolation: Interpolation = option(
        "nearest",
        "Interpolation of intensities at shifts of fractions of a pixel; labels always take the "
        "nearest pixel.",
    )
    overwrite_input: bool = option(
        True,
        "Whether a registered image replaces its original; false: it is written next to the "
        "original as <image>_registered.",
    )

    def __post_init__(self) -> None:
        check_options(self, "registration")

    @property
    def identity(self) -> RegistrationIdentity:
        """What the record keeps of the request, and what must not change afterwards."""
        return RegistrationIdentity(self.roi_table, self.reference_acquisition, self.interpolation)

    def destination(self, image: WellImage) -> Path:
        """Folder of the registered image in the end: the image's own, or one next to it."""
        return image.destination(overwrite=self.overwrite_input)


def done_record(folder: Path, request: RegistrationRequest) -> RegistrationRecord | None:
    """The record of an image that this request has registered completely.

    Parameters
    ----------
    folder : Path
        The live, staged or registered folder of the image. It need not exist.
    request : RegistrationRequest
        The registration.

    Returns
    -------
    RegistrationRecord or None
        None if the image has no record, or is not complete.

    Raises
    ------
    RecordError
        If the image was registered by another request: its pixels have been shifted already. Or
        if the record is damaged.
    """
    record = RegistrationRecord.read(folder)
    if record is None:
        return None
    then, now = record.request, request.identity
    if then != now:
        raise RecordError(
            f"{folder}: this image has been registered already, with {then.unlike(now)}, and now "
            f"{now.unlike(then)} is requested. Its pixels will not be shifted twice: put the "
            "original back (`platefuse restore PLATE`, if it was kept), or set the config back to "
            "what was used."
        )
    return record if record.complete else None
