"""Metadata as people write them: plates that differ in nothing that matters give equal pixels."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from platefuse.fusion.options import FusionOptions
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.plate import Plate
from tests.conftest import PlateFactory
from tests.damage import SPEC, array_file, change, register, with_attributes
from tests.fused import fuse_well
from tests.truth import read_level

IMAGES = ("0", "1")
LABELS = tuple(f"{image}/labels/nuclei" for image in IMAGES)

Edit = Callable[[Path], object]


def each(edit: Callable[[Path], object], *parts: str) -> Edit:
    """Change images and labels of a well."""

    def of_well(well: Path) -> None:
        for part in parts or (*IMAGES, *LABELS):
            edit(well / part)

    return of_well


def in_entry(edit: Callable[[Any], object]) -> Edit:
    return lambda image: with_attributes(image, lambda a: edit(a["multiscales"][0]))


def unit(name: str) -> Edit:
    def edit(entry: Any) -> None:
        for axis in entry["axes"]:
            if axis["name"] in "zyx":
                axis["unit"] = name

    return each(in_entry(edit))


def channel_scale(value: object) -> Edit:
    def edit(entry: Any) -> None:
        for dataset in entry["datasets"]:
            dataset["coordinateTransformations"][0]["scale"][0] = value

    return each(in_entry(edit), *IMAGES)


def no_version(well: Path) -> None:
    for group in (well.parents[1], well, *(well / part for part in (*IMAGES, *LABELS))):
        with_attributes(group, lambda a: [a.pop("version", None) for a in sections(a)])


def sections(attributes: Any) -> list[Any]:
    found = [v for v in attributes.values() if isinstance(v, dict)]
    return [attributes, *found, *attributes.get("multiscales", [])]


def no_fill_value(image: Path) -> None:
    for level in ("0", "1"):
        change(array_file(image / level), lambda c: c.__setitem__("fill_value", None))


def swapped_bytes(image: Path) -> None:
    """Write the pixels again with the most significant byte first."""
    for level in ("0", "1"):
        old = zarr.open_array(image / level, mode="r")
        pixels, chunks = np.asarray(old[...]), old.chunks
        shutil.rmtree(image / level)
        zarr.create_array(
            image / level, data=pixels.astype(pixels.dtype.newbyteorder(">")), chunks=chunks,
            zarr_format=2, fill_value=0, chunk_key_encoding={"name": "v2", "separator": "/"},
        )  # fmt: skip


EDITS: dict[str, Edit] = {
    "um": unit("um"),
    "micro sign": unit("µm"),
    "mu": unit("μm"),
    "channel scale 0": channel_scale(0),
    "channel scale null": channel_scale(None),
    "no version": no_version,
    "fill value null": each(no_fill_value),
    "byte order": each(swapped_bytes, "1", "1/labels/nuclei"),
}


def run(plate: Path, fused: Path, layout: Any) -> Path:
    register(plate)
    well = Plate.open(plate).well("B", "03")
    fuse_well(
        well, fused, FusionOptions(layout=layout, output_chunksize={"z": 1, "y": 64, "x": 64})
    )
    return fused / "B" / "03"


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("layout", ["stacked", "per_acquisition"])
def test_it_is_registered_and_fused_as_if_written_strictly(
    example_plate: PlateFactory, tmp_path: Path, edit: Edit, layout: str
) -> None:
    spec = replace(SPEC, tables=("FOV_ROI_table", "registered_FOV_ROI_table"))
    strict = example_plate(spec, "strict.zarr").path
    sloppy = example_plate(spec, "sloppy.zarr").path
    edit(sloppy / "B" / "03")
    before = read_attributes(sloppy / "B" / "03" / "1")
    expected, got = (run(p, tmp_path / f"fused_{p.name}", layout) for p in (strict, sloppy))
    after = read_attributes(sloppy / "B" / "03" / "1")
    assert after["multiscales"] == before["multiscales"]
    for image in ("0",) if layout == "stacked" else IMAGES:
        for part in (
            image,
            *(
                f"{image}/labels/{n.name}"
                for n in (expected / image / "labels").iterdir()
                if n.is_dir()
            ),
        ):
            np.testing.assert_array_equal(read_level(got / part), read_level(expected / part))
            assert read_level(got / part).dtype.isnative
            new: Any = read_attributes(got / part)["multiscales"]
            assert all(axis["unit"] == "micrometer" for axis in new[0]["axes"][-3:])
            assert new[0]["datasets"][0]["coordinateTransformations"][0]["scale"][0] == 1


@pytest.mark.parametrize("fill", [0, None])
def test_missing_chunks_are_zero(example_plate: PlateFactory, tmp_path: Path, fill: Any) -> None:
    results = []
    for name, missing in (("holes", True), ("zeros", False)):
        image = example_plate(SPEC, f"{name}.zarr").path / "B" / "03" / "0"
        change(array_file(image / "0"), lambda c: c.__setitem__("fill_value", fill))
        array = zarr.open_array(image / "0", mode="r+")
        chunk = tuple(slice(n) for n in array.chunks)
        assert np.asarray(array[chunk]).any()
        array[chunk] = 0
        if missing:
            file = image / "0" / array.metadata.encode_chunk_key((0,) * array.ndim)
            file.unlink(missing_ok=True)
        well = Plate.open(image.parents[2], ["0"]).well("B", "03")
        fused = tmp_path / f"{name}_fused.zarr"
        fuse_well(well, fused, FusionOptions(output_chunksize={"z": 1, "y": 64, "x": 64}))
        results.append(read_level(fused / "B" / "03" / "0"))
    np.testing.assert_array_equal(results[0], results[1])
