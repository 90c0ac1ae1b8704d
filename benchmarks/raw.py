"""Raw plates as a microscope leaves them, whose truth is known: for the accuracy of registration.

Tissue is a sum of round Gaussians, so its image is computed, and not interpolated, wherever a
camera looks at it and however it is turned. All positions are in pixels, on y and x.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float64]
PIXEL_UM = 0.65
LEVELS = 3
BACKGROUND, OFFSET, READ_NOISE, SATURATED = 60.0, 100.0, 3.0, 16383.0
_SPOTS = 7
_REACH = 4.5


@dataclass(frozen=True)
class RawSpec:
    """A raw plate.

    Attributes
    ----------
    name : str
        Short name of the case.
    wells : tuple of str
        Names of the wells.
    grid : (int, int)
        Rows and columns of fields.
    side : int
        Length of a field, in pixels.
    overlap : float
        Overlap of neighbours, as a fraction of a field.
    shifts_px : tuple of (float, float)
        How far the plate was moved in each acquisition.
    angles_deg : tuple of float
        How far it was turned, about the centre of each well.
    stage_px, repeat_px : float
        Standard deviation of the error of a stage position on each axis: the same in all
        acquisitions, and what differs between them.
    cell_px : float
        Usual distance of cells.
    vignetting : float
        Light that is missing in the corners of a field.
    pattern, dust : float
        Contrast of the camera's fixed pattern, and of dust grains on it.
    debris : int
        Bright spots in each field, in each acquisition elsewhere.
    empty : float
        Share of the fields without tissue, in all acquisitions the same fields.
    seed : int
        Of everything that is random.
    """

    name: str
    wells: tuple[str, ...] = ("B/02",)
    grid: tuple[int, int] = (3, 3)
    side: int = 512
    overlap: float = 0.1
    shifts_px: tuple[tuple[float, float], ...] = ((0.0, 0.0), (9.4, -7.3), (-11.6, 4.2))
    angles_deg: tuple[float, ...] = (0.0, 0.0, 0.0)
    stage_px: float = 2.5
    repeat_px: float = 0.6
    cell_px: float = 40.0
    vignetting: float = 0.0
    pattern: float = 0.0
    dust: float = 0.0
    debris: int = 0
    empty: float = 0.0
    seed: int = 1

    @property
    def nominal(self) -> Floats:
        """Where the stage says that each field begins, shape (fields, 2)."""
        return np.array(list(np.ndindex(self.grid)), float) * round(self.side * (1 - self.overlap))

    @property
    def middle(self) -> Floats:
        """Centre of the well, about which it is turned."""
        return np.asarray(self.nominal.mean(axis=0) + self.side / 2)

    def _random(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])

    def begin(self, well: int, acquisition: int) -> Floats:
        """Where each field of an acquisition begins in its tissue, before the turn."""
        count = (len(self.nominal), 2)
        error = self._random(1, well).normal(0, self.stage_px, count)
        error += self._random(2, well, acquisition).normal(0, self.repeat_px, count)
        return np.asarray(self.nominal + error + self.shifts_px[acquisition])

    def centres(self, well: int, acquisition: int) -> Floats:
        """Where the centre of each field is in the tissue."""
        half = self.side / 2
        away = self.begin(well, acquisition) + half - self.middle
        return np.asarray(away @ _rotation(self.angles_deg[acquisition]).T + self.middle)

    def is_empty(self, well: int) -> NDArray[np.bool_]:
        """Which fields have no tissue."""
        count = len(self.nominal)
        chosen = self._random(3, well).permutation(count)[: round(self.empty * count)]
        return np.isin(np.arange(count), chosen)

    def write(self, folder: Path) -> None:
        """Write ``plate.zarr``, one image for each field, with ``fields.json`` and ``truth.json``.

        ``fields.json`` is what a program may know, ``truth.json`` what it should find.
        """
        folder.mkdir()
        plate = folder / "plate.zarr"
        fields, truth = [], []
        for w, well in enumerate(self.wells):
            tissue = _tissue(self, self._random(4, w))
            for a in range(len(self.shifts_px)):
                centres, is_empty = self.centres(w, a), self.is_empty(w)
                for k, pixels in enumerate(self._fields(w, a, tissue)):
                    image = str(a * len(self.nominal) + k)
                    stage = self.nominal[k].tolist()
                    _write_image(plate / well / image, pixels, stage)
                    fields.append(
                        {
                            "well": well,
                            "acquisition": a,
                            "number": k,
                            "image": image,
                            "row_column": [int(n) for n in np.unravel_index(k, self.grid)],
                            "stage_px": stage,
                        }
                    )
                    truth.append({"centre_px": centres[k].tolist(), "empty": bool(is_empty[k])})
        _write_plate(plate, self.wells, fields)
        described = {"side": self.side, "pixel_um": PIXEL_UM, "plate": "plate.zarr"}
        (folder / "fields.json").write_text(json.dumps({**described, "fields": fields}))
        (folder / "truth.json").write_text(json.dumps(truth))

    def _fields(self, well: int, acquisition: int, tissue: Floats) -> Iterator[NDArray[np.uint16]]:
        """The pixels of the fields of an acquisition."""
        turned = tissue.copy()
        turned[:, :2] = (tissue[:, :2] - self.middle) @ _rotation(self.angles_deg[acquisition])
        turned[:, :2] += self.middle
        camera = _camera(self)
        for k, begin in enumerate(self.begin(well, acquisition)):
            random = self._random(5, well, acquisition, k)
            light = np.full((self.side, self.side), BACKGROUND)
            if not self.is_empty(well)[k]:
                _add(light, turned, begin)
            _add(light, _debris(self, random), np.zeros(2))
            counts = random.poisson(light * camera) + random.normal(OFFSET, READ_NOISE, light.shape)
            yield np.clip(np.rint(counts), 0, SATURATED).astype(np.uint16)


def _rotation(angle_deg: float) -> Floats:
    """Matrix that turns columns (y, x) from x to y."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return np.array([[cos, sin], [-sin, cos]])


