"""What lies beside the pixels comes along, and fits them."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import zarr

from platefuse.tables.table import read_table
from tests.conftest import ExamplePlate, PlateFactory
from tests.damage import SPEC, refused, register, with_attributes
from tests.tables import BACKENDS, BOX, write_table

# Whole micrometres; the second one lies where nothing remains of its field.
BOXES = pd.DataFrame([[0, 5, 9, 1, 4, 3], [0, 5, 0, 1, 4, 2]], index=["7", "9"], columns=BOX)
SHIFT_UM = np.array([0, *SPEC.acquisitions[1].shift_px]) * SPEC.pixel_size_um


@pytest.fixture(params=["0.4", "0.5"])
def plate(request: pytest.FixtureRequest, example_plate: PlateFactory) -> ExamplePlate:
    """A plate of one well and two acquisitions, in both versions of OME-NGFF."""
    return example_plate(replace(SPEC, ngff_version=request.param))


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_whole_numbers_move_by_parts_and_other_columns_stay(
    plate: ExamplePlate, backend: str, flat: bool
) -> None:
    image = plate.path / "B" / "03" / "1"
    boxes = BOXES.drop(columns=["z_micrometer", "len_z_micrometer"] if flat else [])
    write_table(
        image / "tables" / "mine", backend, boxes.assign(area=[11, 12]), "masking_roi_table"
    )
    register(plate.path)
    table = read_table(image, "mine")
    assert table.names == ("7",)
    assert table.column("area") == (11,)
    assert set(table.columns) - {"index", ""} == {*boxes.columns, "area"}
    expected = BOXES.loc["7"] + [*SHIFT_UM, 0, 0, 0]
    for column in boxes.columns:
        assert table.column(column) == pytest.approx((expected[column],))


def test_a_table_that_only_half_can_be_read_is_named(plate: ExamplePlate) -> None:
    table = plate.path / "B" / "03" / "1" / "tables" / "mine"
    write_table(table, "anndata", BOXES, "masking_roi_table")
    with_attributes(table / "uns", lambda a: a.__setitem__("encoding-type", "unheard of"))
    refused(plate.path, "tables/mine: the moved boxes cannot be written", "unheard of", staged=True)


def test_consolidated_metadata_do_not_tell_of_tables_that_were(plate: ExamplePlate) -> None:
    image = plate.path / "B" / "03" / "1"
    write_table(image / "tables" / "mine", "anndata", BOXES, "masking_roi_table")
    with warnings.catch_warnings(action="ignore"):  # that Zarr v3 does not specify them
        for group in (image / "tables", image):
            zarr.consolidate_metadata(str(group))
    register(plate.path)
    for group, path in ((image, "tables/mine/X"), (image / "tables", "mine/X")):
        array = zarr.open_group(group, mode="r")[path]
        assert isinstance(array, zarr.Array)
        assert array.shape == (1, 6)
        assert np.asarray(array[0, 1]) == pytest.approx(5 + SHIFT_UM[1])


def test_files_that_platefuse_knows_nothing_of_come_along(plate: ExamplePlate) -> None:
    image = plate.path / "B" / "03" / "1"
    files = [image / folder / "notes" / "a.txt" for folder in ("", "labels", "labels/nuclei")]
    files += [image / "labels" / "b.txt", image / "tables" / "c.txt", image / "tables/no_table/d"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"mine: {file}")
    register(plate.path)
    assert [file.read_text() for file in files] == [f"mine: {file}" for file in files]
