"""Metadata of the plate: rows and columns in order, links, paths that begin with ~."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import platefuse
from _job import Job
from platefuse.errors import ConfigError, PlateError
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.signatures import NgffVersion
from platefuse.fusion.wells.plate import finish_fused_plate
from platefuse.ngff.metadata import all_attributes, read_attributes
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.workflow.checks.outputs import check_fused_plate
from platefuse.workflow.config.model import read_config
from platefuse.workflow.plates import open_plates
from platefuse.workflow.status import plate_status
from tests.conftest import PlateFactory
from tests.damage import SPEC, register
from tests.fused import BARE, TINY, everything, fuse, fuse_well
from tests.sims import KEY, make_sim


@pytest.mark.parametrize(
    ("columns", "indices", "expected"),
    [
        (["04", "03"], [0, 1], ["03", "04"]),
        (["03", "04"], [0, 1], ["03", "04"]),
        (["05", "04", "03"], [0, 1], ["03", "04", "05"]),
        (["04", "03"], [0, 0], ["04", "03"]),  # nobody knows
        (["04", "03"], [0, None], ["04", "03"]),
        (["04", "03"], [0, 7], ["04", "03"]),
    ],
)
def test_columns_are_in_the_order_of_the_wells(
    tmp_path: Path, columns: list[str], indices: list[Any], expected: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    plate = tmp_path / "p.zarr"
    plate.mkdir()
    wells = [
        {"path": f"B/{name}", "rowIndex": 0, "columnIndex": index}
        for name, index in zip(("03", "04"), indices, strict=True)
    ]
    section = {
        "rows": [{"name": "B"}], "columns": [{"name": c} for c in columns], "wells": wells
    }  # fmt: skip
    (plate / ".zgroup").write_text('{"zarr_format": 2}')
    (plate / ".zattrs").write_text(json.dumps({"plate": section}))
    with caplog.at_level(logging.WARNING, "platefuse"):
        finish_fused_plate(Plate.open(plate), tmp_path / "f.zarr", FusionOptions(), [])
    written: Any = read_attributes(tmp_path / "f.zarr")["plate"]
    assert [column["name"] for column in written["columns"]] == expected
    assert bool(caplog.messages) == (expected != columns)


@pytest.mark.parametrize("layout", ["per_acquisition", "stacked"])
@pytest.mark.parametrize("listed", [[], [{"id": 2, "name": "two", "maximumfieldcount": 9}]])
def test_acquisitions_and_fields_are_those_of_the_fused_wells(
    example_plate: PlateFactory, layout: Any, listed: list[Any]
) -> None:
    plate = example_plate(TINY).path
    raw: Any = read_attributes(plate)["plate"]
    section = {**raw, "acquisitions": listed, "field_count": 9}
    if not listed:
        del section["acquisitions"]
    (plate / ".zattrs").write_text(json.dumps({"plate": section}))
    written: Any = read_attributes(fuse(plate, layout=layout))["plate"]
    two = [{"id": 2, "name": "two", "maximumfieldcount": 1}] if listed else [{"id": 2}]
    if layout == "stacked":  # the image has the number of the first acquisition
        assert written["acquisitions"] == [*listed, {"id": 0}]
        assert written["field_count"] == 1
    else:
        assert written["acquisitions"] == ([*two, {"id": 0}] if listed else [{"id": 0}, *two])
        assert written["field_count"] == 2


class TestWhatOthersAdded:
    """What users write into the metadata of a fused plate is kept when it is fused again."""

    @pytest.fixture(params=["0.4", "0.5"])
    def version(self, request: pytest.FixtureRequest) -> NgffVersion:
        return cast("NgffVersion", request.param)

    def test_attributes_of_plate_and_rows_are_kept(
        self, example_plate: PlateFactory, version: NgffVersion
    ) -> None:
        plate = example_plate(TINY).path
        fused = fuse(plate, ngff_version="0.4")
        (fused / "README.txt").write_text("mine")
        (fused / "B" / "notes.txt").write_text("mine")
        attributes = json.loads((fused / ".zattrs").read_text())
        section = attributes["plate"]
        section["name"] = "Screen 7"
        section["description"] = "mine"
        section["acquisitions"][0]["name"] = "before treatment"
        section["wells"][0]["note"] = "mine"
        (fused / ".zattrs").write_text(json.dumps({**attributes, "note": "mine"}))
        (fused / "B" / ".zattrs").write_text('{"note": "mine"}')
        fuse(plate, ngff_version=version)
        found = all_attributes(fused)
        assert found["note"] == "mine"
        assert all_attributes(fused / "B") == {"note": "mine"}
        written: Any = read_attributes(fused)["plate"]
        assert written == {**section, "version": version}
        assert (fused / "README.txt").read_text() == (fused / "B/notes.txt").read_text() == "mine"

    def test_wells_of_another_plate_stay_listed(
        self, example_plate: PlateFactory, tmp_path: Path, version: NgffVersion
    ) -> None:
        one = example_plate(replace(BARE, wells=("B/03", "C/05"), ngff_version=version)).path
        other = example_plate(replace(BARE, wells=("C/03",)), "other.zarr").path
        fused = fuse(one, output=tmp_path / "f.zarr", ngff_version=version)
        fuse(other, output=fused, ngff_version=version)
        assert [well.name for well in Plate.open(fused).wells] == ["C/03", "B/03", "C/05"]
        written: Any = read_attributes(fused)["plate"]
        for entry in written["wells"]:
            row, column = (written[k][entry[i]]["name"] for k, i in INDICES)
            assert entry["path"] == f"{row}/{column}"
        shutil.rmtree(fused / "B")
        finish_fused_plate(Plate.open(other), fused, FusionOptions(ngff_version=version))
        assert [well.name for well in Plate.open(fused).wells] == ["C/03", "C/05"]


INDICES = (("rows", "rowIndex"), ("columns", "columnIndex"))


@pytest.mark.parametrize("place", [".", "B/03", "B/03/0/labels", "notes/deep"])
def test_a_fused_plate_lies_in_no_other_group(
    example_plate: PlateFactory, tmp_path: Path, place: str
) -> None:
    plate = example_plate(BARE).path
    other = example_plate(BARE, "other.zarr").path
    fused = other / place / "fused.zarr"
    before = everything(tmp_path)
    found, said = (
        Plate.open(plate),
        r"fused\.zarr lies inside .*other\.zarr.*, which is a Zarr group",
    )
    config = read_config({"plates": {"p": str(plate)}, "fusion": {"output": str(fused)}}, [])
    for fails in (
        lambda: fuse_well(found.read_wells()[0], fused, FusionOptions()),
        lambda: finish_fused_plate(found, fused, FusionOptions()),
        lambda: check_fused_plate(found, fused),
        lambda: open_plates(config),
    ):
        with pytest.raises(PlateError, match=said):
            fails()
    assert everything(tmp_path) == before


def test_a_link_is_followed_once(example_plate: PlateFactory, tmp_path: Path) -> None:
    """What is made of a plate lies next to the plate itself, whatever it is called by."""
    plate = example_plate(BARE).path
    link = tmp_path / "links" / "renamed.zarr"
    link.parent.mkdir()
    link.symlink_to(plate)
    assert Plate.open(link).path == plate.resolve()
    fused = fuse(link, output=fused_plate_path(Plate.open(link).path))
    assert fused == plate.resolve().with_name(f"{plate.stem}_fused.zarr")
    assert Job({}, {"plate": str(link), "output": None}, 1).fused == fused
    assert [child.name for child in link.parent.iterdir()] == [link.name]
    for path in (plate.resolve(), link):
        assert all(well.fused for well in plate_status(path).wells)


def test_a_registered_image_is_staged_next_to_the_plate_itself(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(SPEC).path
    link = tmp_path / "links" / "renamed.zarr"
    link.parent.mkdir()
    link.symlink_to(plate)
    register(link)
    assert [child.name for child in link.parent.iterdir()] == [link.name]
    assert plate_status(plate).counts == plate_status(link).counts == {"raw": 1, "registered": 1}


def test_status_tells_the_images_that_are_not_in_the_fused_plate(
    example_plate: PlateFactory,
) -> None:
    plate = example_plate(TINY).path
    fused = fused_plate_path(plate)
    well = Plate.open(plate, ["0"]).well("B", "03")
    fuse_well(well, fused, FusionOptions(output_chunksize={"z": 1, "y": 64, "x": 64}))
    (status,) = plate_status(plate).wells
    assert [image.fused for image in status.images] == [True, False]
    assert not status.fused


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"results": "~/res"}, "results"),
        ({"plates": {"p": "~/p.zarr"}}, "plates.p"),
        ({"input": {"positions": "~/p.tsv"}}, "input.positions"),
        ({"fusion": {"output": "~/f.zarr"}}, "fusion.output"),
    ],
)
def test_paths_that_begin_with_a_tilde_are_refused_alike(config: Any, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"config\.{key} .*without ~ at its beginning"):
        read_config({"plates": {"p": "p.zarr"}, **config})


def test_fuse_refuses_an_output_that_begins_with_a_tilde() -> None:
    sim = make_sim(np.ones((4, 5), np.uint16), "yx")
    message = r"output_zarr_url is '~/x.zarr'; .*without ~ at its beginning"
    with pytest.raises(ConfigError, match=message):
        platefuse.fuse([sim], transform_key=KEY, output_zarr_url="~/x.zarr")
    assert not Path("~").exists()
