"""What is asked of a registration, and whether it has been done."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from platefuse.errors import RecordError
from platefuse.ngff.plate import REGISTERED_SUFFIX, Well
from platefuse.records import read_record
from platefuse.storage.expected import whole
from platefuse.storage.options import check_options, option

Interpolation = Literal["nearest", "linear", "cubic"]
ORDERS: dict[Interpolation, Literal[0, 1, 3]] = {"nearest": 0, "linear": 1, "cubic": 3}
"""Interpolation order by name."""

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
    def identity(self) -> dict[str, Any]:
        """What the record keeps of it, and what must not change afterwards."""
        identity = asdict(self)
        del identity["overwrite_input"]
        return identity

    def destination(self, well: Well, image: str) -> Path:
        """Where the registered image is in the end."""
        return well.image(image if self.overwrite_input else image + REGISTERED_SUFFIX)


def done_record(folder: Path, request: RegistrationRequest) -> dict[str, Any] | None:
    """The registration record of an image, if it is complete and asks for the same.

    Raises
    ------
    RecordError
        If the image was registered by another request: its pixels have been moved already.
    """
    record = read_record(folder) if folder.is_dir() else None
    registration = (record or {}).get("registration")
    if not isinstance(registration, dict):
        return None
    if registration.get("request") != request.identity:
        raise RecordError(
            f"{folder}: this image has been registered already, by "
            f"{_as_text(registration.get('request', {}))}, and now {_as_text(request.identity)} "
            "is asked for. Its pixels will not be moved twice: restore the original image, or "
            "set the config back to what was used."
        )
    tables = registration.get("tables", {})
    if not isinstance(tables, dict):
        raise RecordError(
            f"{folder}: the record of its registration is damaged: `tables` is {tables!r}, "
            "expected an object. Restore the image."
        )
    return registration if "tables" in registration else None


def _as_text(request: object) -> str:
    return (
        ", ".join(f"{k}={v!r}" for k, v in request.items())
        if isinstance(request, dict)
        else str(request)
    )
