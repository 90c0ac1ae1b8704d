"""Which pairs of fields are measured: worked out by hand on small grids."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from platefuse.measuring.candidates import Candidate, choose_pairs, choose_strips
from platefuse.measuring.model import FieldKey, StageField

SIDE, STEP = 100, 90


def fields(acquisition: int, *places: tuple[float, float]) -> list[StageField]:
    return [
        StageField(
            FieldKey("B/03", acquisition, str(k), str(k)),
            (0.0, 0.5 * y, 0.5 * x),
            (1, SIDE, SIDE),
            (1.0, 0.5, 0.5),
        )
        for k, (y, x) in enumerate(places)
    ]


SQUARE = ((0, 0), (0, STEP), (STEP, 0), (STEP, STEP))


def of_kind(pairs: list[Candidate], kind: str) -> list[tuple[int, int, tuple[float, float]]]:
    return [
        (p.reference, p.moving, (p.offset_px[1], p.offset_px[2])) for p in pairs if p.kind == kind
    ]


def test_neighbours_share_a_side_and_not_a_corner() -> None:
    pairs = choose_pairs(fields(0, *SQUARE), 0, stitch=True, nulls=0)
    assert of_kind(pairs, "neighbour") == [
        (0, 1, (0.0, 90.0)),
        (0, 2, (90.0, 0.0)),
        (1, 3, (90.0, 0.0)),
        (2, 3, (0.0, 90.0)),
    ]


def test_a_moving_field_meets_its_own_field() -> None:
    both = [*fields(0, *SQUARE), *fields(1, (2, -3))]
    pairs = choose_pairs(both, 0, stitch=True, nulls=0)
    assert of_kind(pairs, "cycle") == [(0, 4, (2.0, -3.0))]
    alone = choose_pairs(both, 0, stitch=False, nulls=0)
    assert of_kind(alone, "cycle") == [(0, 4, (2.0, -3.0))]
    assert not of_kind(alone, "neighbour")


def test_strips_are_those_of_the_neighbours_at_its_sides() -> None:
    strips = choose_strips([*fields(0, *SQUARE), *fields(1, (2, -3))], 0)
    assert of_kind(strips, "cycle") == [(1, 4, (2.0, -93.0)), (2, 4, (-88.0, -3.0))]


def test_a_field_that_meets_no_field_by_much_meets_the_nearest_and_strips() -> None:
    both = [*fields(0, (0, 0), (0, 2 * STEP)), *fields(1, (0, STEP - 2))]
    assert of_kind(choose_pairs(both, 0, stitch=True, nulls=0), "cycle") == [(0, 2, (0.0, 88.0))]
    assert of_kind(choose_strips(both, 0), "cycle") == [(1, 2, (0.0, -92.0))]


def test_numbers_of_fields_may_differ() -> None:
    pairs = choose_pairs([*fields(0, *SQUARE), *fields(1, (45, 45))], 0, stitch=False, nulls=0)
    found = of_kind(pairs, "cycle")  # a quarter of it lies in each field of the reference
    assert [(reference, moving) for reference, moving, _ in found] == [
        (0, 4), (1, 4), (2, 4), (3, 4),
    ]  # fmt: skip
    apart = choose_pairs([*fields(0, *SQUARE), *fields(1, (500, 500))], 0, stitch=True, nulls=0)
    assert not of_kind(apart, "cycle")


def test_null_pairs_do_not_overlap_and_have_the_offsets_of_real_pairs() -> None:
    line = tuple((0, STEP * k) for k in range(6))
    both = [*fields(0, *line), *fields(1, *line)]
    pairs = choose_pairs(both, 0, stitch=True, nulls=5)
    nulls = [p for p in pairs if p.kind == "null"]
    assert Counter(p.offset_px[2] for p in nulls) == {0.0: 5, 90.0: 5}
    for pair in nulls:
        one, other = both[pair.reference], both[pair.moving]
        assert abs(one.stage_um[2] - other.stage_um[2]) >= SIDE / 2
    assert not of_kind(choose_pairs(fields(0, (0, 0)), 0, stitch=True, nulls=5), "null")


def test_null_pairs_of_fields_of_other_sizes_overlap() -> None:
    """At the offset of two large fields two small ones may share nothing, which stopped a well."""
    row = fields(0, *((0, STEP * k) for k in range(6)))
    row[1:4] = [replace(field, shape=(1, SIDE, 80)) for field in row[1:4]]
    pairs = choose_pairs(row, 0, stitch=True, nulls=20)
    nulls = of_kind(pairs, "null")
    assert len(nulls) >= 5
    for reference, moving, (y, x) in nulls:
        widths = row[reference].shape[2], row[moving].shape[2]
        assert y == 0
        assert min(widths[0], widths[1] + x) - max(0, x) >= 5
