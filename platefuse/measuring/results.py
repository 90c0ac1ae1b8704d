"""The tables of a measured plate: ``fields.tsv`` by its rows, and ``pairs.tsv``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from platefuse.measuring.model import PairMeasure, PlacedField
from platefuse.records.places import FieldPlace
from platefuse.storage.tsv import write_rows

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


def _cells(plate: str, pair: PairMeasure) -> dict[str, object]:
    cells: dict[str, object] = {"plate": plate, "kind": pair.kind, "status": pair.status}
    for side, key in (("reference", pair.reference), ("moving", pair.moving)):
        cells |= {f"{side}_{part}": getattr(key, part) for part in _KEY}
    for axis, shift, sigma in zip("zyx", pair.shift_px, pair.sigma_px, strict=True):
        cells |= {f"shift_{axis}_px": float(shift), f"sigma_{axis}_px": float(sigma)}
    for name in ("score_at_zero", "score", "runner_up", "overlap", "texture"):
        cells[name] = float(getattr(pair, name))
    return cells
