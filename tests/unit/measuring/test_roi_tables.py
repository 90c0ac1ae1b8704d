from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platefuse.errors import TableError
from platefuse.measuring.model import FieldKey, PlacedField, StageField
from platefuse.measuring.roi_tables import (
    own_digest,
    registered_rois,
    translation_um,
    write_registered_table,
)
from platefuse.ngff.metadata import all_attributes
from platefuse.ngff.tables.table import Roi, Table, read_table, table_names, write_roi_table
from platefuse.registration.rois import place
from platefuse.storage.flush import Writes
from platefuse.testing import PlateSpec
from tests.access import access_in, share
from tests.conftest import PlateFactory

PX = 0.325
numbers = st.floats(-40, 40)
shifts = st.fixed_dictionaries({a: st.tuples(numbers, numbers) for a in ("one", "two")})


def rois(image: Path) -> list[Roi]:
    table: Table = read_table(image, "FOV_ROI_table")
    return table.rois("zyx")


def boxes(start: float = 0.0) -> list[Roi]:
    return [
        Roi("one", {"y": start, "x": 100.0}, {"y": 200.0, "x": 200.0}),
        Roi("two", {"y": start, "x": 300.0}, {"y": 200.0, "x": 200.0}),
    ]


def test_the_arithmetic_by_hand() -> None:
    move = {
        0: {"one": {"y": 0.0, "x": 0.0}},
        1: {"one": {"y": 2.0, "x": -3.0}},
        2: {"one": {"y": -1.0, "x": 1.0}},
    }
    found = registered_rois(dict.fromkeys(range(3), boxes()[:1]), move, where="B/03")
    assert found == {
        0: [Roi("one", {"y": 2.0, "x": 101.0}, {"y": 197.0, "x": 196.0})],
        1: [Roi("one", {"y": 0.0, "x": 104.0}, {"y": 197.0, "x": 196.0})],
        2: [Roi("one", {"y": 3.0, "x": 100.0}, {"y": 197.0, "x": 196.0})],
    }


@settings(deadline=None)
@given(shifts, shifts)
def test_registration_reads_the_measured_shift_back(
    first: dict[str, tuple[float, float]], second: dict[str, tuple[float, float]]
) -> None:
    """The shift brings the acquisition onto the reference, as `registration.rois` applies it."""
    shift = {0: dict.fromkeys(("one", "two"), (0.0, 0.0)), 1: first, 2: second}
    move = {
        n: {name: {"y": y * PX, "x": x * PX} for name, (y, x) in own.items()}
        for n, own in shift.items()
    }
    found = registered_rois(dict.fromkeys(range(3), boxes(50.0)), move, where="B/03")
    for acquisition in range(3):
        for own, reference in zip(found[acquisition], found[0], strict=True):
            placed = place(
                own, reference, axes="yx", pixel_size_um=(PX, PX), shape=(4000, 4000), where="B/03"
            )
            expected = shift[acquisition][own.name]
            assert placed.shift_px == pytest.approx(expected, abs=1e-3)  # snapped to whole pixels


def test_a_translation_is_the_difference_of_places() -> None:
    stage = StageField(FieldKey("B/03", 1, "1", "one"), (0, 10, 20), (1, 9, 9), (1, PX, PX))
    here = PlacedField(stage, (1.0, 12.0, 25.0), (0, 0, 0), 0, 1, 0.1, "measured")
    there = replace(here, place_um=(1.0, 11.0, 28.0))
    assert translation_um(here, there) == {"z": 0.0, "y": 1.0, "x": -3.0}


def test_a_wrong_acquisition_is_named_before_it_shrinks_all() -> None:
    move = {n: {"one": {"y": 0.5 * n, "x": 0.0}} for n in range(4)}
    move[2]["one"]["y"] = -101.0
    with pytest.raises(TableError, match=r"B/03: ROI 'one' .* 97.5 µm .* acquisition 2 is shifted"):
        registered_rois(dict.fromkeys(range(4), boxes()[:1]), move, where="B/03")
    with pytest.raises(TableError, match="ROI 'two' of acquisition 0 has no measured place"):
        registered_rois({0: boxes()}, {0: move[0]}, where="B/03")
    move[2]["one"]["y"] = math.nan
    with pytest.raises(TableError, match=r"2 moves ROI 'one' by nan.*--forcerun measure_well"):
        registered_rois(dict.fromkeys(range(4), boxes()[:1]), move, where="B/03")


