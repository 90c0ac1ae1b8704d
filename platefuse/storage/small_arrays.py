"""Read a small Zarr array of one chunk with a tenth of the calls that zarr needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platefuse.storage.files import find_json, read_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CODECS_V3 = {"zstd": "zstd", "blosc": "blosc", "gzip": "gzip"}
"""Codecs of Zarr v3 whose bytes numcodecs decodes, by its names for them."""


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
    data: Any = read_bytes(f"{path}/{file}")
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
    first, *others = array["codecs"]
    is_text = array["data_type"] == "string"
    if not _is_one_chunk(shape, chunk) or first["name"] != ("vlen-utf8" if is_text else "bytes"):
        return None
    separator = keys.get("configuration", {}).get("separator", "/")
    data: Any = read_bytes(f"{path}/{separator.join(['c', *'0' * len(shape)])}")
    for codec in reversed(others):
        data = get_codec({"id": _CODECS_V3[codec["name"]]}).decode(data)
    if is_text:
        return _cut(get_codec({"id": "vlen-utf8"}).decode(data), shape, chunk)
    order = first.get("configuration", {}).get("endian", "little")
    dtype = np.dtype(array["data_type"]).newbyteorder("<" if order == "little" else ">")
    return _cut(np.frombuffer(data, dtype), shape, chunk)


def _is_one_chunk(shape: tuple[int, ...], chunk: tuple[int, ...]) -> bool:
    return bool(shape) and all(0 < n <= c for n, c in zip(shape, chunk, strict=True))


def _cut(values: NDArray[Any], shape: tuple[int, ...], chunk: tuple[int, ...]) -> NDArray[Any]:
    """The part of a chunk that is in the array. The last chunk is stored whole."""
    if values.size != math.prod(chunk):
        raise ValueError(f"a chunk of {values.size} values; expected {chunk}")
    return values.reshape(chunk)[tuple(slice(n) for n in shape)].copy()
