from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from ome_zarr_models import v04, v05

from platefuse.ngff.create import (
    BloscName,
    blosc,
    compressor_like,
    create_image,
    multiscales_metadata,
    write_group,
)
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import ArrayMetadata, read_attributes
from platefuse.ngff.zarr_format import V2, V3, Format
from platefuse.storage.arrays import StoredArray

VERSIONS = ("0.4", "0.5")


def create(path: Path, version: str, **options: Any) -> Multiscale:
    settings: dict[str, Any] = {
        "name": "image",
        "axes": "czyx",
        "pixel_size": [1.0, 2.0, 0.5, 0.25],
        "shape": (2, 3, 100, 75),
        "dtype": np.dtype("uint16"),
        "chunks": (1, 1, 64, 64),
        "shards": None,
        "version": version,
    }
    return create_image(path, **{**settings, **options})


@pytest.mark.parametrize("version", VERSIONS)
def test_a_new_image_is_valid_and_reads_zero(tmp_path: Path, version: str) -> None:
    image = create(tmp_path / "i", version, levels=3, attributes={"omero": None})
    group = zarr.open_group(tmp_path / "i", mode="r")
    model = v04.Image if version == "0.4" else v05.Image
    model.from_zarr(group)
    assert image.shapes == ((2, 3, 100, 75), (2, 3, 50, 37), (2, 3, 25, 18))
    assert image.factors == ((1, 1, 2, 2),) * 2
    assert image.pixel_size_um == {"z": 2.0, "y": 0.5, "x": 0.25}
    assert "omero" not in read_attributes(tmp_path / "i")
    for path in image.paths:
        stored = StoredArray.open(tmp_path / "i" / path)
        assert stored.zero_is_fill
        assert stored.chunk == tuple(np.minimum((1, 1, 64, 64), stored.shape))


@pytest.mark.parametrize("version", VERSIONS)
def test_levels_go_on_until_the_plane_is_small(tmp_path: Path, version: str) -> None:
    image = create(
        tmp_path / "i", version, axes="yx", shape=(2100, 40), pixel_size=[1, 1], chunks=(999, 999)
    )
    assert image.shapes == ((2100, 40), (1050, 20), (525, 10), (262, 5))


def test_shards_are_whole_chunks_and_no_larger_than_the_level(tmp_path: Path) -> None:
    image = create(tmp_path / "i", "0.5", shards=(1, 2, 200, 64), levels=3)
    for path, shape in zip(image.paths, image.shapes, strict=True):
        stored = StoredArray.open(tmp_path / "i" / path, mode="r+")
        for shard, chunk, n in zip(stored.shard, stored.chunk, shape, strict=True):
            assert shard % chunk == 0
            assert shard < n + chunk
        pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
        zarr.open_array(tmp_path / "i" / path)[...] = pixels
        np.testing.assert_array_equal(
            np.asarray(zarr.open_array(tmp_path / "i" / path)[...]), pixels
        )


@pytest.mark.parametrize("version", VERSIONS)
def test_the_centre_of_the_first_pixel_of_every_level_is_where_it_is(
    tmp_path: Path, version: str
) -> None:
    image = create(tmp_path / "i", version, levels=3, origin=[0.0, 1.0, 10.0, -20.0])
    datasets: Any = image.metadata["datasets"]
    for level, dataset in enumerate(datasets):
        scale, translation = dataset["coordinateTransformations"]
        assert [t["type"] for t in (scale, translation)] == ["scale", "translation"]
        # A pixel of level l covers 2**l pixels of level 0, whose centres average to its own.
        mean = (2**level - 1) / 2
        expected = [0.0, 1.0, 10.0 + mean * 0.5, -20.0 + mean * 0.25]
        assert translation["translation"] == pytest.approx(expected)
        assert scale["scale"] == [1.0, 2.0, 0.5 * 2**level, 0.25 * 2**level]


