"""Stage positions that cannot be true are errors; those that are odd are told."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platefuse.errors import ViewError
from platefuse.fusion.fields.layers import Layer
from platefuse.fusion.fields.plausible import check_positions
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.stack import frames_for
from platefuse.ngff.layout import InputOptions
from platefuse.ngff.plate import Plate
from platefuse.ngff.tables.table import read_table, write_roi_table
from tests.conftest import PlateFactory
from tests.fields_plate import FieldsPlate
from tests.fused import BARE, everything

Places = np.ndarray[Any, Any]
NINE = FieldsPlate({"B/03": {0: 9}}, columns=3)


def layers_of(plate: Path, layout: str) -> list[Layer]:
    options: Any = {"layout": layout}
    return LayerReader(FusionOptions(), InputOptions(**options)).read(
        Plate.open(plate).well("B", "03")
    )


def move_images(plate: Path, edit: Callable[[Places], Places]) -> None:
    """Change the translations of the images of a well."""
    files = [plate / "B" / "03" / str(k) / ".zattrs" for k in range(9)]
    contents: list[Any] = [json.loads(file.read_text()) for file in files]
    transforms = [
        [d["coordinateTransformations"][1] for d in c["multiscales"][0]["datasets"]]
        for c in contents
    ]
    new = edit(np.array([t[0]["translation"][2:] for t in transforms]))
    for file, content, levels, place in zip(files, contents, transforms, new, strict=True):
        for transform in levels:
            transform["translation"][2:] = place.tolist()
        file.write_text(json.dumps(content))


def move_rows(plate: Path, edit: Callable[[Places], Places]) -> None:
    """Change the stage positions in the tile table of an image."""
    image = plate / "B" / "03" / "0"
    table = read_table(image, "FOV_ROI_table")
    rows: dict[str, dict[str, float]] = {
        name: {k: v[i] for k, v in table.columns.items()} for i, name in enumerate(table.names)
    }
    keys = ("y_micrometer_original", "x_micrometer_original")
    new = edit(np.array([[row[k] for k in keys] for row in rows.values()]))
    for row, place in zip(rows.values(), new.tolist(), strict=True):
        row |= dict(zip(keys, place, strict=True))
    shutil.rmtree(image / "tables")
    write_roi_table(image, "FOV_ROI_table", rows)


def one(k: int, add: float) -> Callable[[Places], Places]:
    def edit(places: Places) -> Places:
        places[k, 1] += add
        return places

    return edit


def same(places: Places) -> Places:
    places[1] = places[0]
    return places


WRONG = {
    "millimeters": (lambda p: p / 1e3, "(probably|as if) in millimeters"),
    "nanometers": (lambda p: p * 1e6, r"extend over .* mm.*Farthest from the others is"),
    "a stray field": (one(3, 140_000.0), r"Farthest from the others is .*(image|FOV_4)"),
}
ODD = {
    "twice": (same, "have the same position: they are blended"),
    "far": (one(3, 5_000.0), "mm away from all other fields"),
}


@pytest.fixture(params=["mosaic", "fields"])
def plate(
    request: pytest.FixtureRequest, example_plate: PlateFactory, tmp_path: Path
) -> tuple[Path, str, Callable[..., None]]:
    if request.param == "fields":
        return NINE.write(tmp_path / "p.zarr"), "fields", move_images
    return example_plate(BARE).path, "mosaic", move_rows


@pytest.mark.parametrize(("edit", "message"), WRONG.values(), ids=WRONG)
def test_positions_that_cannot_be_true_are_an_error(
    plate: tuple[Path, str, Callable[..., None]], edit: Any, message: str
) -> None:
    path, layout, move = plate
    move(path, edit)
    before = everything(path)
    with pytest.raises(ViewError, match=message):
        frames_for([layers_of(path, layout)], FusionOptions())
    assert everything(path) == before


def test_positions_in_metres_are_an_error(example_plate: PlateFactory) -> None:
    plate = example_plate(BARE).path
    move_rows(plate, lambda places: places / 1e6)
    with pytest.raises(ViewError, match=r"4 fields are all within .* probably in meters"):
        frames_for([layers_of(plate, "mosaic")], FusionOptions())


@pytest.mark.parametrize(("edit", "message"), ODD.values(), ids=ODD)
def test_odd_positions_are_told(
    plate: tuple[Path, str, Callable[..., None]],
    edit: Any,
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, layout, move = plate
    with caplog.at_level(logging.WARNING, "platefuse"):
        check_positions(layers_of(path, layout))
        assert not caplog.messages
        move(path, edit)
        check_positions(layers_of(path, layout))
    assert len(caplog.messages) == 1
    assert message in caplog.text


def test_a_mirrored_axis_is_told(
    example_plate: PlateFactory, caplog: pytest.LogCaptureFixture
) -> None:
    plate = example_plate(BARE).path
    move_rows(plate, lambda places: places * [-1, 1])
    check_positions(layers_of(plate, "mosaic"))
    assert "in y run against those in the array" in caplog.text
