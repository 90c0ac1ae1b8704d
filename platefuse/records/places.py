"""Measured places of fields: the rows of ``fields.tsv``, written and read here only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from platefuse.errors import TableError
from platefuse.storage.tsv import REMEDY, read_finite, read_rows, write_rows

Vector = tuple[float, float, float]
"""Values on the axes z, y, x."""

FieldStatus = Literal[
    "reference",
    "measured",
    "filled_well",
    "filled_plate",
    "empty",
    "fixed_pattern",
    "ambiguous",
    "too_far",
]


@dataclass(frozen=True, order=True)
class FieldKey:
    """Names one field of a plate.

    Attributes
    ----------
    well : str
        For example ``"B/03"``.
    acquisition : int
        Number of the acquisition.
    image : str
        Path of the image in the well.
    field : str
        Name of the field in its image.
    """

    well: str
    acquisition: int
    image: str
    field: str


@dataclass(frozen=True)
class FieldPlace:
    """One row of ``fields.tsv``.

    Attributes
    ----------
    plate : str
        Name of the plate.
    key : FieldKey
        The field.
    stage_um : tuple of float
        Position of its first pixel's corner on y and x, as the stage had it, in micrometres.
    place_um : tuple of float
        The same where it was found to be, in the frame of the well: that of the reference.
    shift_px : tuple of float
        What was added to its stage position on z, y, x, in pixels.
    angle_deg : float
        Turn of the field about its centre, from x to y, in degrees.
    score, sigma_px : float
        Correlation and uncertainty; NaN if the place was not measured.
    status : str
        How the place was found.
    """

    plate: str
    key: FieldKey
    stage_um: tuple[float, float]
    place_um: tuple[float, float]
    shift_px: Vector
    angle_deg: float
    score: float
    sigma_px: float
    status: FieldStatus


_NUMBERS = (
    "stage_y_um",
    "stage_x_um",
    "y_um",
    "x_um",
    "shift_y_px",
    "shift_x_px",
    "shift_z_px",
    "angle_deg",
)
_OPTIONAL = ("score", "sigma_px")
COLUMNS = ("plate", "well", "acquisition", "image", "field", *_NUMBERS, *_OPTIONAL, "status")
"""The columns of ``fields.tsv``, in their order."""


def write_places(path: Path, places: Iterable[FieldPlace]) -> None:
    """Write ``fields.tsv`` in one step, a row for each field in the order of their names.

    Numbers have all their digits; a score or an uncertainty that there is none of is left empty.

    Raises
    ------
    TableError
        If a place is not finite.
    """
    ordered = sorted(places, key=lambda place: (place.plate, place.key))
    write_rows(path, COLUMNS, [_cells(place) for place in ordered])


def read_places(path: Path, well: str | None = None) -> dict[FieldKey, FieldPlace]:
    """Read ``fields.tsv``.

    Parameters
    ----------
    path : Path
        The file.
    well : str, optional
        Read the places of this well only. Other rows are not looked at: a plate may have many.

    Raises
    ------
    TableError
        If the file cannot be read, columns are missing or unknown, a field occurs twice, a status
        is unknown, or a number is none or not finite.
    """
    found: dict[FieldKey, FieldPlace] = {}
    for where, row in read_rows(path, COLUMNS, cell=well):
        if well is not None and row["well"] != well:
            continue
        place = _place(row, where)
        if place.key in found:
            raise TableError(f"{where}: {place.key} occurs again. {REMEDY}")
        found[place.key] = place
    return found


def _cells(place: FieldPlace) -> dict[str, object]:
    z, y, x = place.shift_px
    key = place.key
    return {
        "plate": place.plate,
        "well": key.well,
        "acquisition": key.acquisition,
        "image": key.image,
        "field": key.field,
        "stage_y_um": place.stage_um[0],
        "stage_x_um": place.stage_um[1],
        "y_um": place.place_um[0],
        "x_um": place.place_um[1],
        "shift_y_px": y,
        "shift_x_px": x,
        "shift_z_px": z,
        "angle_deg": place.angle_deg,
        "score": None if math.isnan(place.score) else place.score,
        "sigma_px": None if math.isnan(place.sigma_px) else place.sigma_px,
        "status": place.status,
    }


def _place(row: Mapping[str, str], where: str) -> FieldPlace:
    number = {name: read_finite(row, name, where) for name in _NUMBERS}
    optional = {
        name: read_finite(row, name, where) if row[name] else math.nan for name in _OPTIONAL
    }
    statuses = get_args(FieldStatus)
    if row["status"] not in statuses:
        raise TableError(
            f"{where}: the status is {row['status']!r}; expected one of {', '.join(statuses)}. "
            f"{REMEDY}"
        )
    return FieldPlace(
        row["plate"],
        read_key(row, where),
        (number["stage_y_um"], number["stage_x_um"]),
        (number["y_um"], number["x_um"]),
        (number["shift_z_px"], number["shift_y_px"], number["shift_x_px"]),
        number["angle_deg"],
        optional["score"],
        optional["sigma_px"],
        row["status"],  # type: ignore[arg-type]  # checked above
    )


def read_key(row: Mapping[str, str], where: str, prefix: str = "") -> FieldKey:
    """The name of a field in the columns of a row that begin with a prefix.

    Raises
    ------
    TableError
        If the acquisition is no whole number.
    """
    acquisition = row[f"{prefix}acquisition"]
    if not acquisition.isdecimal():
        raise TableError(
            f"{where}: {prefix}acquisition is {acquisition!r}; expected a whole number. {REMEDY}"
        )
    return FieldKey(
        row[f"{prefix}well"], int(acquisition), row[f"{prefix}image"], row[f"{prefix}field"]
    )
