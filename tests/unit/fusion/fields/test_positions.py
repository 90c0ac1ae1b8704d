from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platefuse import apply_registration_to_image
from platefuse.errors import ConfigError, ViewError
from platefuse.fusion.fields.maps import pixel_map
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.stack import frames_for
from platefuse.ngff.layout import InputOptions
from platefuse.ngff.metadata import read_attributes, update_attributes
from platefuse.ngff.plate import Plate
from platefuse.ngff.positions import read_position_table
from platefuse.ngff.well import Well
from platefuse.registration.request import RegistrationRequest
from platefuse.workflow.sources import plan_well, reader_of_plans
from tests.conftest import SMALL, PlateFactory
from tests.fields_plate import PIXEL_UM, FieldsPlate, write_ome_xml

WELL = "B/03"


def well_of(path: Path, name: str = WELL) -> Well:
    return Plate.open(path).well(*name.split("/"))


def stage(well: Well, read_as: InputOptions | None = None) -> dict[str, tuple[float, float]]:
    """Position of each image in y and x, in pixels."""
    layers = LayerReader(FusionOptions(), read_as or InputOptions()).read(well)
    return {
        part.name: (field.stage_um["y"] / PIXEL_UM, field.stage_um["x"] / PIXEL_UM)
        for layer in layers
        for part in layer.images
        for field in part.fields
    }


def move(image: Path, *, y: float, x: float) -> None:
    """Write the translation of an image, in pixels."""
    (entry,) = entries(image)
    for dataset in entry["datasets"]:
        scale = dataset["coordinateTransformations"][0]
        moved = [0.0] * (len(scale["scale"]) - 2) + [y * PIXEL_UM, x * PIXEL_UM]
        dataset["coordinateTransformations"] = [
            scale,
            {"type": "translation", "translation": moved},
        ]
    update_attributes(image, {"multiscales": [entry]})


def entries(image: Path) -> Any:
    return read_attributes(image)["multiscales"]


@pytest.mark.parametrize("source", ["translation", "text"])
def test_a_position_that_is_no_float32_is_not_rounded_as_one(tmp_path: Path, source: str) -> None:
    far = 1e6  # micrometres: float32 has steps of an eighth of a pixel there
    path = FieldsPlate({WELL: {0: 2}}, translation=False).write(tmp_path / "p.zarr")
    places = {"0": far / PIXEL_UM, "1": far / PIXEL_UM + 40.2}
    read_as = InputOptions()
    if source == "text":
        table = tmp_path / "positions.tsv"
        rows = [f"{WELL}\t{name}\t0\t{x * PIXEL_UM}\n" for name, x in places.items()]
        table.write_text("".join(["well\timage\ty_um\tx_um\n", *rows]))
        read_as = InputOptions(positions=str(table))
    else:
        for name, x in places.items():
            move(path / WELL / name, y=0, x=x)
    (layer,) = LayerReader(FusionOptions(), read_as).read(well_of(path))
    (frame,) = frames_for([[layer]], FusionOptions())
    found = [
        pixel_map(field, part.image, frame, part.precision_px).offset[-1]
        for part, field in layer.fields
    ]
    assert found == pytest.approx([0.0, 40.2], abs=1e-6)


@pytest.mark.parametrize("name", ["B/03", "B03", "B3", "B/3"])
def test_wells_of_a_table_are_named_as_in_the_config(tmp_path: Path, name: str) -> None:
    path = FieldsPlate({WELL: {0: 2}}, translation=False).write(tmp_path / "p.zarr")
    table = tmp_path / "positions.tsv"
    rows = [f"{name}\t0\t0\t0\n", f"{name}\t1\t0\t{40 * PIXEL_UM}\n"]
    table.write_text("".join(["well\timage\ty_um\tx_um\n", *rows]))
    read_as = InputOptions(positions=str(table))
    assert stage(well_of(path), read_as) == {"0": (0, 0), "1": (0, 40)}
    read_position_table.cache_clear()
    table.write_text(table.read_text() + f"{WELL}\t1\t0\t7\n")  # the last of them counted
    with pytest.raises(ConfigError, match=r"line 4: image 1 of well B/03 occurs again"):
        stage(well_of(path), read_as)


