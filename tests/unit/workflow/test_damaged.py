"""Whatever JSON is in the place of metadata, records and receipts: one clear error, no other."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from platefuse import apply_registration_to_image
from platefuse.errors import ConfigError, PlatefuseError, TableError
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.plate import finish_fused_plate
from platefuse.fusion.wells.well import fuse_well
from platefuse.ngff import well as well_module
from platefuse.ngff.layout import InputOptions
from platefuse.ngff.plate import Plate, WellName
from platefuse.ngff.sections import listed_image
from platefuse.ngff.tables import table as table_module
from platefuse.ngff.tables.table import Roi, table_names
from platefuse.ngff.well import Well
from platefuse.records import FusionReceipt, ImageReceipt, PlateReceipt, ProcessedWell, WellReceipt
from platefuse.registration.plan import plan_registration
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.restore import check_restore
from platefuse.registration.rois import match_rois
from platefuse.testing import make_plate
from platefuse.workflow.config.model import read_config
from platefuse.workflow.config.text import read_yaml
from platefuse.workflow.planning import check_config
from platefuse.workflow.status import plate_status
from platefuse.workflow.subset import Grid, select_wells
from tests.damage import SPEC, TABLE

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 1.5, 10**400, 1e308, float("nan"), float("inf")])
    | st.sampled_from(["", "0", "../x", "/etc", "a\nb", "\ud800", "x" * 5000, "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["path", "name", "version", "0", "\ud800"]), inner)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate of which one image is registered, and its fused plate."""
    path = tmp_path_factory.mktemp("damaged") / "p.zarr"
    make_plate(path, SPEC)
    image = path / "B" / "03" / "0"
    apply_registration_to_image(zarr_url=image, registered_roi_table=TABLE)
    fused, plate = path.with_name("p_fused.zarr"), Plate.open(path)
    fuse_well(plate.well("B", "03"), fused, LayerReader(FusionOptions(), InputOptions()))
    finish_fused_plate(plate, fused, FusionOptions())
    return path


