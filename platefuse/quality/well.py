"""Compute the figures of one fused well."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TypedDict

import numpy as np

from platefuse.errors import ViewError
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.wells.stack import frames_for
from platefuse.fusion.wells.well import fused_images
from platefuse.geometry import Box
from platefuse.measuring.decoded_chunks import DecodedChunks
from platefuse.measuring.pair.prepare import Tone
from platefuse.ngff.well import Well
from platefuse.quality.blocks import Block, Compared, choose_blocks, compare
from platefuse.quality.fields import Light, PlacedField, light_of, nearest, placed_fields
from platefuse.quality.model import CheckedWell, CycleFigures, FieldFigures
from platefuse.quality.pictures import Part, draw_well
from platefuse.quality.planes import Look, Plane, names_of, open_looks
from platefuse.records import FusedWellRecord
from platefuse.storage.once import reading_once


def check_well(
    well: Well,
    fused: Path,
    reader: LayerReader,
    results: Path,
    *,
    reference: int = 0,
    channel: str | None = None,
    threads: int = 1,
) -> CheckedWell:
    """Compute the figures of a fused well, and draw its pictures.

    Parameters
    ----------
    well : Well
        The well that was fused.
    fused : Path
        Folder of the fused plate.
    reader : LayerReader
        Reads the images that were fused, as `platefuse.fusion.wells.well.fuse_well` did.
    results : Path
        Folder of the receipts of the well; the pictures are written to `pictures` in it.
    reference : int
        Number of the acquisition with which the others are compared; the first of the well if it
        has none of this number.
    channel : str or None
        Label or wavelength of the channel that is looked at; None: the first that all have.
    threads : int
        Number of threads; the result does not depend on it.

    Returns
    -------
    CheckedWell

    Raises
    ------
    PlatefuseError
        If the well is not fused, or its images cannot be read.

    Notes
    -----
    Each acquisition is compared with the reference in blocks of 160 × 160 pixels at full
    resolution, up to four in each field, where the reference has most structure. The residual of a
    block is the maximum of their correlation, interpolated by a polynomial
    (`platefuse.measuring.pair.correlate`). The residuals between two other acquisitions are the
    differences of those against the reference.
    """
    begun, chunks = time.perf_counter(), DecodedChunks()
    folder = fused / well.row / well.column
    if FusedWellRecord.read(folder) is None:
        raise ViewError(f"{folder}: not fused yet. Run `fuse_well` before it is checked.")
    with reading_once():
        images = fused_images(reader.read(well), reader.options)
        frames = frames_for([layers for _, layers in images], reader.options)
        opened, without = open_looks(folder, images, frames, channel, chunks)
    looks = list({look.acquisition: look for look in reversed(opened)}.values())[::-1]
    first = next((look for look in looks if look.acquisition == reference), looks[0])
    with ThreadPoolExecutor(max(1, threads)) as pool:
        still, seen = _look_at(looks, first, without, pool)
        lights = list(pool.map(lambda one: one.light(chunks), seen))
    fields = [
        figures
        for one, light in zip(seen, lights, strict=True)
        for figures in one.figures(still.placed, light)
    ]
    others = [one for one in seen if one is not still and one.look.frame == first.frame]
    parts = {one.look.acquisition: part for one in others if (part := one.worst(still.placed))}
    without |= _repeated(opened)
    return CheckedWell(
        well=well.name,
        reference=first.acquisition,
        channels=names_of(looks),
        fields=tuple(fields),
        cycles=tuple(_cycles(seen, first.acquisition)),
        pictures=tuple(draw_well(results, first, [one.look for one in others], fields, parts)),
        not_compared=without,
        seconds=round(time.perf_counter() - begun, 3),
    )


class _Residuals(TypedDict):
    """Those fields of `FieldFigures` that come from compared blocks."""

    blocks: int
    matched: int
    residual_px: tuple[float, float] | None
    median_px: float | None
    p95_px: float | None
    before: float | None
    after: float | None


@dataclass(frozen=True)
class _Seen:
    """An acquisition with its fields, its blocks, and how these compare with the reference.

    Attributes
    ----------
    look : Look
        The acquisition.
    placed : list of PlacedField
        Its fields.
    boxes : list of Box
        The blocks: those of the reference, and then those in fields that have none of them.
    blocks : list of Block
        Their pixels.
    compared : list of Compared or None
        How each block of the reference compares with it; None if it is not compared: the reference
        itself, or a block without structure there.
    """

    look: Look
    placed: list[PlacedField]
    boxes: list[Box]
    blocks: list[Block]
    compared: list[Compared | None]

    @classmethod
    def of(
        cls, look: Look, placed: list[PlacedField], boxes: list[Box], pool: ThreadPoolExecutor
    ) -> _Seen:
        """An acquisition by itself."""
        return cls(look, placed, boxes, _read(look.plane, boxes, pool), [None] * len(boxes))

    def compared_with(self, still: _Seen, pool: ThreadPoolExecutor) -> _Seen:
        """The same, compared with the reference block by block."""
        moves = [self._move(box, still.placed) for box in still.boxes]

        def one(number: int) -> Compared | None:
            reference = still.blocks[number]
            if not reference.has_structure:
                return None
            return compare(reference, self.blocks[number], moves[number])

        return replace(self, compared=list(pool.map(one, range(len(self.compared)))))

    def light(self, chunks: DecodedChunks) -> Mapping[tuple[str, str], Light]:
        """What the coarse pixels of its fields show, by image and field."""
        tones = [block.tone.saturated for block in self.blocks[:1]]
        return light_of(self.look, self.placed, chunks, min(tones, default=math.inf))

    def figures(
        self, still: Sequence[PlacedField], lights: Mapping[tuple[str, str], Light]
    ) -> Iterator[FieldFigures]:
        """The figures of its fields; `still` are the fields of the reference."""
        members: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number, box in enumerate(self.boxes):
            owner = nearest(self.placed, _middle(box))
            if owner is not None:
                members[owner.name].append(number)
        for field in self.placed:
            own = members[field.name]
            shared = [self.compared[k] for k in own if k < len(self.compared)]
            compared = [found for found in shared if found is not None]
            light = lights.get(field.name, Light())
            saturated = [self.blocks[k].saturated for k in own]
            focus = [f for k in own if (f := self.blocks[k].focus) is not None]
            (top, left), (bottom, right) = field.box.start, field.box.stop
            yield FieldFigures(
                acquisition=self.look.acquisition,
                image=field.part.name,
                field=field.field.name,
                box_px=(top, left, bottom, right),
                shift_px=_against(field, still, field.centre),
                kept=field.kept,
                **_residuals(compared),
                focus=float(np.median(focus)) if focus else None,
                saturated=max(float(np.mean(saturated)) if own else 0.0, light.saturated),
                gradient=light.gradient,
                seam=light.seam,
            )

    def worst(self, still: Sequence[PlacedField]) -> Part | None:
        """The block that fits the reference least; None if there is none."""
        if not self.compared:
            return None

        def misfit(number: int) -> tuple[float, float]:
            found = self.compared[number]
            if found is None:
                return -1.0, 0.0
            length = math.inf if found.residual_px is None else math.hypot(*found.residual_px)
            return length, -found.after

        number = max(range(len(self.compared)), key=misfit)
        found, box = self.compared[number], self.boxes[number]
        residual = None if found is None else found.residual_px
        length = None if residual is None else math.hypot(*residual)
        return Part(_middle(box), self._move(box, still), length)

    def _move(self, box: Box, still: Sequence[PlacedField]) -> tuple[int, int]:
        """How far registration moved what is at a block, in whole pixels."""
        owner = nearest(self.placed, _middle(box))
        if owner is None:
            return 0, 0
        y, x = _against(owner, still, _middle(box))
        return round(y), round(x)


def _look_at(
    looks: Sequence[Look], first: Look, without: dict[str, str], pool: ThreadPoolExecutor
) -> tuple[_Seen, list[_Seen]]:
    """The reference, and all acquisitions compared with it; `without` gets why one is not."""
    placed = {look.acquisition: placed_fields(look) for look in looks}
    own = placed[first.acquisition]
    around = [
        box
        for look in looks
        if look.frame == first.frame
        for box in _boxes(placed[look.acquisition])
    ]
    still = _Seen.of(first, own, choose_blocks(first.plane, _boxes(own), around), pool)
    return still, [_seen(look, placed[look.acquisition], still, without, pool) for look in looks]


def _repeated(looks: Sequence[Look]) -> dict[str, str]:
    """Acquisitions with several images that are no fields, of which the first is looked at."""
    numbers = [str(look.acquisition) for look in looks]
    why = "the well has several images of it, of which the first is compared"
    return {number: why for number in numbers if numbers.count(number) > 1}


def _seen(
    look: Look,
    placed: list[PlacedField],
    still: _Seen,
    without: dict[str, str],
    pool: ThreadPoolExecutor,
) -> _Seen:
    """An acquisition, compared with the reference if it can be."""
    if look is still.look:
        return still
    if look.frame != still.look.frame:
        without[str(look.acquisition)] = "its fused image has pixels of another size"
        return _Seen.of(look, placed, choose_blocks(look.plane, _boxes(placed)), pool)
    more = _own_boxes(look, placed, still.boxes)
    seen = _Seen.of(look, placed, [*still.boxes, *more], pool)
    seen = replace(seen, compared=seen.compared[: len(still.boxes)])
    if {str(look.acquisition), str(still.look.acquisition)} & set(without):
        return seen
    return seen.compared_with(still, pool)


def _own_boxes(look: Look, placed: Sequence[PlacedField], boxes: Sequence[Box]) -> list[Box]:
    """Blocks of the fields in which none of the reference lies: they tell if there is tissue."""
    owners = [nearest(placed, _middle(box)) for box in boxes]
    known = {owner.name for owner in owners if owner is not None}
    without = [field.box for field in placed if field.name not in known]
    rest = [field.box for field in placed if field.name in known]
    return choose_blocks(look.plane, without, rest) if without else []


def _boxes(fields: Sequence[PlacedField]) -> list[Box]:
    return [field.box for field in fields]


def _middle(box: Box) -> tuple[float, float]:
    (top, left), (bottom, right) = box.start, box.stop
    return (top + bottom) / 2, (left + right) / 2


def _against(
    field: PlacedField, still: Sequence[PlacedField], place: tuple[float, float]
) -> tuple[float, float]:
    """How far registration moved a field against that of the reference at a place."""
    reference = nearest(still, place)
    base = (0.0, 0.0) if reference is None else reference.shift_px
    return field.shift_px[0] - base[0], field.shift_px[1] - base[1]


def _read(plane: Plane, boxes: Sequence[Box], pool: ThreadPoolExecutor) -> list[Block]:
    """Read blocks, and prepare them with the tone of all of them."""
    pixels = list(pool.map(plane.read, boxes))
    if not pixels:
        return []
    tone = Tone.of_all(pixels, plane.dtype)
    return list(pool.map(lambda own: Block.of(own, tone), pixels))


def _residuals(compared: Sequence[Compared]) -> _Residuals:
    """The figures of a field that come from its compared blocks."""
    found = [c.residual_px for c in compared if c.residual_px is not None]
    lengths = np.hypot(*np.array(found).T) if found else np.zeros(0)
    known = bool(found)
    return {
        "blocks": len(compared),
        "matched": len(found),
        "residual_px": _median_of(found) if known else None,
        "median_px": float(np.median(lengths)) if known else None,
        "p95_px": float(np.percentile(lengths, 95)) if known else None,
        "before": float(np.median([c.before for c in compared])) if compared else None,
        "after": float(np.median([c.after for c in compared])) if compared else None,
    }


def _median_of(vectors: Sequence[tuple[float, float]]) -> tuple[float, float]:
    y, x = np.median(np.array(vectors), axis=0).tolist()
    return y, x


def _cycles(seen: Sequence[_Seen], reference: int) -> Iterator[CycleFigures]:
    """The figures of all pairs of acquisitions whose blocks are the same."""
    shifts = {
        one.look.acquisition: [None if c is None else c.residual_px for c in one.compared]
        for one in seen
        if any(one.compared)
    }
    if shifts:
        shifts[reference] = [(0.0, 0.0)] * len(next(iter(shifts.values())))
    for first, second in combinations(sorted(shifts), 2):
        pairs = zip(shifts[first], shifts[second], strict=True)
        vectors = [np.subtract(b, a) for a, b in pairs if a is not None and b is not None]
        if vectors:
            lengths = np.hypot(*np.array(vectors).T)
            yield CycleFigures(
                first,
                second,
                len(vectors),
                float(np.median(lengths)),
                float(np.percentile(lengths, 95)),
                float((lengths <= 1).mean()),
            )
