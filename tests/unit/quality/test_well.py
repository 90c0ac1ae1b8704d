"""The figures of fused wells whose faults are known."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from platefuse.errors import ViewError
from platefuse.fusion.options import FusionOptions
from platefuse.measuring.pair.prepare import Tone
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.quality.blocks import Block
from platefuse.quality.judge import judge
from platefuse.quality.model import CheckedWell, FieldFigures
from platefuse.quality.options import QualityOptions
from platefuse.quality.well import check_well
from platefuse.records import FieldKey
from platefuse.registration.request import RegistrationRequest
from platefuse.testing import AcquisitionSpec, PlateSpec
from platefuse.workflow.sources import FusionSources
from tests.conftest import PlateFactory
from tests.fused import fuse
from tests.raw_plate import RawPlate

SPEC = PlateSpec(
    name="checked",
    wells=("B/02", "B/03", "B/04"),
    acquisitions=(
        AcquisitionSpec(0),
        AcquisitionSpec(1, shift_px=(7, -12)),
        AcquisitionSpec(2, shift_px=(-5, 9)),
    ),
    grid=(2, 2),
    field_shape=(240, 280),
    nucleus_diameter_um=6.0,
    tables=("FOV_ROI_table", "well_ROI_table", "registered_FOV_ROI_table"),
)
REQUEST = RegistrationRequest()
Change = Callable[[NDArray[np.uint16]], NDArray[np.uint16]]


def change_field(plate: Path, well: str, image: str, number: int, change: Change) -> None:
    """Change the pixels of one field of an image, in all channels."""
    array = zarr.open_array(plate / well / image / "0", mode="r+")
    height, width = SPEC.field_shape
    row, column = divmod(number, SPEC.grid[1])
    place = np.s_[..., row * height : (row + 1) * height, column * width : (column + 1) * width]
    array[place] = change(np.asarray(array[place]))


def moved(y: int, x: int) -> Change:
    """Tissue that lies elsewhere in its field."""
    return lambda pixels: np.roll(pixels, (y, x), axis=(-2, -1))


def blurred(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """A field out of focus, with the noise of the camera."""
    soft = gaussian_filter(pixels.astype(float), (0,) * (pixels.ndim - 2) + (2.5, 2.5))
    noise = np.random.default_rng(1).normal(0, 3, pixels.shape)
    counts: NDArray[np.uint16] = np.clip(np.rint(soft + noise), 0, 65535).astype(np.uint16)
    return counts


def check(
    plate: Path,
    tmp_path: Path,
    threads: int = 1,
    request: RegistrationRequest | None = REQUEST,
) -> list[CheckedWell]:
    """Fuse a plate from its raw images, and check all wells."""
    fused = fuse(plate, request, store=False)
    found = Plate.open(plate)
    sources = FusionSources(FusionOptions(), request=request, store=False)
    return [
        check_well(well, fused, sources.reader(well), tmp_path / well.name, threads=threads)
        for well in found.read_wells()
    ]


def field(well: CheckedWell, acquisition: int, number: int) -> FieldFigures:
    """One field of a well, by its place in the grid."""
    return [own for own in well.fields if own.acquisition == acquisition][number]


def test_known_faults_are_flagged_and_nothing_else(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(SPEC).path
    change_field(plate, "B/02", "1", 3, moved(0, 5))
    for number in range(4):  # twice the shift: what a wrong sign leaves
        change_field(plate, "B/03", "2", number, moved(-10, 18))
    change_field(plate, "B/04", "1", 2, blurred)

    wells = check(plate, tmp_path)
    judged = {well.checked.well: well for well in judge(wells, QualityOptions())}
    flagged = {
        (name, own.figures.acquisition, own.figures.field, flag)
        for name, well in judged.items()
        for own in well.fields
        for flag in own.flags
    }

    names = [own.field for own in wells[0].fields if own.acquisition == 0]
    assert flagged == {
        ("B/02", 1, names[3], "misplaced"),
        *{("B/03", 2, name, "misplaced") for name in names},
        ("B/04", 1, names[2], "unfocused"),
    }
    assert [judged[name].verdict for name in SPEC.wells] == ["bad", "bad", "look"]
    assert field(wells[0], 1, 3).residual_px == pytest.approx((0, -5), abs=1 / 16)
    for number in range(4):
        assert field(wells[1], 2, number).residual_px == pytest.approx((10, -18), abs=1 / 16)


def test_prepared_blocks_of_the_reference_alone_are_kept(
    example_plate: PlateFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are large, and the memory of a job must not grow with its acquisitions."""
    alive: weakref.WeakSet[Block] = weakref.WeakSet()
    most, threads = 0, 2

    def counted(pixels: NDArray[np.uint16], tone: Tone) -> Block:
        nonlocal most
        block = of(pixels, tone)
        alive.add(block)
        most = max(most, len(alive))
        return block

    of = Block.of
    monkeypatch.setattr(Block, "of", counted)
    (well,) = check(example_plate(replace(SPEC, wells=("B/02",))).path, tmp_path, threads)

    assert sum(own.blocks for own in well.fields) == 2 * 16
    assert most <= 16 + threads


