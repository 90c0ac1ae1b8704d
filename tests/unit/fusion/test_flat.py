"""One plane is the whole depth; labels lie in groups of labels."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from platefuse.errors import PlatefuseError
from platefuse.fusion.options import FusionOptions
from platefuse.ngff.labels import label_names
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.plate import Plate
from tests.conftest import PlateFactory
from tests.damage import SPEC, register, state, with_attributes
from tests.fused import fuse_well
from tests.truth import read_level

FLAT = replace(SPEC, tables=("FOV_ROI_table", "registered_FOV_ROI_table"))
STACK = replace(FLAT, planes=3)
IMAGES = ("0", "1")


def run(plate: Path, layout: Any = "per_acquisition") -> Path:
    register(plate)
    fused = plate.with_name(f"{plate.stem}_fused.zarr")
    options = FusionOptions(layout=layout, output_chunksize={"z": 1, "y": 64, "x": 64})
    fuse_well(Plate.open(plate).well("B", "03"), fused, options)
    return fused / "B" / "03"


def scale_z(image: Path, um: float) -> None:
    def edit(attributes: Any) -> None:
        for dataset in attributes["multiscales"][0]["datasets"]:
            dataset["coordinateTransformations"][0]["scale"][-3] = um

    with_attributes(image, edit)


@pytest.mark.parametrize("um", [5.0, 0.1])
def test_one_plane_is_the_whole_depth(example_plate: PlateFactory, um: float) -> None:
    """`len_z_micrometer` is 1, or the depth of the stack that was projected."""
    expected = run(example_plate(FLAT, "as_is.zarr").path)
    plate = example_plate(FLAT, "scaled.zarr").path
    for image in IMAGES:
        scale_z(plate / "B" / "03" / image, um)
        scale_z(plate / "B" / "03" / image / "labels" / "nuclei", um)
    fused = run(plate)
    for image in IMAGES:
        for part in (image, f"{image}/labels/nuclei"):
            np.testing.assert_array_equal(read_level(fused / part), read_level(expected / part))


def first_plane(label: Path) -> None:
    """Keep the first plane of a label, whose metadata keep the axis z."""
    for level in ("0", "1"):
        old = zarr.open_array(label / level, mode="r")
        pixels, chunks = np.asarray(old[...])[:1], old.chunks
        shutil.rmtree(label / level)
        zarr.create_array(
            label / level, data=pixels, chunks=chunks, zarr_format=2, fill_value=0,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )  # fmt: skip


@pytest.mark.parametrize("depth", [1.0, 12.0])
def test_a_label_of_one_plane_under_a_stack(example_plate: PlateFactory, depth: float) -> None:
    expected = run(example_plate(STACK, "stacks.zarr").path)
    plate = example_plate(STACK, "flat.zarr").path
    for image in IMAGES:
        label = plate / "B" / "03" / image / "labels" / "nuclei"
        first_plane(label)
        scale_z(label, depth)
    fused = run(plate)
    for image in IMAGES:
        np.testing.assert_array_equal(read_level(fused / image), read_level(expected / image))
        part = f"{image}/labels/nuclei"
        np.testing.assert_array_equal(read_level(fused / part), read_level(expected / part)[:1])


def nest(image: Path) -> None:
    labels = image / "labels"
    (labels / "nuclei").rename(labels / "0")
    (labels / "original").mkdir()
    (labels / "0").rename(labels / "original" / "0")
    (labels / "original" / ".zgroup").write_text('{"zarr_format": 2}')
    (labels / "original" / ".zattrs").write_text('{"by": "hand"}')
    (labels / ".zattrs").write_text(json.dumps({"labels": ["original/0"]}))


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("layout", ["per_acquisition", "stacked"])
def test_labels_in_groups(example_plate: PlateFactory, layout: str, listed: bool) -> None:
    expected = run(example_plate(FLAT, "as_is.zarr").path, layout)
    plate = example_plate(FLAT, "nested.zarr").path
    for image in IMAGES:
        nest(plate / "B" / "03" / image)
        if not listed:
            (plate / "B" / "03" / image / "labels" / ".zattrs").write_text("{}")
    fused = run(plate, layout)
    assert (plate / "B/03/1/labels/original/.zattrs").read_text() == '{"by": "hand"}'
    registered = plate / "B/03/1/labels/original/0"
    same = plate.with_name("as_is.zarr") / "B/03/1/labels/nuclei"
    np.testing.assert_array_equal(read_level(registered), read_level(same))
    for name in label_names(fused / "0"):
        assert name.startswith("original/0")
        other = name.replace("original/0", "nuclei")
        got = read_level(fused / "0" / "labels" / name)
        np.testing.assert_array_equal(got, read_level(expected / "0" / "labels" / other))
    assert read_attributes(fused / "0" / "labels" / "original") == {}


@pytest.mark.parametrize("name", ["original/../../1", "/original/0", "original//0", "a/.b"])
def test_unsafe_names_of_labels_are_refused(example_plate: PlateFactory, name: str) -> None:
    plate = example_plate(FLAT).path
    (plate / "B/03/1/labels/.zattrs").write_text(json.dumps({"labels": [name]}))
    before = state(plate)
    with pytest.raises(PlatefuseError, match=r"labels: a part of the label .*not safe as a path"):
        register(plate)
    assert state(plate) == before
