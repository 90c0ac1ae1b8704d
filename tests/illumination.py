"""Flat-field profiles for example plates, and what they make of raw pixels, by hand."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from platefuse.illumination.correction import Illumination
from platefuse.testing import PlateSpec

Array = NDArray[Any]
TABLE = "FOV_ROI_table"


@dataclass(frozen=True)
class Profiles:
    """Profiles of the channel DAPI, which is the first; the others are not corrected."""

    folder: Path
    flat: Array
    dark: Array | float

    @classmethod
    def write(cls, folder: Path, shape: tuple[int, int], *, dark: float | None = None) -> Profiles:
        """Profiles as a microscope has them: bright in the middle, dark towards the borders."""
        folder.mkdir(exist_ok=True)
        y, x = (np.linspace(-1, 1, n) for n in shape)
        flat = (1.2 - 0.5 * np.hypot(*np.meshgrid(y, x - 0.2, indexing="ij"))).astype(np.float32)
        tifffile.imwrite(folder / "flat.tif", flat)
        if dark is not None:
            return cls(folder, flat, dark)
        image = np.random.default_rng(3).uniform(90, 110, shape).astype(np.float32)
        tifffile.imwrite(folder / "dark.tif", image)
        return cls(folder, flat, image)

    @property
    def config(self) -> dict[str, dict[str, str | float]]:
        dark = self.dark if isinstance(self.dark, float) else str(self.folder / "dark.tif")
        return {"DAPI": {"flat": str(self.folder / "flat.tif"), "dark": dark}}

    @property
    def illumination(self) -> Illumination:
        found = Illumination.of_config(self.config, TABLE)
        assert found is not None
        return found

    def corrected(self, raw: Array, spec: PlateSpec) -> Array:
        """(raw - dark) / flat in float64; each field of the mosaic has its copy of the profile."""
        out = raw.astype(np.float64)
        flat = np.tile(self.flat.astype(np.float64), spec.grid)
        dark = np.tile(np.broadcast_to(self.dark, self.flat.shape).astype(np.float64), spec.grid)
        out[0] = (out[0] - dark) / flat
        return out

    def corrected_plate(self, plate: Path, target: Path, spec: PlateSpec, dtype: str) -> Path:
        """A copy of a plate whose level 0 is corrected by hand: as floats, or rounded."""
        shutil.copytree(plate, target)
        for well in spec.wells:
            for acquisition in spec.acquisitions:
                level = target / well / acquisition.path / "0"
                old = zarr.open_array(level, mode="r")
                pixels, chunks = self.corrected(np.asarray(old[...]), spec), old.chunks
                if np.dtype(dtype).kind == "u":
                    pixels = np.clip(np.rint(pixels), 0, np.iinfo(dtype).max)
                shutil.rmtree(level)
                zarr.create_array(
                    level, shape=pixels.shape, chunks=chunks, dtype=dtype, fill_value=0,
                    zarr_format=2, chunk_key_encoding={"name": "v2", "separator": "/"},
                )[...] = pixels.astype(dtype)  # fmt: skip
        return target


def assert_rounded(got: Array, exact: Array) -> None:
    """Check that integers are floats rounded once; float32 may err where they are near a half."""
    assert got.dtype == np.uint16
    expected = np.clip(np.rint(exact), 0, 65_535)
    sure = np.abs(exact - np.floor(exact) - 0.5) > 0.01
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(got[sure], expected[sure])
    assert np.abs(got - expected).max() <= 1
