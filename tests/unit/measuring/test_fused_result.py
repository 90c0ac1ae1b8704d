"""From raw pixels to the fused plate: all acquisitions show the same tissue in every block.

The residual shift of a block is measured here by the phases of its spectrum, independently of
`platefuse.measuring`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from platefuse.fusion.fields.reader import LayerReader
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.well import fuse_well
from platefuse.measuring.options import MeasureOptions
from platefuse.measuring.plate import solve_plate, write_solution
from platefuse.measuring.well import measure_well
from platefuse.ngff.plate import Plate
from platefuse.registration.request import RegistrationRequest
from platefuse.workflow.sources import FusionSources
from tests.raw_plate import RawPlate, Scene
from tests.truth import read_level

BLOCK = 160
_FINEST = 0.2
"""Highest frequency that is used, in cycles per pixel: above is mostly noise."""

Numbers = NDArray[np.float64]
RAW = RawPlate(
    shifts_px={0: (0.0, 0.0), 1: (39.4, -22.7)}, grid=(3, 3), side=300, step=260, stage_px=3.0
)


def residual_px(reference: Numbers, moving: Numbers) -> Numbers:
    """How far a block has to be moved to show what the reference shows, on y and x.

    The peak of the phase correlation gives whole pixels. Within two pixels, the plane that fits
    the phases best, weighted by the amplitudes, gives the fraction.
    """
    window = np.outer(*(np.hanning(n) for n in reference.shape))
    one, two = (np.fft.fft2(window * (a - a.mean())) for a in (reference, moving))
    cross = one * np.conj(two)
    ky, kx = np.meshgrid(*(np.fft.fftfreq(n) for n in reference.shape), indexing="ij")
    used = (np.hypot(ky, kx) < _FINEST) & (np.abs(cross) > 0)
    peaks = np.fft.ifft2(np.where(used, cross / np.maximum(np.abs(cross), 1e-9), 0)).real
    peak = np.array(np.unravel_index(peaks.argmax(), peaks.shape), float)
    peak = np.where(peak > np.array(peaks.shape) / 2, peak - peaks.shape, peak)
    if np.abs(peak).max() > 2:
        return peak
    ky, kx, cross = ky[used], kx[used], cross[used]
    left = np.angle(cross * np.exp(2j * np.pi * (ky * peak[0] + kx * peak[1])))
    weight = np.abs(cross)
    planes = -2 * np.pi * np.stack([ky, kx], axis=1)
    normal = planes.T @ (weight[:, None] * planes)
    return np.asarray(peak + np.linalg.solve(normal, planes.T @ (weight * left)))


def residuals_px(reference: Numbers, moving: Numbers) -> Numbers:
    """The residual shifts of all blocks that both images fill: (blocks, 2)."""
    found = []
    for y, x in np.ndindex(*(n // BLOCK for n in reference.shape)):
        box = np.s_[y * BLOCK : (y + 1) * BLOCK, x * BLOCK : (x + 1) * BLOCK]
        if (reference[box] > 0).all() and (moving[box] > 0).all():
            found.append(residual_px(reference[box], moving[box]))
    return np.array(found)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.8), (-1.4, 1.7), (9.0, -25.0)])
def test_the_residual_of_a_known_shift(shift: tuple[float, float]) -> None:
    scene = Scene.random(3, BLOCK)
    y, x = np.mgrid[:BLOCK, :BLOCK].astype(float)
    random = np.random.default_rng(0)
    blocks = [scene(y, x), scene(y + shift[0], x + shift[1])]
    found = residual_px(*(random.poisson(block).astype(float) for block in blocks))
    assert np.abs(found - shift).max() < (0.1 if abs(shift[0]) < 2 else 1.5)


@pytest.mark.parametrize(
    ("mosaic", "angle_deg"),
    [(False, 0.0), (True, 0.0), (True, 0.2)],
    ids=["fields", "mosaic", "turned"],
)
def test_fused_acquisitions_agree_in_every_block(
    tmp_path: Path, mosaic: bool, angle_deg: float
) -> None:
    spec = replace(RAW, mosaic=mosaic, angles_deg={1: angle_deg})
    well = Plate.open(spec.write(tmp_path / "p.zarr")).well("B", "03")
    options = MeasureOptions(model="rigid" if angle_deg else "translation")
    fusion = FusionOptions(output_chunksize={"z": 1, "y": 512, "x": 512})
    measured = [measure_well(well, LayerReader(fusion), options.of_pairs, 0, nulls=6, threads=2)]
    places = str(tmp_path / "fields.tsv")
    solved = solve_plate(measured, options, 0)
    write_solution(solved, measured, "p", places, str(tmp_path / "pairs.tsv"))
    sources = FusionSources(fusion, request=RegistrationRequest(), store=False, places=places)
    fuse_well(well, tmp_path / "f.zarr", sources.reader(well), threads=2)
    first, second = (
        read_level(tmp_path / "f.zarr" / "B" / "03" / name)[0, 0].astype(float) for name in "01"
    )
    assert first.shape == second.shape
    found = np.linalg.norm(residuals_px(first, second), axis=1)
    assert len(found) >= 16
    assert np.median(found) < 0.1
    assert found.max() < 0.3
