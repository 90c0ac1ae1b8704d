"""Raw plates as a microscope leaves them: stage positions a little off, acquisitions shifted.

Each image is one field. Its pixels are a scene of round cells, known between its pixels, seen by a
camera with noise. Where each field truly is, is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platefuse.ngff.create import write_group
from platefuse.ngff.tables.table import write_roi_table
from tests.fields_plate import PIXEL_UM, write_image

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """Round cells at random places, with different sizes and intensities; in pixels.

    Attributes
    ----------
    at, radius, light : ndarray
        Centres (n, 2), radii and intensities of the cells.
    """

    at: Numbers
    radius: Numbers
    light: Numbers

    @classmethod
    def random(cls, seed: int, size: float, per_side: float = 40) -> Scene:
        """Cells on a square of `size` pixels and some way around it."""
        random = np.random.default_rng(seed)
        count = int((size / per_side + 4) ** 2 * 2)
        at = random.uniform(-2 * per_side, size + 2 * per_side, (count, 2))
        return cls(at, random.uniform(2, 9, count), random.lognormal(6.5, 0.5, count))

    def __call__(self, y: Numbers, x: Numbers) -> Numbers:
        """Intensity at places, in pixels; the arrays have the same shape."""
        out = np.full(y.shape, 200.0)
        low = np.array([y.min(), x.min()])
        high = np.array([y.max(), x.max()])
        near = ((self.at > low - 30) & (self.at < high + 30)).all(axis=1)
        for (cy, cx), radius, light in zip(
            self.at[near], self.radius[near], self.light[near], strict=True
        ):
            reach = 4 * radius
            box = (np.abs(y - cy) < reach) & (np.abs(x - cx) < reach)
            distance = (y[box] - cy) ** 2 + (x[box] - cx) ** 2
            out[box] += light * np.exp(-distance / (2 * radius**2))
        return out


@dataclass(frozen=True)
class RawPlate:
    """What a raw plate holds.

    Attributes
    ----------
    wells : sequence of str
        Names of the wells.
    shifts_px : mapping of int to tuple of float
        How far the tissue of each acquisition lies from that of the reference, on y and x.
    angles_deg : mapping of int to float
        Turn of each acquisition about the centre of its well.
    grid : tuple of int
        Rows and columns of fields.
    side, step : int
        Length of a field and distance of neighbours, in pixels.
    stage_px, repeat_px : float
        Error of the stage that all acquisitions share, and its repeatability.
    empty_wells : sequence of str
        Wells without tissue.
    empty_fields : mapping of int to sequence of int
        Fields without tissue, by acquisition.
    gain : float
        Counts of the camera for each unit of the scene.
    mosaic : bool
        Whether the fields of an acquisition lie side by side in one image, ``str(a)``.
    """

    wells: Sequence[str] = ("B/03",)
    shifts_px: Mapping[int, tuple[float, float]] = field(
        default_factory=lambda: {0: (0.0, 0.0), 1: (7.3, -4.6)}
    )
    angles_deg: Mapping[int, float] = field(default_factory=dict)
    grid: tuple[int, int] = (2, 2)
    side: int = 256
    step: int = 224
    stage_px: float = 2.5
    repeat_px: float = 0.6
    empty_wells: Sequence[str] = ()
    empty_fields: Mapping[int, Sequence[int]] = field(default_factory=dict)
    gain: float = 1.0
    seed: int = 1
    mosaic: bool = False

    def scene(self, well: str) -> Scene:
        """The tissue of a well."""
        return Scene.random(self.seed + sum(map(ord, well)), max(self.grid) * self.step)

    def nominal(self) -> Numbers:
        """Where the stage says that each field begins, in pixels: (fields, 2)."""
        return np.array(list(np.ndindex(self.grid)), float) * self.step

    def true(self, well: str, acquisition: int) -> Numbers:
        """Where each field truly begins in the scene, without the turn: (fields, 2)."""
        shared = np.random.default_rng(self.seed + sum(map(ord, well)))
        own = np.random.default_rng([self.seed, sum(map(ord, well)), acquisition])
        count = len(self.nominal())
        error = shared.normal(0, self.stage_px, (count, 2)) + own.normal(
            0, self.repeat_px, (count, 2)
        )
        return np.asarray(self.nominal() + error + np.array(self.shifts_px[acquisition]))

    def centres(self, well: str, acquisition: int, number: int) -> tuple[Numbers, Numbers]:
        """Where the centres of a field's pixels are in the scene, in pixels."""
        begin = self.true(well, acquisition)[number]
        y, x = np.mgrid[: self.side, : self.side] + 0.5
        y, x = y + begin[0], x + begin[1]
        angle = np.deg2rad(self.angles_deg.get(acquisition, 0.0))
        if not angle:
            return y, x
        middle = self.middle
        dy, dx = y - middle[0], x - middle[1]
        return (
            middle[0] + np.cos(angle) * dy + np.sin(angle) * dx,
            middle[1] + np.cos(angle) * dx - np.sin(angle) * dy,
        )

    @property
    def middle(self) -> Numbers:
        """Centre of the well, about which acquisitions are turned."""
        return np.asarray(self.nominal().mean(axis=0) + self.side / 2)

    def write(self, path: Path, *, version: str = "0.4") -> Path:
        """Write the plate: image ``k`` of acquisition ``a`` is ``str(a * fields + k)``."""
        write_plate(path, self.wells, version)
        for well in self.wells:
            self._write_well(path / well, well, version)
        return path

    def _write_well(self, path: Path, well: str, version: str) -> None:
        count = len(self.nominal())
        if self.mosaic:
            entries = [{"path": str(a), "acquisition": a} for a in self.shifts_px]
            write_group(path, {"well": {"images": entries, "version": version}}, version)
            for a in self.shifts_px:
                fields = np.stack([self._pixels(well, a, k) for k in range(count)])
                write_mosaic(path / str(a), fields, self.nominal() * PIXEL_UM, version=version)
            return
        entries = [
            {"path": str(a * count + k), "acquisition": a}
            for a in self.shifts_px
            for k in range(count)
        ]
        write_group(path, {"well": {"images": entries, "version": version}}, version)
        for a in self.shifts_px:
            for k, begin in enumerate(self.nominal()):
                pixels = self._pixels(well, a, k)[None, None]
                position = [0.0, 0.0, *(begin * PIXEL_UM).tolist()]
                write_image(path / str(a * count + k), pixels, position=position, version=version)

    def _pixels(self, well: str, acquisition: int, number: int) -> NDArray[np.uint16]:
        """What the camera counts in a field."""
        a, k = acquisition, number
        is_empty = well in self.empty_wells or k in self.empty_fields.get(a, ())
        light = np.full((self.side,) * 2, 200.0)
        if not is_empty:
            light = self.scene(well)(*self.centres(well, a, k))
        random = np.random.default_rng([self.seed, sum(map(ord, well)), a, k])
        counts = random.poisson(light * self.gain) + random.normal(0, 3, light.shape)
        return np.clip(np.rint(counts), 1, 65535).astype(np.uint16)


