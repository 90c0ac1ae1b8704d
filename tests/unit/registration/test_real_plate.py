"""The real plate beside the repository: shifts are real and fractional, nothing is synthetic."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from platefuse.fusion.options import FusionOptions
from platefuse.ngff.image import Multiscale
from platefuse.ngff.plate import Plate
from platefuse.records import RegistrationRecord, digest_tree
from platefuse.registration.request import Interpolation, RegistrationRequest
from platefuse.registration.stage import register_image
from platefuse.registration.swap import discard_backups, swap_image
from platefuse.registration.tables import copy_tables
from tests.checks import check_plate
from tests.conftest import REAL_PLATE
from tests.fused import fuse_well
from tests.truth import read_level

TABLE = "registered_FOV_ROI_table"


def register(path: Path, interpolation: Interpolation) -> None:
    plate = Plate.open(path)
    request = RegistrationRequest(TABLE, interpolation=interpolation)
    check_plate(plate, request)
    for well in plate.read_wells():
        for image in well.images:
            register_image(image, request)
        for image in well.images:
            copy_tables(image, request)
        for image in well.images:
            swap_image(image, request)
        discard_backups(well, request)


Registered = Callable[[str], Path]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """The plate registered with an interpolation, once for all tests. Not to be changed."""

    @cache
    def made(interpolation: Interpolation) -> Path:
        if not REAL_PLATE.is_dir():
            pytest.skip(f"the real plate is not part of the repository; expected at {REAL_PLATE}")
        path = tmp_path_factory.mktemp(interpolation) / REAL_PLATE.name
        shutil.copytree(REAL_PLATE, path)
        register(path, interpolation)
        return path

    return made


def nuclei(plate: Path, image: str, well: str = "B/03") -> NDArray[np.float64]:
    return np.asarray(read_level(plate / well / image)[0, 0], float)


def correlation(plate: Path, image: str) -> float:
    """Of the nuclei's channel with that of acquisition 0, where both have data."""
    one, other = nuclei(plate, "0"), nuclei(plate, image)
    both = (one > 0) & (other > 0)
    assert both.mean() > 0.9
    return float(np.corrcoef(one[both], other[both])[0, 1])


@pytest.mark.parametrize(
    ("interpolation", "least"), [("nearest", 0.965), ("linear", 0.98), ("cubic", 0.98)]
)
def test_registered_acquisitions_show_the_tissue_of_the_reference(
    registered: Registered, interpolation: Interpolation, least: float
) -> None:
    path = registered(interpolation)
    before = [correlation(REAL_PLATE, image) for image in ("1", "2")]
    after = [correlation(path, image) for image in ("1", "2")]
    assert max(before) < 0.9
    assert min(after) >= least, (before, after)
    assert not path.with_name(f"{path.name}.staging").exists()


def test_every_registered_pixel_is_a_pixel_of_its_source(registered: Registered) -> None:
    for well, image in product(("B/02", "B/03"), ("0", "1", "2")):
        path = registered("nearest") / well / image
        pixels = read_level(REAL_PLATE / well / image)
        new, record = read_level(path), RegistrationRecord.read(path)
        assert record is not None
        expected = np.zeros_like(pixels)
        for roi in record.rois:
            (z, y, x), (depth, height, width) = roi.start_px, roi.size_px
            dz, dy, dx = (round(shift) for shift in roi.shift_px)
            assert (z, depth, dz) == (0, 1, 0)
            expected[:, :, y : y + height, x : x + width] = pixels[
                :, :, y - dy : y - dy + height, x - dx : x - dx + width
            ]
        np.testing.assert_array_equal(new, expected)
        if image != "0":
            shifts = np.abs([roi.shift_px[1:] for roi in record.rois])
            assert (shifts > 1.3).all()
            assert (shifts < 2.9).all()


def test_coarser_levels_are_the_rounded_means(registered: Registered) -> None:
    path = registered("nearest") / "B" / "03" / "2"
    fine = read_level(path)
    for level in (1, 2):
        channels, depth, height, width = fine.shape
        groups = fine.reshape(channels, depth, height // 2, 2, width // 2, 2)
        fine = np.rint(groups.mean(axis=(3, 5))).astype(fine.dtype)
        np.testing.assert_array_equal(read_level(path, level), fine)


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_fused_wells_have_neither_holes_nor_dark_seams(
    registered: Registered, tmp_path: Path, interpolation: Interpolation
) -> None:
    fused = tmp_path / "fused.zarr"
    fuse_well(Plate.open(registered(interpolation)).well("B", "03"), fused, FusionOptions())
    for image in ("0", "1", "2"):
        pixels = nuclei(fused, image)
        # Two fields of 256 pixels, 315 µm apart, less the borders that not all acquisitions have.
        assert abs(pixels.shape[1] - 484) <= 4
        assert abs(pixels.shape[0] - 254) <= 3
        assert (pixels > 0).all(), "a hole"
        columns = np.median(pixels, axis=0)
        seam = columns[220:260]
        around = np.concatenate([columns[180:220], columns[260:300]])
        assert seam.min() > 0.9 * around.min(), "a dark seam"
    shapes = {Multiscale.read(fused / "B" / "03" / image).shapes[0] for image in ("0", "1", "2")}
    assert len(shapes) == 1
    assert correlation(fused, "2") >= (0.965 if interpolation == "nearest" else 0.98)


def test_the_reference_s_tables_are_carried_byte_for_byte(registered: Registered) -> None:
    reference = REAL_PLATE / "B" / "03" / "0" / "tables"
    names = {"FOV_ROI_table", "well_ROI_table", TABLE}
    for image in ("0", "1", "2"):
        tables = registered("nearest") / "B" / "03" / image / "tables"
        for name in names:
            assert digest_tree(tables / name) == digest_tree(reference / name)
        assert set(json.loads((tables / ".zattrs").read_text())["tables"]) == names
