"""Fusing again never loses what users keep in a fused plate."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zarr

from platefuse.errors import PlatefuseError
from platefuse.fusion.options import FusionOptions
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.records import KEY, FusedWellRecord
from tests.conftest import ExamplePlate, PlateFactory
from tests.fused import BARE, SMALL_CHUNKS, WELL, everything, fuse_well, fuse_well_part

OPTIONS = FusionOptions(output_chunksize=SMALL_CHUNKS)
OTHER = replace(OPTIONS, method="max")
SPEC = replace(BARE, tables=("FOV_ROI_table", "nuclei_features"))


@pytest.fixture
def plate(example_plate: PlateFactory) -> ExamplePlate:
    return example_plate(SPEC)


def again(plate: ExamplePlate, options: FusionOptions = OPTIONS) -> str:
    well = Plate.open(plate.path).read_wells()[0]
    return fuse_well(well, fused_plate_path(plate.path), options).action


def fused_well(plate: ExamplePlate) -> Path:
    return fused_plate_path(plate.path) / WELL


def change(file: Path, key: str, value: object) -> None:
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, key: value}))


def add_label(well: Path, name: str = "mine") -> None:
    labels = well / "0" / "labels"
    shutil.copytree(labels / "nuclei", labels / name)
    change(labels / ".zattrs", "labels", ["nuclei", name])


def add_table(well: Path) -> None:
    tables = well / "0" / "tables"
    shutil.copytree(tables / "nuclei_features", tables / "mine")
    names = json.loads((tables / ".zattrs").read_text())["tables"]
    change(tables / ".zattrs", "tables", [*names, "mine"])


def set_window(well: Path) -> None:
    omero = json.loads((well / "0" / ".zattrs").read_text())["omero"]
    omero["channels"][0]["window"] = {"min": 0, "max": 9, "start": 1, "end": 7}
    change(well / "0" / ".zattrs", "omero", omero)


def edit_pixels(well: Path) -> None:
    """The same number of files and, as nothing is compressed anew here, of bytes."""
    chunk = next(p for p in sorted((well / "0/labels/nuclei/0").rglob("*")) if p.name[0].isdigit()
                 and p.is_file())  # fmt: skip
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)


def write(name: str) -> Callable[[Path], object]:
    def write_to(well: Path) -> None:
        (well / name).parent.mkdir(exist_ok=True)
        (well / name).write_text("mine")

    return write_to


WORK: dict[str, tuple[Callable[[Path], object], str]] = {
    "a label": (add_label, "0/labels/mine"),
    "a table": (add_table, "0/tables/mine"),
    "an image": (lambda well: shutil.copytree(well / "0", well / "0_mine"), "0_mine"),
    "notes in the well": (write("notes.txt"), "notes.txt"),
    "notes in a folder": (write("0/notes/a.txt"), "0/notes"),
    "notes in a level": (write("0/0/notes.txt"), "0/0/notes.txt"),
    "notes between chunks": (write("0/0/0/notes.txt"), "0/0/0/notes.txt"),
    "channel windows": (set_window, "the attribute `omero` of 0 (changed)"),
    "an attribute": (
        lambda well: change(well / "0/labels/nuclei/.zattrs", "note", 1),
        "the attribute `note` of 0/labels/nuclei (added)",
    ),
    "an attribute of the well": (
        lambda well: change(well / ".zattrs", "note", 1), "the attribute `note` (added)"
    ),
    "a changed table": (
        lambda well: change(well / "0/tables/nuclei_features/.zattrs", "backend", "csv"),
        "0/tables/nuclei_features (changed)",
    ),
    "another dtype": (
        lambda well: change(well / "0/1/.zarray", "fill_value", 7), "0/1 (its metadata are changed)"
    ),
    "pixels": (edit_pixels, "0/labels/nuclei/0 (its pixels are changed)"),
}  # fmt: skip


def test_a_well_of_another_plate_is_not_replaced(plate: ExamplePlate) -> None:
    """The config of one screen, copied for the next with the same `fusion.output`."""
    again(plate)
    fused = fused_plate_path(plate.path)
    other = plate.path.with_name("other.zarr")
    shutil.copytree(plate.path, other)
    (well,) = Plate.open(other).read_wells()[:1]
    assert fuse_well(well, fused, OPTIONS).action == "fused before"  # it is the same
    before = everything(fused)
    refused = f"was fused from the plate {plate.path.name}, "
    with pytest.raises(PlatefuseError, match=refused):
        fuse_well(well, fused, OTHER)
    with pytest.raises(PlatefuseError, match=refused):
        fuse_well_part(well, fused, OTHER, 0, 2)
    assert everything(fused) == before
    shutil.rmtree(fused)
    assert fuse_well(well, fused, OTHER).action == "fused"


@pytest.mark.parametrize("what", WORK)
def test_what_users_keep_in_a_fused_well_is_never_lost(plate: ExamplePlate, what: str) -> None:
    add, name = WORK[what]
    again(plate)
    add(fused_well(plate))
    before = everything(plate.path.parent)
    assert again(plate) == "fused before"  # nothing is replaced
    well = Plate.open(plate.path).read_wells()[0]
    for fuse in (
        lambda: again(plate, OTHER),
        lambda: fuse_well_part(well, fused_plate_path(plate.path), OTHER, 0, 2),
    ):
        with pytest.raises(PlatefuseError) as caught:
            fuse()
        assert f"lost: {name}. Move this" in str(caught.value)
    assert everything(plate.path.parent) == before


def test_a_well_that_cannot_be_written_or_removed_is_not_fused(
    plate: ExamplePlate, monkeypatch: pytest.MonkeyPatch
) -> None:
    again(plate)
    before = everything(plate.path.parent)
    well = Plate.open(plate.path).read_wells()[0]
    with pytest.raises(PlatefuseError, match=r"cannot be fused: the name .* has 240 bytes"):
        fuse_well(well, plate.path.with_name("x" * 240), OPTIONS)

    def protected(folder: Path, what: str) -> None:
        raise PlatefuseError(f"{what}: {folder} is protected")

    monkeypatch.setattr("platefuse.fusion.wells.well.check_removable", protected)
    with pytest.raises(PlatefuseError, match=f"{fused_well(plate)} is protected"):
        again(plate, OTHER)
    assert everything(plate.path.parent) == before


def test_nothing_of_a_fused_well_is_a_user_s(plate: ExamplePlate) -> None:
    for options in (OPTIONS, OTHER, replace(OPTIONS, ngff_version="0.5"), OPTIONS):
        assert again(plate, options) == "fused"


def test_what_is_added_while_a_well_is_fused_is_not_lost(
    plate: ExamplePlate, monkeypatch: pytest.MonkeyPatch
) -> None:
    again(plate)
    well, write_record = fused_well(plate), FusedWellRecord.write

    def meanwhile(record: FusedWellRecord, group: Path) -> None:
        add_label(well)
        write_record(record, group)

    monkeypatch.setattr(FusedWellRecord, "write", meanwhile)
    with pytest.raises(PlatefuseError, match="lost: 0/labels/mine"):
        again(plate, OTHER)
    assert (well / "0/labels/mine/0/.zarray").is_file()


def test_a_label_that_cannot_be_read_does_not_fuse_a_well_again(plate: ExamplePlate) -> None:
    again(plate)
    add_label(fused_well(plate))
    (fused_well(plate) / "0/labels/mine/.zattrs").write_text("{")
    assert again(plate) == "fused before"


def test_stray_files_are_nobody_s_work(plate: ExamplePlate) -> None:
    again(plate)
    for folder in (".", "0", "0/0", "0/0/0", "0/labels", "0/tables", "0/tables/FOV_ROI_table"):
        for name in (".DS_Store", "Thumbs.db", "._0", ".nfs000000000a1b2c3d0000"):
            (fused_well(plate) / folder / name).write_bytes(b"Bud1")
    assert again(plate) == "fused before"
    assert again(plate, OTHER) == "fused"


@pytest.mark.parametrize("copy", [shutil.copyfile, shutil.copy2])
def test_a_copied_fused_well_is_as_it_was_written(plate: ExamplePlate, copy: Any) -> None:
    again(plate)
    well = fused_well(plate)
    moved = well.with_name("moved")
    well.rename(moved)
    shutil.copytree(moved, well, copy_function=copy)
    shutil.rmtree(moved)
    assert again(plate, OTHER) == "fused"


def test_consolidated_metadata_are_nobody_s_work(plate: ExamplePlate) -> None:
    for version in ("0.4", "0.5"):
        again(plate, replace(OPTIONS, ngff_version=version))
        with warnings.catch_warnings(action="ignore"):  # that Zarr v3 does not specify them
            zarr.consolidate_metadata(str(fused_well(plate)))
            zarr.consolidate_metadata(str(fused_well(plate) / "0"))
    assert again(plate, OTHER) == "fused"


def test_of_many_things_some_are_named(plate: ExamplePlate) -> None:
    again(plate)
    for number in range(30):
        (fused_well(plate) / f"note{number:02}").touch()
    with pytest.raises(PlatefuseError, match=r"note00, .*note19 and 10 more. Move") as caught:
        again(plate, OTHER)
    assert "note20" not in str(caught.value)


class TestRecordsOfEarlierVersions:
    """They do not say what was written."""

    @pytest.fixture
    def well(self, plate: ExamplePlate) -> Path:
        again(plate)
        well = fused_well(plate)
        content = json.loads((well / ".zattrs").read_text())
        del content[KEY]["fusion"]["written"]
        content[KEY]["fusion"]["time"] = "2020-01-01T00:00:00+00:00"  # a copy: all is newer
        (well / ".zattrs").write_text(json.dumps(content))
        return well

    def test_what_they_wrote_is_replaced(self, plate: ExamplePlate, well: Path) -> None:
        assert again(plate) == "fused before"
        assert again(plate, OTHER) == "fused"
        assert FusedWellRecord.read(well).written is not None  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        "what",
        [
            what
            for what in WORK
            if what not in ("channel windows", "a changed table", "another dtype", "pixels")
        ],
    )
    def test_anything_else_is_not(self, plate: ExamplePlate, well: Path, what: str) -> None:
        add, name = WORK[what]
        add(well)
        before = everything(well)
        with pytest.raises(PlatefuseError) as caught:
            again(plate, OTHER)
        assert f"lost: {name}. Move this" in str(caught.value)
        assert everything(well) == before
