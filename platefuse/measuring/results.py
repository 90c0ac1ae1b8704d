"""The tables of a measured plate: ``fields.tsv`` by its rows, and ``pairs.tsv``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

from platefuse.errors import TableError
from platefuse.measuring.model import Kind, PairMeasure, PairStatus, PlacedField
from platefuse.records.places import FieldPlace, read_key
from platefuse.storage.tsv import REMEDY, read_finite, read_rows, write_rows

_KEY = ("well", "acquisition", "image", "field")
_NUMBERS = (
    "shift_y_px",
    "shift_x_px",
    "shift_z_px",
    "score_at_zero",
    "score",
    "runner_up",
    "sigma_y_px",
    "sigma_x_px",
    "sigma_z_px",
    "overlap",
    "texture",
)
PAIR_COLUMNS = (
    "plate",
    "kind",
    *(f"{side}_{part}" for side in ("reference", "moving") for part in _KEY),
    *_NUMBERS,
    "status",
)
"""The columns of ``pairs.tsv``, in their order."""


def field_place(plate: str, placed: PlacedField) -> FieldPlace:
    """The row of ``fields.tsv`` of a field.

    Parameters
    ----------
    plate : str
        Name of the plate.
    placed : PlacedField
        The field.
    """
    _, stage_y, stage_x = placed.field.stage_um
    _, y, x = placed.place_um
    return FieldPlace(
        plate,
        placed.field.key,
        (stage_y, stage_x),
        (y, x),
        placed.shift_px,
        placed.angle_deg,
        placed.score,
        placed.sigma_px,
        placed.status,
    )


def write_pairs(path: Path, plate: str, pairs: Iterable[PairMeasure]) -> None:
    """Write ``pairs.tsv`` in one step, in the order of the names of the fields.

    Raises
    ------
    TableError
        If a number is not finite.
    """
    ordered = sorted(pairs, key=lambda p: (p.kind, p.reference, p.moving))
    write_rows(path, PAIR_COLUMNS, [_cells(plate, pair) for pair in ordered])


def read_pairs(path: Path) -> list[PairMeasure]:
    """Read ``pairs.tsv``.

    Raises
    ------
    TableError
        If the file cannot be read, columns are missing or unknown, a kind or a status is unknown,
        or a number is none or not finite.
    """
    return [_pair(row, where) for where, row in read_rows(path, PAIR_COLUMNS)]


def _cells(plate: str, pair: PairMeasure) -> dict[str, object]:
    cells: dict[str, object] = {"plate": plate, "kind": pair.kind, "status": pair.status}
    for side, key in (("reference", pair.reference), ("moving", pair.moving)):
        cells |= {f"{side}_{part}": getattr(key, part) for part in _KEY}
    for axis, shift, sigma in zip("zyx", pair.shift_px, pair.sigma_px, strict=True):
        cells |= {f"shift_{axis}_px": float(shift), f"sigma_{axis}_px": float(sigma)}
    for name in ("score_at_zero", "score", "runner_up", "overlap", "texture"):
        cells[name] = float(getattr(pair, name))
    return cells


def _pair(row: Mapping[str, str], where: str) -> PairMeasure:
    number = {name: read_finite(row, name, where) for name in _NUMBERS}
    for name, known in (("kind", get_args(Kind)), ("status", get_args(PairStatus))):
        if row[name] not in known:
            raise TableError(
                f"{where}: {name} is {row[name]!r}; expected one of {', '.join(known)}. {REMEDY}"
            )
    return PairMeasure(
        kind=row["kind"],  # type: ignore[arg-type]  # checked above
        reference=read_key(row, where, "reference_"),
        moving=read_key(row, where, "moving_"),
        shift_px=(number["shift_z_px"], number["shift_y_px"], number["shift_x_px"]),
        score_at_zero=number["score_at_zero"],
        score=number["score"],
        runner_up=number["runner_up"],
        sigma_px=(number["sigma_z_px"], number["sigma_y_px"], number["sigma_x_px"]),
        overlap=number["overlap"],
        texture=number["texture"],
        status=row["status"],  # type: ignore[arg-type]  # checked above
    )