@pytest.fixture(params=["0.4", "0.5"])
def image(request: pytest.FixtureRequest, example_plate: PlateFactory) -> Path:
    spec = PlateSpec(ngff_version=request.param, wells=("B/03",), grid=(1, 2), field_shape=(32, 40))
    return example_plate(spec).path / "B" / "03" / "0"


def moved(image: Path, by: float = 1 / 3) -> list[Roi]:
    return [
        Roi(r.name, {a: um + by for a, um in r.start_um.items()}, r.length_um) for r in rois(image)
    ]


def test_the_table_has_the_rows_of_the_tile_table_and_new_boxes(image: Path) -> None:
    new, before = moved(image), table_names(image)
    staging = image.parents[3] / "staging"
    name = "measured_ROI_table"
    assert write_registered_table(image, name, "FOV_ROI_table", new, {"a": 1}, staging=staging)
    assert read_table(image, name).rois("zyx") == new  # in float64
    table, old = read_table(image, name), read_table(image, "FOV_ROI_table")
    assert table.columns.keys() == old.columns.keys()
    others = [c for c in old.columns if "original" in c]
    assert others
    assert all(table.columns[c] == old.columns[c] for c in others)
    assert table_names(image) == [*before, name]
    attributes = all_attributes(image / "tables" / name)
    assert attributes["type"] == "roi_table"
    assert not list(staging.glob(name))


def test_an_own_table_is_replaced_if_it_was_made_of_something_else(image: Path) -> None:
    staging = image.parents[3] / "staging"
    name = "measured_ROI_table"

    def write(by: float, source: int) -> bool:
        own = moved(image, by)
        return write_registered_table(image, name, "FOV_ROI_table", own, source, staging=staging)

    assert write(1.0, 1)
    digest = own_digest(image / "tables" / name)
    assert not write(1.0, 1)
    assert write(1.0, 2)
    assert own_digest(image / "tables" / name) != digest
    assert write(2.0, 2)
    assert read_table(image, name).rois("zyx") == moved(image, 2.0)
    assert table_names(image).count(name) == 1


def test_a_table_is_on_the_disk_before_it_is_in_the_plate(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the first one, which replaces nothing: its receipt says that it is there."""
    flushed = []

    def flush(_: Writes, tree: Path) -> None:
        flushed.append((tree.name, "measured_ROI_table" in table_names(image)))

    monkeypatch.setattr(Writes, "flush", flush)
    staging, name = image.parents[3] / "staging", "measured_ROI_table"
    write_registered_table(image, name, "FOV_ROI_table", moved(image), {"a": 1}, staging=staging)
    assert flushed == [(name, False)]


def test_a_measured_table_of_a_shared_image_is_shared(image: Path) -> None:
    share(image)
    old = os.umask(0o077)
    try:
        arguments = (image, "registered_mine", "FOV_ROI_table", rois(image), "test")
        assert write_registered_table(*arguments, staging=image.parent / "staging")
    finally:
        os.umask(old)
    model = {found[1:3] for found in access_in(image / "tables" / "FOV_ROI_table").values()}
    new = {found[1:3] for found in access_in(image / "tables" / "registered_mine").values()}
    assert new <= model


def test_a_table_that_another_program_wrote_is_left_alone(image: Path) -> None:
    write_roi_table(image, "mine", {"a": {"x_micrometer": 1.0, "len_x_micrometer": 2.0}})
    files = {f: f.read_bytes() for f in (image / "tables").rglob("*") if f.is_file()}
    with pytest.raises(TableError, match="not written by platefuse"):
        write_registered_table(
            image, "mine", "FOV_ROI_table", moved(image), 1, staging=image.parents[3] / "staging"
        )
    assert files == {f: f.read_bytes() for f in (image / "tables").rglob("*") if f.is_file()}


def test_boxes_of_other_rows_are_refused(image: Path) -> None:
    with pytest.raises(TableError, match=r"the table has changed. .*--forcerun measure_well"):
        write_registered_table(
            image, "new", "FOV_ROI_table", moved(image)[:1], 1, staging=image.parents[3] / "s"
        )
    assert not (image / "tables" / "new").exists()
