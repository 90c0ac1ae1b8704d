"""What measuring leaves: the fields and pairs of a well, and what was solved for a plate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platefuse.errors import MeasureError, quoted
from platefuse.measuring.model import PairMeasure, StageField
from platefuse.ngff.well import Well
from platefuse.records import Receipt
from platefuse.storage.files import read_json
from platefuse.storage.typed_json import JsonObject, object_of


@dataclass(frozen=True, kw_only=True)
class MeasuredWell(Receipt):
    """The pairs of fields of a well that were measured.

    Attributes
    ----------
    well : str
        Name of the well.
    fields : tuple of StageField
        The fields of all acquisitions.
    pairs : tuple of PairMeasure
        Every pair, also those of the null distribution.
    made_from : mapping of str to object
        What the result depends on: options and the state of the images. JSON values.
    read_bytes : int
        Bytes of decoded pixels.
    seconds : float
        Duration of the job.
    problem : str, optional
        Why the well could not be measured, if other wells must not wait for it.
    """

    well: str
    fields: tuple[StageField, ...]
    pairs: tuple[PairMeasure, ...]
    made_from: Mapping[str, object]
    read_bytes: int
    seconds: float
    problem: str | None = None


@dataclass(frozen=True)
class MeasuredFrom:
    """What a well was measured from, as its receipt says.

    Attributes
    ----------
    pixels : mapping of str to JsonObject
        State of the pixels of each image (`platefuse.fusion.fields.measured`); none in older
        receipts.
    problem : str or None
        Why the well could not be measured.
    has_fields : bool
        Whether anything was measured. Of a well that was registered before, nothing is.
    """

    pixels: Mapping[str, JsonObject]
    problem: str | None
    has_fields: bool

    @classmethod
    def read(cls, receipt: Path) -> MeasuredFrom:
        """Read it without the pairs, which are many; nothing is known if there is no receipt.

        Raises
        ------
        PlatefuseError
            If the file is not a JSON object.
        """
        found = read_json(receipt) if receipt.is_file() else {}
        pixels = object_of(object_of(found.get("made_from")).get("pixels"))
        problem = found.get("problem")
        return cls(
            {name: object_of(state) for name, state in pixels.items()},
            None if problem is None else str(problem),
            bool(found.get("fields")),
        )


def was_measured(well: Well, receipt: Path) -> bool:
    """Whether a receipt has the measures of all images of a well.

    Raises
    ------
    PlatefuseError
        If the file is not a JSON object.
    """
    return {image.name for image in well.images} <= set(MeasuredFrom.read(receipt).pixels)


def check_measured(well: Well, receipt: Path) -> None:
    """Check that a well was not left out when its plate was measured.

    Parameters
    ----------
    well : Well
        The well.
    receipt : Path
        Its `MeasuredWell`; nothing is known if there is none.

    Raises
    ------
    MeasureError
        If it was: why, and how to measure it again.
    """
    problem = MeasuredFrom.read(receipt).problem
    if problem is not None:
        raise MeasureError(
            f"{well.path}: the well could not be measured: {problem} Repair it; the same command "
            "then measures it again. If nothing in it has to change, add to the command: "
            f"--forcerun {quoted(receipt)}"
        )


@dataclass(frozen=True, kw_only=True)
class SolvedPlate(Receipt):
    """The places of the fields of a plate.

    Attributes
    ----------
    wells : tuple of str
        Names of its wells.
    statuses : mapping of str to int
        Number of fields of each status.
    angles_deg : mapping of str to float
        Turn of each acquisition against the reference, by its number.
    """

    wells: tuple[str, ...]
    statuses: Mapping[str, int]
    angles_deg: Mapping[str, float]
