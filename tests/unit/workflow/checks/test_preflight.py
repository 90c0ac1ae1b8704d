from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from platefuse.errors import PlatefuseError
from platefuse.ngff.plate import Plate
from platefuse.storage.files import read_json, write_json
from platefuse.testing import AcquisitionSpec, PlateSpec, make_plate
from platefuse.workflow.checks.preflight import check_well_inputs
from platefuse.workflow.config.model import read_config
from platefuse.workflow.config.text import read_yaml
from platefuse.workflow.planning import check_config, check_run, wells_of_run
from platefuse.workflow.plates import open_plates
from tests.fields_plate import FieldsPlate
from tests.opened import files_opened

ACQUISITIONS = tuple(AcquisitionSpec(k, shift_px=(3.0 * k, 0.0)) for k in range(3))
MOSAIC = PlateSpec(wells=("B/02", "B/03"), acquisitions=ACQUISITIONS, field_shape=(54, 64))
FIELDS: dict[int | None, int] = {0: 2, 1: 2}
MEASURE = {"store": False, "measure": {"enabled": True}}


def write_config(folder: Path, plate: Path, **more: object) -> Path:
    file = folder / "config.yaml"
    write_json(file, {"plates": {"p": str(plate)}, "results": str(folder / "results"), **more})
    return file


def make(folder: Path, layout: str, version: str, *, carried: bool = True) -> tuple[Path, Path]:
    """A plate of two wells, with labels and tables or without, and a config for it."""
    if layout == "mosaic":
        plate = folder / "plate.zarr"
        make_plate(plate, PlateSpec(**{**vars(MOSAIC), "ngff_version": version}))
        return plate, write_config(folder, plate)
    wells = {"B/02": FIELDS, "B/03": FIELDS}
    spec = FieldsPlate(wells, labels=carried, tables="anndata" * carried, version=version)
    plate = spec.write(folder / "plate.zarr")
    return plate, write_config(folder, plate, registration=MEASURE)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("layout", ["mosaic", "fields"])
def test_check_reads_each_file_of_a_plate_once(layout: str, version: str, tmp_path: Path) -> None:
    plate, config = make(tmp_path, layout, version)
    with files_opened(plate) as counts:
        *_, last = check_config(config)
    assert last == "Nothing would stop this run."
    metadata = ("zarr.json", ".zattrs", ".zarray", ".zgroup")
    images = {path for path in counts if path.endswith(metadata) and "/B/0" in path}
    assert len(images) > 2 * len(FIELDS)
    assert {path: count for path, count in counts.items() if count > 1} == {}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("compressor", {"id": "nobody"}, "cannot be opened as a Zarr array"),
        ("dtype", "<i2", "its data type is int16, that of image 0 of the same acquisition is uint"),
    ],
)
def test_an_array_unlike_all_others_is_found(
    key: str, value: object, words: str, tmp_path: Path
) -> None:
    plate, config = make(tmp_path, "fields", "0.4", carried=False)
    file = plate / "B/03/1/0/.zarray"
    write_json(file, {**read_json(file), key: value})
    with pytest.raises(PlatefuseError, match=words) as caught:
        list(check_config(config))
    assert "1 of 2 wells" in str(caught.value)
    assert "/B/03/1" in str(caught.value)


def test_attributes_of_an_array_that_zarr_cannot_read_are_found(tmp_path: Path) -> None:
    plate, config = make(tmp_path, "fields", "0.4", carried=False)
    (plate / "B/03/1/0/.zattrs").write_text("{")
    with pytest.raises(PlatefuseError, match="broken JSON"):
        list(check_config(config))


def test_a_tile_table_in_the_reference_alone_stops_no_run(tmp_path: Path) -> None:
    plate, file = make(tmp_path, "mosaic", "0.4")
    for image in "12":
        shutil.rmtree(plate / "B/02" / image / "tables/FOV_ROI_table")
    config = read_config(read_yaml(file), [file])
    assert check_well_inputs(Plate.open(plate).well("B", "02"), config) is None


def test_a_measured_shift_is_stored_only_where_a_tile_table_is(tmp_path: Path) -> None:
    plate = FieldsPlate({"B/02": {0: 1, 1: 1}}).write(tmp_path / "plate.zarr")
    file = write_config(tmp_path, plate, registration={"measure": {"enabled": True}})
    with pytest.raises(PlatefuseError, match=r"B/02/0: it has no table .*store: false"):
        list(check_config(file))
    *_, last = check_config(write_config(tmp_path, plate, registration=MEASURE))
    assert last == "Nothing would stop this run."


@pytest.mark.parametrize("on_bad_well", ["stop", "skip"])
@pytest.mark.parametrize(
    ("table", "shift", "is_said"),
    [
        ("FOV_ROI_table", 3.0, True),
        ("registered_FOV_ROI_table", 3.0, False),
        ("registered_FOV_ROI_table", 0.3, False),
        ("registered_FOV_ROI_table", 0.0, True),
    ],
)
def test_a_table_that_moves_no_image_is_said(
    table: str, shift: float, is_said: bool, on_bad_well: str, tmp_path: Path
) -> None:
    moved = (AcquisitionSpec(0), AcquisitionSpec(1, shift_px=(shift, 0.0)))
    make_plate(tmp_path / "plate.zarr", PlateSpec(**{**vars(MOSAIC), "acquisitions": moved}))
    file = write_config(
        tmp_path,
        tmp_path / "plate.zarr",
        on_bad_well=on_bad_well,
        registration={"store": False, "roi_table": table},
    )
    said = f"plate p: the table '{table}' (registration.roi_table) has the same boxes in all acqui"
    assert any(said in line for line in check_config(file)) == is_said
    config = read_config(read_yaml(file), [file])
    plates = open_plates(config)
    wells = wells_of_run(config, plates, is_dry=False)
    assert any(said in line for line in check_run(config, plates, wells)) == is_said


def test_nothing_is_said_of_a_table_where_no_image_is_to_be_moved(tmp_path: Path) -> None:
    make_plate(
        tmp_path / "plate.zarr", PlateSpec(**{**vars(MOSAIC), "acquisitions": ACQUISITIONS[:1]})
    )
    lines = list(check_config(write_config(tmp_path, tmp_path / "plate.zarr")))
    assert not any("same boxes" in line for line in lines)