@pytest.mark.parametrize("version", VERSIONS)
def test_one_pixel_stays_one_pixel(tmp_path: Path, version: str) -> None:
    image = create(
        tmp_path / "i",
        version,
        levels=4,
        shape=(1, 1, 3, 900),
        chunks=(1, 1, 3, 900),
        origin=[0.0] * 4,
    )
    assert [s[-2:] for s in image.shapes] == [(3, 900), (1, 450), (1, 225), (1, 112)]
    datasets: Any = image.metadata["datasets"]
    scales = [d["coordinateTransformations"][0]["scale"] for d in datasets]
    assert [s[-2:] for s in scales] == [[0.5, 0.25], [1.0, 0.5], [1.0, 1.0], [1.0, 2.0]]
    assert image.factors == ((1, 1, 2, 2), (1, 1, 1, 2), (1, 1, 1, 2))


@pytest.mark.parametrize("version", VERSIONS)
def test_axes_that_are_not_in_space_have_the_unit_they_are_given(
    tmp_path: Path, version: str
) -> None:
    image = create(tmp_path / "i", version, axes="tzyx", units={"t": "second"})
    axes: Any = image.metadata["axes"]
    assert axes[0] == {"name": "t", "type": "time", "unit": "second"}
    assert image.other_units == {"t": "second"}
    assert create(tmp_path / "j", version).other_units == {}


def test_big_endian_pixels_are_written_in_native_order(tmp_path: Path) -> None:
    create(tmp_path / "i", "0.4", dtype=np.dtype(">u2"))
    assert StoredArray.open(tmp_path / "i" / "0").dtype.isnative


@pytest.mark.parametrize("target", VERSIONS)
@pytest.mark.parametrize("source", VERSIONS)
@pytest.mark.parametrize("cname", ["zstd", "lz4", "zlib"])
def test_compression_is_the_source_s_where_it_is_blosc(
    tmp_path: Path, source: str, target: str, cname: BloscName
) -> None:
    compressors = {"compressors": blosc(Format.for_ngff(source), cname, 3)}
    create(tmp_path / "a", source, creation=compressors)
    found = compressor_like(ArrayMetadata.read(tmp_path / "a" / "0"), Format.for_ngff(target))
    create(tmp_path / "b", target, creation={"compressors": found})
    if target == "0.4":
        compressor = json.loads((tmp_path / "b" / "0" / ".zarray").read_text())["compressor"]
    else:
        codecs = json.loads((tmp_path / "b" / "0" / "zarr.json").read_text())["codecs"]
        (compressor,) = (c["configuration"] for c in codecs if c["name"] == "blosc")
    assert (compressor["cname"], compressor["clevel"]) == (cname, 3)


def test_compression_in_shards_is_found_and_other_codecs_become_lz4(tmp_path: Path) -> None:
    create(
        tmp_path / "a",
        "0.5",
        shards=(1, 1, 128, 128),
        creation={"compressors": blosc(V3, "zstd", 7)},
    )
    found = compressor_like(ArrayMetadata.read(tmp_path / "a" / "0"), V2)
    assert (found.cname, found.clevel) == ("zstd", 7)
    for version in VERSIONS:
        create(tmp_path / version, version, creation={"compressors": None})
        found = compressor_like(ArrayMetadata.read(tmp_path / version / "0"), V2)
        assert (found.cname, found.clevel) == ("lz4", 5)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("attributes", [{}, {"plate": {"a": 1}}])
def test_groups_are_read_by_zarr(tmp_path: Path, version: str, attributes: dict[str, Any]) -> None:
    write_group(tmp_path / "g", attributes, version)
    group = zarr.open_group(tmp_path / "g", mode="r")
    assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
    wrapped = {"ome": {"version": "0.5", **attributes}} if attributes else {}
    assert dict(group.attrs) == (attributes if version == "0.4" else wrapped)
    assert read_attributes(tmp_path / "g") == (
        attributes if version == "0.4" or not attributes else wrapped["ome"]
    )


def test_axes_have_types_and_units() -> None:
    entry = multiscales_metadata("n", "tczyx", [1] * 5, [[1] * 5])
    space = {"type": "space", "unit": "micrometer"}
    assert entry["axes"] == [
        {"name": "t", "type": "time"},
        {"name": "c", "type": "channel"},
        *({"name": a, **space} for a in "zyx"),
    ]