def test_a_plate_that_is_right_has_no_residual(example_plate: PlateFactory, tmp_path: Path) -> None:
    spec = replace(SPEC, wells=("B/02",))
    (well,) = check(example_plate(spec).path, tmp_path)

    (judged,) = judge([well], QualityOptions())

    assert judged.verdict == "good"
    assert not judged.reasons
    for own in well.fields:
        shift = {a.number: a.shift_px for a in spec.acquisitions}[own.acquisition]
        assert own.shift_px == pytest.approx(shift)
        if own.acquisition:
            assert own.blocks == own.matched == 4
            assert own.residual_px == pytest.approx((0, 0), abs=1 / 16)
            assert own.before is not None
            assert own.after is not None
            assert own.before < 0.3 < 0.6 < own.after
    assert [(c.first, c.second) for c in well.cycles] == [(0, 1), (0, 2), (1, 2)]
    assert all(c.within_1px == 1 and c.p95_px < 0.1 for c in well.cycles)


def test_pixels_of_zero_are_no_fault(example_plate: PlateFactory, tmp_path: Path) -> None:
    """Single ones, as after a subtraction, and those where an acquisition has no field."""
    plate = example_plate(replace(SPEC, wells=("B/02",))).path
    change_field(plate, "B/02", "1", 0, lambda pixels: np.where(pixels % 50 == 0, 0, pixels))
    change_field(plate, "B/02", "2", 3, np.zeros_like)

    (well,) = check(plate, tmp_path)

    assert [field(well, 1, n).matched for n in range(4)] == [4, 4, 4, 4]
    assert [field(well, 2, n).matched for n in range(3)] == [4, 4, 4]
    for one, two in ((1, 0), (2, 0)):
        residual = field(well, one, two).residual_px
        assert residual == pytest.approx((0, 0), abs=1 / 16)


def test_a_field_beside_the_reference_that_was_not_measured_is_flagged(tmp_path: Path) -> None:
    """It lies where the reference has no field, so that no block can confirm its place."""
    still = {0: (0.0, 0.0), 1: (0.0, 0.0)}
    spec = RawPlate(shifts_px=still, grid=(1, 3), repeat_px=0, stage_px=0)
    plate = spec.write(tmp_path / "p.zarr")
    image = plate / "B/03/5/.zattrs"
    content = json.loads(image.read_text())
    for dataset in content["multiscales"][0]["datasets"]:
        dataset["coordinateTransformations"][1]["translation"][2] = 300.0
    image.write_text(json.dumps(content))
    (well,) = check(plate, tmp_path, request=None)

    statuses = {FieldKey("B/03", 1, "5", "5"): "ambiguous", FieldKey("B/03", 1, "4", "4"): "empty"}
    (judged,) = judge([well], QualityOptions(), statuses)

    assert [(own.figures.image, own.flags) for own in judged.fields if own.flags] == [
        ("5", ("not measured",))
    ]
    assert field(well, 1, 2).blocks == 0
    assert field(well, 1, 2).focus is not None
    assert judged.verdict == "look"


def test_threads_change_nothing(example_plate: PlateFactory, tmp_path: Path) -> None:
    plate = example_plate(replace(SPEC, wells=("B/02",))).path
    one, two = (
        replace(check(plate, tmp_path, threads)[0], seconds=0, time="") for threads in (1, 3)
    )
    assert one == two


def test_pictures_show_before_and_after(example_plate: PlateFactory, tmp_path: Path) -> None:
    (well,) = check(example_plate(replace(SPEC, wells=("B/02",))).path, tmp_path)

    kinds = [(picture.kind, picture.acquisition) for picture in well.pictures]
    assert kinds == [
        ("fields", 0),
        *[(kind, a) for a in (1, 2) for kind in ("overlay", "before", "after")],
    ]
    grey = {}
    for picture in well.pictures:
        image = Image.open(tmp_path / well.well / picture.file)
        assert image.size == picture.size_px
        red, green, _ = (np.asarray(c, float) for c in image.convert("RGB").split())
        if picture.kind in ("before", "after"):
            grey[picture.kind, picture.acquisition] = float(np.abs(red - green).mean())
    for acquisition in (1, 2):  # where both agree, magenta and green are grey
        assert grey["after", acquisition] < grey["before", acquisition] / 2


def test_of_two_images_of_an_acquisition_the_first_is_compared(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(replace(SPEC, wells=("B/02",))).path
    file = plate / "B/02/.zattrs"
    section = json.loads(file.read_text())
    section["well"]["images"][2]["acquisition"] = 1
    file.write_text(json.dumps(section))
    fused = fuse(plate)
    (own,) = Plate.open(plate).read_wells()
    reader = FusionSources(FusionOptions()).reader(own)

    well = check_well(own, fused, reader, tmp_path)

    assert {field.image for field in well.fields} == {"0", "1"}
    assert well.not_compared == {
        "1": "the well has several images of it, of which the first is compared"
    }
    files = [picture.file for picture in well.pictures]
    assert len(set(files)) == len(files)


def test_a_well_that_is_not_fused_is_an_error(example_plate: PlateFactory, tmp_path: Path) -> None:
    plate = example_plate(replace(SPEC, wells=("B/02",))).path
    (well,) = Plate.open(plate).read_wells()
    reader = FusionSources(FusionOptions(), request=REQUEST, store=False).reader(well)

    with pytest.raises(ViewError, match="not fused yet"):
        check_well(well, fused_plate_path(plate), reader, tmp_path)
