"""The acquisitions of a fused well, compared with the reference block by block."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np

from platefuse.geometry import Box
from platefuse.measuring.decoded_chunks import DecodedChunks
from platefuse.measuring.pair.prepare import Tone
from platefuse.quality.blocks import Block, Compared, Shown, choose_blocks, compare
from platefuse.quality.fields import Light, PlacedField, light_of, nearest, placed_fields
from platefuse.quality.model import FieldFigures
from platefuse.quality.pictures import Part
from platefuse.quality.planes import Look


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
class Seen:
    """An acquisition with its fields, what its blocks show, and how they fit the reference.

    Attributes
    ----------
    look : Look
        The acquisition.
    placed : list of PlacedField
        Its fields.
    boxes : list of Box
        The blocks: those of the reference, and then those in fields that have none of them.
    shown : list of Shown
        What they show.
    compared : list of Compared or None
        How each block of the reference compares with it; None if it is not compared: the reference
        itself, or a block without structure there.
    saturated : float
        Value from which a pixel is saturated; infinite if there are no blocks.
    """

    look: Look
    placed: list[PlacedField]
    boxes: list[Box]
    shown: list[Shown]
    compared: list[Compared | None]
    saturated: float

    def light(self, chunks: DecodedChunks) -> Mapping[tuple[str, str], Light]:
        """What the coarse pixels of its fields show, by image and field."""
        return light_of(self.look, self.placed, chunks, self.saturated)

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
            saturated = [self.shown[k].saturated for k in own]
            focus = [f for k in own if (f := self.shown[k].focus) is not None]
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
        return Part(_middle(box), _move(self.placed, still, box), length)


@dataclass(frozen=True)
class _Reference:
    """The reference with its prepared blocks, with which the other acquisitions are compared.

    Attributes
    ----------
    seen : Seen
        The reference.
    blocks : list of Block
        Its blocks.
    """

    seen: Seen
    blocks: list[Block]

    @classmethod
    def of(
        cls, look: Look, placed: list[PlacedField], boxes: list[Box], pool: ThreadPoolExecutor
    ) -> _Reference:
        """Read the reference."""
        blocks: dict[int, Block] = {}
        seen = _read(look, placed, boxes, pool, blocks.__setitem__)
        return cls(seen, [blocks[number] for number in range(len(boxes))])

    def compared_with(
        self, look: Look, placed: list[PlacedField], more: list[Box], pool: ThreadPoolExecutor
    ) -> Seen:
        """An acquisition, compared block by block; `more` are blocks of its own."""
        boxes = self.seen.boxes
        moves = [_move(placed, self.seen.placed, box) for box in boxes]
        compared: list[Compared | None] = [None] * len(boxes)

        def one(number: int, block: Block) -> None:
            if number < len(boxes) and self.blocks[number].shown.has_structure:
                compared[number] = compare(self.blocks[number], block, moves[number])

        seen = _read(look, placed, [*boxes, *more], pool, one)
        return replace(seen, compared=compared)


def look_at(
    looks: Sequence[Look], first: Look, without: dict[str, str], pool: ThreadPoolExecutor
) -> tuple[Seen, list[Seen]]:
    """The reference, and all acquisitions compared with it; `without` gets why one is not."""
    placed = {look.acquisition: placed_fields(look) for look in looks}
    own = placed[first.acquisition]
    around = [
        box
        for look in looks
        if look.frame == first.frame
        for box in _boxes(placed[look.acquisition])
    ]
    still = _Reference.of(first, own, choose_blocks(first.plane, _boxes(own), around), pool)
    seen = [_seen(look, placed[look.acquisition], still, without, pool) for look in looks]
    return still.seen, seen


def _seen(
    look: Look,
    placed: list[PlacedField],
    still: _Reference,
    without: dict[str, str],
    pool: ThreadPoolExecutor,
) -> Seen:
    """An acquisition, compared with the reference if it can be."""
    first = still.seen
    if look is first.look:
        return first
    if look.frame != first.look.frame:
        without[str(look.acquisition)] = "its fused image has pixels of another size"
        return _read(look, placed, choose_blocks(look.plane, _boxes(placed)), pool)
    more = _own_boxes(look, placed, first.boxes)
    if {str(look.acquisition), str(first.look.acquisition)} & set(without):
        seen = _read(look, placed, [*first.boxes, *more], pool)
        return replace(seen, compared=seen.compared[: len(first.boxes)])
    return still.compared_with(look, placed, more, pool)


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


def _move(placed: Sequence[PlacedField], still: Sequence[PlacedField], box: Box) -> tuple[int, int]:
    """How far registration moved what is at a block, in whole pixels."""
    owner = nearest(placed, _middle(box))
    if owner is None:
        return 0, 0
    y, x = _against(owner, still, _middle(box))
    return round(y), round(x)


def _read(
    look: Look,
    placed: list[PlacedField],
    boxes: list[Box],
    pool: ThreadPoolExecutor,
    use: Callable[[int, Block], None] | None = None,
) -> Seen:
    """Read the blocks of an acquisition, and prepare them with the tone of all of them.

    `use` gets the number of each block and the block, which is freed when it returns: a prepared
    block takes about ten times as much memory as its pixels.
    """
    if not boxes:
        return Seen(look, placed, [], [], [], math.inf)
    pixels = list(pool.map(look.plane.read, boxes))
    tone = Tone.of_all(pixels, look.plane.dtype)

    def one(number: int) -> Shown:
        block = Block.of(pixels[number], tone)
        if use is not None:
            use(number, block)
        return block.shown

    shown = list(pool.map(one, range(len(boxes))))
    return Seen(look, placed, boxes, shown, [None] * len(boxes), tone.saturated)


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