def write_plate(path: Path, wells: Sequence[str], version: str = "0.4") -> None:
    """Write the groups of a plate and of its rows."""
    rows = sorted({well.split("/")[0] for well in wells})
    columns = sorted({well.split("/")[1] for well in wells})
    listed = [
        {
            "path": well,
            "rowIndex": rows.index(well.split("/")[0]),
            "columnIndex": columns.index(well.split("/")[1]),
        }
        for well in wells
    ]
    names = {"rows": [{"name": r} for r in rows], "columns": [{"name": c} for c in columns]}
    write_group(path, {"plate": {"wells": listed, **names, "version": version}}, version)
    for row in rows:
        write_group(path / row, {}, version)


def write_mosaic(
    path: Path, fields: NDArray[np.uint16], stage_um: Numbers, *, version: str = "0.4"
) -> None:
    """Write an image of fields, side by side, with its tile table.

    Parameters
    ----------
    path : Path
        The new image.
    fields : ndarray, shape (fields, y, x)
        Pixels of the fields.
    stage_um : ndarray, shape (fields, 2)
        Stage positions of their corners, on y and x.
    version : str
        NGFF version.
    """
    write_image(path, np.concatenate(list(fields), axis=1)[None, None], version=version)
    height, width = (n * PIXEL_UM for n in fields.shape[1:])
    rows = {
        f"FOV_{k + 1}": {
            "x_micrometer": k * width,
            "y_micrometer": 0.0,
            "z_micrometer": 0.0,
            "len_x_micrometer": width,
            "len_y_micrometer": height,
            "len_z_micrometer": 1.0,
            "x_micrometer_original": float(x),
            "y_micrometer_original": float(y),
        }
        for k, (y, x) in enumerate(stage_um)
    }
    write_roi_table(path, "FOV_ROI_table", rows)