@pytest.mark.parametrize("counts", [{0: 4, 1: 1}, {0: 1, 1: 4}, {0: 1, 1: 1}])
def test_acquisitions_of_one_field_and_of_several_are_on_one_stage(
    tmp_path: Path, counts: Mapping[int | None, int]
) -> None:
    spec = FieldsPlate({WELL: counts}, translation=False)
    path = spec.write(tmp_path / "p.zarr")
    write_ome_xml(path, spec)
    numbers = [number for count in counts.values() for number in range(count)]
    expected = {str(k): pytest.approx(spec.origin(number)) for k, number in enumerate(numbers)}
    assert stage(well_of(path)) == expected


def test_all_images_of_a_well_are_placed_by_one_source(tmp_path: Path) -> None:
    spec = FieldsPlate({WELL: {0: 2, 1: 2}})
    path = spec.write(tmp_path / "p.zarr")
    write_ome_xml(path, replace(spec, columns=1))  # another stage
    for name in "23":
        (entry,) = entries(path / WELL / name)
        for dataset in entry["datasets"]:
            del dataset["coordinateTransformations"][1:]
        update_attributes(path / WELL / name, {"multiscales": [entry]})
    by_xml = [replace(spec, columns=1).origin(number) for number in (0, 1, 0, 1)]
    assert list(stage(well_of(path)).values()) == [pytest.approx(place) for place in by_xml]


def test_an_image_without_a_position_beside_fields_is_refused(tmp_path: Path) -> None:
    path = FieldsPlate({WELL: {0: 2, 1: 1}}).write(tmp_path / "p.zarr")
    (entry,) = entries(path / WELL / "2")
    for dataset in entry["datasets"]:
        del dataset["coordinateTransformations"][1:]
    update_attributes(path / WELL / "2", {"multiscales": [entry]})
    with pytest.raises(ViewError, match=r"translation: none for \['2'\]; .*none for any image"):
        stage(well_of(path))


def test_one_image_for_each_acquisition_lies_where_its_translation_says(tmp_path: Path) -> None:
    path = FieldsPlate({WELL: {0: 1, 1: 1}}).write(tmp_path / "p.zarr")
    move(path / WELL / "1", y=-7, x=90)
    assert stage(well_of(path)) == {"0": (0, 0), "1": (-7, 90)}


def test_a_table_of_positions_holds_for_one_image_for_each_acquisition(tmp_path: Path) -> None:
    path = FieldsPlate({WELL: {0: 1, 1: 1}}).write(tmp_path / "p.zarr")
    lines = ("well\timage\ty_um\tx_um", "B03\t0\t0\t0", f"B03\t1\t{-7 * PIXEL_UM}\t{90 * PIXEL_UM}")
    table = tmp_path / "positions.tsv"
    table.write_text("\n".join(lines))
    found = stage(well_of(path), InputOptions(positions=str(table)))
    assert found == {"0": (0, 0), "1": (-7, 90)}


@pytest.mark.parametrize("stored", [True, False])
def test_a_registered_image_is_where_its_reference_is(
    example_plate: PlateFactory, stored: bool
) -> None:
    """Its pixels are where the reference has them, whatever its own translation says."""
    tables = ("well_ROI_table", "registered_well_ROI_table")
    plate = example_plate(replace(SMALL, tables=tables, noise=False))
    well = well_of(plate.path, "B/02")
    for image, x in zip(well.images, (100, 140, 180), strict=True):
        move(image.live, y=50, x=x)
    request = RegistrationRequest("registered_well_ROI_table")
    reader = reader_of_plans(FusionOptions(), InputOptions(), plan_well(well, request), is_raw=True)
    if stored:
        for image in well.images:
            apply_registration_to_image(
                zarr_url=str(image.live), registered_roi_table=request.roi_table
            )
        reader = LayerReader(FusionOptions())
    for layer in reader.read(well):
        (field,) = layer.images[0].fields
        assert np.array([field.stage_um[a] for a in "yx"]) / PIXEL_UM == pytest.approx([50, 100])
