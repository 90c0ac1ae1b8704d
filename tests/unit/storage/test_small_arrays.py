"""Small arrays read without zarr: the same values, or left to zarr."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec
from zarr.dtype import VariableLengthUTF8

from platefuse.storage.small_arrays import is_array, read_array, read_one_chunk

TEXTS = np.array(["FOV_1", "µ", ""], object)
DTYPES = ["<f4", "<f8", ">f4", "<i8", "|u1", "|b1", "<u2"]


def written(path: Path, zarr_format: Any, values: Any, **more: Any) -> Path:
    more = {"chunks": values.shape, **more}
    zarr.create_array(path, data=values, zarr_format=zarr_format, **more)
    return path


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_one_chunk(tmp_path: Path, zarr_format: Any, dtype: str) -> None:
    values = (np.random.default_rng(0).random((3, 5)) * 9).astype(dtype)
    found = read_one_chunk(written(tmp_path / "a", zarr_format, values))
    assert found is not None
    assert found.dtype.kind == values.dtype.kind
    np.testing.assert_array_equal(found, values)
    found[:] = 0  # the caller's own


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunk", [3, 7])
def test_texts(tmp_path: Path, zarr_format: Any, chunk: int) -> None:
    dtype: Any = VariableLengthUTF8()
    array = zarr.create_array(
        tmp_path / "a", shape=(3,), chunks=(chunk,), dtype=dtype, zarr_format=zarr_format
    )
    array[...] = TEXTS
    found = read_one_chunk(tmp_path / "a")
    assert found is not None
    assert found.tolist() == TEXTS.tolist()


@pytest.mark.parametrize(
    "compressor",
    [None, numcodecs.Zlib(), numcodecs.GZip(), numcodecs.Zstd(), numcodecs.Blosc("lz4"),
     numcodecs.Blosc("zstd", 5, numcodecs.Blosc.BITSHUFFLE)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("separator", [".", "/"])
def test_codecs_of_zarr_2(tmp_path: Path, compressor: Any, separator: Any) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    keys: Any = {"name": "v2", "separator": separator}
    path = written(tmp_path / "a", 2, values, compressors=compressor, chunk_key_encoding=keys)
    np.testing.assert_array_equal(read_one_chunk(path), values)


@pytest.mark.parametrize(
    "codec", [ZstdCodec(), BloscCodec(), GzipCodec(), None], ids=lambda c: type(c).__name__
)
def test_codecs_of_zarr_3(tmp_path: Path, codec: Any) -> None:
    values = np.arange(12, dtype=np.int64).reshape(3, 4)
    path = written(tmp_path / "a", 3, values, compressors=codec)
    np.testing.assert_array_equal(read_one_chunk(path), values)


@pytest.mark.parametrize("codec", [ZstdCodec(), None], ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("is_text", [True, False])
def test_a_shard_of_one_chunk(tmp_path: Path, codec: Any, is_text: bool) -> None:
    values = TEXTS if is_text else np.arange(3, dtype=np.float64)
    dtype: Any = VariableLengthUTF8() if is_text else values.dtype
    more = {"compressors": codec, "zarr_format": 3}
    array = zarr.create_array(
        tmp_path / "a", shape=(3,), chunks=(3,), shards=(3,), dtype=dtype, **more
    )
    array[...] = values
    found = read_one_chunk(tmp_path / "a")
    assert found is not None
    assert found.tolist() == values.tolist()


def test_a_shard_of_several_chunks_is_left_to_zarr(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32)
    path = written(tmp_path / "a", 3, values, chunks=(3,), shards=(6,))
    assert read_one_chunk(path) is None
    np.testing.assert_array_equal(read_array(path), values)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "fill"), [("|b1", False), ("<i2", 7), ("<f4", 0.5), ("<f8", None)]
)
def test_a_chunk_that_is_not_stored(
    tmp_path: Path, zarr_format: Any, dtype: str, fill: Any
) -> None:
    zarr.create_array(
        tmp_path / "a", shape=(3, 2), chunks=(3, 5), dtype=dtype, fill_value=fill,
        zarr_format=zarr_format,
    )  # fmt: skip
    found = read_one_chunk(tmp_path / "a")
    assert found is not None
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.asarray(zarr.open_array(tmp_path / "a")[...]))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunk_of_a_value_that_is_no_number_of_json_is_left_to_zarr(
    tmp_path: Path, zarr_format: Any
) -> None:
    zarr.create_array(
        tmp_path / "a", shape=(3,), chunks=(3,), dtype="<f4", fill_value=np.nan,
        zarr_format=zarr_format,
    )  # fmt: skip
    assert read_one_chunk(tmp_path / "a") is None
    assert np.isnan(read_array(tmp_path / "a")).all()


def damaged(path: Path, kind: str) -> None:
    """Make an array of Zarr v2 something that is left to zarr."""
    file = path / ".zarray"
    content = json.loads(file.read_text())
    changes: dict[str, Any] = {
        "order": {"order": "F"},
        "filter": {"filters": [{"id": "delta", "dtype": "<f4"}]},
        "length": {"shape": [3, 5], "chunks": [3, 5]},
    }
    file.write_text(json.dumps({**content, **changes.get(kind, {})}))
    if kind == "broken chunk":
        (path / "0.0").write_bytes(b"no blosc")


@pytest.mark.parametrize("kind", ["order", "filter", "length", "broken chunk"])
def test_what_is_left_to_zarr(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path / "a", 2, np.ones((3, 4), np.float32))
    damaged(path, kind)
    assert read_one_chunk(path) is None
    if kind == "broken chunk":
        with pytest.raises(Exception, match=r"."):
            read_array(path)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("shape", "chunks"), [((4, 4), (2, 4)), ((0, 3), (1, 3)), ((), ())])
def test_other_arrays_are_read_by_zarr(
    tmp_path: Path, zarr_format: Any, shape: tuple[int, ...], chunks: tuple[int, ...]
) -> None:
    values = np.arange(np.prod(shape, dtype=int), dtype=np.float64).reshape(shape)
    path = written(tmp_path / "a", zarr_format, values, chunks=chunks)
    assert read_one_chunk(path) is None
    np.testing.assert_array_equal(read_array(path), values)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_are_told_from_groups(tmp_path: Path, zarr_format: Any) -> None:
    path = written(tmp_path / "a", zarr_format, np.ones(3))
    zarr.create_group(tmp_path / "g", zarr_format=zarr_format)
    assert is_array(path)
    assert not is_array(tmp_path / "g")
    shutil.rmtree(path)
    assert not is_array(path)
