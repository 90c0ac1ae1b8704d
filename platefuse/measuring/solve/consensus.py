"""Shifts between acquisitions: what the pairs agree on, and a place for every field. Pure.

A field is placed by its own pairs if they agree with its well or its plate, else by the shift of
its well, else by that of its plate. docs/design/solving.md has the rules of the statuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from platefuse.measuring.model import FieldKey, FieldStatus, PairMeasure, PlacedField, StageField
from platefuse.measuring.solve.placing import (
    AcquisitionModel,
    Model,
    Work,
    place_acquisition,
    placed,
)
from platefuse.measuring.solve.stitching import Stitched, StitchedField, common_pixel

_DOUBTS: tuple[FieldStatus, ...] = (
    "filled_well",
    "filled_plate",
    "fixed_pattern",
    "ambiguous",
    "too_far",
)


@dataclass(frozen=True)
class Consensus:
    """A place for every field of a plate.

    Attributes
    ----------
    places : tuple of PlacedField
        Every field, in the order of the keys.
    models : mapping of int to AcquisitionModel
        By acquisition, without the reference.
    """

    places: tuple[PlacedField, ...]
    models: Mapping[int, AcquisitionModel]


def find_places(
    fields: Sequence[StageField],
    pairs: Sequence[PairMeasure],
    stitched: Stitched,
    *,
    model: Model = "translation",
) -> Consensus:
    """Place every field of a plate in the frame of the reference acquisition.

    Parameters
    ----------
    fields : sequence of StageField
        The fields of all acquisitions.
    pairs : sequence of PairMeasure
        Pairs. Those of the kind ``cycle`` are used; if one was not accepted, its status is not
        ``measured``.
    stitched : Stitched
        The reference acquisition.
    model : str
        ``rigid``: the plate may be turned between acquisitions. One angle for each acquisition.

    Raises
    ------
    MeasureError
        If two fields have one name, or pixel sizes differ.
    """
    pixel_um = common_pixel(sorted(fields, key=lambda field: field.key))
    references: dict[str, list[FieldKey]] = {}
    for key in stitched.fields:
        references.setdefault(key.well, []).append(key)
    wells = sorted({f.key.well for f in fields})
    work = Work(pixel_um, stitched, references, wells, model)
    cycles = [p for p in pairs if p.kind == "cycle"]
    places = [_reference(work, own) for own in stitched.fields.values()]
    models = {}
    others = [f for f in fields if f.key not in stitched.fields]
    for acquisition in sorted({f.key.acquisition for f in others}):
        own = sorted((f for f in others if f.key.acquisition == acquisition), key=lambda f: f.key)
        used = [p for p in cycles if p.moving.acquisition == acquisition]
        found, models[acquisition] = place_acquisition(work, own, used)
        places += found
    return Consensus(tuple(sorted(places, key=lambda p: p.field.key)), models)


def doubtful(places: Sequence[PlacedField]) -> tuple[PlacedField, ...]:
    """The fields with something to measure by whose place was not measured.

    Empty fields are not among them: their place shows nothing.
    """
    return tuple(place for place in places if place.status in _DOUBTS)


def _reference(work: Work, own: StitchedField) -> PlacedField:
    """A field of the reference: measured against its neighbours, or where the model has it."""
    status: FieldStatus = "reference"
    if not own.edges and not own.field.texture > 0:
        status = "empty"
    elif own.pairs and not own.edges:  # it has neighbours, and none of them told where it is
        well = own.field.key.well
        fields = (work.stitched.fields[key] for key in work.references[well])
        status = "filled_well" if any(f.edges for f in fields) else "filled_plate"
    return placed(work, own.field, own.correction_px, 0.0, own.score, own.sigma_px, status)
