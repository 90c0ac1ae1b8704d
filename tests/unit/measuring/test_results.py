from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platefuse.errors import TableError
from platefuse.measuring.model import FieldKey
from platefuse.measuring.results import PAIR_COLUMNS, field_place, write_pairs
from platefuse.measuring.solve.consensus import find_places
from platefuse.measuring.solve.stitching import stitch
from platefuse.records import FieldPlace, read_places, write_places
from platefuse.records.places import read_key
from platefuse.storage.tsv import read_finite, read_rows
from tests.stages import StageSpec, make_stage

HEADER = (
    "plate well acquisition image field stage_y_um stage_x_um y_um x_um shift_y_px shift_x_px "
    "shift_z_px angle_deg score sigma_px status"
)
STAGE = make_stage(StageSpec(acquisitions=2, empty=frozenset({("B/02", 4)})))
KEY = FieldKey("B/02", 0, "0", "FOV_1")
PLACE = FieldPlace("p", KEY, (1.0, 2.0), (1.5, 2.5), (0.0, 0.1, 0.2), 0.0, 0.9, 0.05, "measured")


def write_again(file: Path, **cells: str) -> None:
    """Replace cells of the first row."""
    header, row, *others = file.read_text().splitlines()
    columns = dict(zip(header.split("\t"), row.split("\t"), strict=True)) | cells
    file.write_text("\n".join([header, "\t".join(columns.values()), *others]) + "\n")


def test_the_columns_of_fields_are_those_of_the_design(tmp_path: Path) -> None:
    write_places(tmp_path / "new" / "fields.tsv", [PLACE])
    header, row = (tmp_path / "new" / "fields.tsv").read_text().splitlines()
    assert header.split("\t") == HEADER.split()
    expected = "p B/02 0 0 FOV_1 1.0 2.0 1.5 2.5 0.1 0.2 0.0 0.0 0.9 0.05 measured"
    assert row.split("\t") == expected.split()


def test_a_solved_plate_is_read_back_as_it_was(tmp_path: Path) -> None:
    references = [f for f in STAGE.fields if f.key.acquisition == 0]
    found = find_places(STAGE.fields, STAGE.pairs, stitch(references, STAGE.pairs))
    rows = [field_place("demo", place) for place in found.places]
    write_places(tmp_path / "fields.tsv", reversed(rows))
    read = read_places(tmp_path / "fields.tsv")
    assert list(read) == sorted(place.key for place in rows)
    assert [repr(place) for place in read.values()] == [repr(row) for row in rows]
    assert {place.status for place in read.values()} == {"reference", "measured", "empty"}
    write_pairs(tmp_path / "pairs.tsv", "demo", STAGE.pairs)
    expected = sorted(STAGE.pairs, key=lambda p: (p.kind, p.reference, p.moving))
    rows_of_pairs = list(read_rows(tmp_path / "pairs.tsv", PAIR_COLUMNS))
    assert len(rows_of_pairs) == len(expected)
    for (where, row), pair in zip(rows_of_pairs, expected, strict=True):
        assert (row["kind"], row["status"]) == (pair.kind, pair.status)
        assert read_key(row, where, "reference_") == pair.reference
        assert read_key(row, where, "moving_") == pair.moving
        for axis, shift, sigma in zip("zyx", pair.shift_px, pair.sigma_px, strict=True):
            assert read_finite(row, f"shift_{axis}_px", where) == shift
            assert read_finite(row, f"sigma_{axis}_px", where) == sigma
        for name in ("score_at_zero", "score", "runner_up", "overlap", "texture"):
            assert read_finite(row, name, where) == getattr(pair, name)


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(finite, min_size=8, max_size=8), st.text("aä\t\"' \\", min_size=1), finite | st.none()
)
def test_every_number_and_name_comes_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], name: str, score: float | None
) -> None:
    a, b, c, d, e, f, g, h = values
    place = FieldPlace(
        name,
        replace(KEY, field=name),
        (a, b),
        (c, d),
        (e, f, g),
        h,
        math.nan if score is None else score,
        math.nan,
        "filled_well",
    )
    file = tmp_path_factory.mktemp("t") / "fields.tsv"
    write_places(file, [place])
    assert repr(read_places(file)) == repr({place.key: place})


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"y_um": "nan"}, "line 2: y_um is 'nan'; expected a finite number"),
        ({"x_um": ""}, "x_um is ''"),
        ({"shift_z_px": "inf"}, "shift_z_px is 'inf'"),
        ({"status": "guessed"}, "status is 'guessed'; expected one of reference, measured"),
        ({"acquisition": "-1"}, "acquisition is '-1'; expected a whole number"),
        ({"score": "high"}, "score is 'high'"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named(
    tmp_path: Path, cells: dict[str, str], message: str
) -> None:
    file = tmp_path / "fields.tsv"
    write_places(file, [PLACE])
    write_again(file, **cells)
    with pytest.raises(TableError, match=f"{message}.*--forcerun measure_well"):
        read_places(file)


def test_columns_are_neither_missing_nor_unknown(tmp_path: Path) -> None:
    file = tmp_path / "fields.tsv"
    write_places(file, [PLACE])
    text = file.read_text()
    for old, new, message in [
        ("sigma_px", "sigma", r"missing \['sigma_px'\], unknown \['sigma'\]"),
        ("well\t", "", "missing"),
        ("status\n", "status\tnote\n", r"unknown \['note'\]"),
        ("well\t", "well\twell\t", "each once"),
    ]:
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(TableError, match=message):
            read_places(file)
    file.write_text(text[: text.rindex("\t")] + "\n")
    with pytest.raises(TableError, match="15 cells; expected 16"):
        read_places(file)
    with pytest.raises(TableError, match="cannot be read"):
        read_places(tmp_path / "missing.tsv")
    file.write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(TableError, match=r"occurs again. .*--forcerun measure_well"):
        read_places(file)


@pytest.mark.parametrize("field", ["FOV_1", 'a "name"', "B/03", "two\nlines"])
def test_the_places_of_one_well_are_those_of_the_whole_file(tmp_path: Path, field: str) -> None:
    """Whatever the names are, also if the name of a well is that of a field, or begins like it."""
    file = tmp_path / "fields.tsv"
    keys = [FieldKey(well, n, str(n), field) for well in ("B/0", "B/02", "B/03") for n in (0, 1)]
    write_places(file, [replace(PLACE, key=key) for key in keys])
    everything = read_places(file)
    for well in ("B/0", "B/02", "B/03", "B/04"):
        expected = {key: place for key, place in everything.items() if key.well == well}
        assert read_places(file, well) == expected


def test_the_places_of_one_well_do_not_wait_for_the_rows_of_others(tmp_path: Path) -> None:
    file = tmp_path / "fields.tsv"
    write_places(file, [PLACE, replace(PLACE, key=replace(KEY, well="B/03"))])
    write_again(file, y_um="broken")
    assert list(read_places(file, "B/03")) == [replace(KEY, well="B/03")]
    with pytest.raises(TableError, match="line 2: y_um is 'broken'"):
        read_places(file, "B/02")


def test_a_place_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "fields.tsv"
    write_places(file, [PLACE])
    before = file.read_text()
    with pytest.raises(TableError, match="y_um would be nan"):
        write_places(file, [replace(PLACE, place_um=(math.nan, 0.0))])
    assert file.read_text() == before
    assert list(tmp_path.iterdir()) == [file]
