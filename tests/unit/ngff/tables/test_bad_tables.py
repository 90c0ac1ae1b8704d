"""Tables that cannot be used: found before anything is written, whatever their backend."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.conftest import ExamplePlate, PlateFactory
from tests.damage import SPEC, TABLE, refused
from tests.tables import BACKENDS, BOX, write_table

ONES = dict.fromkeys(BOX, 1.0)


@pytest.fixture
def plate(example_plate: PlateFactory) -> ExamplePlate:
    """A plate of one well and two acquisitions."""
    return example_plate(SPEC)


@pytest.mark.parametrize("image", ["0", "1"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_table(plate: ExamplePlate, backend: str, image: str) -> None:
    table = plate.path / "B" / "03" / image / "tables" / TABLE
    write_table(table, backend, pd.DataFrame(columns=BOX, dtype=float), "roi_table")
    refused(plate.path, f"{table}: the table is empty; expected a row for every ROI")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_boxes_that_are_no_numbers(plate: ExamplePlate, backend: str, value: float) -> None:
    table = plate.path / "B" / "03" / "1" / "tables" / TABLE
    frame = pd.DataFrame([ONES, {**ONES, "y_micrometer": value}])
    write_table(table, backend, frame, "roi_table")
    refused(plate.path, f"{table}: y_micrometer of row '1' is", "expected a finite number")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"area": 3.0}, "the table has no column 'y_micrometer'"),
        ({**ONES, "len_x_micrometer": np.nan}, "len_x_micrometer of row '0' is nan"),
    ],
)
def test_features_that_claim_to_be_boxes(
    plate: ExamplePlate, backend: str, row: dict[str, float], said: str
) -> None:
    table = plate.path / "B" / "03" / "1" / "tables" / "nuclei_features"
    write_table(table, backend, pd.DataFrame([row]), "masking_roi_table")
    refused(plate.path, f"{table}: {said}", "type 'masking_roi_table'", "or another type")
