"""Read a small Zarr array of one chunk with a tenth of the calls that zarr needs."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platefuse.storage.files import find_json, read_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CODECS_V3 = {"zstd": "zstd", "blosc": "blosc", "gzip": "gzip"}
"""Codecs of Zarr v3 whose bytes numcodecs decodes, by its names for them."""

_INDEX_BYTES, _CHECKSUM_BYTES = 20, 4
"""Where the chunk of a shard begins and how long it is, two numbers of 8 bytes, and a checksum."""


def read_array(path: Path) -> NDArray[Any]:
    """All values of an array.

    An array of one chunk with the usual codecs is decoded here, any other one by zarr, which needs
    some milliseconds to open it.

    Parameters
    ----------
    path : Path
        The array's folder.

    Returns
    -------
    ndarray, shape as stored
        The values; texts are of dtype object.

    Raises
    ------
    Exception
        What zarr and its codecs raise if the array cannot be read.
    """
    values = read_one_chunk(path)
    if values is not None:
        return values
    from platefuse.storage.threads import run_coroutine  # imports zarr

    return run_coroutine(_read_by_zarr(path))


async def _read_by_zarr(path: Path) -> NDArray[Any]:
    import numpy as np
    from zarr.api.asynchronous import open_array

    return np.asarray(await (await open_array(store=path, mode="r")).getitem(...))


def is_array(path: Path) -> bool:
    """Whether the folder holds an array of either Zarr format."""
    content = find_json(path, "zarr.json")
    if content is not None:
        return content.get("node_type") == "array"
    return (path / ".zarray").is_file()


def read_one_chunk(path: Path) -> NDArray[Any] | None:
    """All values of an array of one chunk; None if it is not one that can be decoded here.

    Parameters
    ----------
    path : Path
        The array's folder.
    """
    try:
        content = find_json(path, "zarr.json")
        if content is not None:
            return _read_v3(path, content)
        content = find_json(path, ".zarray")
        return None if content is None else _read_v2(path, content)
    except (OSError, LookupError, TypeError, ValueError, RuntimeError):
        return None  # zarr says what is wrong with it


def _read_v2(path: Path, array: Mapping[str, Any]) -> NDArray[Any] | None:
    import numpy as np
    from numcodecs import get_codec

    shape, chunk = tuple(array["shape"]), tuple(array["chunks"])
    if not _is_one_chunk(shape, chunk) or array["order"] != "C":
        return None
    is_text = array["dtype"] == "|O"
    filters = array["filters"] or []
    if is_text != (filters == [{"id": "vlen-utf8"}]) or (filters and not is_text):
        return None
    file = array.get("dimension_separator", ".").join("0" * len(shape))
    data: Any = _chunk(f"{path}/{file}")
    if data is None:
        return None if is_text else _filled(shape, array["fill_value"], np.dtype(array["dtype"]))
    if array["compressor"] is not None:
        data = get_codec(dict(array["compressor"])).decode(data)
    values = get_codec(filters[0]).decode(data) if is_text else np.frombuffer(data, array["dtype"])
    return _cut(values, shape, chunk)


def _read_v3(path: Path, array: Mapping[str, Any]) -> NDArray[Any] | None:
    import numpy as np
    from numcodecs import get_codec

    grid, keys = array["chunk_grid"], array["chunk_key_encoding"]
    if grid["name"] != "regular" or keys["name"] != "default" or array["storage_transformers"]:
        return None
    shape, chunk = tuple(array["shape"]), tuple(grid["configuration"]["chunk_shape"])
    is_text = array["data_type"] == "string"
    if not _is_one_chunk(shape, chunk):
        return None
    separator = keys.get("configuration", {}).get("separator", "/")
    data: Any = _chunk(f"{path}/{separator.join(['c', *'0' * len(shape)])}")
    if data is None:
        return None if is_text else _filled(shape, array["fill_value"], array["data_type"])
    codecs = array["codecs"]
    if codecs[0]["name"] == "sharding_indexed":
        data, codecs = _unsharded(data, chunk, *codecs)
    first, *others = codecs
    if first["name"] != ("vlen-utf8" if is_text else "bytes"):
        return None
    for codec in reversed(others):
        data = get_codec({"id": _CODECS_V3[codec["name"]]}).decode(data)
    if is_text:
        return _cut(get_codec({"id": "vlen-utf8"}).decode(data), shape, chunk)
    order = first.get("configuration", {}).get("endian", "little")
    dtype = np.dtype(array["data_type"]).newbyteorder("<" if order == "little" else ">")
    return _cut(np.frombuffer(data, dtype), shape, chunk)


def _unsharded(
    shard: bytes, chunk: tuple[int, ...], codec: Mapping[str, Any]
) -> tuple[bytes, list[Mapping[str, Any]]]:
    """The bytes of a chunk that has a shard of its own, as anndata stores columns; its codecs."""
    content = codec["configuration"]
    index = [each["name"] for each in content["index_codecs"]]
    if (
        tuple(content["chunk_shape"]) != chunk
        or content.get("index_location", "end") != "end"
        or index != ["bytes", "crc32c"]
    ):
        raise ValueError("a shard with several chunks, or with another index")
    start, length = struct.unpack("<QQ", shard[-_INDEX_BYTES:-_CHECKSUM_BYTES])
    return shard[start : start + length], content["codecs"]


def _chunk(file: str) -> bytes | None:
    """The bytes of a chunk; None if it is not stored, because all of its values are the usual one.

    The mask of a column without missing values is such an array.
    """
    try:
        return read_bytes(file)
    except FileNotFoundError:
        return None


def _filled(shape: tuple[int, ...], value: object, dtype: Any) -> NDArray[Any] | None:
    """An array of one value; None if zarr writes the value in a way of its own, as it does NaN."""
    import numpy as np

    if value is not None and not isinstance(value, int | float):
        return None
    return np.full(shape, value or 0, dtype)


def _is_one_chunk(shape: tuple[int, ...], chunk: tuple[int, ...]) -> bool:
    return bool(shape) and all(0 < n <= c for n, c in zip(shape, chunk, strict=True))


def _cut(values: NDArray[Any], shape: tuple[int, ...], chunk: tuple[int, ...]) -> NDArray[Any]:
    """The part of a chunk that is in the array. The last chunk is stored whole."""
    if values.size != math.prod(chunk):
        raise ValueError(f"a chunk of {values.size} values; expected {chunk}")
    return values.reshape(chunk)[tuple(slice(n) for n in shape)].copy()