def _tissue(spec: RawSpec, random: np.random.Generator) -> Floats:
    """Cells and what is in them: rows of y, x, radius and light."""
    margin = 100.0
    size = np.array(spec.grid) * spec.side + 2 * margin
    cells = round(float(np.prod(size)) / spec.cell_px**2)
    centres = random.uniform(-margin, size - margin, (cells, 2))
    bodies = random.uniform(5, 10, cells)
    light = random.lognormal(6.5, 0.5, cells)
    inside = centres[:, None] + random.normal(0, 0.7, (cells, _SPOTS, 2)) * bodies[:, None, None]
    spots = np.stack(
        [
            *inside.reshape(-1, 2).T,
            random.uniform(1.3, 3.0, cells * _SPOTS),
            np.repeat(light, _SPOTS) * random.uniform(0.2, 0.8, cells * _SPOTS),
        ],
        axis=1,
    )
    return np.concatenate([np.column_stack([centres, bodies, light]), spots])


def _debris(spec: RawSpec, random: np.random.Generator) -> Floats:
    count = spec.debris
    at = random.uniform(0, spec.side, (count, 2))
    return np.column_stack([at, random.uniform(2, 12, count), random.uniform(3e3, 4e4, count)])


def _camera(spec: RawSpec) -> Floats:
    """Sensitivity of the pixels: vignetting, fixed pattern and dust."""
    random = spec._random(6)
    y, x = np.ogrid[-1 : 1 : 1j * spec.side, -1 : 1 : 1j * spec.side]
    found = np.asarray(1 - spec.vignetting * (y**2 + x**2) / 2)
    if spec.pattern:
        grains = gaussian_filter(random.normal(size=found.shape), 1.5)
        found *= 1 + spec.pattern * grains / grains.std()
    if spec.dust:
        count = 40
        rows = [random.uniform(0, spec.side, count), random.uniform(0, spec.side, count)]
        rows += [random.uniform(2, 8, count), random.uniform(0, spec.dust, count)]
        shade = np.zeros_like(found)
        _add(shade, np.stack(rows, axis=1), np.zeros(2))
        found *= 1 - np.minimum(shade, 0.9)
    return found


def _add(light: Floats, blobs: Floats, begin: Floats) -> None:
    """Add round Gaussians to an image whose first pixel begins at `begin`."""
    side = len(light)
    for y, x, radius, peak in (blobs - [*begin, 0, 0]).tolist():
        reach = _REACH * radius
        if not (-reach < y < side + reach and -reach < x < side + reach):
            continue
        rows = np.arange(max(0, int(y - reach)), min(side, int(y + reach) + 1))
        columns = np.arange(max(0, int(x - reach)), min(side, int(x + reach) + 1))
        if rows.size and columns.size:
            tall = np.exp(-(((rows + 0.5 - y) / radius) ** 2) / 2)
            wide = np.exp(-(((columns + 0.5 - x) / radius) ** 2) / 2)
            light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += peak * np.outer(
                tall, wide
            )


def _write_image(folder: Path, pixels: NDArray[np.uint16], stage_px: Sequence[float]) -> None:
    folder.mkdir(parents=True)
    datasets, level = [], pixels
    for number in range(LEVELS):
        if number:
            height, width = (n // 2 * 2 for n in level.shape)
            squares = level[:height, :width].reshape(height // 2, 2, width // 2, 2)
            level = np.rint(squares.mean(axis=(1, 3))).astype(np.uint16)
        array = zarr.create_array(
            folder / str(number),
            shape=(1, 1, *level.shape),
            chunks=(1, 1, min(512, level.shape[0]), min(512, level.shape[1])),
            dtype="uint16",
            zarr_format=2,
            compressors=numcodecs.Blosc(cname="lz4", clevel=5, shuffle=1),
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        array[0, 0] = level
        pixel = PIXEL_UM * 2**number
        middle = (pixel - PIXEL_UM) / 2  # of a larger pixel
        place = [0.0, 0.0, *(p * PIXEL_UM + middle for p in stage_px)]
        steps = [
            {"type": "scale", "scale": [1.0, 1.0, pixel, pixel]},
            {"type": "translation", "translation": place},
        ]
        datasets.append({"path": str(number), "coordinateTransformations": steps})
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    _write_group(folder, {"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]})


def _write_plate(plate: Path, wells: Sequence[str], fields: Sequence[dict[str, Any]]) -> None:
    rows, columns = ([*dict.fromkeys(w.split("/")[k] for w in wells)] for k in (0, 1))
    listed = []
    for well in wells:
        row, column = well.split("/")
        listed.append(
            {"path": well, "rowIndex": rows.index(row), "columnIndex": columns.index(column)}
        )
        images = [
            {"path": f["image"], "acquisition": f["acquisition"]}
            for f in fields
            if f["well"] == well
        ]
        _write_group(plate / row, {})
        _write_group(plate / well, {"well": {"version": "0.4", "images": images}})
    names = {"rows": [{"name": r} for r in rows], "columns": [{"name": c} for c in columns]}
    _write_group(plate, {"plate": {"version": "0.4", "wells": listed, **names}})


def _write_group(folder: Path, attributes: dict[str, Any]) -> None:
    (folder / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
    (folder / ".zattrs").write_text(json.dumps(attributes))
