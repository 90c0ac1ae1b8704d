"""The data type of an array whose metadata were read before, checked as opening it checks them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import zarr
from zarr.storage import LocalStore, StorePath

from platefuse.storage.arrays import StoredArray, cannot_open
from platefuse.storage.files import find_json


def checked_dtype(path: Path, content: Mapping[str, object]) -> np.dtype[np.generic]:
    """The data type of an array that can be opened.

    A plate has thousands of arrays with the same metadata, and zarr needs milliseconds to open one.
    So zarr and the codecs see each content once.

    Parameters
    ----------
    path : Path
        The array's folder.
    content : mapping
        The JSON object in its metadata file.

    Raises
    ------
    ImageError
        If its metadata or codecs cannot be used, as `StoredArray.open` raises.
    """
    find_json(path, ".zattrs")  # zarr reads it, too, and stops if it is broken
    text = json.dumps({**content, "attributes": {}})
    with cannot_open(path):
        return _dtype_of(text)


@lru_cache(maxsize=256)
def _dtype_of(text: str) -> np.dtype[np.generic]:
    """The data type by the metadata of an array; errors are not kept."""
    array = zarr.Array(zarr.AsyncArray(json.loads(text), StorePath(LocalStore(Path()))))
    return StoredArray.over(Path(), array).dtype
