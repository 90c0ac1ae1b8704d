"""Metadata of the plate: rows and columns in order, links, paths that begin with ~."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import platefuse
from platefuse.errors import ConfigError
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.plate import finish_fused_plate
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.workflow.config import read_config
from platefuse.workflow.status import plate_status
from tests.conftest import PlateFactory
from tests.damage import SPEC, register
from tests.fused import BARE, TINY, fuse, fuse_well
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


def test_a_link_is_followed_once(example_plate: PlateFactory, tmp_path: Path) -> None:
    """What is made of a plate lies next to the plate itself, whatever it is called by."""
    plate = example_plate(BARE).path
    link = tmp_path / "links" / "renamed.zarr"
    link.parent.mkdir()
    link.symlink_to(plate)
    assert Plate.open(link).path == plate.resolve()
    fused = fuse(link, output=fused_plate_path(Plate.open(link).path))
    assert fused == plate.resolve().with_name(f"{plate.stem}_fused.zarr")
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
