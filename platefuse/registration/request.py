"""What is asked of a registration, and whether it has been done."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from platefuse.errors import ConfigError, RecordError
from platefuse.ngff.plate import REGISTERED_SUFFIX, Well
from platefuse.records import read_record

ORDERS = {"nearest": 0, "linear": 1, "cubic": 3}
"""Interpolation order by name."""


@dataclass(frozen=True)
class RegistrationRequest:
    """What is asked of a registration. Two requests are the same if all but the mode agree.

    Attributes
    ----------
    roi_table : str
        Name of the registered ROI table, in the images of every acquisition.
    reference_acquisition : int
        The acquisition that the others are moved onto.
    interpolation : str
        ``nearest`` places by whole pixels; ``linear`` and ``cubic`` sample intensity images
        at the exact shift. Labels are always placed by whole pixels.
    overwrite_input : bool
        Whether the new image takes the old one's place, or stands beside it as
        ``<image>_registered``.
    """

    roi_table: str
    reference_acquisition: int = 0
    interpolation: str = "nearest"
    overwrite_input: bool = True

    def __post_init__(self) -> None:
        if str(self.interpolation) not in ORDERS:
            raise ConfigError(
                f"interpolation {self.interpolation!r} is unknown; expected one of {list(ORDERS)}."
            )

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
