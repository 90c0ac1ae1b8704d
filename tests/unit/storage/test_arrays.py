from __future__ import annotations

import itertools
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec, TransposeCodec

from platefuse.errors import ImageError
from platefuse.geometry import Box, grid_box
from platefuse.storage.arrays import StoredArray
from tests.codecs import slow_codecs

SHAPE, CHUNK = (17, 22), (5, 8)
PIXELS = np.random.default_rng(0).integers(1, 200, SHAPE)


def create(path: Path, **options: Any) -> zarr.Array[Any]:
    settings: dict[str, Any] = {"shape": SHAPE, "chunks": CHUNK, "dtype": "uint16", **options}
    return zarr.create_array(path / "a", **settings)


FORMS: dict[str, dict[str, Any]] = {
    "v2": {"zarr_format": 2},
    "v2 with F order": {"zarr_format": 2, "order": "F"},
    "v2 with big-endian pixels": {"zarr_format": 2, "dtype": ">u2"},
    "v2 uncompressed with dots": {
        "zarr_format": 2,
        "compressors": None,
        "chunk_key_encoding": {"name": "v2", "separator": "."},
    },
    "v3": {"zarr_format": 3},
    "v3 with shards": {"zarr_format": 3, "shards": (10, 16)},
    "v3 with big-endian pixels": {
        "zarr_format": 3,
        "serializer": BytesCodec(endian="big"),
    },
    "v3 transposed": {"zarr_format": 3, "filters": [TransposeCodec(order=(1, 0))]},
    "v3 with dots": {
        "zarr_format": 3,
        "chunk_key_encoding": {"name": "default", "separator": "."},
    },
}

SLOW = {"v2 with F order", "v2 with big-endian pixels"}
"""Forms that the codecs of zarrs do not know."""


@pytest.mark.parametrize("form", FORMS)
def test_chunks_of_every_form_are_written_and_read(tmp_path: Path, form: str) -> None:
    plain = create(tmp_path, **FORMS[form])
    stored = StoredArray.open(tmp_path / "a", mode="r+")
    assert (stored.shape, stored.chunk) == (SHAPE, CHUNK)
    assert stored.shard == FORMS[form].get("shards", CHUNK)
    pixels = PIXELS.astype(stored.dtype)
    for box in cells(stored.shard):
        stored.write(box, np.ascontiguousarray(pixels[box.slices]))
    np.testing.assert_array_equal(np.asarray(plain[...]), PIXELS)
    again = StoredArray.open(tmp_path / "a")
    for box in cells(CHUNK):
        got = again.decode(box)
        assert got.dtype == stored.dtype
        np.testing.assert_array_equal(got, PIXELS[box.slices])


@pytest.mark.parametrize("form", FORMS)
def test_the_faster_codecs_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """They fall back to the default ones without an error, and so do we when zarr changes."""
    create(tmp_path, **FORMS[form])
    box = Box((0, 0), FORMS[form].get("shards", CHUNK))
    pixels = PIXELS[box.slices].astype(np.uint16)
    with slow_codecs(monkeypatch) as slow:
        StoredArray.open(tmp_path / "a", mode="r+").write(box, pixels)
        np.testing.assert_array_equal(StoredArray.open(tmp_path / "a").decode(box), pixels)
    assert slow == (["write", "read"] if form in SLOW else [])