def places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON value."""
    yield above
    if not isinstance(content, dict | list):
        return
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        yield from places(value, (*above, key))


def put(content: Any, place: tuple[Any, ...], value: object) -> Any:
    if not place:
        return value
    holder = content
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return content


def look(plate: Path) -> None:
    """Do all that reads a plate and writes nothing."""
    config = plate.with_name("config.yaml")
    config.write_text(f"plates: {{p: {plate}}}\nresults: {plate.with_name('results')}\n")

    def images() -> None:
        for image in Plate.open(plate).well("B", "03").images:
            check_restore(image)

    def plan() -> None:
        image = Plate.open(plate).well("B", "03").image("1")
        plan_registration(image, RegistrationRequest(TABLE))

    for read in (lambda: plate_status(plate), images, plan, lambda: list(check_config(config))):
        try:
            read()
        except PlatefuseError as error:
            said = str(error)
            if any(len(line) > 1600 for line in said.splitlines()):
                raise AssertionError(said) from error


@settings(max_examples=25)
@given(data=st.data())
def test_any_json_in_the_place_of_metadata(plate: Path, data: st.DataObject) -> None:
    files = sorted(p for p in plate.parent.rglob("*") if p.name in (".zattrs", ".zarray"))
    records = [file for file in files if '"platefuse"' in file.read_text()]
    file = data.draw(st.sampled_from(records) | st.sampled_from(files))
    before = file.read_text()
    content = json.loads(before)
    place = data.draw(st.sampled_from(list(places(content))))
    try:
        file.write_text(json.dumps(put(content, place, data.draw(JSON))))
        look(plate)
    finally:
        file.write_text(before)


@pytest.mark.parametrize(
    "kind", [ImageReceipt, WellReceipt, FusionReceipt, PlateReceipt, ProcessedWell]
)
@given(data=st.data())
@settings(max_examples=30)
def test_any_json_in_the_place_of_a_receipt(
    tmp_path_factory: pytest.TempPathFactory, kind: Any, data: st.DataObject
) -> None:
    file = tmp_path_factory.getbasetemp() / "receipt.json"
    keys = st.sampled_from([*kind.__dataclass_fields__, "wanted"])
    file.write_text(json.dumps(data.draw(JSON | st.dictionaries(keys, JSON))))
    try:
        kind.read(file)
    except PlatefuseError as error:
        if "\n" in str(error):
            raise AssertionError(str(error)) from error


BOMBS = {
    "holds itself": "plates: &a {p: x, q: *a}",
    "grows": "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    + "".join(
        f"{b}: &{b} [{', '.join(['*' + a] * 10)}]\n"
        for a, b in zip("abcdefg", "bcdefgh", strict=True)
    ),
    "deep": "plates: " + "[" * 5000,
    "large": "# " + "x" * 6_000_000,
}


SAID = {
    "holds itself": "alias",
    "grows": "alias",
    "deep": "is no config",
    "large": "; expected",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_config_that_has_no_end(tmp_path: Path, bomb: str) -> None:
    (tmp_path / "config.yaml").write_text(BOMBS[bomb])
    with pytest.raises(ConfigError, match=SAID[bomb]):
        read_yaml(tmp_path / "config.yaml")


@pytest.mark.parametrize("bomb", ["holds itself", "grows"])
def test_a_config_that_has_no_end_from_snakemake(bomb: str) -> None:
    with pytest.raises(ConfigError, match="alias"):
        read_config(yaml.safe_load(BOMBS[bomb]))


def test_many_wells_are_not_compared_with_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, calls = 300, 0
    wells = [{"path": f"A/{n}"} for n in range(count)]
    (tmp_path / "p.zarr").mkdir()
    (tmp_path / "p.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    (tmp_path / "p.zarr" / ".zattrs").write_text(json.dumps({"plate": {"wells": wells}}))
    equal = WellName.__eq__

    def counted(one: WellName, other: object) -> bool:
        nonlocal calls
        calls += 1
        return equal(one, other)

    monkeypatch.setattr(WellName, "__eq__", counted)
    plate = Plate.open(tmp_path / "p.zarr")
    assert len(plate_status(tmp_path / "p.zarr").absent) == count
    for well in plate.wells:
        with pytest.raises(PlatefuseError, match="no such folder"):
            plate.well(well.row, well.column)
    assert calls < 10 * count
    made, of = 0, Grid.of

    def grid(wells: Any) -> Grid:
        nonlocal made
        made += 1
        return of(wells)

    monkeypatch.setattr(Grid, "of", grid)
    chosen = select_wells({"p": plate.wells}, [f"A{n}" for n in range(count)], None)
    assert (len(chosen), made) == (count, 1)


class Name(str):
    """A name that counts how often one is compared with another."""

    compared = 0
    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str.__eq__(self, other)


def test_many_images_tables_and_rois_are_not_compared_with_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 100
    names = [str(n) for n in range(count)]
    well = tmp_path / "p.zarr" / "A" / "1"
    for name in names:
        (well / "0" / "tables" / name).mkdir(parents=True)
        (well / "0" / "tables" / name / ".zgroup").write_text('{"zarr_format": 2}')
    images = [{"path": name, "acquisition": int(name)} for name in names]
    (well / ".zgroup").write_text('{"zarr_format": 2}')
    (well / ".zattrs").write_text(json.dumps({"well": {"images": images}}))

    def counting(well: Path, entry: object) -> tuple[str, int | None]:
        name, acquisition = listed_image(well, entry)
        return Name(name), acquisition

    monkeypatch.setattr(well_module, "listed_image", counting)
    monkeypatch.setattr(table_module, "_listed", lambda _: [Name(name) for name in names])
    monkeypatch.setattr(table_module, "subfolders", lambda _: [Name(name) for name in names])
    read = Well.read(tmp_path / "p.zarr", "A", "1")
    for name in names:
        assert read.image(name).name == name
        assert read.reference_image("0", int(name)).name == name
    assert table_names(well / "0") == names
    rois = [Roi(Name(name), {}, {}) for name in names]
    assert len(match_rois(rois, rois, where="t")) == count
    with pytest.raises(TableError, match="more than once"):
        match_rois([*rois, Roi(Name("0"), {}, {})], rois, where="t")
    assert Name.compared < 20 * count


def test_a_pipe_in_the_place_of_metadata(plate: Path, tmp_path: Path) -> None:
    copy = tmp_path / "p.zarr"
    shutil.copytree(plate, copy)
    for name in ("B/03/1/.zattrs", "B/03/1/0/.zarray", f"B/03/1/tables/{TABLE}/.zattrs"):
        kept = (copy / name).read_bytes()
        (copy / name).unlink()
        os.mkfifo(copy / name)
        look(copy)
        (copy / name).unlink()
        (copy / name).write_bytes(kept)
