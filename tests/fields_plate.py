"""Plates with one image for each field, as converters write them, made by hand.

The pixels of all fields are cut from one scene, so that a fused well can be compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr

from platefuse.ngff.create import write_group
from platefuse.ngff.metadata import all_attributes, replace_attributes
from platefuse.storage.files import write_json
from tests.tables import BOX, write_table

PIXEL_UM = 0.5
SHAPE = (40, 48)
STEP = (32, 40)


@dataclass(frozen=True)
class FieldsPlate:
    """What a plate holds.

    Attributes
    ----------
    wells : mapping
        Fields of each acquisition (key None: without an acquisition) by well.
    columns : int
        Columns of the grid in which the fields lie, row by row.
    translation : bool
        Whether the images have a translation.
    labels : bool
        Whether each image has a label ``nuclei``.
    version : str
        NGFF version.
    planes : int
        Planes of each image.
    listed : sequence of str
        Wells that the plate lists and does not have.
    unique_ids : bool
        Whether no id of a label is in two fields; else every field counts its own.
    tables : str
        Backend of the tables of each image; empty: there are none. They are ``regions`` (two
        boxes), ``nuclei_ROI_table``, ``nuclei_features`` (the last field lacks a column), and
        ``condition``, which is the same in all.
    """

    wells: Mapping[str, Mapping[int | None, int]]
    columns: int = 2
    translation: bool = True
    labels: bool = False
    version: str = "0.4"
    planes: int = 1
    listed: Sequence[str] = ()
    unique_ids: bool = False
    tables: str = ""

    def origin(self, number: int) -> tuple[int, int]:
        """First pixel of a field in the scene."""
        return number // self.columns * STEP[0], number % self.columns * STEP[1]

    def pixels(self, well: str, acquisition: int | None) -> np.ndarray[Any, Any]:
        """The scene of a well and acquisition: (2 channels, planes, y, x)."""
        rows = max(max(fields.values()) for fields in self.wells.values())
        shape = (2, self.planes, rows * STEP[0] + SHAPE[0], self.columns * STEP[1] + SHAPE[1])
        seed = sum(map(ord, well)) * 10 + (acquisition or 0)
        return np.random.default_rng(seed).integers(1, 60_000, shape, dtype=np.uint16)

    def write(self, path: Path) -> Path:
        """Write the plate."""
        rows = sorted({well.split("/")[0] for well in (*self.wells, *self.listed)})
        columns = sorted({well.split("/")[1] for well in (*self.wells, *self.listed)})
        section = {
            "name": path.stem,
            "rows": [{"name": row} for row in rows],
            "columns": [{"name": column} for column in columns],
            "wells": [
                {
                    "path": well,
                    "rowIndex": rows.index(well.split("/")[0]),
                    "columnIndex": columns.index(well.split("/")[1]),
                }
                for well in sorted({*self.wells, *self.listed})
            ],
            "version": self.version,
        }
        write_group(path, {"plate": section}, self.version)
        for well, acquisitions in self.wells.items():
            write_group(path / well.split("/")[0], {}, self.version)
            self._write_well(path / well, well, acquisitions)
        return path

    def _write_well(self, path: Path, well: str, acquisitions: Mapping[int | None, int]) -> None:
        entries, name = [], 0
        for acquisition, count in acquisitions.items():
            scene = self.pixels(well, acquisition)
            for number in range(count):
                entry: dict[str, Any] = {"path": str(name)}
                if acquisition is not None:
                    entry["acquisition"] = acquisition
                entries.append(entry)
                self._write_field(path / str(name), scene, number)
                name += 1
        write_group(path, {"well": {"images": entries, "version": self.version}}, self.version)

    def _write_field(self, path: Path, scene: np.ndarray[Any, Any], number: int) -> None:
        y, x = self.origin(number)
        pixels = scene[..., y : y + SHAPE[0], x : x + SHAPE[1]]
        position = [0.0, 0.0, y * PIXEL_UM, x * PIXEL_UM] if self.translation else None
        write_image(path, pixels, position=position, version=self.version)
        if self.labels:
            ids = (pixels[:1] // 1000).astype(np.uint32)
            ids[ids > 0] += 100 * number * self.unique_ids
            write_group(path / "labels", {"labels": ["nuclei"]}, self.version)
            write_image(
                path / "labels" / "nuclei", ids, position=position, version=self.version,
                extra={"image-label": {"version": self.version}},
            )  # fmt: skip
            if self.tables:
                self._write_tables(path / "tables", ids, number)

    def _write_tables(self, path: Path, ids: np.ndarray[Any, Any], number: int) -> None:
        names = [str(i) for i in np.unique(ids) if i]
        boxes = pd.DataFrame([[0, 1, 2, 1, 5, 4], [0, 12, 9, 1, 3, 6.5]], list("ab"), BOX)
        masks = pd.DataFrame(1.0, index=names, columns=BOX)
        features = pd.DataFrame({"area": np.arange(len(names)) + 0.5, "mean": 1.0}, index=names)
        if number:
            features = features.assign(extra=float(number))
        condition = pd.DataFrame({"dose": [0.5]}, index=["only"])
        write_group(path, {"tables": ["regions", "gone"]}, self.version)
        for name, frame, kind in (
            ("regions", boxes, "roi_table"),
            ("nuclei_ROI_table", masks, "masking_roi_table"),
            ("nuclei_features", features, "feature_table"),
            ("condition", condition, "condition_table"),
        ):
            write_table(path / name, self.tables, frame, kind)
            if name.startswith("nuclei"):
                own = {"region": {"path": "../labels/nuclei"}, "instance_key": "label"}
                replace_attributes(path / name, {**all_attributes(path / name), **own})


def write_image(
    path: Path,
    pixels: np.ndarray[Any, Any],
    *,
    position: Sequence[float] | None = None,
    version: str = "0.4",
    extra: Mapping[str, Any] | None = None,
    unit: str | None = "micrometer",
) -> None:
    """Write a `czyx` image with two levels."""
    axes: list[dict[str, Any]] = [{"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space"} | ({"unit": unit} if unit else {}) for a in "zyx"]
    datasets = []
    for level in range(2):
        scale = [1.0, 1.0, PIXEL_UM * 2**level, PIXEL_UM * 2**level]
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if position is not None:
            transforms.append({"type": "translation", "translation": list(position)})
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    entry = {"axes": axes, "datasets": datasets, "name": path.name, "version": version}
    write_group(path, {"multiscales": [entry], **(extra or {})}, version)
    for level in range(2):
        array = pixels[..., :: 2**level, :: 2**level]
        zarr.create_array(
            str(path / str(level)),
            data=np.ascontiguousarray(array),
            chunks=(1, 1, 32, 32),
            zarr_format=2 if version == "0.4" else 3,
            chunk_key_encoding={"name": "v2", "separator": "/"} if version == "0.4" else None,
        )


def write_ome_xml(
    plate: Path,
    spec: FieldsPlate,
    *,
    unit: str = "µm",
    factor: float = 1.0,
    samples: bool = False,
    series: bool = True,
) -> None:
    """Write `OME/METADATA.ome.xml` with the positions, in the images or in the well samples."""
    images: list[str] = []
    wells: list[str] = []
    paths: list[str] = []
    rows = sorted({well.split("/")[0] for well in (*spec.wells, *spec.listed)})
    columns = sorted({well.split("/")[1] for well in (*spec.wells, *spec.listed)})
    for well, acquisitions in spec.wells.items():
        row, column = well.split("/")
        found, name = [], 0
        for count in acquisitions.values():
            for number in range(count):
                y, x = (n * PIXEL_UM * factor for n in spec.origin(number))
                place = (
                    f'PositionX="{x}" PositionY="{y}" PositionXUnit="{unit}" PositionYUnit="{unit}"'
                )
                plane = "" if samples else f'<Plane TheC="0" TheT="0" TheZ="0" {place}/>'
                images.append(f'<Image ID="Image:{len(images)}"><Pixels>{plane}</Pixels></Image>')
                where = place if samples else ""
                found.append(
                    f'<WellSample ID="S:{len(images)}" Index="{len(images)}" {where}>'
                    f'<ImageRef ID="Image:{len(images) - 1}"/></WellSample>'
                )
                paths.append(f"{well}/{name}")
                name += 1
        wells.append(
            f'<Well ID="W:{well}" Row="{rows.index(row)}" Column="{columns.index(column)}">'
            f"{''.join(found)}</Well>"
        )
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Plate ID="Plate:0">{"".join(wells)}</Plate>{"".join(images)}</OME>'
    )
    (plate / "OME").mkdir()
    (plate / "OME" / "METADATA.ome.xml").write_text(text, encoding="utf-8")
    if series:
        write_json(plate / "OME" / ".zgroup", {"zarr_format": 2})
        write_json(plate / "OME" / ".zattrs", {"series": paths})
