"""The fixed pattern of a camera is found, from the fields of other wells if need be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.options import FusionOptions
from platefuse.measuring.camera import CameraPatterns, camera_patterns, more_fields, wells_after
from platefuse.measuring.candidates import Candidate
from platefuse.measuring.decoded_chunks import DecodedChunks
from platefuse.measuring.field_pixels import FieldPixels, read_fields
from platefuse.measuring.options import MeasureOptions
from platefuse.measuring.pair.pattern import FixedPattern
from platefuse.measuring.pairs import Measuring
from platefuse.measuring.plate import solve_plate
from platefuse.measuring.well import measure_well
from platefuse.ngff.plate import Plate
from tests.raw_plate import RawPlate

READER = LayerReader(FusionOptions())
WELLS = tuple(f"B/{column:02}" for column in range(1, 5))


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Plate:
    """Four wells whose acquisitions lie exactly on each other."""
    spec = RawPlate(
        wells=WELLS, shifts_px={0: (0, 0), 1: (0, 0)}, stage_px=0, repeat_px=0, side=192, step=168
    )
    return Plate.open(spec.write(tmp_path_factory.mktemp("camera") / "p.zarr"))


def own_fields(plate: Plate) -> list[FieldPixels]:
    well = plate.well("B", "03")
    return read_fields(READER.read(well), well.name, None, DecodedChunks())


def test_the_wells_that_follow_come_first(plate: Plate) -> None:
    names = [well.name for well in wells_after(plate, plate.well("B", "03"))]
    assert names == ["B/04", "B/01", "B/02"]


def test_a_well_with_few_fields_uses_those_of_others(plate: Plate) -> None:
    own = own_fields(plate)
    assert camera_patterns(own, ()) == {}
    others = list(wells_after(plate, plate.well("B", "03")))
    more = list(more_fields(READER, others, None, DecodedChunks()))
    assert len(more) == 24
    patterns = camera_patterns(own, more)
    assert sorted(patterns) == [0, 1]
    one, other = patterns[0].of_reference.coarse, patterns[0].of_moving.coarse
    assert not np.array_equal(one, other)  # made from different fields
    assert camera_patterns(own, more[:2]) == {}


def test_acquisitions_that_lie_on_each_other_are_measured(plate: Plate) -> None:
    """A shift of zero is what a fixed pattern would give: it counts if there is no pattern."""
    well, options = plate.well("B", "03"), MeasureOptions()
    alone = measure_well(well, READER, options.of_pairs, 0)
    suspicious = {p.status for p in alone.pairs if p.kind == "cycle" and p.overlap > 0.9}
    assert suspicious == {"fixed_pattern"}
    sure = measure_well(well, READER, options.of_pairs, 0, others=wells_after(plate, well))
    solution = solve_plate([sure], options, 0)
    assert solution.statuses == {"measured": 4, "reference": 4}
    assert "measured" in {p.status for p in sure.pairs if p.kind == "cycle" and p.overlap > 0.9}


@pytest.mark.parametrize("smaller", [0, 3])
def test_fields_of_another_shape_have_no_pattern(plate: Plate, smaller: int) -> None:
    """A field at the border of a well may be cut."""
    own = own_fields(plate)
    _, height, width = own[0].field.shape
    coarse = np.random.default_rng(0).normal(size=(height - smaller, width)).astype(np.float32)
    part = CameraPatterns(*[FixedPattern(1, coarse, None)] * 2)
    pair = Candidate("cycle", 0, len(own) // 2, (0.0, 0.0, 0.0))
    with ThreadPoolExecutor(1) as pool:
        work = Measuring(own, MeasureOptions().of_pairs, pool)
        (plain,) = work.measure([pair])
        (found,) = work.measure([pair], {0: part, 1: part})
    assert (found == plain) is (smaller > 0)