def cells(unit: tuple[int, ...]) -> list[Box]:
    every = itertools.product(*(range(-(-n // u)) for n, u in zip(SHAPE, unit, strict=True)))
    return [grid_box(index, unit, SHAPE) for index in every]


@pytest.mark.parametrize("durable", [False, True])
def test_writing_to_disk_begins_for_what_is_flushed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, durable: bool
) -> None:
    begun: list[Path] = []
    monkeypatch.setattr("platefuse.storage.arrays.begin_flush", begun.append)
    create(tmp_path, shards=(10, 16))
    stored = StoredArray.open(tmp_path / "a", mode="r+", durable=durable)
    stored = pickle.loads(pickle.dumps(stored))
    first, second = cells(stored.shard)[:2]
    stored.write(first, PIXELS.astype("uint16")[first.slices])
    assert stored.copy_encoded_from(stored, first, second)
    assert begun == ([tmp_path / "a/c/0/0", tmp_path / "a/c/0/1"] if durable else [])


@pytest.mark.parametrize("form", FORMS)
def test_chunks_that_are_not_stored_are_known_to_be_zero(tmp_path: Path, form: str) -> None:
    create(tmp_path, **FORMS[form])
    stored = StoredArray.open(tmp_path / "a", mode="r+")
    every = list(np.ndindex(4, 3))
    assert all(stored.is_empty(index) for index in every)
    first = grid_box((0, 0), stored.shard, SHAPE)
    stored.write(first, np.ones(first.shape, stored.dtype))
    kept = [index for index in every if not stored.is_empty(index)]
    assert kept == [i for i in every if first.contains(grid_box(i, CHUNK, SHAPE))]
    assert all(stored.chunk_path(index).is_file() for index in kept)


@pytest.mark.parametrize(
    ("dtype", "fill", "zero"),
    [
        ("uint16", 0, True),
        ("uint16", 7, False),
        ("float32", np.nan, False),
        ("float32", -0.0, True),
    ],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_only_a_fill_value_of_zero_makes_missing_chunks_empty(
    tmp_path: Path, dtype: str, fill: float, zero: bool, zarr_format: int
) -> None:
    create(tmp_path, dtype=dtype, fill_value=fill, zarr_format=zarr_format)
    stored = StoredArray.open(tmp_path / "a")
    assert stored.zero_is_fill == zero
    assert stored.is_empty((0, 0)) == zero
    np.testing.assert_array_equal(stored.decode(Box((0, 0), (5, 8))), np.full((5, 8), fill, dtype))


def test_zarr_v2_without_a_fill_value_reads_zero(tmp_path: Path) -> None:
    create(tmp_path, zarr_format=2)
    file = tmp_path / "a" / ".zarray"
    file.write_text(json.dumps({**json.loads(file.read_text()), "fill_value": None}))
    stored = StoredArray.open(tmp_path / "a")
    assert stored.zero_is_fill
    assert not stored.decode(Box((0, 0), (5, 8))).any()


def test_what_is_no_array_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be opened as a Zarr array"):
        StoredArray.open(tmp_path / "missing")
    zarr.open_group(tmp_path / "group", mode="w")
    with pytest.raises(ImageError, match="cannot be opened as a Zarr array"):
        StoredArray.open(tmp_path / "group")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("compressor", {"id": "nobody-knows"}),
        ("filters", [{"id": "pickle"}]),
        ("dtype", "|O"),
        ("dtype", "nonsense"),
        ("zarr_format", 9),
        ("chunks", "x"),
        ("shape", None),
    ],
)
def test_metadata_that_cannot_be_used_is_our_error(tmp_path: Path, key: str, value: object) -> None:
    create(tmp_path, zarr_format=2)
    file = tmp_path / "a" / ".zarray"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(ImageError, match=r"/a: cannot be opened|cannot be read"):
        StoredArray.open(tmp_path / "a").decode(Box((0, 0), (5, 8)))


@pytest.mark.parametrize("form", ["v2", "v3", "v3 with shards", "v2 with F order"])
def test_a_broken_chunk_is_our_error_and_named(tmp_path: Path, form: str) -> None:
    create(tmp_path, **FORMS[form])
    stored = StoredArray.open(tmp_path / "a", mode="r+")
    stored.write(Box((0, 0), stored.shard), np.ones(stored.shard, stored.dtype))
    path = stored.chunk_path((0, 0))
    path.write_bytes(b"broken")
    with pytest.raises(ImageError, match=f"^{path}: the chunk cannot be read") as caught:
        StoredArray.open(tmp_path / "a").decode(Box((0, 0), (5, 8)))
    assert "Restore" in str(caught.value)
    assert "delete" not in str(caught.value)  # it may be the only one


def test_a_pipe_in_the_place_of_a_chunk_is_our_error(tmp_path: Path) -> None:
    create(tmp_path, zarr_format=2)
    stored = StoredArray.open(tmp_path / "a")
    os.mkfifo(stored.chunk_path((0, 0)))
    with pytest.raises(ImageError, match="expected a file"):
        stored.is_empty((0, 0))


def test_a_disk_that_refuses_is_our_error(tmp_path: Path) -> None:
    create(tmp_path, zarr_format=2)
    stored = StoredArray.open(tmp_path / "a", mode="r+")
    chunk = stored.chunk_path((0, 0))
    chunk.mkdir(parents=True)  # a folder where the file should go
    with pytest.raises(ImageError, match=r"pixels \(0, 0\) to \(5, 8\) cannot be written"):
        stored.write(Box((0, 0), (5, 8)), np.ones((5, 8), np.uint16))


def test_opening_leaves_zarr_with_all_its_threads(tmp_path: Path) -> None:
    """The number of threads of zarr's event loop is set once for a process: by whom it likes."""
    create(tmp_path)
    code = (
        "import sys; from pathlib import Path; from platefuse.storage.arrays import StoredArray;"
        "from platefuse.geometry import Box; from zarr.core import sync;"
        "array = StoredArray.open(Path(sys.argv[1])); array.decode(Box((0, 0), (5, 8)));"
        "print(sync._executor)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"


def test_an_array_goes_to_another_process(tmp_path: Path) -> None:
    create(tmp_path)[...] = PIXELS
    there = pickle.loads(pickle.dumps(StoredArray.open(tmp_path / "a")))
    np.testing.assert_array_equal(there.decode(Box((0, 0), (5, 8))), PIXELS[:5, :8])


@pytest.mark.parametrize("form", ["v2", "v3", "v3 with shards"])
def test_chunks_of_an_array_alike_are_copied_as_they_are(tmp_path: Path, form: str) -> None:
    create(tmp_path / "one", **FORMS[form])[...] = PIXELS
    create(tmp_path / "other", **FORMS[form], attributes={"of": "another"})
    one = StoredArray.open(tmp_path / "one/a")
    other = StoredArray.open(tmp_path / "other/a", mode="r+")
    for box in cells(one.shard):
        assert other.copy_encoded_from(one, box, box)
    np.testing.assert_array_equal(np.asarray(zarr.open_array(tmp_path / "other/a")), PIXELS)
    last = cells(one.shard)[-1]
    assert not other.copy_encoded_from(one, last, Box.of_shape(last.shape)), "not of one size"


@pytest.mark.parametrize(
    "options",
    [{"dtype": "int16"}, {"chunks": (5, 9)}, {"fill_value": 7}, {"compressors": None}],
)
def test_chunks_of_an_array_of_another_kind_are_not(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    create(tmp_path / "one")[...] = PIXELS
    create(tmp_path / "other", **options)
    one = StoredArray.open(tmp_path / "one/a")
    other = StoredArray.open(tmp_path / "other/a", mode="r+")
    assert not other.copy_encoded_from(one, Box((0, 0), CHUNK), Box((0, 0), CHUNK))
    assert not other.copy_encoded_from(object(), Box((0, 0), CHUNK), Box((0, 0), CHUNK))
    assert not list((tmp_path / "other/a").rglob("0*"))


def test_a_chunk_that_is_not_stored_is_copied_as_nothing(tmp_path: Path) -> None:
    for name in ("one", "other"):
        create(tmp_path / name)
    other = StoredArray.open(tmp_path / "other/a", mode="r+")
    box = Box((0, 0), CHUNK)
    assert other.copy_encoded_from(StoredArray.open(tmp_path / "one/a"), box, box)
    assert not other.chunk_path((0, 0)).exists()


def test_a_codec_that_zarrs_does_not_know_is_read_without_a_word(tmp_path: Path) -> None:
    pixels = np.arange(64, dtype="uint16").reshape(8, 8)
    array = zarr.create_array(
        tmp_path / "0", shape=(8, 8), chunks=(4, 4), dtype="uint16", zarr_format=2,
        compressors=numcodecs.LZ4(), filters=[numcodecs.Delta("<u2")],
    )  # fmt: skip
    array[:] = pixels
    script = (
        "from pathlib import Path; from platefuse.storage.arrays import StoredArray; "
        f"print(int(StoredArray.open(Path({str(tmp_path / '0')!r})).zarr_array[:].sum()))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", script], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == pixels.sum()
    assert "ZarrsCodecPipeline" not in done.stderr
