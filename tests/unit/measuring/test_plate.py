"""Wells and plates measured from their pixels: true places, statuses, and what stops them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from platefuse.errors import ImageError, MeasureError, PlateError
from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.options import FusionOptions
from platefuse.measuring.model import FieldStatus
from platefuse.measuring.options import MeasureOptions
from platefuse.measuring.plate import Solution, solve_plate
from platefuse.measuring.receipt import MeasuredWell
from platefuse.measuring.well import measure_well
from platefuse.ngff.plate import Plate
from platefuse.testing import AcquisitionSpec
from tests.conftest import PlateFactory
from tests.fields_plate import PIXEL_UM
from tests.fused import TINY
from tests.raw_plate import RawPlate

READER = LayerReader(FusionOptions())


def measure(path: Path, options: MeasureOptions, threads: int = 2) -> list[MeasuredWell]:
    wells = Plate.open(path).read_wells()
    return [measure_well(w, READER, options.of_pairs, 0, threads=threads) for w in wells]


def solve(path: Path, **options: object) -> Solution:
    wanted = MeasureOptions(**options)  # type: ignore[arg-type]
    return solve_plate(measure(path, wanted), wanted, 0)


def errors_px(spec: RawPlate, solution: Solution, well: str) -> NDArray[np.float64]:
    """Errors of the centres of a well's measured fields, up to a shift of the whole well."""
    found = []
    for placed in solution.places:
        key = placed.field.key
        if key.well != well or placed.status not in ("reference", "measured"):
            continue
        number = int(key.image) % len(spec.nominal())
        y, x = spec.centres(well, key.acquisition, number)
        middle = np.array(placed.place_um[1:]) / PIXEL_UM + spec.side / 2
        found.append(middle - (y.mean(), x.mean()))
    return np.asarray(found - np.median(found, axis=0))


def statuses(solution: Solution, well: str) -> dict[tuple[int, int], FieldStatus]:
    keyed = ((p.field.key, p.status) for p in solution.places)
    return {(k.acquisition, int(k.image) % 4): status for k, status in keyed if k.well == well}


def test_fields_are_found_where_they_truly_are(tmp_path: Path) -> None:
    spec = RawPlate(shifts_px={0: (0, 0), 1: (7.3, -4.6), 2: (-39.2, 17.4)})
    solution = solve(spec.write(tmp_path / "p.zarr"))
    assert solution.statuses == {"measured": 8, "reference": 4}
    assert np.abs(errors_px(spec, solution, "B/03")).max() < 0.25


def test_a_turned_plate_is_placed_with_its_angle(tmp_path: Path) -> None:
    spec = RawPlate(angles_deg={1: 0.3}, grid=(3, 3))
    solution = solve(spec.write(tmp_path / "p.zarr"), model="rigid")
    (model,) = solution.consensus.models.values()
    assert abs(model.trend.angle_deg) == pytest.approx(0.3, abs=0.03)
    turned = [p.angle_deg for p in solution.places if p.field.key.acquisition == 1]
    truth = turn_of_the_scene(spec)
    assert turned == pytest.approx([truth] * 9, abs=0.03)
    assert np.abs(errors_px(spec, solution, "B/03")).max() < 0.25


def turn_of_the_scene(spec: RawPlate) -> float:
    """Angle from x to y of a row of pixels of acquisition 1 in the scene, in degrees."""
    y, x = spec.centres("B/03", 1, 0)
    return float(np.degrees(np.arctan2(y[0, -1] - y[0, 0], x[0, -1] - x[0, 0])))


def test_empty_fields_and_wells_are_said_to_be_empty(tmp_path: Path) -> None:
    spec = RawPlate(wells=("B/03", "B/04"), empty_wells=("B/04",), empty_fields={0: (1,), 1: (2,)})
    solution = solve(spec.write(tmp_path / "p.zarr"))
    found = statuses(solution, "B/03")
    assert found[0, 1] == found[1, 2] == "empty"
    assert found[1, 0] == found[1, 3] == "measured"
    assert set(statuses(solution, "B/04").values()) == {"empty"}
    assert np.abs(errors_px(spec, solution, "B/03")).max() < 0.25


def test_results_do_not_depend_on_threads(tmp_path: Path) -> None:
    path = RawPlate(grid=(1, 2)).write(tmp_path / "p.zarr")
    one, two = (measure(path, MeasureOptions(), threads=n)[0] for n in (1, 2))
    assert (one.fields, one.pairs, one.made_from) == (two.fields, two.pairs, two.made_from)


def test_a_flipped_axis_is_said_in_one_sentence(tmp_path: Path) -> None:
    path = RawPlate(grid=(3, 2), stage_px=1).write(tmp_path / "p.zarr")
    for file in path.glob("B/03/*/.zattrs"):
        content = json.loads(file.read_text())
        for dataset in content["multiscales"][0]["datasets"]:
            dataset["coordinateTransformations"][1]["translation"][2] *= -1
        file.write_text(json.dumps(content))
    with pytest.raises(MeasureError, match=r"correlate only when y is flipped .* other sign in y"):
        measure(path, MeasureOptions())


def test_doubtful_fields_stop_a_plate_if_they_must_not_be(tmp_path: Path) -> None:
    spec = RawPlate(shifts_px={0: (0, 0), 1: (90.0, 0.0)}, grid=(1, 2))
    path = spec.write(tmp_path / "p.zarr")
    assert set(solve(path, max_shift=10).statuses) & {"too_far", "ambiguous"}
    with pytest.raises(MeasureError, match=r"(?s)The places of 2 of 4 fields.*well B/03, image 2"):
        solve(path, max_shift=10, on_doubt="stop")


def test_what_cannot_be_measured_is_an_error(tmp_path: Path) -> None:
    path = RawPlate(grid=(1, 2), side=48, step=40).write(tmp_path / "p.zarr")
    well = next(iter(Plate.open(path).read_wells()))
    with pytest.raises(PlateError, match=r"no image is of the reference acquisition 5.*\[0, 1\]"):
        measure_well(well, READER, MeasureOptions().of_pairs, 5)
    with pytest.raises(ImageError, match="no channel is named 'DAPI'"):
        measure(path, MeasureOptions(channel="DAPI"))


def test_levels_that_do_not_group_whole_pixels_are_not_needed(tmp_path: Path) -> None:
    path = RawPlate(grid=(1, 2)).write(tmp_path / "p.zarr")
    expected = solve(path).places
    for level in path.glob("B/03/*/1/.zarray"):
        content = json.loads(level.read_text())
        content["shape"][2:] = [100, 100]
        level.write_text(json.dumps(content))
    for placed, truth in zip(solve(path).places, expected, strict=True):
        np.testing.assert_allclose(placed.place_um, truth.place_um, atol=0.05)


def test_two_mosaics_of_one_acquisition_are_an_error(example_plate: PlateFactory) -> None:
    both = (AcquisitionSpec(0), AcquisitionSpec(0, path="0_illum"), AcquisitionSpec(1))
    plate = Plate.open(example_plate(replace(TINY, acquisitions=both)).path)
    with pytest.raises(PlateError, match=r"\['0', '0_illum'\] are of the same acquisitions \[0\]"):
        measure_well(plate.well("B", "03"), READER, MeasureOptions().of_pairs, 0)
